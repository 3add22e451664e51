"""Places by name: what a configuration may call a grid zone, and every name a `regions` constraint may know it by."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable

import msgspec

from carbon import places, shipped


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """Where a deployment draws its power."""

    id: str
    """As this table writes it: `aws:eu-north-1`, `SWE`, `US-MIDA-PJM`, `EU`, `WORLD`."""
    names: frozenset[str]
    """Upper-case: its id, the cloud region with and without prefix, grid zone, country codes, EU. None of WORLD's is a place."""
    row: str
    """The row of intensities.csv that gives its intensity."""


class UnknownZoneError(ValueError):
    """A zone or region is written that nothing here is called; `nearest` has up to three that are."""

    def __init__(self, written: str, nearest: tuple[str, ...]) -> None:
        hint = f"; nearest: {('; ' if ', ' in ''.join(nearest) else ', ').join(nearest)}" if nearest else ""
        super().__init__(f"unknown zone {written[:80]!r}{hint}")
        self.written = written
        self.nearest = nearest


WORLD = Zone(id="WORLD", names=frozenset({"WORLD"}), row="WORLD")
"""Taken where a deployment has no zone. It says nothing of where that is: such a deployment has no region names."""

ALSO_WRITTEN = {"UK": "GB"}
"""Reserved by ISO 3166 for the same country."""


def named_zone(written: str) -> Zone | None:
    """The zone called so in any case: cloud region, grid zone, ISO 3166 code, `EU` or `WORLD`."""
    wanted = written.strip().upper()
    return zones().get(ALSO_WRITTEN.get(wanted, wanted))


def resolve_zone(written: str) -> Zone:
    """The zone called so or, where none is, that of the city (`Paris`, `Portland, US-OR`) or the place (`48.86,2.35`) written.

    Raises UnknownZoneError, also for a country whose intensity is not in the table, and where several cities may be meant.
    """
    zone = named_zone(written)
    if zone is not None:
        return zone
    place = places.located(written)
    if place is None:
        raise UnknownZoneError(written, (*_nearest(written.strip().upper(), zones()), *places.alike(written))[:3])
    if place.zone is None or place.zone not in zones():
        raise UnknownZoneError(written, place.candidates)
    return zones()[place.zone]


def resolve_regions(names: Iterable[str]) -> frozenset[str]:
    """The names of a `regions` constraint, upper-case as in `Zone.names`; countries need no intensity. Raises UnknownZoneError."""
    return frozenset(_region(name) for name in names)


def _region(written: str) -> str:
    wanted = ALSO_WRITTEN.get(written.strip().upper(), written.strip().upper())
    if wanted not in _region_names():
        raise UnknownZoneError(written, _nearest(wanted, _region_names()))
    return wanted


def _nearest(wanted: str, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three names like it, as the table spells them; a country's English name leads to its code, as does a grid zone of one."""
    spelled = _cloud_spelling()
    shown = {name: spelled.get(name, name) for name in known}
    spoken = {country.name.upper(): country.alpha2 for country in shipped.countries().values() if country.alpha2 in shown}
    found = [spoken[name] for name in difflib.get_close_matches(wanted, spoken, n=1, cutoff=0.85)]
    found += [shown[name] for name in difflib.get_close_matches(wanted, shown, n=3, cutoff=0.6)]
    country = wanted.partition("-")[0]
    if not found and country != wanted and len(country) == 2 and country in shown:
        found = [shown[country]]
    return tuple(dict.fromkeys(found))[:3]


@functools.cache
def _cloud_spelling() -> dict[str, str]:
    """Cloud regions as their providers write them, by their upper-case names."""
    regions = shipped.regions().values()
    return {name.upper(): name for region in regions for name in (region.zone, region.region)}


def _country_names(alpha2: str) -> frozenset[str]:
    country = shipped.countries()[alpha2]
    codes = {country.alpha2, country.alpha3}
    return frozenset(codes | {"EU"}) if country.eu == "yes" else frozenset(codes)


@functools.cache
def zones() -> dict[str, Zone]:
    """Every name a zone may be written by, upper-case. Where two would claim a name, a country outranks a grid zone."""
    found: dict[str, Zone] = {}
    rows = shipped.intensities()
    regions = shipped.regions()
    for region in sorted(regions.values(), key=_exactness):
        if region.em_zone and region.em_zone.upper() not in found:
            names = _country_names(region.country) | {region.em_zone.upper()}
            found[region.em_zone.upper()] = Zone(id=region.em_zone, names=names, row=region.intensity_zone)
    for row in rows.values():
        if row.kind == "subregion":
            found[row.zone] = Zone(id=row.zone, names=_country_names("US") | {row.zone}, row=row.zone)
    for country in shipped.countries().values():
        if country.alpha3 in rows:
            zone = Zone(id=country.alpha3, names=_country_names(country.alpha2), row=country.alpha3)
            found[country.alpha2] = found[country.alpha3] = zone
    for region in regions.values():
        own = {region.zone.upper(), region.region.upper()}
        em_zone = {region.em_zone.upper()} if region.em_zone else set()
        zone = Zone(id=region.zone, names=_country_names(region.country) | own | em_zone, row=region.intensity_zone)
        found.update(dict.fromkeys(own, zone))
    found["EU"] = Zone(id="EU", names=frozenset({"EU"}), row="EU")
    found["WORLD"] = WORLD
    return found


def _exactness(region: shipped.Region) -> tuple[bool, str]:
    """Google's own figures first: their row is measured for that grid, others' are placed on it."""
    return region.provider != "gcp", region.zone


@functools.cache
def _region_names() -> frozenset[str]:
    places = {name for zone in zones().values() for name in zone.names} - WORLD.names
    countries = shipped.countries().values()
    return frozenset(places | {country.alpha2 for country in countries} | {country.alpha3 for country in countries})
