"""Cities by name and points by coordinates, and which zone stands for them. Loaded when first asked for."""

from __future__ import annotations

import difflib
import functools
import math
import re
import unicodedata
from collections.abc import Iterable

import msgspec

from carbon import shipped

SHORTEST = 4
"""Letters of a city's name that may stand alone: what is shorter is more likely a code with a slip. `Ulm, DE` may be written."""
CLEARLY_LARGER = 5
"""A name that several cities bear means the largest where it has at least as many times the people of the next in another zone."""
EARTH_KM = 6371.0
FARTHEST_KM = 150.0
"""From the nearest city; beyond it a point is nowhere we know."""
CLEARLY_NEARER = 3
"""As many times as far must the nearest city of another country be. So 74 % of 30,000 smaller towns are placed, 0.8 % of them wrongly."""

_POINT = re.compile(r"\s*(-?\d{1,3}(?:\.\d+)?)\s*,\s*(-?\d{1,3}(?:\.\d+)?)\s*")

_PLAIN = str.maketrans({"ø": "o", "ł": "l", "\u0131": "i", "đ": "d"})
"""Letters that are no letter with a mark; the third is the Turkish i without its dot."""


class Located(msgspec.Struct, frozen=True):
    """The name of a zone (a country's alpha-2, a grid), or the places that may be meant: `Valencia, ES`."""

    zone: str | None
    candidates: tuple[str, ...] = ()


def located(written: str) -> Located | None:
    """Of `Paris`, `paris, fr`, `Portland, US-OR` or `48.86,2.35`; None where no city is called so, nor lies near."""
    point = _POINT.fullmatch(written)
    if point is not None:
        return _at(float(point[1]), float(point[2]))
    name, _, where = (part.strip() for part in written.partition(","))
    found = _cities().get(folded(name), ())
    if where:
        country, _, admin1 = where.upper().partition("-")
        found = tuple(city for city in found if country in _codes(city) and admin1 in {"", city.admin1})
    elif len(folded(name)) < SHORTEST:
        return None
    else:
        country = _countries().get(folded(name), "")
        found = tuple(city for city in found if country in {"", city.country})
    return _largest(found) if found else None


def alike(written: str) -> tuple[str, ...]:
    """The city most like it, if there is one."""
    name = folded(written.partition(",")[0].strip())
    known = [each for each in _cities() if each[:1] == name[:1] and abs(len(each) - len(name)) < 3]  # the first letter is seldom wrong
    return tuple(_spelled(_cities()[each][0]) for each in difflib.get_close_matches(name, known, n=1, cutoff=0.85))


def folded(name: str) -> str:
    """Without marks, case and what joins words: `São Paulo` and `sao-paulo` are one."""
    small = unicodedata.normalize("NFKD", name).casefold()
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", small) if not unicodedata.combining(letter))
    return re.sub(r"[\s.'-]+", " ", bare.translate(_PLAIN)).strip()


def _largest(cities: tuple[shipped.City, ...]) -> Located:
    """The zone of the largest, unless another zone has one that is not clearly smaller."""
    first, *others = _by_zone(sorted(cities, key=lambda city: -city.population))
    if others and first.population < CLEARLY_LARGER * others[0].population:
        return Located(None, tuple(_spelled(city) for city in (first, *others)[:3]))
    return Located(_zone(first))


def _at(lat: float, lon: float) -> Located | None:
    """The grid of the nearest city where no other is near, else its country; neither where another country is as near."""
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        return None
    near = sorted(((_distance_km(lat, lon, city), city) for city in shipped.cities()), key=lambda each: each[0])
    nearest_km, first = near[0]
    if nearest_km > FARTHEST_KM:
        return None
    within = [city for distance_km, city in near if distance_km < CLEARLY_NEARER * max(nearest_km, 1.0)]
    abroad = next((city for city in within if city.country != first.country), None)
    if abroad is not None:
        return Located(None, (_spelled(first), _spelled(abroad)))
    return Located(_zone(first) if all(city.grid == first.grid for city in within) else first.country)


def _distance_km(lat: float, lon: float, city: shipped.City) -> float:
    """On a sphere (haversine)."""
    north, south = math.radians(lat), math.radians(city.lat)
    half = math.sin((north - south) / 2) ** 2 + math.cos(north) * math.cos(south) * math.sin(math.radians(lon - city.lon) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def _by_zone(cities: Iterable[shipped.City]) -> list[shipped.City]:
    """The first of each zone."""
    found: dict[str, shipped.City] = {}
    for city in cities:
        found.setdefault(_zone(city), city)
    return list(found.values())


def _zone(city: shipped.City) -> str:
    return city.grid or city.country


def _spelled(city: shipped.City) -> str:
    return f"{city.name}, {city.country}" + (f"-{city.admin1}" if city.admin1 else "")


def _codes(city: shipped.City) -> set[str]:
    return {city.country, shipped.countries()[city.country].alpha3} | ({"UK"} if city.country == "GB" else set())


@functools.cache
def _cities() -> dict[str, tuple[shipped.City, ...]]:
    """By folded name, the largest first."""
    found: dict[str, list[shipped.City]] = {}
    for city in sorted(shipped.cities(), key=lambda city: -city.population):
        for name in {folded(each) for each in (city.name, *city.also.split("|")) if each}:
            found.setdefault(name, []).append(city)
    return {name: tuple(cities) for name, cities in found.items()}


@functools.cache
def _countries() -> dict[str, str]:
    """Alpha-2 by folded name: a country's name means no city elsewhere."""
    return {folded(country.name): country.alpha2 for country in shipped.countries().values()}
