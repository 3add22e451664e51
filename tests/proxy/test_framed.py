"""A head is known again by every byte of it but the digits of its length, and by nothing less."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.framed import Framed, is_plain

BEFORE = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: "
AFTER = b"\r\nauthorization: Bearer one\r\n\r\n"
KNOWN = Framed(BEFORE, AFTER)
WHOLE = re.compile(re.escape(BEFORE) + rb"([0-9]{1,12})" + re.escape(AFTER) + rb"(.*)", re.DOTALL)


def message(body: bytes, length: bytes | None = None) -> bytes:
    return BEFORE + (b"%d" % len(body) if length is None else length) + AFTER + body


def body_at(data: bytes) -> int:
    """What it must say, as an expression says it."""
    found = WHOLE.fullmatch(data)
    return found.start(2) if found is not None and int(found[1]) == len(found[2]) else 0


@pytest.mark.parametrize("size", [0, 1, 9, 10, 99, 100, 12345])
def test_a_message_with_the_head_is_known_whatever_its_length(size):
    data = message(b"x" * size)
    assert data[KNOWN.body_at(data) :] == b"x" * size
    assert KNOWN.body_at(data) == len(data) - size


def test_any_other_byte_in_it_is_another_head():
    data = message(b"hello")
    for at in range(len(data) - 5):
        if not len(BEFORE) <= at < len(BEFORE) + 1:
            assert KNOWN.body_at(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == 0, at


@pytest.mark.parametrize(
    "data",
    [
        message(b"hello") + b"x",
        message(b"hello")[:-1],
        *[message(b"hello", length) for length in (b"", b"4", b"6", b"+5", b"5 ", b" 5", b"5,5", b"0x5", b"\xb2", b"0000000000005")],
        BEFORE,
        BEFORE + b"5",
        b"",
    ],
)
def test_of_more_or_less_than_one_message_nothing_is_known(data):
    assert KNOWN.body_at(data) == 0 == body_at(data)


@example(b"hello", [])
@given(
    st.binary(max_size=30),
    st.lists(
        st.tuples(st.integers(0, 110), st.integers(0, 3), st.sampled_from([b"", b"0", b"5", b"1", b"\r", b"\n", b"\r\n", b"x"])), max_size=2
    ),
)
def test_it_says_what_the_bytes_say(body, edits):
    data = message(body)
    for at, size, instead in edits:
        data = data[:at] + instead + data[at + size :]
    assert KNOWN.body_at(data) == body_at(data)


PLAIN = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2"
ODD = {
    "another line than were counted": (PLAIN, 3),
    "no length": (b"POST / HTTP/1.1\r\nhost: a", 1),
    "two lengths": (PLAIN + b"\r\nContent-Length: 2", 3),
    "a length that is none for us": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length:  2", 2),
    "a line ended by LF alone": (b"POST / HTTP/1.1\r\nhost: a\ncontent-length: 2\r\nb: c", 2),
    "an LF more": (PLAIN + b"\n", 2),
    "a CR more": (PLAIN + b"\r", 2),
}


def test_a_plain_head_has_a_line_for_each_header_and_one_length():
    assert is_plain(PLAIN, 2)


@pytest.mark.parametrize(("head", "lines"), ODD.values(), ids=ODD)
def test_an_odd_head_is_not_plain(head, lines):
    assert not is_plain(head, lines)
