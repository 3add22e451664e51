"""Asking an upstream that is under test, and waiting until it has settled."""

from __future__ import annotations

import asyncio

from proxy.upstream._base import Request
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.http1 import Http1Upstream
from proxy.upstream.http2 import Http2Upstream
from proxy.upstream.sweep import Sweep
from tests.imitations.fault_server import Transcript

POST = Request(b"POST", b"/", (), b"{}")


async def asked(upstream, request=POST):
    transcript = Transcript()
    upstream.send(request, transcript)
    return await transcript.finished()


def http1_at(server, timeouts=None, idle_connections=100):
    return Http1Upstream(Endpoint("http", "127.0.0.1", server.port), timeouts, idle_connections, sweep=Sweep(interval_s=0.02))


async def settled(upstream, counts: str) -> None:
    """Returns once the client's connections are as said."""
    async with asyncio.timeout(5):
        while counts not in repr(upstream):  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)


async def http1_closed(upstream) -> None:
    upstream.close()
    await settled(upstream, "connecting=0 busy=0 idle=0")


def http2_at(server, timeouts=None):
    return Http2Upstream(Endpoint("http", "127.0.0.1", server.port), timeouts, sweep=Sweep(interval_s=0.02))


async def http2_closed(upstream) -> None:
    upstream.close()
    async with asyncio.timeout(5):
        while upstream.connections:  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)


def opened(server) -> int:
    return server.log.count("open")
