"""Energy-Charts of Fraunhofer ISE: intensities of European countries by the quarter or full hour, with a forecast, without a key.

Wire format: /co2eq of the first version of api.energy-charts.info, as public clients read it in 2026: three lists side by side,
`unix_seconds`, `co2eq` and `co2eq_forecast`, the latter two with nulls; 400 and a sentence for a country it does not know; 429. The
second version has no such endpoint. Basis: nowhere stated that we could read; see the setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError, Reach
from carbon.sources._base import written
from carbon.sources._figures import Facts, Reading, current, grams, upcoming
from carbon.sources._grids import by_id, grid_of
from carbon.sources._http import BaseUrl, RefusedError, Seconds, get_json, is_unknown, of_each, unknown

NAME = "Energy-Charts"
LICENCE = "CC BY 4.0 (Fraunhofer ISE, energy-charts.info)"
LISTED = "AL AM AT AZ BA BE BG BY CH CY CZ DE DK EE ES FI FR GE GR HR HU IE IT LT LU LV MD ME MK NL NO PL PT RO RS SE SI SK TR UA XK"
COUNTRIES = {alpha2: alpha2.lower() for alpha2 in LISTED.split()} | {"GB": "uk"}
"""Alpha-2 to its code, for countries it lists; those without intensities it refuses, and they are left out."""
MOST_HOURS = 7 * 24.0
"""Of a forecast; theirs are shorter."""
FRESH_S = 3600.0
"""An observed figure older than that yields to the forecast for now: they come one to two hours late."""


class Lists(msgspec.Struct, frozen=True):
    """An answer: one value of each list is of one instant, and holds until the next."""

    unix_seconds: list[Annotated[int, msgspec.Meta(ge=0, le=10**11)]]
    co2eq: list[float | None]
    co2eq_forecast: list[float | None]


class EnergyCharts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whole countries only: a zone that is a part of one is left out."""

    basis: Literal["lifecycle", "direct"] = "lifecycle"
    """Of the figures. The provider does not say; they are CO2 equivalents, and as high as a life cycle's."""
    countries: dict[str, str] = {}
    """Our zones, in any spelling, to the provider's code of a country (`de`, `uk`, `eu`); goes before the built-in assignment."""
    base_url: BaseUrl = "https://api.energy-charts.info"
    """Where the API is."""
    every_s: Seconds = 1800.0
    """Between two askings, one call a country. 30 to 86400."""

    def __post_init__(self) -> None:
        by_id(self.countries)

    async def latest(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:
        asked = {code: named for code, named in self._asked(zones).items() if not is_unknown(reach, code)}
        return await of_each(asked, lambda code: self._latest(code, asked[code], reach))

    async def ahead(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:
        code = next(iter(self._asked({zone})), None)
        if code is None:
            return ()
        now_s, hours = reach.now_s(), min(hours, MOST_HOURS)
        span = {"start": f"{written(now_s - 3600)[:16]}Z", "end": f"{written(now_s + hours * 3600)[:16]}Z"}
        readings = [reading for reading in await self._readings(code, span, reach) if reading.forecast]
        return upcoming(self._facts(code), zone, readings, now_s, hours)

    def _asked(self, zones: Iterable[str]) -> dict[str, list[str]]:
        """The countries to ask for, once for all of our zones on their grid."""
        named = by_id(self.countries)
        found: dict[str, list[str]] = {}
        for zone in sorted(zones):
            code = named.get(zone) or COUNTRIES.get(grid_of(zone) or "")
            if code is not None:
                found.setdefault(code, []).append(zone)
        return found

    async def _latest(self, code: str, zones: list[str], reach: Reach) -> tuple[Intensity, ...]:
        now_s = reach.now_s()
        try:
            readings = await self._readings(code, {}, reach)
        except RefusedError as refused:
            if refused.status != 400:  # the country is all that is asked with
                raise
            unknown(reach, code)
            return ()
        observed = [reading for reading in readings if not reading.forecast]
        foretold = [reading for reading in readings if reading.forecast and reading.start_s <= now_s < reading.start_s + reading.period_s]
        if observed and (not foretold or now_s - observed[-1].start_s - observed[-1].period_s <= FRESH_S):
            return current(self._facts(code), zones, observed[-1], now_s)
        return current(self._facts(code), zones, foretold[-1], now_s) if foretold else ()

    async def _readings(self, code: str, span: dict[str, str], reach: Reach) -> list[Reading]:
        """In order of time; of one instant the observed figure, else the forecast."""
        answer = await get_json(reach, NAME, f"{self.base_url.rstrip('/')}/co2eq", {"country": code, **span})
        try:
            lists = msgspec.convert(answer, Lists)
        except msgspec.ValidationError:
            raise _garbled("something else than three lists of numbers") from None
        if not len(lists.unix_seconds) == len(lists.co2eq) == len(lists.co2eq_forecast):
            raise _garbled("lists that do not lie side by side")
        if any(a >= b for a, b in pairwise(lists.unix_seconds)):
            raise _garbled("instants that do not go forward")
        return _merged(lists)

    def _facts(self, code: str) -> Facts:
        return Facts(basis=self.basis, source=f"{NAME}, {code[:20]}", licence=LICENCE)


def _merged(lists: Lists) -> list[Reading]:
    period_s = float(min((b - a for a, b in pairwise(lists.unix_seconds)), default=3600))
    found: list[Reading] = []
    for start_s, seen, said in zip(lists.unix_seconds, lists.co2eq, lists.co2eq_forecast, strict=True):
        observed, foretold = grams(seen), grams(said)
        value = foretold if observed is None else observed
        if value is not None:
            forecast = observed is None
            found.append(Reading(g_per_kwh=value, start_s=start_s, period_s=period_s, estimated=forecast, forecast=forecast))
    if not found and {*lists.co2eq, *lists.co2eq_forecast} - {None}:
        raise _garbled("no figure that is an intensity")
    return found


def _garbled(detail: str) -> OutOfReachError:
    return OutOfReachError("garbled", f"{NAME} answers {detail}")
