"""Which connection an HTTP/2 exchange goes over."""

from __future__ import annotations

import asyncio

from proxy.config import Timeouts, Tls
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.http2 import Http2Upstream
from tests.imitations.fault_server import FaultServer, Transcript, certificate, read_request, respond, server_tls, stall
from tests.imitations.h2_server import H2Server, data, end, goaway, head, until
from tests.upstream.asking import POST, Turned, asked, http2_at, http2_closed, opened

OK = [("response", 200, []), ("data", b"ok"), ("end",)]
ANSWER = [head(), data(b"ok"), end()]


def test_no_more_streams_are_opened_than_the_upstream_allows(run):
    async def main():
        go = asyncio.Event()
        async with H2Server([head(), until(go), data(b"ok"), end()], max_streams=2) as server:
            upstream = http2_at(server)
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
            await http2_closed(upstream)

    run(main())


def test_after_a_graceful_goaway_running_exchanges_end_well_and_new_ones_go_elsewhere(run):
    async def main():
        go = asyncio.Event()
        async with H2Server([goaway(2**31 - 1), head(), until(go), data(b"ok"), end()], ANSWER) as server:
            upstream = http2_at(server)
            transcript = Transcript()
            upstream.send(POST, transcript)
            await transcript.told(1)
            assert await asked(upstream) == OK
            go.set()
            assert await transcript.finished() == OK
            assert opened(server) == 2
            await server.logged("gone")
            await http2_closed(upstream)

    run(main())


def test_a_connection_on_which_a_deadline_passed_gets_no_further_exchange(run):
    """It may be a connection that nobody listens to any more: each new exchange would wait for its deadline, too."""

    async def main():
        async with H2Server([until(asyncio.Event())], ANSWER) as server:
            sweep = Turned()
            upstream = http2_at(server, Timeouts(first_byte_s=10), sweep=sweep)
            transcript = Transcript()
            upstream.send(POST, transcript)
            await server.logged("1 request")
            sweep.turn(10)
            assert await transcript.finished() == [("error", "timeout_first_byte")]
            assert await asked(upstream) == OK
            assert opened(server) == 2
            await http2_closed(upstream)

    run(main())


def test_exchanges_share_a_connection_and_end_in_their_own_order(run):
    async def main():
        first, second = asyncio.Event(), asyncio.Event()
        async with H2Server([head(), until(first), data(b"first"), end()], [head(), until(second), data(b"second"), end()]) as server:
            upstream = http2_at(server)
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
            await http2_closed(upstream)

    run(main())


def test_an_upstream_without_http_2_is_told_apart(run):
    async def main():
        async with FaultServer([read_request(), respond()], tls=server_tls("http/1.1")) as server:
            endpoint = Endpoint("https", "127.0.0.1", server.port)
            upstream = Http2Upstream(endpoint, tls=Tls(ca_file=str(certificate()[0])))
            assert await asked(upstream) == [("error", "tls")]
            assert server.requests == []
        async with FaultServer([respond(), stall()]) as server:
            assert await asked(http2_at(server)) == [("error", "garbled")]

    run(main())
