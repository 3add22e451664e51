"""The ledger, read: one entry with its account and its decision, and sums over many."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast, get_args

import msgspec
from litestar import Controller, Request, route
from litestar.params import FromPath

from carbon.beside import embodied_g, water_ml
from carbon.meters.ecologits import opinion
from carbon.profile import profile_from
from proxy.controlplane.access import grant_of, needs_key
from proxy.controlplane.explaining import explanation
from proxy.controlplane.query import query_of
from proxy.controlplane.state import Plane
from proxy.errors import Refusal
from proxy.records import Entry
from proxy.store.ledger import StoreUnavailableError
from proxy.store.usage import GroupBy, UsageQuery

_LATER = b"retry-after: 5\r\n"
_SPAN = ("from", "to", "group_by")
_OFFSET = re.compile(r"[T ](\d\d:?\d\d\S*) (\d\d:?\d\d)$")
"""An offset east of Greenwich whose `+` was not escaped: in a query that is a space."""


def _unreadable() -> Refusal:
    return Refusal(503, "unavailable", "The ledger's store cannot be read at the moment.", headers=_LATER)


class Entries(Controller):
    """A key reads its own team's entries only."""

    path = "/v1/greenlane"
    guards = [needs_key]  # noqa: RUF012 - Litestar's own attribute

    @route("/requests/{entry_id:str}", http_method=["GET", "HEAD"])
    async def entry(self, request: Request[Any, Any, Any], entry_id: FromPath[str]) -> dict[str, Any]:
        """Show one exchange: tokens, energy, grams, price, attempts, the decision's reasons, and the chain of its figures."""
        plane: Plane = request.app.state.plane
        team = grant_of(request).team
        try:
            found, written = await plane.ledger.get(entry_id, team), True
            if found is None:
                written = await plane.written()
                found = await plane.ledger.get(entry_id, team)
        except StoreUnavailableError:
            raise _unreadable() from None
        if found is None and not written:
            raise Refusal(503, "unavailable", "The entry may not be in the ledger's store yet.", headers=_LATER)
        if found is None:
            raise Refusal(404, "not_found", "There is no such entry, or it is another team's.")
        other = await asyncio.to_thread(_second_opinion, plane, found)
        return {**shown(found), "explanation": explanation(found), "second_opinion": other}

    @route("/usage", http_method=["GET", "HEAD"])
    async def usage(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Sum what was used: `from`, `to` (RFC 3339 or a date), `group_by`."""
        plane: Plane = request.app.state.plane
        query = query_of(request, *_SPAN)
        asked = _asked(query, grant_of(request).team, "model")
        try:
            await plane.written()
            rows = await plane.ledger.usage(asked)
        except StoreUnavailableError:
            raise _unreadable() from None
        return {"object": "list", **_echoed(query, asked), "data": rows}

    @route("/savings", http_method=["GET", "HEAD"])
    async def savings(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Sum what choices avoided, against each model's default: `from`, `to`, `group_by`; and what a holdout measured."""
        plane: Plane = request.app.state.plane
        query = query_of(request, *_SPAN)
        asked = _asked(query, grant_of(request).team, "policy")
        try:
            await plane.written()
            rows, measured = await plane.ledger.savings(asked)
        except StoreUnavailableError:
            raise _unreadable() from None
        return {"object": "list", **_echoed(query, asked), "data": rows, "holdout": measured}


def _asked(query: Mapping[str, str], team: str | None, otherwise: GroupBy) -> UsageQuery:
    """What to sum, for the caller's own team. Raises Refusal 400."""
    group_by = query.get("group_by", otherwise)
    if group_by not in get_args(GroupBy):
        raise Refusal(400, None, f"`group_by` must be one of {', '.join(get_args(GroupBy))}.", param="group_by")
    from_s, to_s = _instant(query, "from"), _instant(query, "to")
    if from_s is not None and to_s is not None and to_s < from_s:
        raise Refusal(400, None, "`to` must not be before `from`.", param="to")
    return UsageQuery(group_by=cast("GroupBy", group_by), from_s=from_s, to_s=to_s, team=team)


def _echoed(query: Mapping[str, str], asked: UsageQuery) -> dict[str, Any]:
    return {"group_by": asked.group_by, "from": query.get("from"), "to": query.get("to")}


def shown(entry: Entry) -> dict[str, Any]:
    """An entry as JSON: the account first, then how it came about."""
    plain: dict[str, Any] = msgspec.to_builtins(entry)
    carbon = plain.pop("carbon")
    return {
        "object": "greenlane.request",
        **plain,
        "at": datetime.fromtimestamp(entry.at_s, UTC).isoformat().replace("+00:00", "Z"),
        "rejected": [{"deployment": name, "constraint": constraint} for name, constraint in entry.rejected],
        "account": {
            **carbon,
            "energy_wh": None if carbon["energy_j"] is None else carbon["energy_j"] / 3600,
            "cost_usd": entry.cost_usd,
        },
        "beside": _beside(entry),
    }


def _second_opinion(plane: Plane, entry: Entry) -> dict[str, Any] | None:
    """EcoLogits' figure for a closed model, where the extra is installed and the deployment is still there; never the published one."""
    served = None if entry.deployment is None else plane.snapshot().served.get(entry.deployment)
    if served is None or entry.profile is None or entry.profile.get("kind") != "range" or not entry.tokens.output:
        return None
    found = opinion(served.adapter.name, served.target.upstream_model, entry.tokens.output, entry.duration_s)
    return None if found is None else msgspec.to_builtins(found)


def _beside(entry: Entry) -> dict[str, Any]:
    """What is not electricity and never in its grams; null where it is not known."""
    try:
        profile = None if entry.profile is None else profile_from(entry.profile)
    except msgspec.ValidationError:
        profile = None
    energy_j, busy_s = entry.carbon.energy_j, entry.attempts[-1].seconds_s if entry.attempts else None
    return {
        "embodied_g": None if profile is None or busy_s is None else embodied_g(profile, busy_s),
        "embodied_source": None if profile is None else profile.embodied_source,
        "water_ml": None if profile is None or energy_j is None else water_ml(profile, energy_j),
        "water_source": None if profile is None else profile.wue_source,
    }


def _instant(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(_OFFSET.sub(r"T\1+\2", text))
    except ValueError:
        raise Refusal(400, None, f"`{name}` must be a date or an RFC 3339 instant.", param=name) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
