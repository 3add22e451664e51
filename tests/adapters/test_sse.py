"""Server-sent events read from pieces: the same events wherever the bytes are cut, and every byte of them kept."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._base import FaultError, GarbledError
from adapters._sse import COMMENT_BYTES, Event, Events, block, closed, passed

SPLIT = "a\u2028b\u2029c\u0085d".encode()
ONE = {
    "data": (b"data: a\n\n", Event(b"", b"a", b"data: a\n\n")),
    "data without a space": (b"data:a\n\n", Event(b"", b"a", b"data:a\n\n")),
    "two spaces": (b"data:  a\n\n", Event(b"", b" a", b"data:  a\n\n")),
    "several lines": (b"data: a\ndata: b\n\n", Event(b"", b"a\nb", b"data: a\ndata: b\n\n")),
    "a name": (b"event: ping\ndata: a\n\n", Event(b"ping", b"a", b"event: ping\ndata: a\n\n")),
    "an id behind": (b"data: a\nid: 1\n\n", Event(b"", b"a", b"data: a\nid: 1\n\n")),
    "an id before": (b"id: 1\ndata: a\n\n", Event(b"", b"a", b"id: 1\ndata: a\n\n")),
    "a field that nobody knows": (b"retry: 5\n\n", Event(b"", None, b"retry: 5\n\n")),
    "empty data": (b"data: \n\n", Event(b"", None, b"data: \n\n")),
    "no colon": (b"data\n\n", Event(b"", None, b"data\n\n")),
    "CRLF": (b"event: x\r\ndata: a\r\n\r\n", Event(b"x", b"a", b"event: x\r\ndata: a\r\n\r\n")),
    "CR": (b"data: a\rdata: b\r\r", Event(b"", b"a\nb", b"data: a\rdata: b\r\r")),
    "a CR in a line of LF": (b"data: a\rid: 1\n\n", Event(b"", b"a", b"data: a\rid: 1\n\n")),
    "what other readers split at": (b"data: " + SPLIT + b"\n\n", Event(b"", SPLIT, b"data: " + SPLIT + b"\n\n")),
}
WHOLE = b"".join(raw for raw, _ in ONE.values() if b"\r" not in raw)


@pytest.mark.parametrize("case", ONE)
def test_an_event_is_read(case):
    raw, expected = ONE[case]
    # what follows says that a last CR was no half of a CRLF
    assert Events().feed(raw + b"data: next\n\n")[0] == expected


def cut(data: bytes, places: list[int]) -> list[bytes]:
    return [data[one:other] for one, other in itertools.pairwise(sorted({0, *(place % (len(data) + 1) for place in places), len(data)}))]


@given(st.lists(st.integers(0, 10_000), max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_wherever_it_is_cut_the_events_are_the_same(places, line, mark):
    data = WHOLE.replace(b"\n", line) + b"data: last" + line * 2 + b"data: "
    expected = Events().feed(data)
    events = Events()
    assert [event for piece in cut(mark + data, places) for event in events.feed(piece)] == expected
    assert b"".join(event.raw for event in expected) + events.held == data
    assert [event.data for event in expected][:4] == [b"a", b"a", b" a", b"a\nb"]


def test_comments_are_kept_apart_and_bounded():
    events = Events()
    assert events.feed(b": one\ndata: a\n\n:two\n\n") == [Event(b"", b"a", b": one\ndata: a\n\n"), Event(b"", None, b":two\n\n")]
    assert events.comments == [b": one", b":two"]
    events.feed(b":" + b"x" * COMMENT_BYTES + b"\n\n: late\n\n")
    assert events.comments == [b": one", b":two"]


@pytest.mark.parametrize("pieces", [[b"data: 3456789\n\n"], [b"data: ", b"3456789"], [b"data: 3456789"]], ids=str)
def test_an_event_that_is_too_large_is_garbage(pieces):
    with pytest.raises(GarbledError, match="larger than 12 bytes"):
        [*map(Events(12).feed, pieces)]
    assert Events(13).feed(b"data: 3456789\n\n")[0].data == b"3456789"


def test_many_small_ones_are_none_too_large():
    events = Events(12)
    assert len(events.feed(b"data: a\n\n" * 100 + b"data: bcdefg")) == 100
    assert events.feed(b"\n\n")[0].data == b"bcdefg"


def test_what_the_end_cuts_short_is_an_event():
    events = Events()
    assert events.feed(b"data: a\n\ndata: b\r") == [Event(b"", b"a", b"data: a\n\n")]
    assert closed(events) == [Event(b"", b"b", b"data: b\n\n")]
    assert closed(events) == []
    events.feed(b"\n")
    assert closed(events) == []


def test_what_came_before_an_error_counts():
    def take(event):
        if event.data == b"b":
            raise GarbledError("no")
        return event.raw

    out, error = passed(Events(), b"data: a\n\ndata: b\n\ndata: c\n\n", take)
    assert (out, type(error)) == (b"data: a\n\n", GarbledError)
    assert passed(Events(), b"data: a\n\ndata: c\n\n", take) == (b"data: a\n\ndata: c\n\n", None)
    assert not isinstance(error, FaultError)


def test_an_event_is_written_in_one_line():
    assert block(b'{"a":\n1}') == b'data: {"a": 1}\n\n'
    assert block(b"{}", b"ping") == b"event: ping\ndata: {}\n\n"
