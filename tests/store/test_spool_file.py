"""The file is ours alone, whole, private, and never somebody else's overwritten."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.store.spool import Spool
from proxy.store.spool_file import SpoolLockedError, SpoolUnusableError, open_locked

SMALL = 65536
HOLD = """
import sys
from proxy.store.spool import Spool
spool = Spool.open(sys.argv[1], 65536)
spool.append(b"held")
print("ready", flush=True)
input()
"""


@pytest.fixture(name="path")
def spool_path(tmp_path):
    return tmp_path / "greenlane.spool"


def test_a_file_in_use_by_this_process_is_refused(path):
    spool = Spool.open(path, SMALL)
    with pytest.raises(SpoolLockedError, match="in use by another process"):
        Spool.open(path, SMALL)
    spool.close()
    Spool.open(path, SMALL).close()


def test_a_file_in_use_by_a_live_process_is_refused_and_free_when_it_dies(path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"ready\n"
        with pytest.raises(SpoolLockedError):
            Spool.open(path, SMALL)
        child.kill()
    spool = Spool.open(path, SMALL)
    assert spool.read(5) == [b"held"]
    spool.close()


@pytest.mark.parametrize("content", [b"SQLite format 3\x00" + bytes(5000), b"GLSPOOL\x02" + bytes(5000), b"x"])
def test_a_file_that_is_not_a_spool_is_left_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(SpoolUnusableError, match="not a spool file of this version"):
        Spool.open(path, SMALL)
    assert path.read_bytes() == content


@pytest.mark.parametrize("beginnings", [b"", bytes(64), bytes(64) + b"\x01"])
def test_a_file_whose_making_was_cut_short_is_made_anew(path, beginnings):
    path.write_bytes(beginnings)
    spool = Spool.open(path, SMALL)
    spool.append(b"a")
    assert spool.read(1) == [b"a"]
    spool.close()


def test_only_its_owner_may_read_it(path):
    Spool.open(path, SMALL).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_its_whole_size_is_reserved_on_disk(path):
    Spool.open(path, 1 << 20).close()
    assert path.stat().st_size == 4096 + (1 << 20)
    assert path.stat().st_blocks * 512 >= 4096 + (1 << 20)


def test_a_missing_directory_is_told(tmp_path):
    with pytest.raises(SpoolUnusableError, match="its directory does not exist"):
        Spool.open(tmp_path / "none" / "s", SMALL)


def test_a_path_that_is_a_directory_is_told(tmp_path):
    with pytest.raises(SpoolUnusableError, match="Is a directory"):
        Spool.open(tmp_path, SMALL)


def test_a_path_that_is_a_pipe_is_told(path):
    os.mkfifo(path)
    with pytest.raises(SpoolUnusableError, match="not a regular file"):
        Spool.open(path, SMALL)


def test_a_disk_that_fills_while_it_is_made_gets_its_room_back(path, monkeypatch):
    reserve = os.posix_fallocate

    def full(descriptor, offset, length):
        reserve(descriptor, offset, length // 2)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(SpoolUnusableError, match="No space left"):
        Spool.open(path, 1 << 20)
    assert path.stat().st_blocks == 0
    monkeypatch.undo()
    Spool.open(path, 1 << 20).close()


def test_an_existing_file_only_is_opened_without_create(path):
    with pytest.raises(FileNotFoundError):
        open_locked(path, SMALL, create=False)
    assert not path.exists()


def test_another_capacity_takes_effect_once_the_file_is_empty(path):
    spool = Spool.open(path, SMALL)
    spool.append(b"waits")
    spool.close()

    spool = Spool.open(path, 2 * SMALL)
    assert (spool.capacity_bytes, spool.read(5)) == (4096 + SMALL, [b"waits"])
    spool.release(1)
    spool.close()

    spool = Spool.open(path, 2 * SMALL)
    # a record of the old file must not be found in the new one, however its numbers come to lie
    assert b"waits" not in path.read_bytes()
    assert (spool.capacity_bytes, spool.read(5), path.stat().st_size) == (4096 + 2 * SMALL, [], 4096 + 2 * SMALL)
    spool.append(b"a")
    assert spool.read(5) == [b"a"]
    spool.close()
