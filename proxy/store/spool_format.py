"""How a spool lies in its file, and how records are found in it again. Pure: offsets and bytes, no file.

    page 0     file header: magic, slot size, number of slots, CRC of these; the released cursor at byte 64
    slot       first sequence number (0: free), then records, each on an 8 byte boundary
    record     payload length u32 · CRC-32 of the payload, started with the sequence number, u32 · sequence number u64 · payload

The sequence number is the commit mark: it is stored last, by one aligned 8 byte store, after payload, length and CRC. Numbers begin
at a random place and only rise, so what an earlier round left in a slot can never pass for a record of this one.

A preface is a record that others need to be understood; the top bit of its length is set. Each slot has its own copy, before the
first that needs it, so that what is found in a slot is never without it, whatever was released.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from zlib import crc32

import msgspec

MAGIC = b"GLSPOOL\x01"
PAGE_BYTES = 4096
RELEASED_AT = 64
SLOT_HEADER_BYTES = 16
RECORD = struct.Struct("@IIQ")
RECORD_HEADER_BYTES = RECORD.size
WORD = struct.Struct("@Q")
PREFACE = 1 << 31
_GEOMETRY = struct.Struct("@8sII")
_CRC = struct.Struct("@I")


class Geometry(msgspec.Struct, frozen=True):
    slot_bytes: int
    slots: int

    @property
    def file_bytes(self) -> int:
        return PAGE_BYTES + self.slot_bytes * self.slots

    def slot_at(self, slot: int) -> int:
        return PAGE_BYTES + slot * self.slot_bytes

    @classmethod
    def of_capacity(cls, capacity_bytes: int) -> Geometry:
        """Slots of 1 MiB, or a quarter of the capacity where that is less; at least four pages in all."""
        pages = max(4, capacity_bytes // PAGE_BYTES)
        slot_pages = min(256, pages // 4)
        return cls(slot_bytes=slot_pages * PAGE_BYTES, slots=pages // slot_pages)


def aligned(offset: int) -> int:
    return (offset + 7) & ~7


def file_header(geometry: Geometry) -> bytes:
    head = _GEOMETRY.pack(MAGIC, geometry.slot_bytes, geometry.slots)
    return head + _CRC.pack(crc32(head))


def geometry_of(header: bytes) -> Geometry | None:
    """The geometry a file header states, None where it is not a whole header of ours."""
    if len(header) < _GEOMETRY.size + _CRC.size:
        return None
    head = header[: _GEOMETRY.size]
    magic, slot_bytes, slots = _GEOMETRY.unpack(head)
    if magic != MAGIC or _CRC.unpack_from(header, _GEOMETRY.size)[0] != crc32(head):
        return None
    return Geometry(slot_bytes=slot_bytes, slots=slots)


def scan(buffer: mmap, start: int, end: int, numbers: range, *, prefaces_only: bool = False) -> Iterator[tuple[int, int, bytes]]:
    """Every whole record between the two offsets whose number is in `numbers`, in order: offset behind it, number, payload.

    A torn or damaged record is passed over; after one, the search goes on at every 8 byte boundary, because only the loss of power can
    damage a record that is not the last, and then those behind it may be whole.
    """
    low, high = numbers.start, numbers.stop
    at = start
    while at + RECORD_HEADER_BYTES <= end:
        marked, check, number = RECORD.unpack_from(buffer, at)
        length = marked & ~PREFACE
        body = at + RECORD_HEADER_BYTES
        if low <= number < high and length <= end - body:
            payload = buffer[body : body + length]
            if crc32(payload, number) == check:
                at = aligned(body + length)
                low = number + 1
                if marked != length or not prefaces_only:
                    yield at, number, payload
                continue
        at = _next_mark(buffer, at + 8, end, range(low, high))


def _next_mark(buffer: mmap, at: int, end: int, numbers: range) -> int:
    """The next offset whose commit mark could be one of `numbers`; `end` where there is none."""
    marks_at = at + 8
    if marks_at + 8 > end:
        return end
    low, high = numbers.start, numbers.stop
    with memoryview(buffer)[marks_at : end - (end - marks_at) % 8].cast("Q") as marks:
        index = next((i for i, mark in enumerate(marks) if low <= mark < high), None)
    return end if index is None else at + index * 8
