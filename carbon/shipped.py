"""The tables that ship with Greenlane, read once: intensities, countries, cities, cloud regions, models, PUE. Nothing is interpreted."""

from __future__ import annotations

import csv
import functools
import hashlib
import importlib.resources
import tomllib

import msgspec

SPEC_VERSION = "2"
"""Changes when a formula, a coefficient or a band does."""

FILES = ("cities.csv", "countries.csv", "intensities.csv", "profiles.toml", "regions.csv")


class IntensityRow(msgspec.Struct, frozen=True, kw_only=True):
    """One zone and year. `basis` is lifecycle-production, direct-production or direct-consumption."""

    zone: str
    name: str
    kind: str
    gco2_per_kwh: float
    year: int
    source: str
    basis: str
    licence: str
    em_zone: str
    note: str
    gco2_per_kwh_lifecycle_est: float
    """The one column in which zones may be compared: the value itself if lifecycle, else 32 + 1.09 x direct."""
    band_low: float
    band_high: float
    """Factors of the 80 % band."""


class Country(msgspec.Struct, frozen=True, kw_only=True):
    alpha2: str
    alpha3: str
    name: str
    eu: str
    source: str
    licence: str
    year: int


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A cloud region: the country it stands in (alpha-2), its grid zone and the intensity row that serves it."""

    zone: str
    provider: str
    region: str
    country: str
    em_zone: str
    intensity_zone: str
    source: str
    licence: str
    year: int


class City(msgspec.Struct, frozen=True, kw_only=True):
    """A place by its name, other names (`|` between them), country (alpha-2) and, where grids differ within it, province or state."""

    name: str
    also: str
    country: str
    admin1: str
    grid: str
    """The zone it draws on, where that is smaller than the country and certain; else empty."""
    lat: float
    lon: float
    population: int
    source: str
    licence: str
    year: int


class OpenModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published weights, in 1e9 parameters."""

    name: str
    aliases: tuple[str, ...] = ()
    total_b: float
    active_b: float
    d_model: int | None = None
    kv_bytes: int | None = None
    bytes_per_parameter: float | None = None
    year: int
    source: str
    licence: str


class ClosedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range others estimate, in 1e9 parameters."""

    name: str
    aliases: tuple[str, ...] = ()
    active_low_b: float
    active_high_b: float
    total_b: float
    year: int
    source: str
    licence: str


class BuildingRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure of the buildings of a provider, or of one region."""

    scope: str
    value: float
    year: int
    source: str
    licence: str


class AcceleratorRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    tdp_w: float
    year: int
    source: str
    licence: str


class Profiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    open: tuple[OpenModel, ...]
    closed: tuple[ClosedModel, ...]
    pue: tuple[BuildingRow, ...]
    wue: tuple[BuildingRow, ...]
    """Litres of water per kWh of the machines."""
    accelerators: tuple[AcceleratorRow, ...]


def _bytes(name: str) -> bytes:
    return importlib.resources.files("carbon").joinpath("data", name).read_bytes()


def _records(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_bytes(name).decode().splitlines()))


@functools.cache
def intensities() -> dict[str, IntensityRow]:
    rows = msgspec.convert(_records("intensities.csv"), list[IntensityRow], strict=False)
    return {row.zone: row for row in rows}


@functools.cache
def countries() -> dict[str, Country]:
    """By alpha-2 code."""
    rows = msgspec.convert(_records("countries.csv"), list[Country], strict=False)
    return {row.alpha2: row for row in rows}


@functools.cache
def regions() -> dict[str, Region]:
    """By prefixed name, `aws:eu-north-1`."""
    rows = msgspec.convert(_records("regions.csv"), list[Region], strict=False)
    return {row.zone: row for row in rows}


@functools.cache
def cities() -> tuple[City, ...]:
    """With 200,000 people and more, the capitals, and the largest of each country."""
    return tuple(msgspec.convert(_records("cities.csv"), list[City], strict=False))


@functools.cache
def profiles() -> Profiles:
    return msgspec.convert(tomllib.loads(_bytes("profiles.toml").decode()), Profiles)


def _version() -> str:
    digest = hashlib.sha256(SPEC_VERSION.encode())
    for name in FILES:
        digest.update(_bytes(name))
    return digest.hexdigest()[:12]


DATA_VERSION = _version()
"""Twelve hexadecimal digits over the shipped files and the version of the formulas: another one, other facts or other figures of them."""
