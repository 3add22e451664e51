"""WattTime: what one kilowatt-hour more would emit (the marginal operating emissions rate), and the average rate, in lb of CO2 per MWh.

Wire format: WattTime/aer-test-docs (transition.md@0b70d39, introduction.md@0474696, openapi.json@045dfc4) and their own client,
WattTime/watttime-python-client@00a0cff. As the former says, the first point of /v3/forecast is the real-time one and "should be relied on
exclusively for real-time services"; average rates are historical only. /v3/signal-index is a percentile and not used.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError, Reach
from carbon.sources._base import written
from carbon.sources._figures import Facts, Reading, current, grams, unix_s, upcoming
from carbon.sources._grids import Place, by_id
from carbon.sources._http import BaseUrl, RefusedError, Seconds, SecretRef, get_json, is_unknown, of_each, secret, unknown

NAME = "WattTime"
LICENCE = "proprietary (watttime.org terms; not for redistribution)"
UNITS = "lbs_co2_per_mwh"
G_PER_KWH = 0.45359237
"""Of one lb/MWh: grams in an international pound, divided by the thousand kWh of a MWh."""
TOKEN_S = 30 * 60.0
EARLY_S = 120.0
"""A token is renewed this long before its end, so that none ends between two calls of one asking."""
REGION_S = 7 * 86400.0
"""How long the region of a place is remembered; they ask for a look at least once a month."""
LOOK_BACK_S = 48 * 3600.0
"""Average rates come late, and are given from a start to an end."""
MOST_HOURS = 72

RateSignal = Literal["co2_moer", "co2_aoer"]
Asked = tuple[RateSignal, str, str, str]
"""A signal, and a region or a latitude and longitude."""


class WattTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Marginal rates for now and up to 72 hours ahead, average rates as they come in. Direct emissions of CO2, modelled by the provider."""

    username: SecretRef
    """Of the account, as `env:NAME` or `file:PATH`."""
    password: SecretRef
    """Of the account, as `env:NAME` or `file:PATH`."""
    regions: Annotated[dict[str, str | Place], msgspec.Meta(min_length=1)]
    """Our zones, in any spelling, to the provider's region (`CAISO_NORTH`) or to `{lat, lon}`; zones that are not here are not told."""
    signals: Annotated[tuple[RateSignal, ...], msgspec.Meta(min_length=1)] = ("co2_moer", "co2_aoer")
    """Marginal (`co2_moer`) and average (`co2_aoer`) rates. One that the account may not see leaves the other."""
    base_url: BaseUrl = "https://api.watttime.org"
    """Where the API is, without its version."""
    every_s: Seconds = 300.0
    """Between two askings, one call a region and signal. They allow 3,000 calls in 5 minutes. 30 to 86400."""

    def __post_init__(self) -> None:
        by_id(self.regions)

    async def latest(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:
        asked = {key: named for key, named in self._asked(zones).items() if not is_unknown(reach, str(key))}
        if not asked:
            return ()
        await self._token(reach)
        return await of_each(asked, lambda key: self._latest(key, asked[key], reach))

    async def ahead(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:
        key = next((key for key in self._asked({zone}) if key[0] == "co2_moer"), None)
        region = None if key is None else await self._region(key, reach)
        if region is None:
            return ()
        horizon = {"horizon_hours": str(max(math.ceil(min(hours, MOST_HOURS)), 1))}
        readings = await self._points("/v3/forecast", "co2_moer", region, horizon, reach)
        return upcoming(_facts("co2_moer", region), zone, readings, reach.now_s(), hours)

    def _asked(self, zones: Iterable[str]) -> dict[Asked, list[str]]:
        """What to ask for, once for all of our zones in the same place."""
        named = by_id(self.regions)
        found: dict[Asked, list[str]] = {}
        for zone in sorted(set(zones) & set(named)):
            place = named[zone]
            where = (str(place.lat), str(place.lon), "") if isinstance(place, Place) else ("", "", place)
            for signal in self.signals:
                found.setdefault((signal, *where), []).append(zone)
        return found

    async def _latest(self, key: Asked, zones: list[str], reach: Reach) -> tuple[Intensity, ...]:
        signal, now_s = key[0], reach.now_s()
        region = await self._region(key, reach)
        if region is None:
            return ()
        if signal == "co2_moer":
            readings = (await self._points("/v3/forecast", signal, region, {"horizon_hours": "1"}, reach))[:1]
        else:
            since = {"start": written(now_s - LOOK_BACK_S), "end": written(now_s), "include_imputed_marker": "true"}
            readings = await self._points("/v3/historical", signal, region, since, reach)
        return current(_facts(signal, region), zones, readings[-1], now_s) if readings else ()

    async def _region(self, key: Asked, reach: Reach) -> str | None:
        """Theirs, as the setting says or as they say of the place; None where they have none there."""
        signal, lat, lon, region = key
        if region:
            return region
        kept, ends_s = reach.kept.get(f"region {signal} {lat} {lon}", ("", 0.0))
        if reach.now_s() < ends_s:
            return kept
        where: dict[str, str] = {"latitude": lat, "longitude": lon, "signal_type": signal}
        try:
            answer = await self._get("/v3/region-from-loc", where, reach)
        except RefusedError as refused:
            if refused.status != 404:
                raise
            unknown(reach, str(key))
            return None
        found = answer.get("region")
        if not isinstance(found, str) or not found:
            raise _garbled("no region")
        reach.kept[f"region {signal} {lat} {lon}"] = (found, reach.now_s() + REGION_S)
        return found

    async def _points(self, path: str, signal: RateSignal, region: str, more: dict[str, str], reach: Reach) -> list[Reading]:
        """In order of time."""
        answer = await self._get(path, {"region": region, "signal_type": signal, **more}, reach)
        meta, points = answer.get("meta"), answer.get("data")
        if not isinstance(meta, dict) or not isinstance(points, list):
            raise _garbled("no points")
        if meta.get("units") != UNITS:
            raise _garbled(f"figures in another unit than {UNITS}")
        if (meta.get("region"), meta.get("signal_type")) != (region, signal):
            raise _garbled("figures of another region or signal than was asked for")
        period_s = meta.get("data_point_period_seconds")
        period_s = float(period_s) if isinstance(period_s, int) and 0 < period_s <= 86400 else 300.0
        found = [_reading(point, signal, period_s) for point in points]
        known = [reading for reading in found if reading is not None]
        if points and not known:
            raise _garbled("no figure that is an intensity")
        return sorted(known, key=lambda reading: reading.start_s)

    async def _get(self, path: str, params: dict[str, str], reach: Reach) -> dict[str, Any]:
        """With a token; where that is refused, once more with a new one."""
        token = await self._token(reach)
        try:
            return await self._answer(path, params, f"Bearer {token}", reach)
        except RefusedError as refused:
            if refused.status != 401:
                raise
        if reach.kept.get("token", ("",))[0] == token:  # another call may have renewed it meanwhile
            del reach.kept["token"]
        return await self._answer(path, params, f"Bearer {await self._token(reach)}", reach)

    async def _token(self, reach: Reach) -> str:
        token, ends_s = reach.kept.get("token", ("", 0.0))
        if reach.now_s() < ends_s - EARLY_S:
            return token
        pair = f"{secret(reach, self.username)}:{secret(reach, self.password)}"
        answer = await self._answer("/login", {}, f"Basic {base64.b64encode(pair.encode()).decode()}", reach)
        told = answer.get("token")
        if not isinstance(told, str) or not told or not told.isascii() or not told.isprintable():
            raise _garbled("no token")
        reach.kept["token"] = (told, reach.now_s() + TOKEN_S)
        return told

    async def _answer(self, path: str, params: dict[str, str], authorization: str, reach: Reach) -> dict[str, Any]:
        answer = await get_json(reach, NAME, self.base_url.rstrip("/") + path, params, {"authorization": authorization})
        if not isinstance(answer, dict):
            raise _garbled("no object")
        return answer


def _facts(signal: RateSignal, region: str) -> Facts:
    source = f"{NAME} v3 {signal}, {region[:80]}"
    return Facts(basis="direct", signal="marginal" if signal == "co2_moer" else "average", source=source, licence=LICENCE)


def _reading(point: Any, signal: RateSignal, period_s: float) -> Reading | None:
    if not isinstance(point, dict):
        return None
    value, start_s = grams(point.get("value"), G_PER_KWH), unix_s(point.get("point_time"))
    if value is None or start_s is None:
        return None
    estimated = signal == "co2_moer" or point.get("imputed_data_used") is not False
    return Reading(g_per_kwh=value, start_s=start_s, period_s=period_s, estimated=estimated)


def _garbled(detail: str) -> OutOfReachError:
    return OutOfReachError("garbled", f"{NAME} answers {detail}")
