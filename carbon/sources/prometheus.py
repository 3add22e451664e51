"""Any query of the operator's own that gives g/kWh: to Prometheus, or to what speaks its HTTP API.

Wire format: prometheus.io/docs/prometheus/latest/querying/api: an instant query; `status`, `data.resultType` (`vector` or `scalar` here),
samples as `[unix seconds, "text"]`, `warnings`. The time of a sample in an instant vector is that of the query, not that of the scrape.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError, Reach
from carbon.sources._figures import Facts, Reading, current, grams
from carbon.sources._grids import by_id, grid_of
from carbon.sources._http import BaseUrl, Seconds, SecretRef, get_json, of_each, secret
from carbon.zones import named_zone

NAME = "Prometheus"
PLACEHOLDER = "{zone}"


class Prometheus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either the query holds `{zone}` and is asked once a zone, or `zone_label` tells the zones of one answer apart."""

    base_url: BaseUrl
    """Where the server is, without `/api/v1`."""
    query: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    """PromQL that gives g/kWh. In `{zone}` stands the zone's id or, where `zones` names it, that name, escaped for a quoted string."""
    zone_label: str | None = None
    """The label whose value is a zone in any spelling, or a name in `zones`. What is neither is passed over."""
    zones: dict[str, str] = {}
    """Our zones, in any spelling, to their names in the metrics. With `{zone}` in the query only these are asked for, if there are any."""
    basis: Literal["lifecycle", "direct"]
    """Of the figures."""
    signal: Literal["average", "marginal"] = "average"
    """Of the figures."""
    estimated: bool = False
    """Whether they are modelled; then the band is wider."""
    forecast: bool = False
    """Whether they were foretold for now; then the band is wider."""
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] = NAME
    """Where the figures are from, as entries are to name it."""
    licence: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "the operator's own"
    """Of the figures."""
    token: SecretRef | None = None
    """A bearer token, as `env:NAME` or `file:PATH`. Left out: none is sent."""
    every_s: Seconds = 60.0
    """Between two askings. 30 to 86400."""

    def __post_init__(self) -> None:
        if (PLACEHOLDER in self.query) == (self.zone_label is not None):
            raise ValueError(f"either query holds {PLACEHOLDER} or zone_label is set, and not both")
        names = by_id(self.zones)
        if self.zone_label is not None and len(set(names.values())) < len(names):
            raise ValueError("zones: two zones have one name")

    async def latest(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:
        if self.zone_label is not None:
            return await self._by_label(zones, reach)
        names = by_id(self.zones)
        asked = {zone: names.get(zone, zone) for zone in sorted(zones) if not names or zone in names}
        return await of_each(asked, lambda zone: self._by_query(zone, asked[zone], reach))

    async def ahead(self, zone: str, hours: float, reach: Reach) -> tuple[Intensity, ...]:  # noqa: ARG002 - an instant query foretells nothing
        return ()

    async def _by_label(self, zones: frozenset[str], reach: Reach) -> tuple[Intensity, ...]:
        kind, result, partial = await self._ask(self.query, reach)
        if kind != "vector":
            raise _garbled(f"a {kind}, which has no labels")
        series = self._by_zone(result)
        meant = {zone: zone if zone in series else _grid(zone) for zone in sorted(zones)}

        async def one(zone: str) -> tuple[Intensity, ...]:
            named = meant[zone]
            source = self.source if named == zone else f"{self.source}, {named}"
            return self._one(series.get(named or "", []), zone, source, reach, partial=partial)

        return await of_each(meant, one)

    def _by_zone(self, result: list[Any]) -> dict[str, list[Any]]:
        """The series of each zone that a label names, by its id."""
        ours = {name: zone for zone, name in by_id(self.zones).items()}
        found: dict[str, list[Any]] = {}
        for series in result:
            metric = series.get("metric")
            name = metric.get(self.zone_label) if isinstance(metric, dict) else None
            zone = ours.get(name) or _zone(name) if isinstance(name, str) else None
            if zone is not None:
                found.setdefault(zone, []).append(series)
        return found

    async def _by_query(self, zone: str, name: str, reach: Reach) -> tuple[Intensity, ...]:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'")
        kind, result, partial = await self._ask(self.query.replace(PLACEHOLDER, escaped), reach)
        series = [{"value": result}] if kind == "scalar" else result
        return self._one(series, zone, self.source, reach, partial=partial)

    async def _ask(self, query: str, reach: Reach) -> tuple[str, list[Any], bool]:
        """The kind of result, the result, and whether it may lack something."""
        headers = {} if self.token is None else {"authorization": f"Bearer {secret(reach, self.token)}"}
        answer = await get_json(reach, NAME, f"{self.base_url.rstrip('/')}/api/v1/query", {"query": query}, headers)
        data = answer.get("data") if isinstance(answer, dict) and answer.get("status") == "success" else None
        if not isinstance(data, dict):
            raise _garbled("no success")
        kind, result = data.get("resultType"), data.get("result")
        if not isinstance(kind, str) or kind not in {"vector", "scalar"} or not isinstance(result, list):
            raise _garbled(f"a {str(kind)[:20]}, not a vector or scalar")
        if kind == "vector" and not all(isinstance(series, dict) for series in result):
            raise _garbled("something else than series")
        return kind, result, bool(answer.get("warnings"))

    def _one(self, series: list[Any], zone: str, source: str, reach: Reach, *, partial: bool) -> tuple[Intensity, ...]:
        """Nothing where there is no series, or its value is NaN. Raises OutOfReachError for several, and for what is no intensity."""
        if len(series) > 1:
            raise _garbled(f"{len(series)} series for zone {zone}, where one was expected")
        sample = series[0].get("value") if series else None
        if not series or (isinstance(sample, list) and sample[1:] == ["NaN"]):
            return ()
        reading = _reading(sample)
        if reading is None:
            raise _garbled("a sample that is no intensity")
        told = msgspec.structs.replace(reading, estimated=self.estimated or partial, forecast=self.forecast)
        facts = Facts(basis=self.basis, signal=self.signal, source=source, licence=self.licence)
        return current(facts, (zone,), told, reach.now_s())


def _reading(sample: Any) -> Reading | None:
    if not isinstance(sample, list) or len(sample) != 2 or not isinstance(sample[1], str):
        return None
    at_s = sample[0]
    try:
        value = grams(float(sample[1]))
    except ValueError:
        return None
    if value is None or isinstance(at_s, bool) or not isinstance(at_s, int | float) or not 0 <= at_s < 1e11:
        return None
    return Reading(g_per_kwh=value, start_s=float(at_s), period_s=0.0)


def _zone(name: str) -> str | None:
    """The id of the zone of that very name: a city in a label is no zone's figure."""
    found = named_zone(name)
    return None if found is None else found.id


def _grid(zone: str) -> str | None:
    """The id of the grid that a zone is on."""
    grid = grid_of(zone)
    return None if grid is None else _zone(grid)


def _garbled(detail: str) -> OutOfReachError:
    return OutOfReachError("garbled", f"{NAME} answers {detail}")
