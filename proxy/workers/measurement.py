"""One deployment that is measured: windows are divided among the requests in them, and what was measured of an entry restates it.

An entry is restated once every window that it overlaps is divided, and only where all of it was measured.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter, time
from typing import NamedTuple

import msgspec

from carbon.attributed import Attributed, Books, Effect, Settled
from carbon.attribution import RooflineWeights, Weights
from carbon.bands import confidence
from carbon.energy import load_of
from carbon.engine import NAMES, EngineSignals
from carbon.fitting import MissingExtraError, UnfitError, fit_weights
from carbon.footprint import Footprint, measured
from carbon.profile import HOST_FACTOR, PUE, EnergyProfile, profile_from
from carbon.replica import Replica
from carbon.roofline import Load
from carbon.savings import Saving
from carbon.spread import Life
from carbon.windows import MOST_W, Flag, Meterage, Reading, Window, total
from proxy.configuration.registries import HOST, meter_of
from proxy.metered import Began, Ended, Feed
from proxy.records import Restatement
from proxy.snapshot import Served

log = logging.getLogger("greenlane.metering")

HISTORY = 20_000
"""Settled windows a deployment keeps to fit weights to: over five hours."""
HELD = 20_000
"""Accounts that wait for their measurement."""
NOT_TRIED = "not tried yet: the first fit is an hour after the start"
NO_IDLE_POWER = "idle power is not known yet: no window was without requests, and `idle_w` is not stated"
NO_BOOKS = Books(measured_j=0.0, attributed_j=0.0, pool_idle_j=0.0, unattributed_j=0.0, pending_j=0.0)
NOBODYS_LOAD = Load(total_b=8.0, active_b=8.0, bytes_per_parameter=2.0, batch=64.0)
"""Of a deployment without a profile: only the ratios of its weights matter."""


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the measurement of the machine around the accelerators is doing. Energies as those beside them."""

    meter: str
    state: str
    """`measuring`, `waiting` (not read yet), or the kind of its last failure: `host_factor` stands in meanwhile."""
    idle_w: float | None
    measured_j: float
    requests_j: float
    idle_pool_j: float
    unattributed_j: float
    pending_j: float


class MeterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one deployment's measurement is doing. Energies are joules at its accelerators since the process began."""

    deployment: str
    meter: str
    state: str
    """`measuring`, `estimating` (it models its figure), `waiting` (not read yet), or the kind of its last failure."""
    failures: int
    """In a row."""
    idle_w: float | None
    weights: str
    """`roofline` or `fitted`."""
    unfitted: str | None
    """Why they are not fitted; None where they are."""
    engine: str | None
    """Of the engine's metrics: `read`, `waiting` (not read yet), or the kind of the last failure; None: no page of them is configured."""
    engine_missing: tuple[str, ...]
    """Signals that the page does not have; all of them while it is not read."""
    measured_j: float
    requests_j: float
    idle_pool_j: float
    unattributed_j: float
    pending_j: float
    estimated_j: float
    """Told by a meter that models its figure (CodeCarbon): no joule of it is measured, and it is in none of the others."""
    flags: tuple[str, ...]
    """Of the last window: with `missing`, `implausible` or `mig_whole_gpu`, say, no entry gets a figure."""
    restated: int
    """Entries that got a measured figure."""
    host: HostStatus | None
    """None where the machine around the accelerators has no meter."""


class _Kept(NamedTuple):
    """Of a request that waits for its measurement."""

    footprint: Footprint
    profile: EnergyProfile | None
    batch: float | None
    saved: Callable[[Footprint], Saving | None] | None


class Metered:
    """One deployment: its meter, its replica's ledger, its requests' accounts until they are measured."""

    def __init__(self, served: Served, restate: Callable[[Iterable[Restatement]], None], after: Metered | None = None) -> None:
        """`restate` is called in threads. `after`: who measured the deployment before, and is read for the last time first."""
        self.served = served
        self.after = after
        self.over, self.done = asyncio.Event(), asyncio.Event()
        """It is to be read once more and no longer; that was done."""
        self.told = NO_BOOKS
        """What of its books is in the sums of days."""
        self._restate = restate
        self.name, self.meter, self.host = meter_of(served.settings.meter)
        self.feed = Feed()
        self.state, self.failures = "waiting", 0
        self.host_state = "waiting"
        self.broken: str | None = None
        """The kind of exception that ended the last reading or dividing."""
        self.signals: EngineSignals | None = None
        self.engine_state = "waiting"
        self.restated = 0
        self.unfitted: str | None = NOT_TRIED
        self._estimated_j = 0.0
        self._flags: tuple[Flag, ...] = ()
        self.profile = None if served.profile is None else profile_from(served.profile)
        load, gpu = (NOBODYS_LOAD, "H100") if self.profile is None else (load_of(self.profile), self.profile.gpu)
        self.replica = Replica(RooflineWeights(load, gpu), served.settings.idle_w)
        self.fitted_s = perf_counter()
        self._meterage = Meterage()
        self._history: deque[Settled] = deque(maxlen=HISTORY)
        self._accounts: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def matches(self, served: Served) -> bool:
        """Whether it goes on under a new configuration."""
        mine, theirs = self.served.settings, served.settings
        return (mine.meter, mine.idle_w, mine.engine_metrics) == (theirs.meter, theirs.idle_w, theirs.engine_metrics) and (
            self.profile == (None if served.profile is None else profile_from(served.profile))
        )

    def digest(self, readings: Sequence[Reading], signals: EngineSignals | None, at_s: float) -> None:
        """Takes in what has come since the last time. Runs in a thread."""
        with self._lock:
            effects = self._heard_all()
            if signals is not None:
                effects += self.replica.engine(at_s, signals)
            effects += self._closed(self._meterage.closed(readings) if readings else ())
            effects += self.replica.passed(at_s)
            self._told(effects)

    def ended(self, readings: Sequence[Reading], signals: EngineSignals | None, at_s: float) -> int:
        """Takes in the last there is, and closes the books; how many requests keep their estimates. Runs in a thread."""
        with self._lock:
            effects = self._heard_all()
            if signals is not None:
                effects += self.replica.engine(at_s, signals)
            effects += self._closed(self._meterage.last(readings))
            self._told(effects)
            running = self.replica.running
            return running + self._told(self.replica.ended())

    def _heard_all(self) -> list[Effect]:
        effects: list[Effect] = []
        events = self.feed.events
        for _ in range(len(events)):
            effects += self._heard(events.popleft())
        return effects

    def _closed(self, windows: Sequence[Window]) -> tuple[Effect, ...]:
        """To the replica, if any were closed. What nobody measured has no energy there."""
        if not windows:
            return ()
        window = total(windows)
        if not window.measured:
            self._estimated_j += window.energy_j or 0.0
            window = msgspec.structs.replace(window, energy_j=None, complete=False, source=None)
        flags = window.flags
        if "implausible" in flags and "implausible" not in self._flags:
            log.warning(
                "deployment %s: its meter tells more than %g W an accelerator, which is not believed; `gpus` says how many it counts",
                self.served.name, MOST_W,
            )  # fmt: skip
        self._flags = flags
        return self.replica.window(window)

    def _told(self, effects: Iterable[Effect]) -> int:
        """Restates what was measured; how many accounts stay as they are."""
        stay = 0
        for each in effects:
            if isinstance(each, Settled):
                if each.usable:
                    self._history.append(each)
                continue
            known = each.id in self._accounts
            later = self._restated(each)
            stay += known and later is None
            if later is not None:
                self._restate((later,))
        return stay

    def fit(self) -> Weights | None:
        """Weights fitted to what was measured, from now on; None where there is not enough of it. Runs in a thread."""
        with self._lock:
            windows = list(self._history)
        try:
            fit = fit_weights(windows)
        except (UnfitError, MissingExtraError) as error:
            log.debug("deployment %s: weights stay as they are: %s", self.served.name, error)
            if not isinstance(self.replica.weighing, Weights):
                self.unfitted = str(error) if self.replica.idle_power_w is not None else f"{error}; {NO_IDLE_POWER}"
            return None
        with self._lock:
            self.replica.weighing, self.unfitted = fit.weights, None
        return fit.weights

    def books(self) -> tuple[Books, Books]:
        """Of the accelerators, and of the machine around them."""
        with self._lock:
            return self.replica.books, self.replica.host_books or NO_BOOKS

    def status(self) -> MeterStatus:
        with self._lock:
            books, idle_w, weighing = self.replica.books, self.replica.idle_power_w, self.replica.weighing
            around, around_w = self.replica.host_books or NO_BOOKS, self.replica.host_idle_power_w
        paged = self.served.settings.engine_metrics
        return MeterStatus(
            deployment=self.served.name,
            meter=self.name,
            state=self.broken or self.state,
            failures=self.failures,
            idle_w=idle_w,
            weights=weighing.source if isinstance(weighing, Weights) else "roofline",
            unfitted=self.unfitted,
            engine=None if paged is None else self.engine_state,
            engine_missing=() if paged is None else tuple(NAMES) if self.signals is None else self.signals.missing,
            measured_j=books.measured_j,
            requests_j=books.attributed_j,
            idle_pool_j=books.pool_idle_j,
            unattributed_j=books.unattributed_j,
            pending_j=books.pending_j,
            estimated_j=self._estimated_j,
            flags=self._flags,
            restated=self.restated,
            host=None
            if self.host is None
            else HostStatus(
                meter=HOST,
                state=self.host_state,
                idle_w=around_w,
                measured_j=around.measured_j,
                requests_j=around.attributed_j,
                idle_pool_j=around.pool_idle_j,
                unattributed_j=around.unattributed_j,
                pending_j=around.pending_j,
            ),
        )

    def _heard(self, event: Began | Ended) -> tuple[Effect, ...]:
        if isinstance(event, Began):
            return self.replica.began(event.id, event.at_s)
        if event.footprint is not None:
            while len(self._accounts) >= HELD:
                del self._accounts[next(iter(self._accounts))]
            own = event.profile is None or event.profile is self.served.profile
            profile = self.profile if own or event.profile is None else profile_from(event.profile)
            self._accounts[event.id] = _Kept(event.footprint, profile, event.batch, event.saved)
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
        kept = self._accounts.pop(told.id, None)
        if kept is None:
            return None
        before, profile = kept.footprint, kept.profile
        host_factor, pue = (HOST_FACTOR, PUE) if profile is None else (profile.host_factor, profile.pue)
        joules = told.at_facility(host_factor, pue)
        if joules is None or not told.measured or before.method == "provider_reported":
            return None
        figure = measured(joules, before)
        saving = None if kept.saved is None else kept.saved(figure)
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
                "batch": kept.batch,
                **self._host_inputs(told, host_factor),
                "pue": pue,
                "components": _components(told, host_factor, pue),
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

    def _host_inputs(self, told: Attributed, host_factor: float) -> dict[str, object]:
        """What was measured of the host, or else what was assumed of it."""
        if told.host_j is None:
            return {"host_factor": host_factor}
        return {"host_meter": HOST, "host_j": told.host_j, **({"host_flags": list(told.host_flags)} if told.host_flags else {})}


def _components(told: Attributed, host_factor: float, pue: float) -> dict[str, float]:
    """Joules, as the entry's own components are told; they add up to the figure. What the proxy itself takes is in the entry."""
    return {name: joules for name, joules in msgspec.structs.asdict(told.parts(host_factor, pue)).items() if joules is not None}
