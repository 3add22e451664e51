"""Moves entries from the local spool into the store, in batches; nothing is released before the store has it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from proxy.config import Ledger as Settings
from proxy.store.claims import adopt
from proxy.store.ledger import StoreUnavailableError
from proxy.store.spool import Spool
from proxy.workers.supervisor import DEFAULT_BACKOFF, Backoff

ADOPT_INTERVAL_S = 30.0
"""How often the files of processes that died are looked for."""
_FLUSH_PAUSE_S = 0.05
_DAMAGED = "the file is damaged: stop the proxy, move it away, start it again; a new one is made"
_ADVICE = {
    "SQLITE_FULL": "no room on the disk",
    "SQLITE_CANTOPEN": "the file cannot be opened or made",
    "SQLITE_READONLY": "the file may not be written",
    "SQLITE_READONLY_DBMOVED": "the file was moved or deleted: put it back, or start the proxy again; a new one is made then",
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_CORRUPT": _DAMAGED,
}
"""What is worth saying beside the code of what went wrong."""

_log = logging.getLogger("greenlane.workers.ledger")


class Store(Protocol):
    """Where the records go. `insert_records` is idempotent, all or nothing, and raises StoreUnavailableError when it may work later."""

    async def insert_records(self, records: Sequence[bytes]) -> None: ...


class LedgerWorker:
    """Drains one process's spool, and those that dead processes left beside it. `run` is the one task that touches them.

    last_error_kind: why the last try failed, None when it did not.
    """

    def __init__(self, spool: Spool, store: Store, settings: Settings, backoff: Backoff = DEFAULT_BACKOFF) -> None:
        self._spool = spool
        self._store = store
        self._settings = settings
        self._backoff = backoff
        self._adopted: list[Spool] = []
        self._wake = asyncio.Event()
        self._rounds: list[asyncio.Future[None]] = []
        self._running = False
        self.last_error_kind: str | None = None

    @property
    def pending(self) -> int:
        """Entries that are not in the store yet, adopted ones included."""
        return self._spool.pending + sum(spool.pending for spool in self._adopted)

    async def run(self) -> None:
        """Drains at every interval, until cancelled. What an earlier process left is drained first."""
        if self._running:
            raise RuntimeError("the ledger's worker runs already")
        self._running = True
        try:
            await self._run()
        except Exception as error:
            self.last_error_kind = type(error).__name__
            raise
        finally:
            self._running = False
            self._end_round()
            while self._adopted:
                self._adopted.pop().close()

    async def flush(self, deadline_s: float) -> bool:
        """True when everything appended before the call is in the store; False when that took too long (it is then still in the spool)."""
        target = self._spool.appended
        own: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(deadline_s):
                while self._spool.released < target:
                    if not self._running:
                        # Before the supervised task begins, or after it ended, one of our own does its work.
                        if own is not None:
                            await asyncio.gather(own, return_exceptions=True)
                            await asyncio.sleep(_FLUSH_PAUSE_S)
                        own = asyncio.get_running_loop().create_task(self.run(), name="ledger-flush")
                    elif self.last_error_kind is not None:
                        await asyncio.sleep(_FLUSH_PAUSE_S)
                    await self._next_round()
        except TimeoutError:
            return False
        finally:
            if own is not None:
                own.cancel()
                await asyncio.gather(own, return_exceptions=True)
        return True

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        tries = failures = 0
        asked = full = False
        adopt_at_s = clock()
        while True:
            if clock() >= adopt_at_s:
                await self._adopt()
                adopt_at_s = clock() + ADOPT_INTERVAL_S
            try:
                await self._drain_all()
            except StoreUnavailableError as error:
                tries += 1
                # a try that a reader asked for says nothing of how long the store has been away
                failures += not (asked and failures)
                if error.kind != self.last_error_kind:
                    _log.warning("ledger: %s; %d entries wait in the spool", _told(error.kind), self.pending)
                self.last_error_kind = error.kind
                pause_s = self._backoff.pause_s(failures)
            else:
                if tries:
                    _log.info("ledger: the store is back after %d tries", tries)
                tries, failures, self.last_error_kind, pause_s = 0, 0, None, self._settings.interval_s
            full = self._tell_full(full)
            self._end_round()
            asked = await self._pause(pause_s)

    def _tell_full(self, before: bool) -> bool:
        full = self._spool.nearly_full
        if full and not before:
            _log.error("ledger: the spool is full, %d entries wait; new requests are refused until the store takes them", self.pending)
        elif before and not full:
            _log.info("ledger: the spool has room again; requests are served")
        return full

    async def _drain_all(self) -> None:
        await self._drain(self._spool)
        while self._adopted:
            await self._drain(self._adopted[-1])
            self._adopted.pop().remove()

    async def _drain(self, spool: Spool) -> None:
        # Up to what is there now: what comes meanwhile waits for the next round, so that batches stay large and a round ends.
        target = spool.appended
        if spool.prefaces:
            # of an earlier process, whose store may have been another
            await self._store.insert_records(spool.prefaces)
            spool.prefaces.clear()
        while spool.released < target:
            records = spool.read(self._settings.batch)
            if not records:
                # The mapping was damaged under us; what is behind the damage is found at the next start.
                return
            await self._store.insert_records(records)
            spool.release(len(records))

    async def _adopt(self) -> None:
        """Takes over the files that lie abandoned, in a thread: they may have to be read through."""
        search = _Search()
        try:
            await asyncio.to_thread(search.run, self._settings.spool_file)
        except asyncio.CancelledError:
            search.give_up()
            raise
        found = search.found
        if found:
            _log.info("ledger: took over %d entries from %d processes that ended", sum(spool.pending for spool in found), len(found))
        self._adopted += found

    async def _pause(self, pause_s: float) -> bool:
        """True where a flush cut it short."""
        try:
            async with asyncio.timeout(pause_s):
                return await self._wake.wait()
        except TimeoutError:
            return False
        finally:
            self._wake.clear()

    async def _next_round(self) -> None:
        """Has the task begin a round now, and returns when one has ended."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rounds.append(ended)
        self._wake.set()
        await ended

    def _end_round(self) -> None:
        rounds, self._rounds = self._rounds, []
        for ended in rounds:
            if not ended.done():
                ended.set_result(None)


def _told(kind: str) -> str:
    advice = _ADVICE.get(kind) or next((_ADVICE[known] for known in _ADVICE if kind.startswith(known + "_")), None)
    return kind if advice is None else f"{kind} ({advice})"


class _Search:
    """A search for abandoned spools, run in a thread. If it is given up, what it finds is let go, however late that is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given_up = False
        self.found: list[Spool] = []

    def run(self, spool_file: str) -> None:
        found = list(adopt(spool_file))
        with self._lock:
            self.found = found
            if self._given_up:
                self._close()

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            self._close()

    def _close(self) -> None:
        while self.found:
            self.found.pop().close()
