"""Electricity Maps: flow-traced intensities of the electricity consumed in some 350 zones, with a key.

Wire format: the provider's reference (app.electricitymaps.com/api/docs), as api-evangelist/electricitymaps@1dcff48 has it for v3 and the
answers of v4 recorded in maurobdata/electricity-grid-lab@20eff1d (fixtures/, docs on errors and parameters); answers of v3 in
jpbede/aioelectricitymaps@935bca9 (tests/fixtures), and how it is told not to look the caller up (docs.electricitymaps.com). A key whose
plan lacks a zone or endpoint is answered 401, like a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError, Reach
from carbon.sources._figures import Facts, Reading, current, grams, unix_s, upcoming
from carbon.sources._grids import Place, by_id, grid_of
from carbon.sources._http import BaseUrl, RefusedError, Seconds, SecretRef, get_json, is_unknown, of_each, secret, unknown

NAME = "Electricity Maps"
LICENCE = "proprietary (electricitymaps.com terms of service; not for redistribution)"
PERIODS_S = {"5_minutes": 300.0, "15_minutes": 900.0, "hourly": 3600.0}
HORIZONS_H = (6, 24, 48, 72)

Target = tuple[tuple[str, str], ...]
"""The parameters that say where: a zone of theirs, or a latitude and a longitude."""


class ElectricityMaps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Average intensities, observed or (where the grid operator is late) estimated; forecasts where the plan has them."""

    token: SecretRef
    """The API key, as `env:NAME` or `file:PATH`."""
    version: Literal["v4", "v3"] = "v4"
    """Of the API."""
    emission_factor_type: Literal["lifecycle", "direct"] = "lifecycle"
    """Basis of the figures. Forecasts come as `lifecycle` only."""
    granularity: Literal["5_minutes", "15_minutes", "hourly"] = "hourly"
    """Time that one figure stands for. The plan must have it."""
    estimations: bool = True
    """Also takes figures the provider estimated, marked so; otherwise only those from the grid operator, which come later."""
    zones: dict[str, str | Place] = {}
    """Our zones, in any spelling, to the provider's name (`DK-DK2`) or to `{lat, lon}`; goes before the built-in assignment."""
    base_url: BaseUrl = "https://api.electricitymaps.com"
    """Where the API is, without its version."""
    every_s: Seconds = 1800.0
    """Between two askings, one call a grid. A plan with 50 calls an hour bears 25 grids at the default. 30 to 86400."""

    def __post_init__(self) -> None:
        by_id(self.zones)

    async def latest(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:
        token = secret(reach, self.token)
        asked = {target: named for target, named in self._targets(zones).items() if not is_unknown(reach, str(target))}
        return await of_each(asked, lambda target: self._latest(target, asked[target], token, reach))

    async def past(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:
        """What it has told of the hours gone by, at most 24, in order of time, each as of the end of its time. Raises OutOfReachError."""
        target = next(iter(self._targets({zone})), None)
        if target is None:
            return ()
        facts, readings = await self._history(target, secret(reach, self.token), reach)
        first_s = reach.now_s() - hours * 3600
        wanted = [reading for reading in readings if reading.start_s + reading.period_s > first_s]
        return tuple(sample for reading in wanted for sample in current(facts, (zone,), reading, reach.now_s()))

    async def ahead(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:
        target = next(iter(self._targets({zone})), None)
        if target is None or self.emission_factor_type == "direct":
            return ()
        horizon = next((each for each in HORIZONS_H if each >= hours), HORIZONS_H[-1])
        more = {"horizonHours": str(horizon), "temporalGranularity": self.granularity}
        answer = await self._get("forecast", target, more, secret(reach, self.token), reach)
        points = answer.get("forecast")
        readings = [self._reading(point) for point in points if isinstance(point, dict)] if isinstance(points, list) else []
        known = [reading for reading in readings if reading is not None]
        if not known:
            raise _garbled("a forecast without a usable point")
        return upcoming(self._facts(answer, target), zone, known, reach.now_s(), hours)

    def _targets(self, zones: Iterable[str]) -> dict[Target, list[str]]:
        """What to ask for, once for all of our zones on the same grid."""
        named = by_id(self.zones)
        found: dict[Target, list[str]] = {}
        for zone in sorted(zones):
            place = named.get(zone, grid_of(zone))
            if isinstance(place, Place):
                found.setdefault((("lat", str(place.lat)), ("lon", str(place.lon))), []).append(zone)
            elif place is not None:
                found.setdefault((("zone", place),), []).append(zone)
        return found

    async def _latest(self, target: Target, zones: list[str], token: str, reach: Reach) -> tuple[Intensity, ...]:
        try:
            answer = await self._get("latest", target, self._kind(), token, reach)
        except RefusedError as refused:
            if refused.status != 404:
                raise
            unknown(reach, str(target))
            return ()
        reading = self._reading(answer)
        if reading is not None:
            return current(self._facts(answer, target), zones, reading, reach.now_s())
        if answer.get("carbonIntensity") is not None:
            raise _garbled("a figure that is no intensity")
        facts, readings = await self._history(target, token, reach)
        return current(facts, zones, readings[-1], reach.now_s()) if readings else ()

    async def _history(self, target: Target, token: str, reach: Reach) -> tuple[Facts, list[Reading]]:
        """Its usable figures up to now, in order of time."""
        answer = await self._get("history", target, self._kind(), token, reach)
        points = answer.get("history")
        if not isinstance(points, list):
            raise _garbled("a history without its list")
        readings = [self._reading(point) for point in points if isinstance(point, dict)]
        known = [reading for reading in readings if reading is not None and reading.start_s <= reach.now_s()]
        return self._facts(answer, target), sorted(known, key=lambda reading: reading.start_s)

    def _kind(self) -> dict[str, str]:
        wanted: dict[str, str] = {"emissionFactorType": self.emission_factor_type, "temporalGranularity": self.granularity}
        return wanted if self.estimations else {**wanted, "disableEstimations": "true"}

    async def _get(self, what: str, target: Target, more: dict[str, str], token: str, reach: Reach) -> dict[str, Any]:
        # without it, what they do not know as a zone becomes the zone of the caller's address
        alone = {"disableCallerLookup": "true"} if self.version == "v4" else {"shouldUseFallbackCallerLookup": "false"}
        params = dict(target) | more | alone
        url = f"{self.base_url.rstrip('/')}/{self.version}/carbon-intensity/{what}"
        answer = await get_json(reach, NAME, url, params, {"auth-token": token})
        if not isinstance(answer, dict):
            raise _garbled("no object")
        if answer.get("zone") != dict(target).get("zone", answer.get("zone")) or not isinstance(answer.get("zone"), str):
            raise _garbled("figures of another zone than was asked for")
        for said in _factor_types(answer):
            if said != self.emission_factor_type:
                raise _garbled("figures on another basis than was asked for")
        return answer

    def _facts(self, answer: dict[str, Any], target: Target) -> Facts:
        where = answer["zone"] if "zone" in dict(target) else f"{answer['zone']} at {dict(target)['lat']}, {dict(target)['lon']}"
        return Facts(basis=self.emission_factor_type, source=f"{NAME} {self.version}, {where[:80]}", licence=LICENCE)

    def _reading(self, point: dict[str, Any]) -> Reading | None:
        value, start_s = grams(point.get("carbonIntensity")), unix_s(point.get("datetime"))
        if value is None or start_s is None:
            return None
        estimated = point.get("isEstimated") is not False
        return Reading(g_per_kwh=value, start_s=start_s, period_s=PERIODS_S[self.granularity], estimated=estimated)


def _factor_types(answer: dict[str, Any]) -> Iterator[Any]:
    """As the answer and its points name them; forecasts do not."""
    history = answer.get("history")
    for each in (answer, *(history if isinstance(history, list) else ())):
        if isinstance(each, dict) and "emissionFactorType" in each:
            yield each["emissionFactorType"]


def _garbled(detail: str) -> OutOfReachError:
    return OutOfReachError("garbled", f"{NAME} answers {detail}")
