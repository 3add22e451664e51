"""Which grid a zone of ours is, for providers that have names of their own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from carbon import shipped
from carbon.zones import resolve_zone

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Degrees; the provider says which grid is there."""

    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    """Latitude in degrees, north positive; -90 to 90."""
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    """Longitude in degrees, east positive; -180 to 180."""


def grid_of(zone: str) -> str | None:
    """The one grid that a zone (its id) draws on: `US-MIDA-PJM`, or an alpha-2 code where a country is one grid or is asked for as a whole.

    None where no one grid is known: eGRID subregions, EU, WORLD. A part of a country has never the country's name.
    """
    region = shipped.regions().get(zone)
    if region is not None:
        return region.em_zone or None
    return _grids().get(zone)


@functools.cache
def _grids() -> dict[str, str]:
    parts = {region.em_zone: region.em_zone for region in shipped.regions().values() if region.em_zone}
    return parts | {country.alpha3: country.alpha2 for country in shipped.countries().values()}


def by_id(named: Mapping[str, T]) -> dict[str, T]:
    """A setting whose names are zones in any spelling, by their ids. Raises ValueError for what is no zone, and for one zone twice."""
    found: dict[str, T] = {}
    for name, value in named.items():
        zone = resolve_zone(name).id
        if zone in found:
            raise ValueError(f"zone {name!r} is named twice, in two spellings")
        found[zone] = value
    return found
