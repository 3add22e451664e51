"""The file under a spool: created whole, locked by one process, mapped into memory. Everything here is done at start, not per record.

SpoolError
  SpoolLockedError     another live process has it
  SpoolUnusableError   it cannot be made
    SpoolForeignError  not a spool of ours, or one whose header is damaged
  SpoolFullError       no room until the store catches up
  RecordTooLargeError  longer than a slot
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from mmap import mmap
from pathlib import Path

from proxy.store.spool_format import PAGE_BYTES, RELEASED_AT, WORD, Geometry, file_header, geometry_of


class SpoolError(Exception):
    """The spool cannot do what was asked."""


class SpoolLockedError(SpoolError):
    """Another live process uses this file."""


class SpoolUnusableError(SpoolError):
    """The file is not a spool, or cannot be created at its full size."""


class SpoolForeignError(SpoolUnusableError):
    """The file is there and not a spool: another's, or its header is damaged."""


class SpoolFullError(SpoolError):
    """Every slot holds records that are not in the store yet."""


class RecordTooLargeError(SpoolError):
    """The record is longer than a slot."""


class SpoolFile:
    """An open, locked, mapped spool file. The lock goes with the descriptor, so a dead process never holds it."""

    def __init__(self, path: Path, descriptor: int, geometry: Geometry) -> None:
        self.path = path
        self.geometry = geometry
        self.map = mmap(descriptor, geometry.file_bytes)
        self._descriptor = descriptor

    def unlink(self) -> None:
        """Removes the name; whoever waits to open it finds that out and makes a new file."""
        self.path.unlink(missing_ok=True)

    def rebuild(self, geometry: Geometry) -> None:
        """Makes it an empty spool of another size. What was in it is gone."""
        self.map.close()
        os.ftruncate(self._descriptor, 0)
        _lay_out(self._descriptor, self.path, geometry)
        self.geometry = geometry
        self.map = mmap(self._descriptor, geometry.file_bytes)

    def close(self) -> None:
        self.map.close()
        os.close(self._descriptor)


def open_locked(path: Path, capacity_bytes: int, *, create: bool = True) -> SpoolFile:
    """The file, locked for this process; made with that capacity where there is none (or only the beginnings of one).

    Raises SpoolLockedError, SpoolUnusableError; FileNotFoundError without `create`. An existing file keeps its own geometry.
    """
    while True:
        descriptor = _open(path, create=create)
        try:
            _require_file(descriptor, path)
            _lock(descriptor, path)
            if not _is_still(path, descriptor):
                os.close(descriptor)
                continue
            geometry = _existing(descriptor, path)
            if geometry is None:
                geometry = Geometry.of_capacity(capacity_bytes)
                _lay_out(descriptor, path, geometry)
            else:
                _reserve(descriptor, path, geometry)
            return SpoolFile(path, descriptor, geometry)
        except BaseException:
            os.close(descriptor)
            raise


def _open(path: Path, *, create: bool) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError as error:
        if not create:
            raise
        raise SpoolUnusableError(f"spool {path}: its directory does not exist") from error
    except OSError as error:
        raise SpoolUnusableError(f"spool {path}: {error.strerror}") from error


def _require_file(descriptor: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise SpoolForeignError(f"spool {path}: not a regular file")


def _lock(descriptor: int, path: Path) -> None:
    # flock, not lockf: it belongs to this open file, so a second open in this very process is refused as well.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SpoolLockedError(f"spool {path} is in use by another process; give each process a file of its own") from error


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the path still names this file: its last owner may have removed it between our open and our lock."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _existing(descriptor: int, path: Path) -> Geometry | None:
    """The geometry of a whole spool; None for an empty file or one whose making was cut short (its header is written last)."""
    header = os.pread(descriptor, PAGE_BYTES, 0)
    if not any(header[:RELEASED_AT]):
        return None
    geometry = geometry_of(header)
    if geometry is None:
        raise SpoolForeignError(f"spool {path}: not a spool file of this version, or a damaged one; move it away or name another")
    return geometry


def _reserve(descriptor: int, path: Path, geometry: Geometry) -> None:
    """Gives every byte of the file a block on disk: a full disk met while writing to a mapping is a SIGBUS, not an error."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, geometry.file_bytes)
        else:
            for at in range(os.fstat(descriptor).st_size, geometry.file_bytes, PAGE_BYTES):
                os.pwrite(descriptor, bytes(PAGE_BYTES), at)
    except OSError as error:
        raise SpoolUnusableError(f"spool {path}: cannot reserve {geometry.file_bytes} bytes: {error.strerror}") from error


def _lay_out(descriptor: int, path: Path, geometry: Geometry) -> None:
    try:
        _reserve(descriptor, path, geometry)
    except SpoolUnusableError:
        # what was reserved until the disk was full is given back to whoever else needs it
        os.ftruncate(descriptor, 0)
        raise
    # 48 random bits, then at least 2**63 numbers before the end: never guessed by a payload, never used up.
    os.pwrite(descriptor, WORD.pack(secrets.randbits(48) + 1), RELEASED_AT)
    os.pwrite(descriptor, file_header(geometry), 0)
