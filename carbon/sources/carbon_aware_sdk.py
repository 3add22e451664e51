"""The Green Software Foundation's Carbon Aware SDK: a web API that the operator runs before a provider of their choice.

Wire format: Green-Software-Foundation/carbon-aware-sdk@137cd72 (casdk-docs, carbon-aware-webapi.md) and its WebApi sources (Controllers,
Models, Filters). The location in an answer is the provider's, not the one asked for; ratings are in g/kWh. Which provider stands behind it,
on which basis, marginal or average, it does not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from carbon import shipped
from carbon.intensity import Intensity
from carbon.reach import OutOfReachError, Reach
from carbon.sources._base import written
from carbon.sources._figures import Facts, Reading, current, grams, unix_s, upcoming
from carbon.sources._grids import by_id
from carbon.sources._http import BaseUrl, RefusedError, Seconds, SecretRef, get_json, is_unknown, of_each, secret, unknown

NAME = "Carbon Aware SDK"
LICENCE = "that of the provider behind the Carbon Aware SDK"
LOOK_BACK_S = 24 * 3600.0
TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d\d):(\d\d):(\d\d)(?:\.\d+)?")
"""As .NET writes it: days, hours, minutes, seconds."""


class CarbonAwareSdk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Figures are marked as estimated: whether the provider behind observed or modelled them is not passed on."""

    base_url: BaseUrl
    """Where the web API is."""
    basis: Literal["lifecycle", "direct"]
    """Of the provider behind: Electricity Maps gives `lifecycle` unless told otherwise, WattTime `direct`."""
    signal: Literal["average", "marginal"]
    """Of the provider behind: Electricity Maps gives `average`, WattTime `marginal`."""
    locations: dict[str, str] = {}
    """Our zones, in any spelling, to the API's locations (`GET /locations`). Left out: a cloud region's own name, as `eastus`."""
    header: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]+$")] = "authorization"
    """The header that carries `key`."""
    key: SecretRef | None = None
    """What a proxy before the API wants in that header, whole (`Bearer ...`), as `env:NAME` or `file:PATH`. Left out: no header."""
    every_s: Seconds = 900.0
    """Between two askings, one call a location. 30 to 86400."""

    def __post_init__(self) -> None:
        by_id(self.locations)

    async def latest(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:
        asked = {name: named for name, named in self._asked(zones).items() if not is_unknown(reach, name)}
        return await of_each(asked, lambda name: self._latest(name, asked[name], reach))

    async def ahead(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:
        name = next(iter(self._asked({zone})), None)
        if name is None:
            return ()
        try:
            answer = await self._get("/emissions/forecasts/current", {"location": name}, reach)
        except RefusedError as refused:
            if refused.status != 501:  # the provider behind has no forecasts
                raise
            return ()
        forecast = answer[0] if answer else None
        points = forecast.get("forecastData") if isinstance(forecast, dict) else None
        if not isinstance(points, list):
            raise _garbled("no forecast")
        told = [(reading, point.get("location")) for point in points if (reading := _foretold(point)) is not None]
        if not told:
            if points:
                raise _garbled("a forecast without a usable point")
            return ()
        return upcoming(self._facts(told[0][1]), zone, (reading for reading, _ in told), reach.now_s(), hours)

    def _asked(self, zones: Iterable[str]) -> dict[str, list[str]]:
        """The locations to ask for, once for all of our zones there."""
        named, regions = by_id(self.locations), shipped.regions()
        found: dict[str, list[str]] = {}
        for zone in sorted(zones):
            name = named.get(zone) or (regions[zone].region if zone in regions else None)
            if name is not None:
                found.setdefault(name, []).append(zone)
        return found

    async def _latest(self, name: str, zones: list[str], reach: Reach) -> tuple[Intensity, ...]:
        now_s = reach.now_s()
        span = {"location": name, "time": written(now_s - LOOK_BACK_S), "toTime": written(now_s)}
        try:
            answer = await self._get("/emissions/bylocation", span, reach)
        except RefusedError as refused:
            if refused.status != 400:  # the location is all that can be wrong
                raise
            unknown(reach, name)
            return ()
        told = [(reading, point.get("location")) for point in answer if (reading := _observed(point)) is not None]
        if not told:
            if answer:
                raise _garbled("no figure that is an intensity")
            return ()
        reading, behind = max(told, key=lambda each: each[0].start_s)
        return current(self._facts(behind), zones, reading, now_s)

    async def _get(self, path: str, params: dict[str, str], reach: Reach) -> list[Any]:
        headers = {} if self.key is None else {self.header: secret(reach, self.key)}
        answer = await get_json(reach, NAME, self.base_url.rstrip("/") + path, params, headers)
        if answer is None:  # 204: it has nothing of that time
            return []
        if not isinstance(answer, list):
            raise _garbled("no list")
        return answer

    def _facts(self, behind: Any) -> Facts:
        return Facts(basis=self.basis, signal=self.signal, source=f"{NAME}, {str(behind)[:40]}", licence=LICENCE)


def _observed(point: Any) -> Reading | None:
    if not isinstance(point, dict):
        return None
    value, start_s = grams(point.get("rating")), unix_s(point.get("time"))
    if value is None or start_s is None:
        return None
    span = TIME_SPAN.fullmatch(str(point.get("duration")))
    days, hours, minutes, seconds = (int(each or 0) for each in span.groups()) if span else (0, 0, 0, 0)
    return Reading(g_per_kwh=value, start_s=start_s, period_s=((days * 24 + hours) * 60 + minutes) * 60.0 + seconds, estimated=True)


def _foretold(point: Any) -> Reading | None:
    if not isinstance(point, dict):
        return None
    value, start_s, minutes = grams(point.get("value")), unix_s(point.get("timestamp")), point.get("duration")
    if value is None or start_s is None or not isinstance(minutes, int) or not 0 < minutes <= 1440:
        return None
    return Reading(g_per_kwh=value, start_s=start_s, period_s=minutes * 60.0, estimated=True, forecast=True)


def _garbled(detail: str) -> OutOfReachError:
    return OutOfReachError("garbled", f"{NAME} answers {detail}")
