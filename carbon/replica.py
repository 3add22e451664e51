"""The ledger of one replica: windows and requests in, in almost any order; attributed requests and settled windows out. Pure.

    event                          effect
    began(id)                      no window that this request may be in is settled
    finished(life)                 it is held until every window it overlaps is settled, then told as `Attributed`
    engine(at, signals)            queueing, the batch and foreign traffic are seen
    window(total)                  held until `late_s` after its end and nobody still runs that began before it; then divided: `Settled`
    (any of them brings time)      what was held too long is let go

About 8 us for each request in each window: not in the event loop where hundreds run together.

Rule: joules are never lost and never made. At any time measured = attributed + pool + unattributed + pending, whatever was dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import fsum, inf, isfinite
from typing import Literal

import msgspec

from carbon.attribution import Weighing, Work, attribute, idle_j
from carbon.bands import Band
from carbon.engine import EngineSignals, Progress, progress
from carbon.spread import Life, queued_until, work_in
from carbon.windows import Flag, IdlePower, Total

GPU = Band(0.85, 1.15)
"""At the accelerators, with fitted weights and counters."""
FACILITY = Band(0.75, 1.35)
"""The same at the facility, host and building added (docs/measuring.md)."""
UNFITTED = Band(0.7, 1.4)
"""Beside it where weights are a roofline's. A judgement: weights in a wrong ratio were off by 15 to 48 % at the 90th percentile."""
SAMPLED = Band(0.8, 1.25)
"""Beside it where power was integrated: A100 and H100 sensors look at a quarter of the time (Yang et al., SC24, arXiv 2312.02741)."""
UNSEEN = Band(0.8, 1.25)
"""Beside it where an answer came whole and nobody saw its first token."""
SHORT_S = 5.0
"""Up to here a window's idle energy is theirs who ran in it, however shortly. In a longer one (an exporter that samples every 30 s, a meter
that was away) most of it would be of a time when nobody ran."""
WHOLE = 0.99
"""Share of a request's running time in windows that were measured, from which it counts as measured."""
FOREIGN = 0.2
"""Share of an engine's tokens beyond those of known requests, from which they are somebody else's and no unevenness of streams."""

Note = Literal[
    "cached_unknown",
    "dropped",
    "first_token_unknown",
    "idle_unknown",
    "late",
    "not_measured",
    "partly_measured",
    "power_integrated",
    "weights_unfitted",
]
"""What a request's figure lacks; docs/measuring.md tells what each means."""


MOST_TOKENS = 1e9
NOT_WHOLE: frozenset[Note | Flag] = frozenset(("dropped", "late", "not_measured", "partly_measured", "mig_whole_gpu", "shared"))
"""With any of these a figure is not this request's whole energy, or not its energy alone."""
WIDER: Mapping[Note, Band] = {"weights_unfitted": UNFITTED, "power_integrated": SAMPLED, "first_token_unknown": UNSEEN}


def band_of(base: Band, notes: Iterable[Note]) -> Band:
    """GPU or FACILITY, with what the notes add."""
    return base.combined(*(WIDER[note] for note in sorted(set(notes) & WIDER.keys())))


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much a replica's ledger holds. What is beyond goes to unattributed."""

    late_s: float = 2.0
    """A request is told to have finished at most this long after it did."""
    held_s: float = 900.0
    """A window waits so long for the requests in it, a request so long for its windows."""
    forgotten_s: float = 7200.0
    """A request that began and was never told to have finished."""
    windows: int = 4096
    requests: int = 20_000
    """Finished and held, and as many running."""
    samples: int = 4096
    """Of the engine's metrics."""


class Attributed(msgspec.Struct, frozen=True, kw_only=True):
    """A request's joules at the accelerators, from measured windows. `energy_j` is None where none of its windows was measured."""

    id: str
    energy_j: float | None
    low_j: float | None
    high_j: float | None
    active_j: float
    idle_j: float
    windows: int
    band: Band
    notes: tuple[Note, ...] = ()
    flags: tuple[Flag, ...] = ()
    """Of its windows."""

    @property
    def measured(self) -> bool:
        """Whether it may be called measured: all of it was."""
        return self.energy_j is not None and not NOT_WHOLE & {*self.notes, *self.flags}

    def at_facility(self, factor: float) -> tuple[float, float, float] | None:
        """Low, value and high in joules. `factor`: the machine over its accelerators, times PUE; idle capacity is in what was measured."""
        if self.energy_j is None:
            return None
        band, energy_j = band_of(FACILITY, self.notes), self.energy_j * factor
        return energy_j * band.low, energy_j, energy_j * band.high


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A window divided: the row that weights are fitted to, and what went to nobody."""

    start_s: float
    end_s: float
    energy_j: float
    active_j: float = 0.0
    prefill_tokens: float = 0.0
    decode_tokens: float = 0.0
    decode_context: float = 0.0
    requests: int = 0
    batch: float = 0.0
    """Mean of the requests generating."""
    pool_idle_j: float = 0.0
    unattributed_j: float = 0.0
    usable: bool = False
    """Measured whole, idle power known, no foreign or unknown work in it: fit for fitting."""
    flags: tuple[Flag, ...] = ()


Effect = Attributed | Settled


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Joules since the ledger began."""

    measured_j: float
    attributed_j: float
    """To requests, those still held included."""
    pool_idle_j: float
    unattributed_j: float
    pending_j: float


class _Held(msgspec.Struct):
    life: Life
    notes: set[Note]
    resolved: bool = False
    active_j: float = 0.0
    idle_j: float = 0.0
    windows: int = 0
    measured_s: float = 0.0
    flags: set[Flag] = msgspec.field(default_factory=set)


class Replica:
    def __init__(self, weighing: Weighing, idle_w: float | None = None, bounds: Bounds | None = None) -> None:
        self.weighing = weighing
        """May be replaced; windows that are settled stay as they are."""
        self._bounds = bounds or Bounds()
        self._idle = IdlePower(idle_w)
        self._running: dict[str, float] = {}
        self._dropped: dict[str, None] = {}
        self._held: dict[str, _Held] = {}
        self._windows: deque[Total] = deque()
        self._samples: deque[tuple[float, EngineSignals]] = deque(maxlen=self._bounds.samples)
        self._now_s = self._settled_s = self._closed_s = self._gone_s = -inf
        self._measured_j = self._attributed_j = self._pool_idle_j = self._unattributed_j = 0.0

    @property
    def idle_power_w(self) -> float | None:
        return self._idle.power_w

    @property
    def books(self) -> Books:
        return Books(
            measured_j=self._measured_j,
            attributed_j=self._attributed_j,
            pool_idle_j=self._pool_idle_j,
            unattributed_j=self._unattributed_j,
            pending_j=fsum(window.energy_j or 0.0 for window in self._windows),
        )

    def __repr__(self) -> str:
        return f"Replica({len(self._windows)} windows, {len(self._running)} running, {len(self._held)} held)"

    def began(self, request: str, at_s: float) -> tuple[Effect, ...]:
        """A request was sent to the replica. Ids are not used twice."""
        if len(self._running) < self._bounds.requests:
            self._running.setdefault(request, at_s)
        return self._on(at_s)

    def finished(self, life: Life) -> tuple[Effect, ...]:
        """It is over, however it ended. One that was never told to have begun is taken too. Raises ValueError for what is no number."""
        tokens = (life.input_tokens, life.output_tokens, life.cached_tokens or 0.0)
        instants = (life.arrived_s, life.last_s, life.first_s or 0.0, life.started_s or 0.0)
        if not (all(0 <= count <= MOST_TOKENS for count in tokens) and all(map(isfinite, instants))):
            raise ValueError(f"request {life.id} has {tokens} tokens between {life.arrived_s} and {life.last_s} s")
        began_s = self._running.pop(life.id, life.arrived_s)
        if life.id not in self._held:
            notes: set[Note] = set()
            if min(began_s, life.arrived_s) < self._settled_s:
                notes.add("dropped" if life.id in self._dropped else "late")
            if life.first_s is None:
                notes.add("first_token_unknown")
            self._held[life.id] = _Held(life, notes)
        self._dropped.pop(life.id, None)
        return self._on(life.last_s)

    def engine(self, at_s: float, signals: EngineSignals) -> tuple[Effect, ...]:
        """The engine's own metrics, in the order they were read."""
        if not self._samples or at_s > self._samples[-1][0]:
            self._samples.append((at_s, signals))
        return self._on(at_s)

    def window(self, total: Total) -> tuple[Effect, ...]:
        """In the order of time, none overlapping another; one that does is nobody's. Raises ValueError for no energy."""
        if not 0 <= (total.energy_j or 0.0) < inf or not isfinite(total.start_s) or not isfinite(total.end_s):
            raise ValueError(f"a window of {total.energy_j} J between {total.start_s} and {total.end_s} s")
        self._measured_j += total.energy_j or 0.0
        if total.start_s < max(self._closed_s, self._settled_s) or total.end_s <= total.start_s:
            self._unattributed_j += total.energy_j or 0.0
        else:
            self._windows.append(total)
            self._closed_s = total.end_s
        return self._on(total.end_s)

    def passed(self, now_s: float) -> tuple[Effect, ...]:
        """Nothing happened but time."""
        return self._on(now_s)

    def _on(self, now_s: float) -> tuple[Effect, ...]:
        self._now_s = max(self._now_s, now_s)
        effects: list[Effect] = []
        while self._windows and self._due(self._windows[0]):
            window = self._windows.popleft()
            effects.append(self._settle(window))
            effects += self._told(window.end_s)
        effects += self._let_go()
        return tuple(effects)

    def _due(self, window: Total) -> bool:
        if len(self._windows) > self._bounds.windows or len(self._held) > self._bounds.requests:
            return True
        waited_s = self._now_s - window.end_s
        if waited_s > self._bounds.held_s:
            return True
        return waited_s >= self._bounds.late_s and not any(began_s < window.end_s for began_s in self._running.values())

    def _settle(self, window: Total) -> Settled:
        """Divides it among the finished requests; those still running in it are dropped from it, with a part that nobody gets."""
        self._settled_s = window.end_s
        unknown_s = []
        for request, began_s in self._running.items():
            if began_s < window.end_s:
                unknown_s.append(window.end_s - max(began_s, window.start_s))
                self._dropped[request] = None
        while len(self._dropped) > self._bounds.requests:
            self._dropped.pop(next(iter(self._dropped)))
        found = [(held, one) for held in self._among(window) if (one := work_in(held.life, window.start_s, window.end_s))]
        if window.start_s <= self._gone_s:  # some of those that were in it are no longer held
            return self._nobodys(window, [held for held, _ in found])
        work = [one for _, one in found]
        said = self._progress(window)
        others = _others(work, said, window, fsum(unknown_s))
        everyone = work if others is None else [*work, others]
        batch = fsum(one.decode_s for one in everyone) / (window.end_s - window.start_s)
        energy_j = window.energy_j or 0.0
        if not work and others is None and not (said and (said.running or said.generation_tokens)):
            self._idle.saw(window)
        resting_w = self._idle.power_w
        alone_j = energy_j if not work and others is None else 0.0
        resting_j = alone_j if resting_w is None else idle_j(energy_j, resting_w, window.end_s - window.start_s)
        weights = self.weighing.at(max(1.0, batch))
        empty_j = 0.0 if others is not None else resting_j * _empty_share(window, [held.life for held, _ in found])
        divided = attribute(energy_j - empty_j, resting_j - empty_j, work, weights, others)
        notes: list[Note] = ["weights_unfitted"] if weights.source == "roofline" else []
        notes += ["idle_unknown"] if resting_w is None else []
        notes += ["power_integrated"] if window.source in {"power", "mixed"} else []
        measured = window.energy_j is not None and window.complete and window.measured
        for (held, one), share in zip(found, divided.shares, strict=True):
            held.active_j += share.active_j
            held.idle_j += share.idle_j
            held.windows += window.energy_j is not None
            if measured:
                held.measured_s += one.running_s
            if notes:
                held.notes.update(notes)
            if window.flags:
                held.flags.update(window.flags)
        self._attributed_j += fsum(share.active_j + share.idle_j for share in divided.shares)
        self._pool_idle_j += divided.pool_idle_j + empty_j
        self._unattributed_j += divided.unattributed_j
        return Settled(
            start_s=window.start_s,
            end_s=window.end_s,
            energy_j=energy_j,
            active_j=energy_j - resting_j,
            prefill_tokens=fsum(one.prefill_tokens for one in work),
            decode_tokens=fsum(one.decode_tokens for one in work),
            decode_context=fsum(one.decode_context for one in work),
            requests=len(work),
            batch=batch,
            pool_idle_j=divided.pool_idle_j + empty_j,
            unattributed_j=divided.unattributed_j,
            usable=window.complete and window.measured and resting_w is not None and others is None,
            flags=window.flags,
        )

    def _nobodys(self, window: Total, among: list[_Held]) -> Settled:
        for held in among:
            held.notes.add("dropped")
        energy_j = window.energy_j or 0.0
        self._unattributed_j += energy_j
        return Settled(start_s=window.start_s, end_s=window.end_s, energy_j=energy_j, unattributed_j=energy_j, flags=window.flags)

    def _among(self, window: Total) -> list[_Held]:
        """The held requests that overlap the window, with what the engine's metrics tell of them."""
        found = [held for held in self._held.values() if held.life.arrived_s < window.end_s and held.life.last_s >= window.start_s]
        fresh = [held for held in found if not held.resolved]
        if fresh:
            queued = self._queued([held.life for held in fresh])
            for held in fresh:
                self._resolve(held, queued.get(held.life.id))
        return found

    def _queued(self, lives: list[Life]) -> dict[str, float]:
        first_s, last_s = min(life.arrived_s for life in lives), max(life.last_s for life in lives)
        waiting = [(at_s, said.waiting) for at_s, said in self._samples if said.waiting and first_s <= at_s <= last_s]
        if not waiting:
            return {}
        still = (
            Life(id=request, arrived_s=began_s, last_s=inf, input_tokens=0, output_tokens=0) for request, began_s in self._running.items()
        )
        return queued_until([*(held.life for held in self._held.values()), *still], waiting)

    def _resolve(self, held: _Held, queued_s: float | None) -> None:
        life = held.life
        if life.cached_tokens is None:
            end_s = life.last_s if life.first_s is None else life.first_s
            share = self._between(life.arrived_s, end_s).cached_share
            if share is None:
                held.notes.add("cached_unknown")
            life = msgspec.structs.replace(life, cached_tokens=life.input_tokens * (share or 0.0))
        if queued_s is not None and life.started_s is None:
            life = msgspec.structs.replace(life, started_s=queued_s)
        held.life, held.resolved = life, True

    def _between(self, start_s: float, end_s: float) -> Progress:
        """From the last sample before to the first one after, as far as there are any."""
        before = after = None
        for at_s, signals in reversed(self._samples):
            if at_s >= end_s or after is None:
                after = (at_s, signals)
            before = (at_s, signals)
            if at_s <= start_s:
                break
        if before is None or after is None or after[0] <= before[0]:
            return Progress(start_s=start_s, end_s=end_s)
        return progress(before[1], after[1], before[0], after[0])

    def _progress(self, window: Total) -> Progress | None:
        """The engine's, where its samples cover the window."""
        said = self._between(window.start_s, window.end_s)
        covered = self._samples and self._samples[0][0] <= window.start_s and said.end_s >= window.end_s > said.start_s
        return said if covered else None

    def _told(self, settled_s: float) -> list[Effect]:
        """Requests that no later window can concern."""
        over = [request for request, held in self._held.items() if held.life.last_s < settled_s]
        return [self._attributed(self._held.pop(request)) for request in over]

    def _let_go(self) -> Iterable[Effect]:
        """Requests whose windows never came, and those that never ended."""
        oldest_s = self._now_s - self._bounds.held_s
        while self._held:
            request = next(iter(self._held))
            last_s = self._held[request].life.last_s
            awaited = last_s >= oldest_s or (self._windows and self._windows[0].start_s <= last_s)
            if awaited and len(self._held) <= self._bounds.requests:
                break
            self._gone_s = max(self._gone_s, last_s)
            yield self._attributed(self._held.pop(request))
        forgotten_s = self._now_s - self._bounds.forgotten_s
        while self._running and next(iter(self._running.values())) < forgotten_s:  # in the order they were told, nearly that of time
            del self._running[next(iter(self._running))]

    def _attributed(self, held: _Held) -> Attributed:
        life = held.life
        notes = held.notes
        running_s = max(0.0, life.last_s - life.begin_s)
        if not held.windows:
            notes.add("not_measured")
        elif held.measured_s < WHOLE * running_s:
            notes.add("partly_measured")
        energy_j = held.active_j + held.idle_j if held.windows else None
        band = band_of(GPU, notes)
        return Attributed(
            id=life.id,
            energy_j=energy_j,
            low_j=None if energy_j is None else energy_j * band.low,
            high_j=None if energy_j is None else energy_j * band.high,
            active_j=held.active_j,
            idle_j=held.idle_j,
            windows=held.windows,
            band=band,
            notes=tuple(sorted(notes)),
            flags=tuple(sorted(held.flags)),
        )


def _empty_share(window: Total, lives: list[Life]) -> float:
    """Of a long window, the part of its time in which none of these ran; of any other, and where none is there at all, nothing."""
    if window.end_s - window.start_s <= SHORT_S or not lives:
        return 0.0
    ran_s, until_s = 0.0, window.start_s
    for began_s, ended_s in sorted((max(life.begin_s, window.start_s), min(life.last_s, window.end_s)) for life in lives):
        ran_s += max(0.0, ended_s - max(began_s, until_s))
        until_s = max(until_s, ended_s)
    return max(0.0, 1.0 - ran_s / (window.end_s - window.start_s))


def _others(work: list[Work], said: Progress | None, window: Total, unknown_s: float) -> Work | None:
    """Work of requests that nobody knows: what the engine did beyond the known ones, else what runs on as if it were like them."""
    prefill, decode = fsum(one.prefill_tokens for one in work), fsum(one.decode_tokens for one in work)
    known_s = fsum(one.running_s for one in work)
    window_s = window.end_s - window.start_s
    context = fsum(one.decode_context for one in work)
    if said is not None and said.generation_tokens is not None and said.prompt_tokens is not None and said.running is not None:
        part = window_s / (said.end_s - said.start_s)
        read, written = said.prompt_tokens * (1 - (said.cached_share or 0.0)) * part, said.generation_tokens * part
        foreign = Work(
            id="",
            prefill_tokens=max(0.0, read - prefill),
            decode_tokens=max(0.0, written - decode),
            decode_context=max(0.0, written - decode) * (context / decode if decode else 0.0),
            decode_s=max(0.0, said.running * window_s - known_s),
            running_s=max(0.0, said.running * window_s - known_s),
        )
        more = foreign.prefill_tokens + foreign.decode_tokens > FOREIGN * (read + written)
        longer = foreign.running_s > max(0.5 * window_s, FOREIGN * said.running * window_s)
        if more and (longer or not work):
            return foreign
        return Work(id="", running_s=unknown_s) if unknown_s else None
    if not unknown_s:
        return None
    like = unknown_s / known_s if known_s else 1.0
    return Work(
        id="",
        prefill_tokens=prefill * like,
        decode_tokens=decode * like,
        decode_context=context * like,
        decode_s=fsum(one.decode_s for one in work) * like,
        running_s=unknown_s,
    )
