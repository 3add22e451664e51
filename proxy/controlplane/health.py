"""Liveness, readiness and the scrape."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Controller, Request, Response, route

from proxy.controlplane.access import local_only_without_keys
from proxy.controlplane.state import Plane


class Health(Controller):
    """Open to whoever reaches the port: orchestrators have no key."""

    path = "/"

    @route("/health/live", http_method=["GET", "HEAD"])
    async def live(self) -> dict[str, str]:
        """Return 200 while the process can answer at all."""
        return {"status": "live"}

    @route("/health/ready", http_method=["GET", "HEAD"])
    async def ready(self, request: Request[Any, Any, Any]) -> Response[dict[str, str]]:
        """Return 200 when the configuration is loaded and a deployment is usable, else 503 with the reason."""
        plane: Plane = request.app.state.plane
        reason = plane.ready()
        if reason is None:
            return Response({"status": "ready"})
        return Response({"status": "unready", "reason": reason}, status_code=503, headers={"retry-after": "5"})

    @route("/metrics", http_method=["GET", "HEAD"], guards=[local_only_without_keys])
    async def metrics(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the Prometheus exposition; rendered in a thread, so that streams go on."""
        plane: Plane = request.app.state.plane
        text = await asyncio.to_thread(plane.metrics.render)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
