"""The ledger of one replica: windows and requests in, in almost any order; attributed requests and settled windows out. Pure.

    event                          effect
    began(id)                      no window that this request may be in is settled
    finished(life)                 it is held until every window it overlaps is settled, then told as `Attributed`
    engine(at, signals)            queueing, the batch and foreign traffic are seen
    window(total)                  held until `late_s` after its end and nobody still runs that began before it; then divided: `Settled`
    (any of them brings time)      what was held too long is let go
    ended                          all is divided and told at once

About 8 us for each request in each window: not in the event loop where hundreds run together.

Rule: joules are never lost and never made. At any time measured = attributed + pool + unattributed + pending, whatever was dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from math import fsum, inf, isfinite

import msgspec

from carbon.attributed import GPU, Attributed, Books, Effect, Note, Settled, band_of
from carbon.attribution import Attribution, Weighing, Weights, Work, attribute, idle_j
from carbon.engine import EngineSignals, Progress, progress
from carbon.spread import Life, queued_until, work_in
from carbon.windows import Flag, IdlePower, Total

SHORT_S = 5.0
"""Up to here a window's idle energy is theirs who ran in it, however shortly. In a longer one (an exporter that samples every 30 s, a meter
that was away) most of it would be of a time when nobody ran."""
WHOLE = 0.99
"""Share of a request's running time in windows that were measured, from which it counts as measured."""
FOREIGN = 0.2
"""Share of an engine's tokens beyond those of known requests, from which they are somebody else's and no unevenness of streams."""

MOST_TOKENS = 1e9


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


class _Held(msgspec.Struct):
    life: Life
    notes: set[Note]
    resolved: bool = False
    active_j: float = 0.0
    idle_j: float = 0.0
    windows: int = 0
    measured_s: float = 0.0
    flags: set[Flag] = msgspec.field(default_factory=set)
    host_j: float = 0.0
    host_windows: int = 0
    host_s: float = 0.0
    """Of its running time, in windows in which the host was measured whole."""
    host_flags: set[Flag] = msgspec.field(default_factory=set)


class _Side:
    """The accelerators, or the machine around them: idle power, and where the joules went since the ledger began."""

    def __init__(self, idle_w: float | None = None) -> None:
        self.idle = IdlePower(idle_w)
        self.measured_j = self.attributed_j = self.pool_idle_j = self.unattributed_j = 0.0

    def divided(
        self, window: Total, work: list[Work], weights: Weights, others: Work | None, empty: float
    ) -> tuple[Attribution, float, float]:
        """And what of it was drawn whether it serves or not, and of that in the `empty` share of its time, which is the pool's."""
        energy_j = window.energy_j or 0.0
        power_w = self.idle.power_w
        if power_w is None:
            resting_j = energy_j if not work and others is None else 0.0
        else:
            resting_j = idle_j(energy_j, power_w, window.end_s - window.start_s)
        empty_j = resting_j * empty
        found = attribute(energy_j - empty_j, resting_j - empty_j, work, weights, others)
        self.attributed_j += fsum(share.active_j + share.idle_j for share in found.shares)
        self.pool_idle_j += found.pool_idle_j + empty_j
        self.unattributed_j += found.unattributed_j
        return found, resting_j, empty_j

    def books(self, pending: Iterable[Total | None]) -> Books:
        return Books(
            measured_j=self.measured_j,
            attributed_j=self.attributed_j,
            pool_idle_j=self.pool_idle_j,
            unattributed_j=self.unattributed_j,
            pending_j=fsum(window.energy_j or 0.0 for window in pending if window is not None),
        )


class Replica:
    def __init__(self, weighing: Weighing, idle_w: float | None = None, bounds: Bounds | None = None) -> None:
        """`idle_w`: what the accelerators are said to draw with nobody served."""
        self.weighing = weighing
        """May be replaced; windows that are settled stay as they are."""
        self._bounds = bounds or Bounds()
        self._own = _Side(idle_w)
        self._around: _Side | None = None
        """None until it is measured."""
        self._running: dict[str, float] = {}
        self._dropped: dict[str, None] = {}
        self._held: dict[str, _Held] = {}
        self._windows: deque[Total] = deque()
        self._samples: deque[tuple[float, EngineSignals]] = deque(maxlen=self._bounds.samples)
        self._now_s = self._settled_s = self._closed_s = self._gone_s = -inf

    @property
    def idle_power_w(self) -> float | None:
        return self._own.idle.power_w

    @property
    def host_idle_power_w(self) -> float | None:
        return None if self._around is None else self._around.idle.power_w

    @property
    def books(self) -> Books:
        return self._own.books(self._windows)

    @property
    def host_books(self) -> Books | None:
        """Of the machine around the accelerators; None where it was never measured."""
        return None if self._around is None else self._around.books(window.around for window in self._windows)

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
        for part in (total, total.around or total):
            if not 0 <= (part.energy_j or 0.0) < inf or not isfinite(part.start_s) or not isfinite(part.end_s):
                raise ValueError(f"a window of {part.energy_j} J between {part.start_s} and {part.end_s} s")
        sides = self._sides(total)
        for side, part in sides:
            side.measured_j += part.energy_j or 0.0
        if total.start_s < max(self._closed_s, self._settled_s) or total.end_s <= total.start_s:
            for side, part in sides:
                side.unattributed_j += part.energy_j or 0.0
        else:
            self._windows.append(total)
            self._closed_s = total.end_s
        return self._on(total.end_s)

    def passed(self, now_s: float) -> tuple[Effect, ...]:
        """Nothing happened but time."""
        return self._on(now_s)

    @property
    def running(self) -> int:
        """Requests that were told to have begun and not to be over."""
        return len(self._running)

    def ended(self) -> tuple[Effect, ...]:
        """Nothing more comes: all windows are divided and all that is held is told. What still runs has no figure."""
        effects: list[Effect] = []
        while self._windows:
            window = self._windows.popleft()
            effects.append(self._settle(window))
            effects += self._told(window.end_s)
        effects += [self._attributed(held) for held in self._held.values()]
        self._held.clear()
        self._running.clear()
        return tuple(effects)

    def _sides(self, window: Total) -> Sequence[tuple[_Side, Total]]:
        """What was measured in a window, beside whose it is."""
        if window.around is None:
            return ((self._own, window),)
        self._around = self._around or _Side()
        return ((self._own, window), (self._around, window.around))

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
        rejected = said.rejected_share if said is not None else None
        if rejected:
            work, others = [_drafted(one, rejected) for one in work], None if others is None else _drafted(others, rejected)
        everyone = work if others is None else [*work, others]
        batch = fsum(one.decode_s for one in everyone) / (window.end_s - window.start_s)
        sides = self._sides(window)
        if not work and others is None and not (said and (said.running or said.generation_tokens)):
            for side, part in sides:
                side.idle.saw(part)
        weights = self.weighing.at(max(1.0, batch))
        empty = 0.0 if others is not None else _empty_share(window, [held.life for held, _ in found])
        divided = [(*side.divided(part, work, weights, others, empty), part) for side, part in sides]
        rested = all(side.idle.power_w is not None for side, _ in sides)
        notes: list[Note] = ["weights_unfitted"] if weights.source == "roofline" else []
        notes += [] if rested else ["idle_unknown"]
        notes += ["power_integrated"] if window.source in {"power", "mixed"} else []
        notes += ["preempted"] if said is not None and said.preemptions else []
        notes += ["drafts_shared"] if rejected else []
        for index, (held, one) in enumerate(found):
            _credit(held, one, [(shares.shares[index].active_j, shares.shares[index].idle_j, part) for shares, _, _, part in divided])
            if notes:
                held.notes.update(notes)
        own, resting_j, empty_j, _ = divided[0]
        energy_j = window.energy_j or 0.0
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
            pool_idle_j=own.pool_idle_j + empty_j,
            unattributed_j=own.unattributed_j,
            usable=window.complete and window.measured and self._own.idle.power_w is not None and others is None,
            flags=window.flags,
        )

    def _nobodys(self, window: Total, among: list[_Held]) -> Settled:
        for held in among:
            held.notes.add("dropped")
        for side, part in self._sides(window):
            side.unattributed_j += part.energy_j or 0.0
        energy_j = window.energy_j or 0.0
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
        counted = held.host_windows > 0 and held.host_s >= WHOLE * running_s
        if self._around is not None and not counted:
            notes.add("host_assumed")
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
            host_j=held.host_j if counted else None,
            host_flags=tuple(sorted(held.host_flags)),
        )


def _credit(held: _Held, one: Work, shares: Sequence[tuple[float, float, Total]]) -> None:
    """A request gets its active and idle joules of a window: of the accelerators, and of the machine around them where it was measured."""
    active_j, idle_j, own = shares[0]
    held.active_j += active_j
    held.idle_j += idle_j
    held.windows += own.energy_j is not None
    if own.whole:
        held.measured_s += one.running_s
    if own.flags:
        held.flags.update(own.flags)
    for host_active_j, host_idle_j, around in shares[1:]:
        held.host_j += host_active_j + host_idle_j
        held.host_windows += around.whole
        held.host_s += one.running_s if around.whole else 0.0
        held.host_flags.update(around.flags)


def _drafted(one: Work, rejected: float) -> Work:
    """With the drafts that were computed for nothing: whose they were nobody tells, so that each has the same part of its own tokens."""
    return msgspec.structs.replace(
        one, decode_tokens=one.decode_tokens * (1 + rejected), decode_context=one.decode_context * (1 + rejected)
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
