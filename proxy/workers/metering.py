"""Deployments whose energy is measured: meters are read, windows divided among the requests in them, entries restated.

One task a deployment reads its meter, in the event loop; dividing costs some microseconds for each request and window and is done in a
thread. An entry is restated once every window that it overlaps is divided, and only where all of it was measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter, time
from typing import Protocol

import httpx
import msgspec

from carbon.attribution import RooflineWeights, Weights
from carbon.bands import confidence
from carbon.energy import load_of
from carbon.engine import EngineSignals
from carbon.fitting import MissingExtraError, UnfitError, fit_weights
from carbon.footprint import Footprint, measured
from carbon.meters._base import Meter
from carbon.meters._engine import read_engine
from carbon.profile import HOST_FACTOR, PUE, EnergyProfile, profile_from
from carbon.reach import OutOfReachError, Reach, client
from carbon.replica import Attributed, Books, Effect, Replica, Settled
from carbon.roofline import Load
from carbon.savings import Saving
from carbon.spread import Life
from carbon.windows import Meterage, Reading, total
from proxy.configuration.registries import meter_of
from proxy.metered import Began, Ended, Feed
from proxy.records import Restatement
from proxy.snapshot import Served
from proxy.store.metered_days import Grown
from proxy.workers.supervisor import Backoff

log = logging.getLogger("greenlane.metering")

BACKOFF = Backoff(first_s=1.0, most_s=60.0)
ENGINE_TIMEOUT_S = 2.0
FIT_S = 3600.0
"""Between two fits of the weights; the first as long after the start."""
HISTORY = 20_000
"""Settled windows a deployment keeps to fit weights to: over five hours."""
HELD = 20_000
"""Accounts that wait for their measurement, and restatements that wait for the store."""
BATCH = 500
NO_BOOKS = Books(measured_j=0.0, attributed_j=0.0, pool_idle_j=0.0, unattributed_j=0.0, pending_j=0.0)
NOBODYS_LOAD = Load(total_b=8.0, active_b=8.0, bytes_per_parameter=2.0, batch=64.0)
"""Of a deployment without a profile: only the ratios of its weights matter."""


class Peer(Protocol):
    """A deployment at run time, as far as its meter goes."""

    meter: Feed | None

    @property
    def served(self) -> Served: ...


Restate = Callable[[Sequence[Restatement]], Awaitable[None]]
Saved = Callable[[Footprint], Saving | None]


class MeterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one deployment's measurement is doing. Energies are joules at its accelerators since the process began."""

    deployment: str
    meter: str
    state: str
    """`measuring`, `waiting` (not read yet), or the kind of its last failure."""
    failures: int
    """In a row."""
    idle_w: float | None
    weights: str
    """`roofline` or `fitted`."""
    engine_missing: tuple[str, ...]
    """Signals that the engine's metrics do not have."""
    measured_j: float
    requests_j: float
    idle_pool_j: float
    unattributed_j: float
    pending_j: float
    restated: int
    """Entries that got a measured figure."""


class Metered:
    """One deployment: its meter, its replica's ledger, its requests' accounts until they are measured."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.name, self.meter = meter_of(served.settings.meter)
        self.feed = Feed()
        self.state, self.failures = "waiting", 0
        self.signals: EngineSignals | None = None
        self.engine_state = "waiting"
        self.restated = 0
        self.profile = None if served.profile is None else profile_from(served.profile)
        load, gpu = (NOBODYS_LOAD, "H100") if self.profile is None else (load_of(self.profile), self.profile.gpu)
        self.replica = Replica(RooflineWeights(load, gpu), served.settings.idle_w)
        self.fitted_s = perf_counter()
        self._meterage = Meterage()
        self._history: deque[Settled] = deque(maxlen=HISTORY)
        self._accounts: dict[str, tuple[Footprint, EnergyProfile | None, Saved | None]] = {}
        self._lock = threading.Lock()

    def matches(self, served: Served) -> bool:
        """Whether it goes on under a new configuration."""
        mine, theirs = self.served.settings, served.settings
        return (mine.meter, mine.idle_w, mine.engine_metrics) == (theirs.meter, theirs.idle_w, theirs.engine_metrics) and (
            self.served.profile == served.profile
        )

    def digest(self, readings: Sequence[Reading], signals: EngineSignals | None, at_s: float) -> list[Restatement]:
        """Takes in what has come since the last time. Runs in a thread, one call at a time."""
        with self._lock:
            effects: list[Effect] = []
            events = self.feed.events
            for _ in range(len(events)):
                effects += self._heard(events.popleft())
            if signals is not None:
                effects += self.replica.engine(at_s, signals)
            windows = self._meterage.closed(readings) if readings else ()
            if windows:
                effects += self.replica.window(total(windows))
            effects += self.replica.passed(at_s)
            self._history.extend(each for each in effects if isinstance(each, Settled) and each.usable)
            found = [self._restated(each) for each in effects if isinstance(each, Attributed)]
            return [each for each in found if each is not None]

    def fit(self) -> Weights | None:
        """Weights fitted to what was measured, from now on; None where there is not enough of it. Runs in a thread."""
        with self._lock:
            windows = list(self._history)
        try:
            fit = fit_weights(windows)
        except (UnfitError, MissingExtraError) as error:
            log.debug("deployment %s: weights stay as they are: %s", self.served.name, error)
            return None
        with self._lock:
            self.replica.weighing = fit.weights
        return fit.weights

    def books(self) -> Books:
        with self._lock:
            return self.replica.books

    def status(self) -> MeterStatus:
        with self._lock:
            books, idle_w, weighing = self.replica.books, self.replica.idle_power_w, self.replica.weighing
        return MeterStatus(
            deployment=self.served.name,
            meter=self.name,
            state=self.state,
            failures=self.failures,
            idle_w=idle_w,
            weights=weighing.source if isinstance(weighing, Weights) else "roofline",
            engine_missing=() if self.signals is None else self.signals.missing,
            measured_j=books.measured_j,
            requests_j=books.attributed_j,
            idle_pool_j=books.pool_idle_j,
            unattributed_j=books.unattributed_j,
            pending_j=books.pending_j,
            restated=self.restated,
        )

    def _heard(self, event: Began | Ended) -> tuple[Effect, ...]:
        if isinstance(event, Began):
            return self.replica.began(event.id, event.at_s)
        if event.footprint is not None:
            while len(self._accounts) >= HELD:
                del self._accounts[next(iter(self._accounts))]
            own = event.profile is None or event.profile is self.served.profile
            profile = self.profile if own or event.profile is None else profile_from(event.profile)
            self._accounts[event.id] = (event.footprint, profile, event.saved)
        return self.replica.finished(
            Life(
                id=event.id,
                arrived_s=event.sent_s,
                first_s=event.first_s,
                last_s=event.last_s,
                input_tokens=event.input_tokens,
                cached_tokens=event.cached_tokens,
                output_tokens=event.output_tokens,
            )
        )

    def _restated(self, told: Attributed) -> Restatement | None:
        """None where the figure is not all of this request's and only its own, or the provider's own report ranks above it."""
        before, profile, saved = self._accounts.pop(told.id, (None, None, None))
        host_factor, pue = (HOST_FACTOR, PUE) if profile is None else (profile.host_factor, profile.pue)
        joules = told.at_facility(host_factor * pue)
        if before is None or joules is None or not told.measured or before.method == "provider_reported":
            return None
        figure = measured(joules, before)
        saving = None if saved is None else saved(figure)
        self.restated += 1
        return Restatement(
            id=f"{told.id}.measured",
            replaces=told.id,
            entry=told.id,
            at_s=time(),
            method=figure.method,
            confidence=confidence(joules[0], joules[2]),
            energy_j=figure.energy_j,
            energy_low_j=figure.energy_low_j,
            energy_high_j=figure.energy_high_j,
            carbon_g=figure.carbon_g,
            carbon_low_g=figure.carbon_low_g,
            carbon_high_g=figure.carbon_high_g,
            inputs={
                "meter": self.name,
                "windows": told.windows,
                "gpu_j": told.energy_j,
                "active_j": told.active_j,
                "idle_j": told.idle_j,
                "host_factor": host_factor,
                "pue": pue,
                "notes": list(told.notes),
                "flags": list(told.flags),
                "before": {"method": figure.cross_method, "energy_j": figure.cross_j},
                "warnings": list(figure.warnings),
            },
            avoided_g=None if saving is None else saving.g,
            avoided_low_g=None if saving is None else saving.low_g,
            avoided_high_g=None if saving is None else saving.high_g,
            avoided_marginal_g=None if saving is None else saving.marginal_g,
        )


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

    def books(self) -> list[tuple[Served, Books]]:
        return [(each.served, each.books()) for each in list(self._metered.values())]

    def grown(self, day: int) -> list[Grown]:
        """What the books grew by since this was last asked; `day` since 1970-01-01."""
        found = []
        told, self._told = self._told, {}
        for metered in list(self._metered.values()):
            books = self._told[id(metered)] = metered.books()
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
