"""Which connection an HTTP/2 exchange goes over."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from proxy.config import Timeouts, Tls
from proxy.upstream._base import Request
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.http2 import Http2Upstream
from proxy.upstream.sweep import Sweep
from tests.imitations.fault_server import FaultServer, Transcript, certificate, read_request, respond, server_tls, stall
from tests.imitations.h2_server import H2Server, data, end, goaway, head, until

POST = Request(b"POST", b"/", (), b"{}")
OK = [("response", 200, []), ("data", b"ok"), ("end",)]
ANSWER = [head(), data(b"ok"), end()]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


def upstream_at(server, timeouts=None):
    return Http2Upstream(Endpoint("http", "127.0.0.1", server.port), timeouts, sweep=Sweep(interval_s=0.02))


async def asked(upstream, request=POST):
    transcript = Transcript()
    upstream.send(request, transcript)
    return await transcript.finished()


async def closed(upstream) -> None:
    upstream.close()
    async with asyncio.timeout(5):
        while upstream.connections:  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)


def opened(server) -> int:
    return server.log.count("open")


def test_no_more_streams_are_opened_than_the_upstream_allows(run):
    async def main():
        go = asyncio.Event()
        async with H2Server([head(), until(go), data(b"ok"), end()], max_streams=2) as server:
            upstream = upstream_at(server)
            first = Transcript()
            upstream.send(POST, first)
            await first.told(1)
            others = [Transcript() for _ in range(4)]
            for transcript in others:
                upstream.send(POST, transcript)
            await others[0].told(1)
            go.set()
            for transcript in (first, *others):
                assert await transcript.finished() == OK
            assert opened(server) == 2 or "cancelled" not in " ".join(server.log)
            await closed(upstream)

    run(main())


def test_after_a_graceful_goaway_running_exchanges_end_well_and_new_ones_go_elsewhere(run):
    async def main():
        go = asyncio.Event()
        async with H2Server([goaway(2**31 - 1), head(), until(go), data(b"ok"), end()], ANSWER) as server:
            upstream = upstream_at(server)
            transcript = Transcript()
            upstream.send(POST, transcript)
            await transcript.told(1)
            assert await asked(upstream) == OK
            go.set()
            assert await transcript.finished() == OK
            assert opened(server) == 2
            await server.logged("gone")
            await closed(upstream)

    run(main())


def test_a_connection_on_which_a_deadline_passed_gets_no_further_exchange(run):
    """It may be a connection that nobody listens to any more: each new exchange would wait for its deadline, too."""

    async def main():
        async with H2Server([until(asyncio.Event())], ANSWER) as server:
            upstream = upstream_at(server, Timeouts(first_byte_s=0.05))
            assert await asked(upstream) == [("error", "timeout_first_byte")]
            assert await asked(upstream) == OK
            assert opened(server) == 2
            await closed(upstream)

    run(main())


def test_exchanges_share_a_connection_and_end_in_their_own_order(run):
    async def main():
        first, second = asyncio.Event(), asyncio.Event()
        async with H2Server([head(), until(first), data(b"first"), end()], [head(), until(second), data(b"second"), end()]) as server:
            upstream = upstream_at(server)
            one, two = Transcript(), Transcript()
            upstream.send(POST, one)
            upstream.send(POST, two)
            await two.told(1)
            assert repr(upstream) == "<Http2Upstream connecting=0 streams=2 connections=1>"
            second.set()
            assert (await two.finished())[1] == ("data", b"second")
            assert not one.over.is_set()
            first.set()
            assert (await one.finished())[1] == ("data", b"first")
            assert (opened(server), upstream.inflight) == (1, 0)
            await closed(upstream)

    run(main())


def test_an_upstream_without_http_2_is_told_apart(run):
    async def main():
        async with FaultServer([read_request(), respond()], tls=server_tls("http/1.1")) as server:
            endpoint = Endpoint("https", "127.0.0.1", server.port)
            upstream = Http2Upstream(endpoint, tls=Tls(ca_file=str(certificate()[0])))
            assert await asked(upstream) == [("error", "tls")]
            assert server.requests == []
        async with FaultServer([respond(), stall()]) as server:
            assert await asked(upstream_at(server)) == [("error", "garbled")]

    run(main())
