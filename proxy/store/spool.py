"""The local spool: records are safe against `kill -9` when `append` returns, which makes no system call.

One writer and one reader, both on the thread that opened it. `append` copies into a memory-mapped file; the kernel keeps those pages
when the process dies. (When the machine loses power, the last seconds may be lost; what is found afterwards is still whole.)
The file is a set of slots. The lowest free one is written next, so in quiet times the same few pages are used again and again.
Finding the files of several processes is `claims`' work, the bytes are `spool_format`'s.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import Self
from zlib import crc32

from proxy.store.spool_file import RecordTooLargeError, SpoolFile, SpoolFullError, open_locked
from proxy.store.spool_format import PREFACE, RECORD, RECORD_HEADER_BYTES, RELEASED_AT, SLOT_HEADER_BYTES, WORD, Geometry, aligned, scan


class Preface:
    """A record that others need to be understood: `append` sees to it that each slot that holds one of them holds this one too."""

    __slots__ = ("record", "slot")

    def __init__(self, record: bytes) -> None:
        self.record = record
        self.slot = 0
        """First number of the slot it was written to last."""


class _Filled:
    """A slot that holds records: from `start` to `end`, numbered below `stop`. For the slot being written, `end` and `stop` lag."""

    __slots__ = ("end", "slot", "start", "stop")

    def __init__(self, slot: int, start: int, end: int, stop: int) -> None:
        self.slot, self.start, self.end, self.stop = slot, start, end, stop


class Spool:
    """Records that wait for the store. Made by `open`; the owner closes it.

    nearly_full: an eighth of the slots, or fewer, is left: refuse new work now, so that what is under way still finds room.
    prefaces: what the records found at `open` need and `read` does not give, because it was released. The owner may clear it.
    """

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._map = file.map
        self._filled: deque[_Filled] = deque()
        self._free: list[int] = []
        self._peeked: list[tuple[_Filled, int, int]] = []
        self._head = self._limit = 0
        self._first = self._sequence = WORD.unpack_from(self._map, RELEASED_AT)[0]
        self._gone = self._slot = 0
        self.prefaces: list[bytes] = []
        self.nearly_full = False
        self._recover()

    @classmethod
    def open(cls, path: str | Path, capacity_bytes: int) -> Self:
        """The spool in that file, with what an earlier process left in it; created where there is none.

        Raises SpoolLockedError while another live process has it, SpoolUnusableError where the file is not ours or cannot be made. A
        file of another size is made anew once it is empty, and kept until then.
        """
        return cls._over(open_locked(Path(path), capacity_bytes), Geometry.of_capacity(capacity_bytes))

    @classmethod
    def open_existing(cls, path: str | Path) -> Self:
        """As `open`, but never creates: raises FileNotFoundError."""
        return cls(open_locked(Path(path), 0, create=False))

    @classmethod
    def _over(cls, file: SpoolFile, geometry: Geometry) -> Self:
        try:
            spool = cls(file)
            if spool.pending or file.geometry == geometry:
                return spool
            file.rebuild(geometry)
            return cls(file)
        except BaseException:
            file.close()
            raise

    def append(self, record: bytes | bytearray, preface: Preface | None = None) -> None:
        """Keeps a record, and before it in its slot the preface it needs: on return both outlive this process.

        Raises SpoolFullError, RecordTooLargeError; then nothing has changed.
        """
        start = self._head
        body = start + RECORD_HEADER_BYTES
        length = len(record)
        end = body + length
        if end > self._limit or (preface is not None and preface.slot != self._slot):
            self._make_room(length, preface)
            start = self._head
            body = start + RECORD_HEADER_BYTES
            end = body + length
        sequence = self._sequence
        self._map[body:end] = record
        RECORD.pack_into(self._map, start, length, crc32(record, sequence), sequence)
        self._sequence = sequence + 1
        self._head = (end + 7) & ~7

    def read(self, max_records: int) -> list[bytes]:
        """Up to so many records, oldest first, from the first that is not released. Reading again gives the same again."""
        self._peeked.clear()
        records: list[bytes] = []
        writing = self._filled[-1] if self._limit else None
        released = self._released
        for filled in self._filled:
            end, stop = (self._head, self._sequence) if filled is writing else (filled.end, filled.stop)
            for after, sequence, record in scan(self._map, filled.start, end, range(released, stop)):
                if len(records) == max_records:
                    return records
                records.append(record)
                self._peeked.append((filled, after, sequence))
        return records

    def release(self, count: int) -> None:
        """The first `count` records of the last `read` are safe elsewhere: they will not be read again, by no process.

        Raises ValueError for more than were read.
        """
        if not 0 <= count <= len(self._peeked):
            raise ValueError(f"release of {count}, of {len(self._peeked)} read")
        if not count:
            return
        last, after, sequence = self._peeked[count - 1]
        del self._peeked[:count]
        WORD.pack_into(self._map, RELEASED_AT, sequence + 1)
        self._gone += count
        while self._filled[0] is not last:
            self._give_back()
        last.start = after
        if sequence + 1 == last.stop:
            self._give_back()

    @property
    def pending(self) -> int:
        """Records that are not released."""
        return self.appended - self._gone

    @property
    def appended(self) -> int:
        """Records since `open`, those found there included."""
        appended: int = self._sequence - self._first
        return appended

    @property
    def released(self) -> int:
        """Records released since `open`."""
        return self._gone

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def capacity_bytes(self) -> int:
        return self._file.geometry.file_bytes

    def close(self) -> None:
        """Gives up the file and its lock. What is pending stays in it."""
        self._file.close()

    def remove(self) -> None:
        """Closes an empty spool and deletes its file. Raises ValueError while something is pending."""
        if self.pending:
            raise ValueError(f"spool {self.path} still holds {self.pending} records")
        self._file.unlink()
        self._file.close()

    def __repr__(self) -> str:
        return f"<Spool {self.path} pending={self.pending} nearly_full={self.nearly_full}>"

    @property
    def _released(self) -> int:
        released: int = WORD.unpack_from(self._map, RELEASED_AT)[0]
        return released

    def _recover(self) -> None:
        """Finds what is in the file; slots with nothing left to release are free. Never writes behind what it found."""
        released = self._released
        geometry = self._file.geometry
        starts = sorted((self._first_number(slot), slot) for slot in range(geometry.slots))
        used = [(first, slot) for first, slot in starts if first]
        found_in_all = 0
        for (first, slot), (before, _) in pairwise([*used, (1 << 64, -1)]):
            at = geometry.slot_at(slot)
            # No slot can number more records than it has room for: the CRC covers only the lower half of the number.
            numbers = range(max(first, released), min(before, first + geometry.slot_bytes // RECORD_HEADER_BYTES))
            found = 0
            for end, sequence, _ in scan(self._map, at + SLOT_HEADER_BYTES, at + geometry.slot_bytes, numbers):
                found, last_end, last = found + 1, end, sequence
            if not found:
                self._set_first_number(slot, 0)
                continue
            found_in_all += found
            self._filled.append(_Filled(slot, at + SLOT_HEADER_BYTES, last_end, last + 1))
            self._sequence = last + 1
            self.prefaces += [
                record
                for _, _, record in scan(self._map, at + SLOT_HEADER_BYTES, last_end, range(first, numbers.start), prefaces_only=True)
            ]
        if used:
            # A torn last record may carry the next number: the slot that comes after it starts beyond that.
            self._sequence = max(self._sequence, used[-1][0]) + 1
        self._first = self._sequence - found_in_all
        taken = {filled.slot for filled in self._filled}
        self._free = [slot for slot in range(geometry.slots) if slot not in taken]
        self._weigh()

    def _make_room(self, length: int, preface: Preface | None) -> None:
        """The slot being written has room for a record and holds its preface; or the next one does."""
        before = 0 if preface is None else aligned(RECORD_HEADER_BYTES + len(preface.record))
        needed = (before if preface is not None and preface.slot != self._slot else 0) + RECORD_HEADER_BYTES + length
        if self._head + needed > self._limit:
            self._take_slot(before + RECORD_HEADER_BYTES + length)
        if preface is not None and preface.slot != self._slot:
            self._write_preface(preface)

    def _write_preface(self, preface: Preface) -> None:
        record, start, sequence = preface.record, self._head, self._sequence
        body = start + RECORD_HEADER_BYTES
        self._map[body : body + len(record)] = record
        RECORD.pack_into(self._map, start, len(record) | PREFACE, crc32(record, sequence), sequence)
        self._sequence = sequence + 1
        self._head = aligned(body + len(record))
        preface.slot = self._slot

    def _take_slot(self, needed: int) -> None:
        """Seals the slot being written and begins the lowest free one, which so many bytes must fit into."""
        geometry = self._file.geometry
        if SLOT_HEADER_BYTES + needed > geometry.slot_bytes:
            raise RecordTooLargeError(f"a record of {needed} bytes in all; a slot holds {geometry.slot_bytes}")
        if not self._free:
            raise SpoolFullError(f"spool {self.path} is full: {self.pending} records wait for the store")
        writing = self._filled[-1] if self._limit else None
        if writing is not None:
            writing.end, writing.stop = self._head, self._sequence
        slot = heapq.heappop(self._free)
        at = geometry.slot_at(slot)
        self._set_first_number(slot, self._sequence)
        self._filled.append(_Filled(slot, at + SLOT_HEADER_BYTES, 0, 0))
        self._head = at + SLOT_HEADER_BYTES
        self._limit = at + geometry.slot_bytes
        self._slot = self._sequence
        if writing is not None and self._filled[0] is writing and writing.start == writing.end:
            self._give_back()
        self._weigh()

    def _give_back(self) -> None:
        """Frees the oldest slot."""
        slot = self._filled.popleft().slot
        self._set_first_number(slot, 0)
        heapq.heappush(self._free, slot)
        self._weigh()

    def _weigh(self) -> None:
        self.nearly_full = len(self._free) <= max(1, self._file.geometry.slots // 8)

    def _first_number(self, slot: int) -> int:
        first: int = WORD.unpack_from(self._map, self._file.geometry.slot_at(slot))[0]
        return first

    def _set_first_number(self, slot: int, number: int) -> None:
        WORD.pack_into(self._map, self._file.geometry.slot_at(slot), number)
