"""Grams of CO2e a kilowatt-hour carries: one grid zone at one time, with its band, its basis and where it was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from carbon.bands import Band

Basis = Literal["lifecycle", "direct", "lifecycle-estimated"]
"""Direct counts what leaves the chimney; lifecycle adds fuel, building and leaks; estimated is direct converted (32 + 1.09 x direct)."""
Signal = Literal["average", "marginal"]
"""Of the mix that was fed in, or of the plants that would answer to one kilowatt-hour more or less."""

LIFECYCLE_CONSTANT, LIFECYCLE_SLOPE = 32.0, 1.09
"""Lifecycle from direct, in g/kWh: fitted to 37 pairs of figures for the same grid (docs/carbon.md)."""
CONVERTED = Band(1 / 1.13, 1.13)
"""What the conversion adds to a band: its typical error."""
STALE = Band(0.8, 1.25)
"""What a figure older than its source's rhythm adds: a grid's mix has moved on since."""


class Intensity(msgspec.Struct, frozen=True, kw_only=True):
    """A location-based figure; `low` and `high` bound 80 % of it, in the same unit."""

    zone: str
    g_per_kwh: float
    low: float
    high: float
    basis: Basis
    source: str
    as_of: str
    """RFC 3339, in UTC with Z; of a mean over a time, its end (of a yearly mean, the year's), but never later than now."""
    licence: str
    signal: Signal = "average"
    assumed: bool = False
    """No zone is known: this is the world's mean."""
    estimated: bool = False
    """The source modelled or converted it."""
    forecast: bool = False
    """Predicted, not observed: `as_of` may lie ahead."""


class Table(msgspec.Struct, frozen=True):
    """The intensity of each zone by its id, all on one basis. A new sample makes a new table."""

    samples: Mapping[str, Intensity]
    marginal: Mapping[str, Intensity] = {}

    def latest(self, zone: str | None) -> Intensity | None:
        """The average of a zone's id. No zone: the world's, marked `assumed`. None: nothing of that basis is known there."""
        if zone is not None:
            return self.samples.get(zone)
        world = self.samples.get("WORLD")
        return None if world is None else msgspec.structs.replace(world, assumed=True)


def on_basis(sample: Intensity, basis: Literal["lifecycle", "direct"]) -> Intensity | None:
    """The sample where its basis is the one wanted, or can be converted to it; None where it cannot. A marginal one stays as it is."""
    if sample.signal == "marginal" or sample.basis == basis:
        return sample
    if basis == "direct":
        return None
    if sample.basis == "lifecycle-estimated":
        return sample
    value = LIFECYCLE_CONSTANT + LIFECYCLE_SLOPE * sample.g_per_kwh
    converted = msgspec.structs.replace(
        sample,
        g_per_kwh=round(value, 4),
        low=LIFECYCLE_CONSTANT + LIFECYCLE_SLOPE * sample.low,
        high=LIFECYCLE_CONSTANT + LIFECYCLE_SLOPE * sample.high,
        basis="lifecycle-estimated",
        estimated=True,
    )
    return widened(converted, CONVERTED)


def widened(sample: Intensity, by: Band) -> Intensity:
    """With an independent uncertainty on top of its own."""
    value = sample.g_per_kwh
    if value <= 0:
        return sample
    own = Band(sample.low / value if sample.low > 0 else 1e-3, sample.high / value)
    band = own.combined(by)
    return msgspec.structs.replace(sample, low=value * band.low, high=value * band.high)
