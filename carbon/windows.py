"""From readings of joule counters to windows with the energy used in each. Pure: the readings bring their instants.

A `Meterage` is fed one batch of readings after the other and closes a window for every device at once, so that all windows of one
replica have the same bounds. Nothing is invented: a window without a usable counter or power has no energy, and says why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import fsum, isfinite
from typing import Literal

import msgspec

LEAST_S = 1.0
"""NVML's counter steps about every 100 ms (ml.energy blog; zeus v0.6.1): shorter windows are mostly noise."""
MOST_S = 60.0
"""A window whose counters do not move is kept open this long: dcgm-exporter takes new samples every 30 s by default."""
GAP_S = 30.0
"""Between readings further apart than this, power is not interpolated."""
MOST_W = 1500.0
"""No accelerator of 2026 draws more by itself (B200: 1,000-1,200 W)."""
FORGET_S = 300.0
"""A device that was not read for so long belongs to the replica no more."""
MOST_DEVICES = 256

Flag = Literal[
    "appeared",
    "counter_reset",
    "counter_still",
    "gap",
    "implausible",
    "mig_whole_gpu",
    "missing",
    "shared",
]
"""What is to be known of a reading or a window; docs/measuring.md tells what each means."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one device told at one instant. The readings of one `Meter.read` carry the same instant."""

    device: str
    """A GPU's UUID, or a name that stays the same while the device does."""
    at_s: float
    """On the monotonic clock."""
    energy_j: float | None = None
    """Since the counter began. None: there is no counter."""
    power_w: float | None = None
    measured: bool = True
    """Whether hardware measured it; False for whatever models its own figure."""
    range_j: float | None = None
    """The counter begins again at 0 after this. None: it does not."""
    gpus: int = 1
    """Accelerators this one counter covers."""
    around: bool = False
    """Of the machine around the accelerators that are measured: its windows have their bounds."""
    flags: tuple[Flag, ...] = ()
    labels: Mapping[str, str] = {}
    """What else the source says of the device: its model, the pod that holds it."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The energy of one device between two instants."""

    device: str
    start_s: float
    end_s: float
    energy_j: float | None
    """None: not measured, and `flags` say why."""
    source: Literal["counter", "power"] | None
    """A difference of counters, or power integrated; None with no energy."""
    measured: bool = True
    flags: tuple[Flag, ...] = ()
    around: bool = False


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of all devices of a replica between the same two instants, as one."""

    start_s: float
    end_s: float
    energy_j: float | None
    """Of the devices that were measured; None where none was."""
    complete: bool
    """Every device was measured."""
    source: Literal["counter", "power", "mixed"] | None
    measured: bool = True
    flags: tuple[Flag, ...] = ()
    around: Total | None = None
    """The machine around those devices, between the same instants; None where nobody counts it."""

    @property
    def whole(self) -> bool:
        """All of it was measured, by hardware."""
        return self.energy_j is not None and self.complete and self.measured


def total(windows: Sequence[Window]) -> Total:
    """Windows of the same bounds, as `Meterage.closed` returns them; at least one that is not of the machine around."""
    around = [window for window in windows if window.around]
    own = _total([window for window in windows if not window.around])
    return msgspec.structs.replace(own, around=_total(around)) if around else own


def _total(windows: Sequence[Window]) -> Total:
    known = [window.energy_j for window in windows if window.energy_j is not None]
    sources = {window.source for window in windows if window.source is not None}
    first = windows[0]
    return Total(
        start_s=first.start_s,
        end_s=first.end_s,
        energy_j=fsum(known) if known else None,
        complete=len(known) == len(windows),
        source=None if not sources else sources.pop() if len(sources) == 1 else "mixed",
        measured=all(window.measured for window in windows),
        flags=tuple(sorted({flag for window in windows for flag in window.flags})),
    )


class _Track(msgspec.Struct):
    """One device within the open window."""

    seen_s: float
    energy_j: float | None
    power_w: float | None
    counted_j: float | None
    """What the counter has added since the window began; None once that cannot be told."""
    drawn_j: float | None
    """The same by power."""
    fresh: bool
    """The counter moved at the last reading, or there is none."""
    most_w: float
    measured: bool
    around: bool
    flags: set[Flag]


class Meterage:
    """Readings in, windows out. Holds one open window and at most MOST_DEVICES devices."""

    def __init__(self, least_s: float = LEAST_S, most_s: float = MOST_S, most_w: float = MOST_W) -> None:
        self._least_s, self._most_s, self._most_w = least_s, most_s, most_w
        self._tracks: dict[str, _Track] = {}
        self._start_s = self._last_s = -1.0
        self._begun = self._stale = False

    def closed(self, readings: Sequence[Reading]) -> tuple[Window, ...]:
        """The windows that this batch ends: none, or one for each device. A batch no later than the last one is let go.

        Raises ValueError for more devices than are held.
        """
        if not readings:
            return ()
        at_s = max(reading.at_s for reading in readings)
        if not self._tracks:
            self._start_s = self._last_s = at_s
        elif at_s <= self._last_s:
            return ()
        self._take(readings, at_s)
        self._last_s = at_s
        long = at_s - self._start_s >= self._most_s
        fresh = all(track.fresh for track in self._tracks.values() if track.seen_s == at_s and not track.around)
        self._stale = self._stale or not (fresh or self._begun)
        if at_s - self._start_s < self._least_s or not (fresh or long):
            return ()
        began, self._begun = self._begun, True
        # A counter that stood still when it was first read had been sampled before: the joules up to its first step are older too.
        windows = () if self._stale and fresh and not began else tuple(self._window(name, at_s) for name in sorted(self._tracks))
        self._open(at_s)
        return windows

    def last(self, readings: Sequence[Reading]) -> tuple[Window, ...]:
        """The windows of what is still open, however short they are: nothing is read after this batch, which may be empty."""
        at_s = max((reading.at_s for reading in readings), default=self._last_s)
        if self._tracks and at_s > self._last_s:
            self._take(readings, at_s)
            self._last_s = at_s
        if self._last_s <= self._start_s or (self._stale and not self._begun):
            return ()
        windows = tuple(self._window(name, self._last_s) for name in sorted(self._tracks))
        self._open(self._last_s)
        return windows

    def _take(self, readings: Iterable[Reading], at_s: float) -> None:
        first = not self._tracks
        for reading in readings:
            track = self._tracks.get(reading.device)
            if track is None:
                self._add(reading, at_s, first=first)
            else:
                self._step(track, reading, at_s)
        for track in self._tracks.values():
            if track.seen_s != at_s:
                track.flags.add("missing")

    def _add(self, reading: Reading, at_s: float, *, first: bool) -> None:
        if len(self._tracks) >= MOST_DEVICES:
            raise ValueError(f"one replica has at most {MOST_DEVICES} devices, and {reading.device} is one more")
        energy_j, power_w = _known(reading.energy_j), _known(reading.power_w)
        self._tracks[reading.device] = _Track(
            seen_s=at_s,
            energy_j=energy_j,
            power_w=power_w,
            counted_j=None if energy_j is None else 0.0,
            drawn_j=0.0,
            fresh=True,
            most_w=self._most_w * reading.gpus,
            measured=reading.measured,
            around=reading.around,
            flags=set(reading.flags) if first else {"appeared", *reading.flags},
        )

    def _step(self, track: _Track, reading: Reading, at_s: float) -> None:
        energy_j, power_w = _known(reading.energy_j), _known(reading.power_w)
        passed_s = at_s - track.seen_s
        if passed_s > GAP_S:
            track.flags.add("gap")
        if power_w is None or track.power_w is None or passed_s > GAP_S:
            track.drawn_j = None
        elif track.drawn_j is not None:
            track.drawn_j += 0.5 * (power_w + track.power_w) * passed_s
        added_j = None if energy_j is None or track.energy_j is None else energy_j - track.energy_j
        if added_j is not None and added_j < 0:
            added_j = self._around(track, added_j, reading.range_j, passed_s)
        track.counted_j = None if added_j is None or track.counted_j is None else track.counted_j + added_j
        track.fresh = energy_j is None or added_j != 0
        track.flags.update(reading.flags)
        track.seen_s, track.energy_j, track.power_w = at_s, energy_j, power_w
        track.measured = track.measured and reading.measured

    def _around(self, track: _Track, added_j: float, range_j: float | None, passed_s: float) -> float | None:
        """What a counter that went back has added: known only of one that is due to begin again."""
        if range_j is not None and 0 <= added_j + range_j <= track.most_w * passed_s:
            return added_j + range_j
        track.flags.add("counter_reset")
        return None

    def _window(self, device: str, at_s: float) -> Window:
        track = self._tracks[device]
        most_j = track.most_w * (at_s - self._start_s)
        counted_j, drawn_j = track.counted_j, track.drawn_j
        if {"appeared", "missing"} & track.flags:
            counted_j = drawn_j = None
        if counted_j == 0:
            track.flags.add("counter_still")
            counted_j = None
        if (counted_j is not None and counted_j > most_j) or (counted_j is None and drawn_j is not None and drawn_j > most_j):
            track.flags.add("implausible")
            counted_j = None
            drawn_j = drawn_j if drawn_j is not None and drawn_j <= most_j else None
        return Window(
            device=device,
            start_s=self._start_s,
            end_s=at_s,
            energy_j=drawn_j if counted_j is None else counted_j,
            source="counter" if counted_j is not None else None if drawn_j is None else "power",
            measured=track.measured,
            flags=tuple(sorted(track.flags)),
            around=track.around,
        )

    def _open(self, at_s: float) -> None:
        self._start_s = at_s
        self._tracks = {name: track for name, track in self._tracks.items() if at_s - track.seen_s < FORGET_S}
        for track in self._tracks.values():
            gone = track.seen_s != at_s
            # one that is away now is not whole when it is back: its counter has also counted what earlier windows went without
            track.flags = {"missing"} if gone else set()
            track.counted_j = None if track.energy_j is None else 0.0
            track.drawn_j = 0.0


class IdlePower:
    """Watts of a replica that holds its model and serves nobody: the 5th percentile of the last empty windows."""

    LEAST, MOST = 5, 256

    def __init__(self, stated_w: float | None = None) -> None:
        self._stated_w = stated_w
        self._seen_w: deque[float] = deque(maxlen=self.MOST)

    def saw(self, window: Total) -> None:
        """An empty window. One that was not measured whole tells nothing."""
        if window.complete and window.energy_j is not None and window.end_s > window.start_s:
            self._seen_w.append(window.energy_j / (window.end_s - window.start_s))

    @property
    def power_w(self) -> float | None:
        """None until LEAST windows were empty, unless it was stated."""
        if len(self._seen_w) < self.LEAST:
            return self._stated_w
        return sorted(self._seen_w)[len(self._seen_w) // 20]


def _known(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) and value >= 0 else None
