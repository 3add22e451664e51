"""The yearly means that ship with Greenlane: no network, always there, the last resort of every chain of sources."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from carbon import shipped
from carbon.intensity import Basis, Intensity, Table
from carbon.reach import Reach
from carbon.zones import zones


class Static(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Yearly means that ship with Greenlane, for every zone it knows; it needs no network."""

    basis: Literal["lifecycle", "direct"] = "lifecycle"
    """`direct` knows only the zones whose row is direct; `lifecycle` knows all, converted where it must."""

    @property
    def every_s(self) -> float:
        return math.inf

    async def latest(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:  # noqa: ARG002 - needs nothing of the world
        return tuple(sample for zone, sample in self.table().samples.items() if zone in zones)

    async def ahead(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:  # noqa: ARG002 - a mean of a year foretells nothing
        return ()

    def table(self) -> Table:
        """Every zone that has a name, under its id."""
        rows = shipped.intensities()
        found = {zone.id: self._sample(zone.id, rows[zone.row]) for zone in zones().values()}
        return Table({zone: sample for zone, sample in found.items() if sample is not None})

    def _sample(self, zone: str, row: shipped.IntensityRow) -> Intensity | None:
        lifecycle = row.basis.startswith("lifecycle")
        if self.basis == "direct" and lifecycle:
            return None
        g_per_kwh = row.gco2_per_kwh if lifecycle or self.basis == "direct" else row.gco2_per_kwh_lifecycle_est
        converted = not lifecycle and self.basis == "lifecycle"
        basis: Basis = "lifecycle-estimated" if converted else self.basis
        return Intensity(
            zone=zone,
            g_per_kwh=g_per_kwh,
            low=round(g_per_kwh * row.band_low, 4),
            high=round(g_per_kwh * row.band_high, 4),
            basis=basis,
            source=row.source,
            as_of=f"{row.year}-12-31T23:59:59Z",
            licence=row.licence,
            estimated=converted,
        )
