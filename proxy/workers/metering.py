"""Deployments whose energy is measured: their meters are read, what they tell is worked on beside the loop, entries are restated.

One task a deployment reads its meter, in the event loop; dividing costs some microseconds for each request and window and is done in a
thread (`measurement.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from time import perf_counter, time
from typing import Protocol

import msgspec

from carbon.attributed import Books
from carbon.engine import EngineSignals
from carbon.meters._base import Meter
from carbon.meters._engine import read_engine
from carbon.reach import OutOfReachError, Reach, client
from carbon.windows import Reading
from proxy.metered import Feed
from proxy.snapshot import Served
from proxy.store.metered_days import Grown
from proxy.workers.measurement import Metered, MeterStatus
from proxy.workers.restating import Restate, Restater
from proxy.workers.supervisor import Backoff, place_of

log = logging.getLogger("greenlane.metering")

BACKOFF = Backoff(first_s=1.0, most_s=60.0)
ENGINE_TIMEOUT_S = 2.0
LAST_S = 2.0
"""For the last reading of a deployment that is taken away, and of all at the end."""
FIT_S = 3600.0
"""Between two fits of the weights; the first as long after the start."""


class Peer(Protocol):
    """A deployment at run time, as far as its meter goes."""

    meter: Feed | None

    @property
    def served(self) -> Served: ...


class Metering:
    """All metered deployments of one process."""

    def __init__(self, restate: Restate) -> None:
        self._restater = Restater(restate)
        self._metered: dict[str, Metered] = {}
        self._leaving: list[Metered] = []
        """Taken away by a reload, and not yet in the sums of days."""
        self._every_s = 1.0
        self._changed, self._over = asyncio.Event(), asyncio.Event()
        self._ending = self._running = False

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
                held = Metered(peer.served, self._restater.put, held or self._last_of(name))
            held.served = peer.served
            self._metered[name] = held
            peer.meter = held.feed
        for name, old in before.items():
            if self._metered.get(name) is not old:
                old.over.set()
                self._leaving.append(old)
        self._changed.set()

    def _last_of(self, name: str) -> Metered | None:
        """Who measured a deployment of that name before, and is still to be read for the last time."""
        return next((each for each in reversed(self._leaving) if each.served.name == name and not each.done.is_set()), None)

    def status(self) -> tuple[MeterStatus, ...]:
        return tuple(each.status() for each in self._metered.values())

    def books(self) -> list[tuple[Served, Books, Books]]:
        """Of each deployment: of its accelerators, and of the machine around them."""
        return [(each.served, *each.books()) for each in list(self._metered.values())]

    def grown(self, day: int) -> list[Grown]:
        """What the books grew by since this was last asked; `day` since 1970-01-01."""
        found = [self._growth(each, day) for each in (*self._leaving, *self._metered.values())]
        self._leaving = [each for each in self._leaving if not each.done.is_set()]
        return [each for each in found if each is not None]

    @staticmethod
    def _growth(metered: Metered, day: int) -> Grown | None:
        before, (books, _) = metered.told, metered.books()
        metered.told = books
        if (books.measured_j, books.attributed_j, books.pending_j) == (before.measured_j, before.attributed_j, before.pending_j):
            return None
        return Grown(
            deployment=metered.served.name,
            day=day,
            measured_j=books.measured_j - before.measured_j,
            requests_j=books.attributed_j - before.attributed_j,
            idle_pool_j=books.pool_idle_j - before.pool_idle_j,
            unattributed_j=books.unattributed_j - before.unattributed_j,
        )

    async def run(self) -> None:
        """Keeps one task for each metered deployment, and one that writes, until it is cancelled or `end` is called."""
        http = await asyncio.to_thread(client)
        self._running = True
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._restater.run(), name="meter-restatements")
                followed: dict[Metered, asyncio.Task[None]] = {}
                while not self._ending:
                    self._changed.clear()
                    wanted = [each for each in (*self._leaving, *self._metered.values()) if not each.done.is_set()]
                    followed = {each: task for each, task in followed.items() if not task.done()}
                    for each in wanted:
                        if each not in followed:
                            reach = Reach(http, None, time, perf_counter)
                            followed[each] = group.create_task(self._follow(each, reach), name=f"meter-{each.served.name}")
                    await self._changed.wait()
                await asyncio.gather(*followed.values())
                writing.cancel()
            await self._restater.flush()
        finally:
            self._running = False
            self._over.set()
            await http.aclose()

    async def end(self, within_s: float) -> None:
        """The last joules are in the books, and what is measured whole is restated; the rest is said. Nothing is read after it."""
        for each in self._metered.values():
            each.over.set()
        if self._running:
            self._over.clear()
            self._ending = True
            self._changed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._over.wait()
        for each in (*self._leaving, *self._metered.values()):
            if not each.done.is_set():
                log.warning("deployment %s: what its meter counted last is in no sum: it was not read in time", each.served.name)
                await asyncio.to_thread(each.ended, (), None, perf_counter())
                each.done.set()
        if self._restater:
            log.error("%d restatements are lost, the store did not take them: their entries keep their estimates", len(self._restater))

    async def _follow(self, metered: Metered, reach: Reach) -> None:
        """One deployment, tick by tick, to its end. Whatever a tick raises is told, and the next one comes."""
        loop = asyncio.get_running_loop()
        if metered.after is not None:  # a joule is counted by one of both
            await metered.after.done.wait()
            metered.after = None
        while not metered.over.is_set():
            began_s = loop.time()
            try:
                await self._tick(metered, reach)
                metered.broken = None
            except Exception as error:  # noqa: BLE001 - a meter is another's program: whatever it does, the next reading may be right
                self._failed(metered, error)
            pause_s = self._every_s if not metered.failures else BACKOFF.pause_s(metered.failures)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.05, pause_s - (loop.time() - began_s))):
                    await metered.over.wait()
        try:
            await self._last(metered, reach)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(metered, error)
        finally:
            metered.done.set()

    def _failed(self, metered: Metered, error: Exception) -> None:
        """Kind and place, once: a text may hold what is in a URL."""
        kind = type(error).__name__
        if metered.broken != kind:
            log.error("deployment %s: measuring failed: %s at %s", metered.served.name, kind, place_of(error))
        metered.broken = kind

    async def _tick(self, metered: Metered, reach: Reach) -> None:
        readings, signals = await asyncio.gather(self._read(metered, reach), self._engine(metered, reach))
        await asyncio.to_thread(metered.digest, readings, signals, perf_counter())
        self._restater.wake()
        if perf_counter() - metered.fitted_s > FIT_S:
            metered.fitted_s = perf_counter()
            await asyncio.to_thread(metered.fit)

    async def _last(self, metered: Metered, reach: Reach) -> None:
        readings: tuple[Reading, ...] = ()
        signals = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                readings, signals = await asyncio.gather(self._read(metered, reach), self._engine(metered, reach))
        stay = await asyncio.to_thread(metered.ended, readings, signals, perf_counter())
        self._restater.wake()
        if stay:
            log.info("deployment %s: %d requests keep their estimates, for not all of them was measured", metered.served.name, stay)

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
        metered.state, metered.failures = "measuring" if any(each.measured for each in readings) else "estimating", 0
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
            metered.feed.company.told(None, None)
            return None
        if metered.engine_state != "read" and signals.missing:
            log.info("deployment %s: the engine's metrics lack %s", metered.served.name, ", ".join(signals.missing))
        metered.engine_state, metered.signals = "read", signals
        metered.feed.company.told(signals.running, signals.waiting)
        return signals
