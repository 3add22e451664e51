"""Entries move from the spool to the store: late when it is down, never lost, never twice."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.config import Ledger as Settings
from proxy.store.claims import adopt, claim
from proxy.store.ledger import Ledger, StoreUnavailableError
from proxy.store.spool import Preface
from proxy.store.usage import UsageQuery
from proxy.workers.ledger import LedgerWorker
from proxy.workers.supervisor import Backoff, Supervisor
from tests.store.entries import written

SMALL = 65536
QUICK = Backoff(first_s=0.001, most_s=0.001)


@pytest.fixture(name="settings")
def ledger_settings(tmp_path, url):
    return Settings(url=url, spool_file=str(tmp_path / "greenlane.spool"), spool_bytes=SMALL, batch=3, interval_s=60.0)


class Transcript:
    """A store that writes down what it is given, and fails as often as it is told."""

    def __init__(self, failures=0):
        self.lines = []
        self.failures = failures

    async def insert_records(self, records):
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            self.lines.append("down")
            raise StoreUnavailableError("SQLITE_BUSY")
        self.lines.append(list(records))


def test_batches_go_in_order_and_are_released_after_the_store_has_them(settings):
    store = Transcript()

    async def main():
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, store, settings)
        for record in (b"a", b"b", b"c", b"d"):
            spool.append(record)
        flushed = await worker.flush(60.0)
        outcome = (flushed, worker.pending, worker.last_error_kind)
        spool.close()
        return outcome

    assert asyncio.run(main()) == (True, 0, None)
    assert store.lines == [[b"a", b"b", b"c"], [b"d"]]


def test_a_store_that_is_down_keeps_the_entries_waiting_and_gets_them_when_it_is_back(settings, caplog):
    store = Transcript(failures=3)

    async def main():
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, store, settings, QUICK)
        supervisor = Supervisor()
        spool.append(b"a")
        supervisor.start("ledger", worker.run)
        flushed = await worker.flush(60.0)
        await supervisor.stop()
        spool.close()
        return flushed, worker.last_error_kind, [status.failures for status in supervisor.status()]

    with caplog.at_level(logging.INFO):
        assert asyncio.run(main()) == (True, None, [0])
    assert store.lines == ["down", "down", "down", [b"a"]]
    assert caplog.messages == ["ledger: SQLITE_BUSY; 1 entries wait in the spool", "ledger: the store is back after 3 tries"]


def test_a_flush_that_cannot_end_in_time_says_so_and_loses_nothing(settings):
    store = Transcript(failures=10**9)

    async def main():
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, store, settings)
        spool.append(b"a")
        flushed = await worker.flush(1.0)
        spool.close()
        again = claim(settings.spool_file, SMALL)
        left = again.read(5)
        again.close()
        return flushed, worker.last_error_kind, left

    assert asyncio.run(main()) == (False, "SQLITE_BUSY", [b"a"])


def test_readers_that_ask_while_the_store_is_down_make_no_pause_longer(settings):
    """Each asks the worker to try at once, twenty times a second; the next try of its own comes no later for that."""
    store = Transcript(failures=10**9)
    counts = []

    class Noted(Backoff):
        def pause_s(self, failures):
            counts.append(failures)
            return 60.0

    async def main():
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, store, settings, Noted())
        supervisor = Supervisor()
        spool.append(b"a")
        supervisor.start("ledger", worker.run)
        while len(counts) < 4:
            await worker.flush(0.1)
        await supervisor.stop()
        spool.close()

    asyncio.run(main())
    assert set(counts) == {1}


def test_a_store_that_fails_in_a_way_nobody_foresaw_ends_no_flush_early_and_loses_nothing(settings):
    class Broken:
        calls = 0

        async def insert_records(self, records):
            self.calls += 1
            raise LookupError("no such thing")

    async def main():
        spool = claim(settings.spool_file, SMALL)
        store = Broken()
        worker = LedgerWorker(spool, store, settings)
        spool.append(b"a")
        flushed = False
        while not store.calls and not flushed:
            flushed = await worker.flush(1.0)
        spool.close()
        return flushed, worker.last_error_kind, worker.pending, store.calls < 40

    assert asyncio.run(main()) == (False, "LookupError", 1, True)


def test_the_interval_drains_without_being_asked(settings):
    class Told(Transcript):
        async def insert_records(self, records):
            await super().insert_records(records)
            arrived.set()

    store = Told()
    arrived = asyncio.Event()

    async def main():
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, store, Settings(spool_file=settings.spool_file, interval_s=0.001))
        supervisor = Supervisor()
        supervisor.start("ledger", worker.run)
        await asyncio.sleep(0)
        spool.append(b"later")
        await arrived.wait()
        await supervisor.stop()
        spool.close()

    asyncio.run(main())
    assert store.lines == [[b"later"]]


def test_flushes_at_once_all_end_and_nothing_goes_twice(settings):
    store = Transcript()

    async def main():
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, store, settings)
        supervisor = Supervisor()
        for i in range(10):
            spool.append(b"%d" % i)
        flushes = [asyncio.ensure_future(worker.flush(60.0)) for _ in range(3)]
        await asyncio.sleep(0)
        spool.append(b"10")
        flushes.append(asyncio.ensure_future(worker.flush(60.0)))
        flushed = await asyncio.gather(*flushes)
        supervisor.start("ledger", worker.run)
        spool.append(b"11")
        flushed.append(await worker.flush(60.0))
        await supervisor.stop()
        spool.append(b"12")
        flushed.append(await worker.flush(60.0))
        spool.close()
        return flushed

    assert asyncio.run(main()) == [True] * 6
    assert [record for batch in store.lines for record in batch] == [b"%d" % i for i in range(13)]


def test_one_cancelled_while_it_writes_writes_it_again_later(settings):
    class Stuck(Transcript):
        async def insert_records(self, records):
            await super().insert_records(records)
            if len(self.lines) == 1:
                reached.set()
                await asyncio.Event().wait()

    store = Stuck()
    reached = asyncio.Event()

    async def main():
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, store, settings)
        supervisor = Supervisor()
        spool.append(b"a")
        supervisor.start("ledger", worker.run)
        await reached.wait()
        await supervisor.stop()
        pending = worker.pending
        flushed = await worker.flush(60.0)
        spool.close()
        return pending, flushed

    assert asyncio.run(main()) == (1, True)
    assert store.lines == [[b"a"], [b"a"]]


def test_the_entries_of_dead_processes_are_taken_over_and_their_files_removed(settings, tmp_path):
    store = Transcript()

    async def main():
        spools = [claim(settings.spool_file, SMALL) for _ in range(3)]
        spools[1].append(b"of the dead")
        spools[1].close()
        spools[2].append(b"of the living")
        worker = LedgerWorker(spools[0], store, settings)
        spools[0].append(b"own")
        await worker.flush(60.0)
        spools[0].close()
        spools[2].close()

    asyncio.run(main())
    assert store.lines == [[b"own"], [b"of the dead"]]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["greenlane.spool", "greenlane.spool.2"]


def test_what_was_taken_over_is_let_go_with_the_worker(settings):
    """So that another process can have it, when this one ends while the store is down."""
    store = Transcript(failures=10**9)

    async def main():
        spools = [claim(settings.spool_file, SMALL) for _ in range(2)]
        spools[0].append(b"own")
        spools[1].append(b"of the dead")
        spools[1].close()
        worker = LedgerWorker(spools[0], store, settings)
        return spools[0], await worker.flush(0.05)

    own, flushed = asyncio.run(main())  # which ends when the search for files has
    again = claim(settings.spool_file, SMALL)
    left = again.read(5)
    again.close()
    own.close()
    assert (flushed, left) == (False, [b"of the dead"])


def test_two_at_once_on_one_spool_are_refused(settings):
    async def main():
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, Transcript(), settings)
        supervisor = Supervisor()
        supervisor.start("ledger", worker.run)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="runs already"):
            await worker.run()
        await supervisor.stop()
        spool.close()

    asyncio.run(main())


def test_a_real_store_that_is_locked_for_a_while_gets_every_entry_once(settings, entry, tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.store.engine.BUSY_TIMEOUT_S", 0.01)

    async def main():
        ledger = await Ledger.open(settings.url)
        spool = claim(settings.spool_file, SMALL)
        worker = LedgerWorker(spool, ledger, settings, QUICK)
        supervisor = Supervisor()
        supervisor.start("ledger", worker.run)
        holder = sqlite3.connect(tmp_path / "greenlane.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        preface = Preface(written(entry())[0])
        for i in range(20):
            spool.append(written(entry(id=f"gl-{i}"))[1], preface)
        in_time = False
        while worker.last_error_kind is None:
            in_time = await worker.flush(0.1)
        waiting = (worker.pending, worker.last_error_kind)
        holder.execute("COMMIT")
        holder.close()
        flushed = await worker.flush(60.0)
        await supervisor.stop()
        [found] = await ledger.usage(UsageQuery())
        await ledger.close()
        spool.close()
        return in_time, waiting, flushed, found["requests"], worker.pending

    assert asyncio.run(main()) == (False, (21, "SQLITE_BUSY"), True, 20, 0)


APPENDS_AND_MOVES = """
import asyncio, sys
import msgspec
from proxy.config import Ledger as Settings
from proxy.store.claims import claim
from proxy.store.codec import checked, encode_into
from proxy.store.ledger import Ledger
from proxy.store.spool import Preface
from proxy.workers.ledger import LedgerWorker
from proxy.workers.supervisor import Supervisor

async def main(url, spool_file, context, record):
    settings = Settings(url=url, spool_file=spool_file, spool_bytes=16 << 20, batch=50, interval_s=0.001)
    row, preface, buffer = checked(record), Preface(context), bytearray()
    spool = claim(spool_file, settings.spool_bytes)
    worker = LedgerWorker(spool, await Ledger.open(url), settings)
    supervisor = Supervisor()
    supervisor.start("ledger", worker.run)
    number = 0
    while True:
        if not spool.nearly_full:
            for _ in range(20):
                encode_into(msgspec.structs.replace(row, id=f"gl-{number:08d}"), buffer)
                spool.append(buffer, preface)
                number += 1
            print(number, spool.released, flush=True)
        await asyncio.sleep(0)

asyncio.run(main(sys.argv[1], sys.argv[2], *map(bytes.fromhex, sys.argv[3:])))
"""


def test_kill_9_while_entries_move_leaves_every_entry_in_the_store_exactly_once(settings, entry, tmp_path):
    command = [sys.executable, "-c", APPENDS_AND_MOVES, settings.url, settings.spool_file, *(record.hex() for record in written(entry()))]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as child:
        for line in child.stdout:
            if int(line.split()[1]) >= 500:
                break
        child.send_signal(signal.SIGKILL)
        told = max(int(rest.split()[0]) for rest in (line, *child.stdout) if rest.endswith(b"\n"))

    async def replay():
        ledger = await Ledger.open(settings.url)
        [before] = await ledger.usage(UsageQuery())
        spool = claim(settings.spool_file, SMALL)
        flushed = await LedgerWorker(spool, ledger, settings).flush(60.0)
        spool.close()
        await ledger.close()
        return before["requests"], flushed

    moved_before, flushed = asyncio.run(replay())
    assert flushed
    with sqlite3.connect(tmp_path / "greenlane.db") as connection:
        ids = [found for (found,) in connection.execute("SELECT id FROM exchanges WHERE model = 'qwen3-32b' ORDER BY id")]
    connection.close()
    assert len(ids) >= told
    assert ids == [f"gl-{i:08d}" for i in range(len(ids))]
    assert 499 <= moved_before <= len(ids), "500 records, the context among them, had been released"


def test_what_is_left_of_a_crash_has_its_context_in_a_new_store_too(settings, entry, tmp_path):
    """The context had gone to the old store and was released; then the process died, and its successor has another store."""

    async def main():
        spool = claim(settings.spool_file, SMALL)
        preface = Preface(written(entry())[0])
        for i in range(3):
            spool.append(written(entry(id=f"gl-{i}"))[1], preface)
        assert len(spool.read(2)) == 2
        spool.release(2)
        spool.close()
        ledger = await Ledger.open(settings.url)
        again = claim(settings.spool_file, SMALL)
        flushed = await LedgerWorker(again, ledger, settings).flush(60.0)
        found = await ledger.recent(5)
        await ledger.close()
        again.close()
        return flushed, found

    assert asyncio.run(main()) == (True, [entry(id="gl-2"), entry(id="gl-1")])


def test_one_stopped_while_it_takes_over_lets_go_of_what_it_finds(settings, monkeypatch):
    """The search runs in a thread and ends after its worker; what it then locked must not stay locked."""
    ended = threading.Event()

    def slow_search(path):
        entered.set()
        assert ended.wait(60)
        return adopt(path)

    entered = threading.Event()
    monkeypatch.setattr("proxy.workers.ledger.adopt", slow_search)

    async def main():
        spools = [claim(settings.spool_file, SMALL) for _ in range(2)]
        spools[1].append(b"of the dead")
        spools[1].close()
        supervisor = Supervisor()
        supervisor.start("ledger", LedgerWorker(spools[0], Transcript(), settings).run)
        assert await asyncio.to_thread(entered.wait, 60)
        await supervisor.stop()
        ended.set()
        spools[0].close()

    asyncio.run(main())
    left = [claim(settings.spool_file, SMALL) for _ in range(2)]
    assert [spool.read(5) for spool in left] == [[], [b"of the dead"]]
    for spool in left:
        spool.close()
