"""Grams of CO2e a kilowatt-hour carries: one grid zone at one time, with its band, its basis and where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from carbon.zones import UnknownZoneError, resolve_zone

Basis = Literal["lifecycle", "direct", "lifecycle-estimated"]
"""Direct counts what leaves the chimney; lifecycle adds fuel, building and leaks; estimated is direct converted (32 + 1.09 x direct)."""


class Intensity(msgspec.Struct, frozen=True, kw_only=True):
    """A location-based average; `low` and `high` bound 80 % of it, in the same unit."""

    zone: str
    g_per_kwh: float
    low: float
    high: float
    basis: Basis
    source: str
    as_of: str
    """RFC 3339; of a yearly mean, the year's end."""
    licence: str
    assumed: bool = False
    """No zone is known: this is the world's mean."""
    estimated: bool = False
    """The source modelled or converted it."""


class IntensitySource(Protocol):
    """Where intensities come from: a Struct whose fields are its settings. Called by a worker, never while a request waits."""

    async def latest(self, zones: frozenset[str]) -> tuple[Intensity, ...]:
        """What is known now of the zones named (their ids); a zone it cannot tell is left out. Raises OSError when out of reach."""
        ...


class Table(msgspec.Struct, frozen=True):
    """The latest intensity of each zone, by the zone's id. A new sample makes a new table."""

    samples: Mapping[str, Intensity]

    def latest(self, zone: str | None) -> Intensity | None:
        """The sample of a zone's id. No zone: the world's, marked `assumed`. None: nothing of that basis is known there."""
        if zone is not None:
            return self.samples.get(zone)
        world = self.samples.get("WORLD")
        return None if world is None else msgspec.structs.replace(world, assumed=True)

    def updated(self, samples: Iterable[Intensity]) -> Table:
        """With newer samples in the place of older ones (instants in UTC, so text sorts as time)."""
        fresh = {sample.zone: sample for sample in samples}
        held = {zone: sample for zone, sample in self.samples.items() if zone in fresh and sample.as_of > fresh[zone].as_of}
        return Table({**self.samples, **fresh, **held})

    def stated(self, grid: str | None, otherwise: Intensity | None) -> Intensity | None:
        """Of the grid a provider names in its answer, where our own is only assumed; else `otherwise`."""
        if grid is None or otherwise is None or not otherwise.assumed:
            return otherwise
        try:
            return self.latest(resolve_zone(grid).id) or otherwise
        except UnknownZoneError:
            return otherwise
