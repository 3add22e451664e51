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


class Turned(Sweep):
    """A sweep that ticks when the test says so, on a clock that the test moves: on a slow machine nothing is overdue by itself."""

    def __init__(self) -> None:
        self.at_s = 0.0
        super().__init__(lambda: self.at_s, interval_s=3600)

    def turn(self, seconds_s: float = 0.0) -> None:
        self.at_s += seconds_s
        self.tick()


async def asked(upstream, request=POST):
    transcript = Transcript()
    upstream.send(request, transcript)
    return await transcript.finished()


def http1_at(server, timeouts=None, idle_connections=100, *, sweep=None):
    return Http1Upstream(Endpoint("http", "127.0.0.1", server.port), timeouts, idle_connections, sweep=sweep or Sweep(interval_s=0.02))


async def settled(upstream, counts: str) -> None:
    """Returns once the client's connections are as said."""
    async with asyncio.timeout(60):
        while counts not in repr(upstream):  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)


async def http1_closed(upstream) -> None:
    upstream.close()
    await settled(upstream, "connecting=0 busy=0 idle=0")


def http2_at(server, timeouts=None, *, sweep=None):
    return Http2Upstream(Endpoint("http", "127.0.0.1", server.port), timeouts, sweep=sweep or Sweep(interval_s=0.02))


async def http2_closed(upstream) -> None:
    upstream.close()
    async with asyncio.timeout(60):
        while upstream.connections:  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)


def opened(server) -> int:
    return server.log.count("open")
