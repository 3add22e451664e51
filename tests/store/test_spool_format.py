"""Records in bytes: what is whole is found, what is not is passed over."""

from __future__ import annotations

from mmap import mmap
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.store.spool_format import RECORD, RECORD_HEADER_BYTES, Geometry, aligned, file_header, geometry_of, scan

FIRST = 1000


def written(payloads: list[bytes]) -> tuple[mmap, list[int]]:
    """A mapping with the payloads one after another from number 1000 on, and the offset of each record."""
    buffer = mmap(-1, 16384)
    at, offsets = 0, []
    for number, payload in enumerate(payloads, FIRST):
        offsets.append(at)
        buffer[at + RECORD_HEADER_BYTES : at + RECORD_HEADER_BYTES + len(payload)] = payload
        RECORD.pack_into(buffer, at, len(payload), crc32(payload, number), number)
        at = aligned(at + RECORD_HEADER_BYTES + len(payload))
    return buffer, offsets


def found(buffer: mmap, numbers: range = range(FIRST, FIRST + 1000)) -> list[bytes]:
    return [payload for _, _, payload in scan(buffer, 0, len(buffer), numbers)]


@pytest.mark.parametrize(
    ("capacity_bytes", "slot_bytes", "slots"),
    [(1, 4096, 4), (65536, 16384, 4), (1 << 20, 262144, 4), (64 << 20, 1 << 20, 64), ((64 << 20) + 5000, 1 << 20, 64)],
)
def test_capacity_is_cut_into_slots_of_at_most_a_mebibyte(capacity_bytes, slot_bytes, slots):
    assert Geometry.of_capacity(capacity_bytes) == Geometry(slot_bytes=slot_bytes, slots=slots)


def test_a_header_is_read_as_it_was_written_and_not_with_any_byte_changed():
    header = file_header(Geometry(slot_bytes=8192, slots=7))
    assert geometry_of(header + bytes(100)) == Geometry(slot_bytes=8192, slots=7)
    for at in range(len(header)):
        assert geometry_of(header[:at] + bytes([header[at] ^ 1]) + header[at + 1 :]) is None
        assert geometry_of(header[:at]) is None


@given(st.lists(st.binary(max_size=200), max_size=30))
def test_what_was_written_is_found_in_order(payloads):
    buffer, _ = written(payloads)
    assert found(buffer) == payloads


def test_a_record_of_an_earlier_round_is_not_one_of_this_round():
    buffer, _ = written([b"one", b"two", b"three"])
    assert found(buffer, range(FIRST + 3, FIRST + 1000)) == []
    assert found(buffer, range(FIRST, FIRST + 2)) == [b"one", b"two"]


@pytest.mark.parametrize("at", range(64))
def test_a_flipped_byte_takes_one_record_and_no_other(at):
    """Three records of 48 bytes of payload: 64 bytes each; the second is hit."""
    payloads = [bytes([65 + i]) * 48 for i in range(3)]
    buffer, offsets = written(payloads)
    buffer[offsets[1] + at] ^= 0x40
    assert found(buffer) == [payloads[0], payloads[2]]


def test_a_payload_that_copies_a_record_is_not_taken_for_one():
    """The inner one carries a number that was used before, as only numbers of the past can be known."""
    buffer, offsets = written([b"first", RECORD.pack(5, crc32(b"first", FIRST), FIRST) + b"first"])
    buffer[offsets[1]] ^= 1
    assert found(buffer) == [b"first"]


@given(st.binary(min_size=16, max_size=400), st.integers(0, 400))
def test_rubbish_is_never_a_record(rubbish, at):
    buffer, _ = written([b"whole"])
    buffer[24 + at : 24 + at + len(rubbish)] = rubbish
    assert found(buffer) == [b"whole"]
