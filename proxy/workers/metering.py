"""Deployments whose energy is measured: their meters are read, what they tell is worked on beside the loop, entries are restated.

One task a deployment reads its meter, in the event loop; dividing costs some microseconds for each request and window and is done in a
thread (`measurement.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter, time
from typing import Protocol

import httpx
import msgspec

from carbon.engine import EngineSignals
from carbon.meters._base import Meter
from carbon.meters._engine import read_engine
from carbon.reach import OutOfReachError, Reach, client
from carbon.replica import Books
from carbon.windows import Reading
from proxy.metered import Feed
from proxy.records import Restatement
from proxy.snapshot import Served
from proxy.store.metered_days import Grown
from proxy.workers.measurement import HELD, NO_BOOKS, Metered, MeterStatus
from proxy.workers.supervisor import Backoff

log = logging.getLogger("greenlane.metering")

BACKOFF = Backoff(first_s=1.0, most_s=60.0)
ENGINE_TIMEOUT_S = 2.0
FIT_S = 3600.0
"""Between two fits of the weights; the first as long after the start."""
BATCH = 500


class Peer(Protocol):
    """A deployment at run time, as far as its meter goes."""

    meter: Feed | None

    @property
    def served(self) -> Served: ...


Restate = Callable[[Sequence[Restatement]], Awaitable[None]]


class Metering:
    """All metered deployments of one process."""

    def __init__(self, restate: Restate) -> None:
        self._restate = restate
        self._http: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()
        self._metered: dict[str, Metered] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._every_s = 1.0
        self._changed = asyncio.Event()
        self._waiting: deque[Restatement] = deque(maxlen=HELD)
        self._told: dict[int, Books] = {}
        """What of each one's books is in the store, by the `id` of what keeps them."""

    def configure(self, peers: Mapping[str, Peer], every_s: float) -> None:
        """The deployments of a configuration that comes into force. One whose meter and profile stay goes on with its ledger."""
        before, self._metered = self._metered, {}
        self._every_s = every_s
        for name, peer in peers.items():
            if peer.served.settings.meter is None:
                peer.meter = None
                continue
            held = before.get(name)
            if held is None or not held.matches(peer.served):
                held = Metered(peer.served)
            held.served = peer.served
            self._metered[name] = held
            peer.meter = held.feed
        self._changed.set()

    def status(self) -> tuple[MeterStatus, ...]:
        return tuple(each.status() for each in self._metered.values())

    def books(self) -> list[tuple[Served, Books, Books]]:
        """Of each deployment: of its accelerators, and of the machine around them."""
        return [(each.served, *each.books()) for each in list(self._metered.values())]

    def grown(self, day: int) -> list[Grown]:
        """What the books grew by since this was last asked; `day` since 1970-01-01."""
        found = []
        told, self._told = self._told, {}
        for metered in list(self._metered.values()):
            books, _ = metered.books()
            self._told[id(metered)] = books
            before = told.get(id(metered), NO_BOOKS)
            if books.measured_j > before.measured_j or books.attributed_j > before.attributed_j:
                found.append(
                    Grown(
                        deployment=metered.served.name,
                        day=day,
                        measured_j=books.measured_j - before.measured_j,
                        requests_j=books.attributed_j - before.attributed_j,
                        idle_pool_j=books.pool_idle_j - before.pool_idle_j,
                        unattributed_j=books.unattributed_j - before.unattributed_j,
                    )
                )
        return found

    async def run(self) -> None:
        """Keeps one task for each metered deployment, until it is cancelled."""
        try:
            while True:
                self._changed.clear()
                wanted = {name: id(metered) for name, metered in self._metered.items()}
                for key, task in list(self._tasks.items()):
                    name, _, number = key.rpartition("#")
                    if task.done() or wanted.get(name) != int(number):
                        task.cancel()
                        del self._tasks[key]
                for name, metered in self._metered.items():
                    key = f"{name}#{id(metered)}"
                    if key not in self._tasks:
                        self._tasks[key] = asyncio.get_running_loop().create_task(self._follow(metered), name=f"meter-{name}")
                await self._changed.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()
            if self._http is not None:
                await self._http.aclose()
                self._http = None

    async def _follow(self, metered: Metered) -> None:
        """One deployment, tick by tick. Whatever a tick raises is logged, and the next one comes."""
        loop, reach = asyncio.get_running_loop(), await self._made_reach()
        while True:
            began_s = loop.time()
            try:
                await self._tick(metered, reach)
            except Exception:
                log.exception("deployment %s: measuring failed", metered.served.name)
            pause_s = self._every_s if not metered.failures else BACKOFF.pause_s(metered.failures)
            await asyncio.sleep(max(0.05, pause_s - (loop.time() - began_s)))

    async def _tick(self, metered: Metered, reach: Reach) -> None:
        readings, signals = await asyncio.gather(self._read(metered, reach), self._engine(metered, reach))
        self._waiting.extend(await asyncio.to_thread(metered.digest, readings, signals, perf_counter()))
        if perf_counter() - metered.fitted_s > FIT_S:
            metered.fitted_s = perf_counter()
            await asyncio.to_thread(metered.fit)
        await self._write()

    async def _read(self, metered: Metered, reach: Reach) -> tuple[Reading, ...]:
        """All of one instant, the host's among them; nothing where the accelerators cannot be read, for a host alone is nobody's."""
        if metered.host is None:
            return await self._read_own(metered, reach)
        readings, around = await asyncio.gather(self._read_own(metered, reach), self._read_host(metered, metered.host, reach))
        if not readings:
            return ()
        return (*readings, *(msgspec.structs.replace(each, at_s=readings[0].at_s, around=True) for each in around))

    async def _read_host(self, metered: Metered, meter: Meter, reach: Reach) -> tuple[Reading, ...]:
        """Nothing, where the host cannot be read: told once for each kind of failure."""
        try:
            readings = await meter.read(reach)
        except (OutOfReachError, OSError) as error:
            kind = error.kind if isinstance(error, OutOfReachError) else type(error).__name__
            if metered.host_state != kind:
                log.warning("deployment %s: its host is not measured, host_factor stands in: %s", metered.served.name, error)
            metered.host_state = kind
            return ()
        if metered.host_state not in ("measuring", "waiting"):
            log.info("deployment %s: its host is measured again", metered.served.name)
        metered.host_state = "measuring"
        return tuple(each for each in readings if each.measured)

    async def _read_own(self, metered: Metered, reach: Reach) -> tuple[Reading, ...]:
        """Nothing, where the meter fails: told once for each kind of failure."""
        meter: Meter = metered.meter
        try:
            readings = await meter.read(reach)
        except (OutOfReachError, OSError) as error:
            kind = error.kind if isinstance(error, OutOfReachError) else type(error).__name__
            metered.failures += 1
            if metered.state != kind:
                log.warning("deployment %s is not measured: %s", metered.served.name, error)
            metered.state = kind
            return ()
        if metered.failures:
            log.info("deployment %s is measured again", metered.served.name)
        metered.state, metered.failures = "measuring", 0
        return readings

    async def _engine(self, metered: Metered, reach: Reach) -> EngineSignals | None:
        url = metered.served.settings.engine_metrics
        if url is None:
            return None
        model = metered.served.target.upstream_model
        try:
            signals = await read_engine(reach, url, model, ENGINE_TIMEOUT_S)
        except (OutOfReachError, OSError) as error:
            kind = error.kind if isinstance(error, OutOfReachError) else type(error).__name__
            if metered.engine_state != kind:
                log.warning("deployment %s: the engine's metrics are not read: %s", metered.served.name, error)
            metered.engine_state, metered.signals = kind, None
            return None
        if metered.engine_state != "read" and signals.missing:
            log.info("deployment %s: the engine's metrics lack %s", metered.served.name, ", ".join(signals.missing))
        metered.engine_state, metered.signals = "read", signals
        return signals

    async def _write(self) -> None:
        """What the store does not take now stays for the next tick."""
        while self._waiting:
            batch = [self._waiting[index] for index in range(min(BATCH, len(self._waiting)))]
            try:
                await self._restate(batch)
            except OSError:
                return
            for _ in batch:
                with contextlib.suppress(IndexError):
                    self._waiting.popleft()

    async def _made_reach(self) -> Reach:
        async with self._making:
            if self._http is None:
                self._http = await asyncio.to_thread(client)
        return Reach(self._http, None, time, perf_counter)
