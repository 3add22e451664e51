"""Measured deployments: how each meter is doing, and where the joules went."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar import Controller, Request, route

from proxy.controlplane.access import needs_key
from proxy.controlplane.state import Plane
from proxy.errors import Refusal
from proxy.store.ledger import StoreUnavailableError
from proxy.store.metered_days import DAY_S

DAYS = 31


class Meters(Controller):
    """Whoever has a key may read them: they are the machines', not a team's."""

    path = "/v1/greenlane/meters"
    guards = [needs_key]  # noqa: RUF012 - Litestar's own attribute

    @route("/", http_method=["GET", "HEAD"])
    async def read(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Show every deployment that has a meter, and the joules of the last 31 days."""
        plane: Plane = request.app.state.plane
        days = await _days(plane)
        return {"object": "list", "data": [msgspec.to_builtins(each) for each in plane.metering.status()], "days": days}


async def _days(plane: Plane) -> list[dict[str, Any]]:
    try:
        return await plane.days.since(int(time.time() // DAY_S) - DAYS + 1)
    except StoreUnavailableError:
        raise Refusal(503, "unavailable", "The ledger's store cannot be read at the moment.", headers=b"retry-after: 5\r\n") from None
