"""What every source of intensities is, and how several of them are asked as one chain."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, Protocol

import msgspec

from carbon.intensity import STALE, Intensity, Signal, Table, on_basis, widened
from carbon.reach import Reach

SKEW_S = 900.0
"""A figure said to be of later than this from now is not taken for one of now."""


class IntensitySource(Protocol):
    """Where intensities come from: a frozen Struct whose fields are its settings. Called by a worker, never while a request waits."""

    @property
    def every_s(self) -> float:
        """How often its figures change: it is asked as often, and one older than twice that is stale. Infinite: it never changes."""
        ...

    async def latest(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:
        """What is known now of the zones named (their ids), of each signal it has; a zone it cannot tell is left out.

        Raises OutOfReachError where nothing could be told for want of an answer.
        """
        ...

    async def ahead(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:
        """Its forecast for a zone, in order of time, marked `forecast`; empty where it has none. Raises OutOfReachError."""
        ...


class Told(msgspec.Struct, frozen=True):
    """What one source of the chain has told last."""

    every_s: float
    samples: tuple[Intensity, ...]


def chained(chain: Sequence[Told], basis: Literal["lifecycle", "direct"], now_s: float, max_age_s: float) -> Table:
    """One figure a zone and signal: of the first source, in order of trust, whose figure is fresh; else of the first whose is not too old.

    A stale figure has a wider band, and yields to no source that never changes: some hours ago says more of now than the mean of a year.
    A figure of the other basis is converted where it can be and left out where it cannot, so that whatever is compared is comparable.
    """
    fresh: dict[tuple[str, Signal], Intensity] = {}
    stale: dict[tuple[str, Signal], Intensity] = {}
    for told in chain:
        unchanging = math.isinf(told.every_s)
        for sample in told.samples:
            key, age_s = (sample.zone, sample.signal), now_s - instant_s(sample.as_of)
            comparable = on_basis(sample, basis)
            if comparable is None or key in fresh or age_s < -SKEW_S:
                continue
            if unchanging:
                fresh[key] = stale.pop(key, comparable)
            elif age_s <= 2 * told.every_s:
                fresh[key] = comparable
            elif age_s <= max_age_s:
                stale.setdefault(key, widened(comparable, STALE))
    best = {**stale, **fresh}
    return Table(
        {zone: sample for (zone, signal), sample in best.items() if signal == "average"},
        {zone: sample for (zone, signal), sample in best.items() if signal == "marginal"},
    )


def newest(samples: Iterable[Intensity]) -> dict[tuple[str, Signal], Intensity]:
    """Of several of one source, the latest of each zone and signal."""
    found: dict[tuple[str, Signal], Intensity] = {}
    for sample in samples:
        held = found.get((sample.zone, sample.signal))
        if held is None or instant_s(held.as_of) <= instant_s(sample.as_of):
            found[sample.zone, sample.signal] = sample
    return found


@lru_cache(maxsize=4096)
def instant_s(as_of: str) -> float:
    """Unix time of an RFC 3339 instant. Raises ValueError."""
    return datetime.fromisoformat(as_of).timestamp()


def written(unix_s: float) -> str:
    """An instant as `as_of` has it: RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
