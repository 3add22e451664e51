"""Measured deployments: how each meter is doing, and where the joules went."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, route

from proxy.controlplane.access import needs_key
from proxy.controlplane.state import Plane


class Meters(Controller):
    """Whoever has a key may read them: they are the machines', not a team's."""

    path = "/v1/greenlane/meters"
    guards = [needs_key]  # noqa: RUF012 - Litestar's own attribute

    @route("/", http_method=["GET", "HEAD"])
    async def read(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Show every deployment that has a meter."""
        plane: Plane = request.app.state.plane
        return {"object": "list", "data": [msgspec.to_builtins(each) for each in plane.metering.status()]}
