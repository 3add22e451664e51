"""From what a provider tells to a figure: numbers and instants checked, its time, its band."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from carbon.bands import Band
from carbon.intensity import Basis, Intensity, Signal
from carbon.reach import OutOfReachError
from carbon.sources._base import SKEW_S, written

OBSERVED = Band(0.9, 1.1)
"""80 % of a live figure made of what was fed in. Our judgement: providers of the same grid and hour differ about as much."""
MODELLED = Band(0.8, 1.2)
"""80 % of one that the provider estimated or foretold. Our judgement."""
EARLIEST_S, LATEST_S = 946_684_800.0, 4_102_444_800.0
"""2000 and 2100: an instant outside of them is no instant of a figure."""
MOST_G_PER_KWH = 5000.0
"""Several times the dirtiest plant: what is above is in another unit, or wrong."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures of one answer have in common."""

    basis: Basis
    signal: Signal = "average"
    source: str
    licence: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A value, and the time it holds for: from `start_s` (Unix time) on, for `period_s`."""

    g_per_kwh: float
    start_s: float
    period_s: float
    estimated: bool = False
    forecast: bool = False


def grams(value: Any, factor: float = 1.0) -> float | None:
    """A plausible intensity in g/kWh; None for text, booleans, negatives, NaN and what no grid can have."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value) * factor
    except OverflowError:
        return None
    return round(found, 4) if math.isfinite(found) and 0 <= found <= MOST_G_PER_KWH else None


def unix_s(value: Any) -> float | None:
    """Of an RFC 3339 instant; None for anything else, also for one that does not say its offset."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        found = instant.timestamp()
        return None if instant.tzinfo is None or not EARLIEST_S <= found <= LATEST_S else found
    except (ValueError, OverflowError):
        return None


def current(facts: Facts, zones: Iterable[str], reading: Reading, now_s: float) -> tuple[Intensity, ...]:
    """The reading as what is known now of each zone, as of its end or of now. Raises OutOfReachError where it begins later."""
    if not EARLIEST_S <= reading.start_s <= LATEST_S:
        raise OutOfReachError("garbled", f"{facts.source}: a figure of no instant of this century")
    if reading.start_s > now_s + SKEW_S:
        raise OutOfReachError("garbled", f"{facts.source}: a figure of {written(reading.start_s)}; one of the two clocks is wrong")
    as_of_s = min(reading.start_s + reading.period_s, now_s)
    return tuple(_figure(facts, zone, reading, as_of_s) for zone in zones)


def upcoming(facts: Facts, zone: str, readings: Iterable[Reading], now_s: float, hours: float) -> tuple[Intensity, ...]:
    """Those that hold now or within the hours to come, in order, each as of the instant from which it holds."""
    wanted = {each.start_s: each for each in readings if each.start_s + each.period_s > now_s and each.start_s <= LATEST_S}
    return tuple(
        _figure(facts, zone, msgspec.structs.replace(wanted[start_s], forecast=True), start_s)
        for start_s in sorted(wanted)
        if start_s < now_s + hours * 3600
    )


def _figure(facts: Facts, zone: str, reading: Reading, as_of_s: float) -> Intensity:
    band = MODELLED if reading.estimated or reading.forecast else OBSERVED
    return Intensity(
        zone=zone,
        g_per_kwh=reading.g_per_kwh,
        low=round(reading.g_per_kwh * band.low, 4),
        high=round(reading.g_per_kwh * band.high, 4),
        basis=facts.basis,
        signal=facts.signal,
        source=facts.source,
        as_of=written(as_of_s),
        licence=facts.licence,
        estimated=reading.estimated,
        forecast=reading.forecast,
    )
