"""NESO's Carbon Intensity API: Great Britain as a whole and its 17 regions, by the half hour, two days ahead, without a key.

Wire format: carbon-intensity/api-definitions@29b0b84 (docs/index-regional.html). Basis: its methodology counts "CO2 emissions related to
electricity generation only" with nuclear, wind, solar and hydro at 0 g/kWh (National and Regional Carbon Intensity Forecast Methodology,
May 2024), so it is direct; it is of consumption, with imports, and losses in the grid on top. Regions are forecasts only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError, Reach
from carbon.sources._base import written
from carbon.sources._figures import Facts, Reading, current, grams, unix_s, upcoming
from carbon.sources._grids import by_id
from carbon.sources._http import BaseUrl, Seconds, get_json, of_each

NAME = "NESO Carbon Intensity API"
LICENCE = "CC BY 4.0 (National Energy System Operator; creativecommons.org/licenses/by/4.0)"
NATIONAL = 0
BRITAIN = "GBR"
REGIONS = {
    "aws:eu-west-2": 13,  # AWS calls it Europe (London)
    "gcp:europe-west2": 13,  # Google: London, England
    "azure:uksouth": 13,  # Microsoft: London
    "azure:ukwest": 7,  # Microsoft: Cardiff, which lies in South Wales
}
"""By what the cloud providers call the place; the sites lie around it, some maybe in the region next to it."""


class UkNeso(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GB` is told by what was generated (estimated within the half hour), cloud regions there by NESO's forecast for their region."""

    regional: bool = True
    """Cloud regions in Great Britain are told by their region; otherwise by the country's figure."""
    regions: dict[str, Annotated[int, msgspec.Meta(ge=1, le=17)]] = {}
    """Our zones, in any spelling, to NESO's region, 1 to 17 (13 is London); goes before the built-in assignment."""
    base_url: BaseUrl = "https://api.carbonintensity.org.uk"
    """Where the API is."""
    every_s: Seconds = 900.0
    """Between two askings, one call a region. Figures change by the half hour. 30 to 86400."""

    def __post_init__(self) -> None:
        by_id(self.regions)

    async def latest(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:
        asked = self._asked(zones)
        return await of_each(asked, lambda region: self._latest(region, asked[region], reach))

    async def ahead(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:
        region = next(iter(self._asked({zone})), None)
        if region is None:
            return ()
        since = f"{_minute(reach.now_s())}/{'fw24h' if hours <= 24 else 'fw48h'}"
        path = f"/intensity/{since}" if region == NATIONAL else f"/regional/intensity/{since}/regionid/{region}"
        where, periods = await self._periods(path, region, reach)
        readings = [reading for period in periods if (reading := _reading(period, observed=False)) is not None]
        if not readings:
            raise _garbled("a forecast without a usable half hour")
        return upcoming(_facts(where), zone, readings, reach.now_s(), hours)

    def _asked(self, zones: Iterable[str]) -> dict[int, list[str]]:
        """The regions to ask for, once for all of our zones there."""
        named = by_id(self.regions)
        found: dict[int, list[str]] = {}
        for zone in sorted(zones):
            region = named.get(zone)
            if region is None and zone in REGIONS:
                region = REGIONS[zone] if self.regional else NATIONAL
            if region is None and zone == BRITAIN:
                region = NATIONAL
            if region is not None:
                found.setdefault(region, []).append(zone)
        return found

    async def _latest(self, region: int, zones: list[str], reach: Reach) -> tuple[Intensity, ...]:
        path = "/intensity" if region == NATIONAL else f"/regional/regionid/{region}"
        where, periods = await self._periods(path, region, reach)
        if not periods:
            return ()
        reading = _reading(periods[0], observed=True)
        if reading is None:
            raise _garbled("no figure that is an intensity")
        return current(_facts(where), zones, reading, reach.now_s())

    async def _periods(self, path: str, region: int, reach: Reach) -> tuple[str, list[Any]]:
        """What the figures are of, and the half hours as they come. Of a region `data` is an object for spans, a list of one for now."""
        answer = await get_json(reach, NAME, self.base_url.rstrip("/") + path)
        data = answer.get("data") if isinstance(answer, dict) else None
        where = "Great Britain"
        if region != NATIONAL:
            data = data[0] if isinstance(data, list) and data else data
            if not isinstance(data, dict) or data.get("regionid") != region:
                raise _garbled("figures of another region than was asked for")
            where, data = f"region {region} {str(data.get('shortname', ''))[:40]}".strip(), data.get("data")
        if not isinstance(data, list):
            raise _garbled("no list of half hours")
        return where, data


def _facts(where: str) -> Facts:
    return Facts(basis="direct", source=f"{NAME}, {where}", licence=LICENCE)


def _reading(period: Any, *, observed: bool) -> Reading | None:
    """What was generated where that is wanted and known already, else the forecast."""
    intensity = period.get("intensity") if isinstance(period, dict) else None
    if not isinstance(intensity, dict):
        return None
    start_s, end_s = unix_s(period.get("from")), unix_s(period.get("to"))
    if start_s is None or end_s is None or not 0 < end_s - start_s <= 86400:
        return None
    if observed and intensity.get("actual") is not None:
        value, forecast = grams(intensity["actual"]), False
    else:
        value, forecast = grams(intensity.get("forecast")), True
    if value is None:
        return None
    return Reading(g_per_kwh=value, start_s=start_s, period_s=end_s - start_s, estimated=forecast, forecast=forecast)


def _minute(now_s: float) -> str:
    """An instant as their paths have it, `2017-08-25T12:35Z`."""
    return f"{written(now_s)[:16]}Z"


def _garbled(detail: str) -> OutOfReachError:
    return OutOfReachError("garbled", f"{NAME} answers {detail}")
