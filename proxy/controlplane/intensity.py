"""Grid intensities: what counts now, where it was read, how it was and what is foretold."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Controller, Request, route

from carbon.intensity import Intensity, Table, on_basis
from carbon.sources._base import instant_s
from carbon.zones import UnknownZoneError, Zone, resolve_zone
from proxy.controlplane.access import needs_key
from proxy.controlplane.query import query_of
from proxy.controlplane.state import Grids, Plane
from proxy.errors import Refusal
from proxy.store.ledger import StoreUnavailableError

MOST_HOURS = 96.0
_SPAN = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)(m|h|d)")
_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0}


class Intensities(Controller):
    """Whoever has a key may read them: they are the grid's, not a team's."""

    path = "/v1/greenlane/intensity"
    guards = [needs_key]  # noqa: RUF012 - Litestar's own attribute

    @route("/", http_method=["GET", "HEAD"])
    async def read(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Show every zone of the fleet; or with `zone`, that one, with `horizon` its forecast and with `history` its past."""
        plane: Plane = request.app.state.plane
        query = query_of(request, "zone", "horizon", "history")
        written = query.get("zone")
        if written is None:
            for name in ("horizon", "history"):
                if name in query:
                    raise Refusal(400, None, f"`{name}` needs `zone`: it is of one zone.", param=name)
            return fleet(plane.grids, {name: served.settings.zone for name, served in plane.snapshot().served.items()}, now_s=time.time())
        zone = _zone(written)
        horizon, history = hours(query.get("horizon"), "horizon"), hours(query.get("history"), "history")
        answer = await about(plane.grids, zone, horizon_h=horizon, now_s=time.time())
        if history is not None:
            basis = plane.snapshot().config.carbon.basis
            past = [(feed, on_basis(sample, basis)) for feed, sample in await _past(plane, zone.id, history)]
            answer["history"] = [{"feed": feed, **shown(sample, time.time())} for feed, sample in past if sample is not None]
        return answer


async def about(grids: Grids, zone: Zone, *, horizon_h: float | None, now_s: float) -> dict[str, Any]:
    """One zone as JSON: what counts now, what each source told, and the forecast where it is asked for."""
    await grids.look_up(zone.id)
    answer: dict[str, Any] = {
        "object": "greenlane.intensity",
        "zone": zone.id,
        "names": sorted(zone.names),
        **_now(grids.table(), zone.id, now_s),
        "told": [{"feed": feed, **shown(sample, now_s)} for feed, sample in grids.told(zone.id)],
    }
    if horizon_h is not None:
        answer["forecast"] = [shown(sample, now_s) for sample in await grids.ahead(zone.id, horizon_h)]
    return answer


def shown(sample: Intensity, now_s: float) -> dict[str, Any]:
    """A sample as JSON, with its age in whole seconds: negative where it is foretold."""
    return {**msgspec.to_builtins(sample), "age_s": int(now_s - instant_s(sample.as_of))}


def fleet(grids: Grids, deployments: Mapping[str, str | None], *, now_s: float) -> dict[str, Any]:
    """The zones of deployments, given by name with the zone as it is written, as JSON; and how the sources are doing."""
    table = grids.table()
    of: dict[str | None, list[str]] = {}
    for name, written in deployments.items():
        of.setdefault(None if written is None else resolve_zone(written).id, []).append(name)
    rows = [{"zone": zone or "WORLD", "deployments": names, **_now(table, zone, now_s)} for zone, names in of.items()]
    return {
        "object": "list",
        "at": datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data": rows,
        "sources": [msgspec.to_builtins(each) for each in grids.status()],
    }


def _now(table: Table, zone: str | None, now_s: float) -> dict[str, Any]:
    average, marginal = table.latest(zone), None if zone is None else table.marginal.get(zone)
    return {
        "average": None if average is None else shown(average, now_s),
        "marginal": None if marginal is None else shown(marginal, now_s),
    }


async def _past(plane: Plane, zone: str, hours: float) -> list[tuple[str, Intensity]]:
    now_s = time.time()
    try:
        return await plane.intensities.between(zone, now_s - hours * 3600, now_s + 1)
    except StoreUnavailableError:
        raise Refusal(503, "unavailable", "The ledger's store cannot be read at the moment.", headers=b"retry-after: 5\r\n") from None


def _zone(written: str) -> Zone:
    try:
        return resolve_zone(written)
    except UnknownZoneError as error:
        nearest = f" Nearest: {', '.join(error.nearest)}." if error.nearest else ""
        raise Refusal(400, None, f"`zone` is not a zone, cloud region or country that is known.{nearest}", param="zone") from None


def hours(text: str | None, name: str) -> float | None:
    """A time such as `24h`, in hours; None stays None. Raises Refusal 400."""
    if text is None:
        return None
    found = _SPAN.fullmatch(text)
    asked = float(found[1]) * _HOURS[found[2]] if found else 0.0
    if not 0 < asked <= MOST_HOURS:
        raise Refusal(400, None, f"`{name}` must be a time such as 90m, 24h or 2d, at most {MOST_HOURS:.0f}h.", param=name)
    return asked
