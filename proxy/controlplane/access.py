"""Guards of the control plane: authorised by the route that matched, never by the text of a URL."""

from __future__ import annotations

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from proxy.access import Grant, check_origin
from proxy.controlplane.state import Plane


def grant_of(connection: ASGIConnection) -> Grant:  # type: ignore[type-arg]
    """Who asks. Raises Refusal 401 or 403."""
    plane: Plane = connection.app.state.plane
    snapshot = plane.snapshot()
    headers = dict(connection.scope["headers"])
    if snapshot.hosts is not None:
        check_origin(headers.get(b"host"), headers.get(b"origin"), snapshot.hosts, snapshot.config.server.cors.origins)
    return snapshot.keyring.admit(headers)


def needs_key(connection: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]  # noqa: ARG001 - Litestar's signature
    """A guard: the caller has a key that is known, or there are no keys and it is local."""
    grant_of(connection)


def local_only_without_keys(connection: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]  # noqa: ARG001
    """A guard for what needs no key: without keys, pages of other origins are still refused."""
    plane: Plane = connection.app.state.plane
    snapshot = plane.snapshot()
    if snapshot.hosts is not None:
        headers = dict(connection.scope["headers"])
        check_origin(headers.get(b"host"), headers.get(b"origin"), snapshot.hosts, snapshot.config.server.cors.origins)
