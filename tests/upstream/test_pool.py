"""Which idle connections are kept, for how long, and which is used next."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from proxy.upstream._base import Request
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.http1 import Http1Upstream
from proxy.upstream.sweep import Sweep
from tests.imitations.fault_server import FaultServer, Transcript, forever, read_request, respond

POST = Request(b"POST", b"/", (), b"{}")
OK = [("response", 200, [(b"content-length", b"2")]), ("data", b"ok"), ("end",)]
SERVES = [forever(read_request(), respond())]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


def upstream_at(server, idle_connections=100):
    return Http1Upstream(Endpoint("http", "127.0.0.1", server.port), None, idle_connections, sweep=Sweep(interval_s=0.02))


async def asked(upstream, request=POST):
    transcript = Transcript()
    upstream.send(request, transcript)
    return await transcript.finished()


async def settled(upstream, counts: str) -> None:
    """Returns once the client's connections are as said."""
    async with asyncio.timeout(5):
        while counts not in repr(upstream):  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)


async def closed(upstream) -> None:
    upstream.close()
    await settled(upstream, "connecting=0 busy=0 idle=0")


def test_the_connection_used_last_is_used_first():
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = upstream_at(server)
            first, second = Transcript(), Transcript()
            upstream.send(POST, first)
            upstream.send(POST, second)
            await first.finished()
            await second.finished()
            last = upstream.pool.idle[-1]
            await asked(upstream)
            assert upstream.pool.idle[-1] is last
            await closed(upstream)

    asyncio.run(main())


def test_no_more_connections_stay_idle_than_allowed(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = upstream_at(server, idle_connections=2)
            transcripts = [Transcript() for _ in range(5)]
            for transcript in transcripts:
                upstream.send(POST, transcript)
            for transcript in transcripts:
                await transcript.finished()
            await settled(upstream, "connecting=0 busy=0 idle=2")
            await closed(upstream)

    run(main())


def test_an_idle_connection_is_closed_after_its_time(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = upstream_at(server)
            upstream.pool.idle_s = 0.05
            await asked(upstream)
            await server.logged("0 gone")
            await settled(upstream, "idle=0")
            await closed(upstream)

    run(main())


def test_an_old_connection_is_not_used_again(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = upstream_at(server)
            upstream.pool.age_s = -1
            assert [await asked(upstream), await asked(upstream)] == [OK, OK]
            assert server.connections == 2
            await closed(upstream)

    run(main())
