"""The spool keeps what was appended, through any end of its process, and gives nothing twice after its release."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from mmap import mmap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.store.spool import Preface, Spool
from proxy.store.spool_file import RecordTooLargeError, SpoolFullError
from proxy.store.spool_format import PAGE_BYTES, RECORD_HEADER_BYTES, SLOT_HEADER_BYTES

SMALL = 65536


@pytest.fixture(name="path")
def spool_path(tmp_path):
    return tmp_path / "greenlane.spool"


def left_after_crash(path: Path, damage=lambda data: None) -> list[bytes]:
    """What a new process finds in a copy of the file as it is now."""
    data = bytearray(path.read_bytes())
    damage(data)
    copy = path.with_name("copy.spool")
    copy.write_bytes(data)
    spool = Spool.open(copy, SMALL)
    try:
        records = spool.read(10_000)
        assert spool.pending == len(records)
        return records
    finally:
        spool.close()


def test_records_are_read_in_order_and_again_until_released(path):
    spool = Spool.open(path, SMALL)
    for record in (b"a", b"", b"ccc"):
        spool.append(record)
    assert spool.read(2) == [b"a", b""]
    assert spool.read(10) == [b"a", b"", b"ccc"]
    spool.release(2)
    assert (spool.read(10), spool.pending, spool.appended, spool.released) == ([b"ccc"], 1, 3, 2)
    spool.release(1)
    assert (spool.read(10), spool.pending) == ([], 0)
    spool.close()


def test_only_what_was_read_can_be_released(path):
    spool = Spool.open(path, SMALL)
    spool.append(b"a")
    with pytest.raises(ValueError, match="release of 1, of 0 read"):
        spool.release(1)
    spool.read(5)
    spool.release(1)
    with pytest.raises(ValueError, match="release of 1, of 0 read"):
        spool.release(1)
    spool.close()


def test_a_new_process_finds_what_was_not_released(path):
    spool = Spool.open(path, SMALL)
    for i in range(10):
        spool.append(b"%d" % i)
    spool.read(4)
    spool.release(4)
    assert left_after_crash(path) == [b"%d" % i for i in range(4, 10)]
    spool.close()
    again = Spool.open(path, SMALL)
    again.append(b"new")
    assert again.read(100) == [*(b"%d" % i for i in range(4, 10)), b"new"]
    again.close()


def test_a_full_spool_refuses_and_keeps_all_it_has(path):
    """Four slots of 16 KiB; a record of 1 KiB takes 1,040 bytes, so 15 fit into a slot."""
    spool = Spool.open(path, SMALL)
    kept = 0
    warned_at = None
    while kept < 60:
        spool.append(b"%04d" % kept + bytes(1020))
        kept += 1
        if spool.nearly_full and warned_at is None:
            warned_at = kept
    with pytest.raises(SpoolFullError, match="60 records wait"):
        spool.append(bytes(1024))
    assert warned_at == 31
    assert [record[:4] for record in left_after_crash(path)] == [b"%04d" % i for i in range(60)]
    assert [record[:4] for record in spool.read(15)] == [b"%04d" % i for i in range(15)]
    spool.release(15)
    spool.append(b"fits again")
    assert (spool.nearly_full, spool.pending) == (True, 46)
    while records := spool.read(7):
        spool.release(len(records))
    assert (spool.nearly_full, spool.pending) == (False, 0)
    spool.close()


def test_a_record_longer_than_a_slot_is_refused_and_harms_nothing(path):
    spool = Spool.open(path, SMALL)
    longest = 16384 - SLOT_HEADER_BYTES - RECORD_HEADER_BYTES
    spool.append(b"before")
    with pytest.raises(RecordTooLargeError, match="a slot holds 16384"):
        spool.append(bytes(longest + 1))
    spool.append(bytes(longest))
    assert spool.read(5) == [b"before", bytes(longest)]
    spool.close()


def test_quiet_times_use_the_same_pages_again_and_again(path):
    """A hundred times the capacity passes through two slots of sixty-four."""
    spool = Spool.open(path, 64 << 14)
    for i in range(20_000):
        spool.append(b"%05d" % i + bytes(1000))
        if i % 10 == 9:
            assert len(spool.read(100)) == 10
            spool.release(10)
    spool.close()
    slot_bytes = 64 * PAGE_BYTES
    assert not any(path.read_bytes()[PAGE_BYTES + 2 * slot_bytes :])


def test_every_slot_has_the_preface_of_what_is_in_it(path):
    """Four slots of 16 KiB: a preface of 5,000 bytes and 11 records of 1,016 fill one."""
    spool = Spool.open(path, SMALL)
    preface = Preface(b"p" * 5000)
    records = [b"%02d" % i + bytes(998) for i in range(25)]
    for record in records:
        spool.append(record, preface)
    found = spool.read(100)
    assert found == [preface.record, *records[:11], preface.record, *records[11:22], preface.record, *records[22:]]
    spool.release(3)
    copy = path.with_name("copy.spool")
    copy.write_bytes(path.read_bytes())
    with closing(Spool.open(copy, SMALL)) as again:
        assert (again.prefaces, again.read(100)) == ([preface.record], found[3:])
    spool.release(9)
    copy.write_bytes(path.read_bytes())
    with closing(Spool.open(copy, SMALL)) as again:
        assert (again.prefaces, again.read(100)) == ([], found[12:])
    spool.append(b"last", preface)
    assert spool.read(100)[-2:] == [records[24], b"last"]
    spool.close()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4000), st.integers(0, 6)), max_size=60))
def test_whatever_was_released_nothing_is_found_without_its_preface(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("spool") / "s"
    spool, model = Spool.open(path, SMALL), []
    prefaces = [Preface(b"%d" % i) for i in range(3)]
    for of, size, released in steps:
        record = b"%d:" % of + bytes(size)
        with suppress(SpoolFullError):
            spool.append(record, prefaces[of])
            model.append(record)
        taken = spool.read(released)
        spool.release(len(taken))
        del model[: sum(b":" in each for each in taken)]
    copy = path.with_name("copy.spool")
    copy.write_bytes(path.read_bytes())
    spool.close()
    with closing(Spool.open(copy, SMALL)) as again:
        found = again.read(1000)
        assert [each for each in found if b":" in each] == model
        assert {each[:1] for each in model} <= {each for each in [*again.prefaces, *found] if len(each) == 1}


def test_what_finds_no_room_leaves_its_preface_out_too(path):
    spool = Spool.open(path, SMALL)
    big = Preface(bytes(16000))
    with pytest.raises(RecordTooLargeError):
        spool.append(bytes(600), big)
    for _ in range(4):
        spool.append(bytes(10_000))
    small = Preface(b"p")
    with pytest.raises(SpoolFullError):
        spool.append(bytes(10_000), small)
    assert [len(record) for record in spool.read(9)] == [10_000] * 4
    spool.append(b"fits", small)
    assert spool.read(9)[4:] == [b"p", b"fits"]
    spool.close()


def test_a_tail_torn_at_any_byte_costs_that_record_only(path):
    spool = Spool.open(path, SMALL)
    payloads = [bytes([65 + i]) * 40 for i in range(4)]
    for payload in payloads:
        spool.append(payload)
    tail = PAGE_BYTES + SLOT_HEADER_BYTES + 3 * 56

    for at in range(tail, tail + 56):

        def zeroed(data, at=at):
            data[at : tail + 56] = bytes(tail + 56 - at)

        def flipped(data, at=at):
            data[at] ^= 0xFF

        def cut(data, at=at):
            del data[at:]

        for damage in (zeroed, flipped, cut):
            assert left_after_crash(path, damage) == payloads[:3], (at, damage)
    spool.close()


def test_after_a_torn_tail_new_records_follow_the_whole_ones(path):
    spool = Spool.open(path, SMALL)
    for payload in (b"a" * 40, b"b" * 40, b"c" * 40):
        spool.append(payload)
    spool.close()
    data = bytearray(path.read_bytes())
    data[PAGE_BYTES + SLOT_HEADER_BYTES + 2 * 56 + 30] ^= 1
    path.write_bytes(data)
    for expected in ([b"a" * 40, b"b" * 40, b"new"], [b"a" * 40, b"b" * 40, b"new", b"new"]):
        spool = Spool.open(path, SMALL)
        spool.append(b"new")
        assert spool.read(10) == expected
        spool.close()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 6000)),
        st.tuples(st.just("take"), st.integers(1, 8), st.integers(0, 8)),
        st.tuples(st.just("crash")),
        st.tuples(st.just("close")),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(OPERATIONS)
def test_any_sequence_of_appends_releases_and_crashes_agrees_with_a_list(tmp_path_factory, operations):
    path = tmp_path_factory.mktemp("spool") / "s"
    spool, model, number = Spool.open(path, SMALL), [], 0
    for operation in operations:
        match operation:
            case ("append", size):
                number += 1
                record = b"%d:" % number + bytes(size)
                try:
                    spool.append(record)
                except SpoolFullError:
                    assert spool.nearly_full
                else:
                    model.append(record)
            case ("take", read, released):
                assert spool.read(read) == model[:read]
                count = min(released, read, len(model))
                spool.release(count)
                del model[:count]
            case ("crash",):
                assert left_after_crash(path) == model
            case ("close",):
                spool.close()
                spool = Spool.open(path, SMALL)
        assert spool.pending == len(model)
    assert spool.read(1000) == model
    spool.close()


APPENDS_UNTIL_KILLED = """
import sys
from mmap import mmap
from proxy.store.spool import Spool
spool = Spool.open(sys.argv[1], 16 << 20)
with open(sys.argv[2], "r+b") as file:
    done = mmap(file.fileno(), 8)
number = 0
while True:
    if number < 14000:
        spool.append(b"%08d" % number + b"x" * 600)
        number += 1
        done[0:8] = b"%08d" % number
"""


def test_kill_9_amid_appends_loses_nothing(path, tmp_path):
    """The child counts, in a shared mapping, what it has appended; the spool holds that many, or the one under way as well."""
    counter = tmp_path / "count"
    counter.write_bytes(b"00000000")
    with counter.open("r+b") as file:
        done = mmap(file.fileno(), 8)
    child = subprocess.Popen([sys.executable, "-c", APPENDS_UNTIL_KILLED, str(path), str(counter)], cwd=Path(__file__).parents[2])
    deadline_s = time.monotonic() + 30
    while int(done[0:8]) < 2000 and time.monotonic() < deadline_s:
        pass
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    appended = int(done[0:8])
    spool = Spool.open(path, 16 << 20)
    records = spool.read(100_000)
    assert appended >= 2000
    assert len(records) in {appended, appended + 1}
    assert records == [b"%08d" % i + b"x" * 600 for i in range(len(records))]
    spool.close()
    done.close()


APPENDS_WITHOUT_SYSTEM_CALLS = """
import ctypes, os, sys
from proxy.store.spool import Spool
spool = Spool.open(sys.argv[1], 16 << 20)
spool.append(b"first")
record = b"x" * 600
PR_SET_SECCOMP, STRICT = 22, 1
assert ctypes.CDLL(None).prctl(PR_SET_SECCOMP, STRICT, 0, 0, 0) == 0
for _ in range(1500):
    spool.append(record)
os.write(1, b"done")
os._exit(0)
"""

if sys.platform == "linux":

    def test_append_makes_no_system_call(path):
        """The kernel kills the child at any call but read and write: it gets to its write, and dies at its exit, with all of it kept."""
        child = subprocess.run(
            [sys.executable, "-c", APPENDS_WITHOUT_SYSTEM_CALLS, str(path)], cwd=Path(__file__).parents[2], capture_output=True, check=False
        )
        assert (child.stdout, child.returncode) == (b"done", -signal.SIGKILL)
        spool = Spool.open(path, 16 << 20)
        assert spool.read(2000) == [b"first", *[b"x" * 600] * 1500]
        spool.close()
