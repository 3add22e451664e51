"""What can be asked for: the models, and where each of them runs."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time
from typing import Any

from litestar import Controller, Request, route
from litestar.params import FromPath

from proxy.controlplane.access import grant_of, needs_key
from proxy.controlplane.errors import is_claude
from proxy.controlplane.state import Plane
from proxy.errors import no_such_model
from proxy.snapshot import Member, Served

_OFFERED_S = int(time())
"""Unix time since when this process offers its models; when they were made, nobody tells, and clients show 0 as the year 1970."""


_OFFERED = datetime.fromtimestamp(_OFFERED_S, UTC).isoformat().replace("+00:00", "Z")


class Models(Controller):
    """OpenAI's list, with our members under `greenlane`; for Anthropic's clients with that API's members too."""

    path = "/v1/models"
    guards = [needs_key]  # noqa: RUF012 - Litestar's own attribute

    @route("/", http_method=["GET", "HEAD"])
    async def listed(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """List the models this key may use."""
        plane: Plane = request.app.state.plane
        allowed = grant_of(request).models
        members = [each for each in plane.snapshot().models.values() if allowed is None or each.name in allowed]
        listed = {"object": "list", "data": [_shown(each, plane, claude=is_claude(request)) for each in members]}
        if not is_claude(request):
            return listed
        ends = (members[0].name, members[-1].name) if members else (None, None)
        return {**listed, "has_more": False, "first_id": ends[0], "last_id": ends[1]}

    @route("/{model:path}", http_method=["GET", "HEAD"])
    async def one(self, request: Request[Any, Any, Any], model: FromPath[str]) -> dict[str, Any]:
        """Show one model; names may hold slashes."""
        plane: Plane = request.app.state.plane
        allowed = grant_of(request).models
        found = plane.snapshot().models.get(model.lstrip("/"))
        if found is None or (allowed is not None and found.name not in allowed):
            raise no_such_model(model.lstrip("/"))
        return _shown(found, plane, claude=is_claude(request))


def _shown(member: Member, plane: Plane, *, claude: bool) -> dict[str, Any]:
    deployments = [*member.own, *member.substitutes]
    simulated = bool(deployments) and all(each.simulated for each in deployments)
    # https://platform.claude.com/docs/en/api/models-list
    own = {"type": "model", "display_name": member.name, "created_at": _OFFERED, "lifecycle": "active"} if claude else {}
    return {
        "id": member.name,
        **own,
        "object": "model",
        "created": _OFFERED_S,
        "owned_by": "greenlane-simulation" if simulated else "greenlane",
        "greenlane": {
            "simulated": simulated,
            "members": sorted({each.model for each in member.own}) if member.group else None,
            "substitutes": sorted({each.model for each in member.substitutes}) or None,
            "deployments": [_place(each, plane) for each in member.own],
        },
    }


def _place(served: Served, plane: Plane) -> dict[str, Any]:
    intensity = served.intensity
    return {
        "name": served.name,
        "model": served.model,
        "dialect": served.adapter.name,
        "privacy": served.settings.privacy,
        "zone": None if intensity is None else intensity.zone,
        "zone_assumed": None if intensity is None else intensity.assumed,
        "intensity_g_per_kwh": None if intensity is None else intensity.g_per_kwh,
        "energy_method": None if served.estimator is None else served.estimator.method,
        "simulated": served.simulated,
        "up": plane.up(served.name),
    }
