"""What is HTTP/2's own: many exchanges on one connection, each with its own end."""

from __future__ import annotations

import asyncio

from proxy.upstream._base import Request
from tests.imitations.fault_server import Transcript
from tests.imitations.h2_server import H2Server, data, drop, end, goaway, head, raw, reset, until
from tests.upstream.asking import POST, asked, http2_at, http2_closed, opened

OK = [("response", 200, []), ("data", b"ok"), ("end",)]
ANSWER = [head(), data(b"ok"), end()]


def test_an_abort_cancels_its_stream_and_leaves_the_others(run):
    async def main():
        go = asyncio.Event()
        async with H2Server([head(), data(b"x"), until(asyncio.Event())], [head(), until(go), data(b"ok"), end()]) as server:
            upstream = http2_at(server)
            one, two = Transcript(), Transcript()
            sending = upstream.send(POST, one)
            upstream.send(POST, two)
            await one.told(2)
            await two.told(1)
            sending.abort()
            await server.logged("1 cancelled 8")
            go.set()
            assert await two.finished() == OK
            assert len(one.events) == 2
            await http2_closed(upstream)

    run(main())


def test_a_paused_exchange_holds_a_window_at_most_and_stops_no_other(run):
    async def main():
        large = b"x" * 2_000_000
        async with H2Server([head(), data(large), end()], ANSWER) as server:
            upstream = http2_at(server)
            slow = Transcript(lambda event: sending.pause() if event == "response" else None)
            sending = upstream.send(POST, slow)
            await server.logged("1 blocked")
            assert await asked(upstream) == OK
            assert len(slow.events) == 1
            (stream,) = [stream for connection in upstream.connections for stream in connection.streams.values()]
            assert sum(map(len, stream.held)) <= 256 * 1024
            sending.resume()
            assert await slow.finished() == [("response", 200, []), ("data", large), ("end",)]
            await http2_closed(upstream)

    run(main())


def test_a_receiver_that_pauses_again_while_it_is_given_what_was_held_loses_nothing(run):
    async def main():
        async with H2Server([head(), *[data(b"%d" % at) for at in range(8)], end()]) as server:
            upstream = http2_at(server)
            transcript = Transcript(lambda event: sending.pause() if event != "end" else None)
            sending = upstream.send(POST, transcript)
            await transcript.told(1)
            while not transcript.over.is_set():
                await asyncio.sleep(0.001)
                sending.resume()
            assert transcript.said == [("response", 200, []), ("data", b"01234567"), ("end",)]
            await http2_closed(upstream)

    run(main())


def test_a_body_larger_than_the_window_arrives_whole(run):
    async def main():
        async with H2Server(ANSWER) as server:
            upstream = http2_at(server)
            body = bytes(range(256)) * 4000
            assert await asked(upstream, Request(b"POST", b"/", (), body)) == OK
            assert server.requests[0][1] == body
            await http2_closed(upstream)

    run(main())


def test_a_refused_stream_is_tried_once_more(run):
    async def main():
        async with H2Server([reset(7)], ANSWER) as server:
            upstream = http2_at(server)
            assert await asked(upstream) == OK
            await http2_closed(upstream)
        async with H2Server([reset(7)]) as server:
            upstream = http2_at(server)
            assert await asked(upstream) == [("error", "reset")]
            assert len(server.requests) == 2
            await http2_closed(upstream)

    run(main())


def test_a_stream_reset_after_the_head_is_not_tried_again(run):
    async def main():
        async with H2Server([head(), reset(7)]) as server:
            upstream = http2_at(server)
            assert await asked(upstream) == [("response", 200, []), ("error", "reset")]
            assert len(server.requests) == 1
            await http2_closed(upstream)

    run(main())


def test_an_exchange_that_a_goaway_leaves_out_is_tried_once_more(run):
    async def main():
        async with H2Server([goaway(0)], ANSWER) as server:
            upstream = http2_at(server)
            assert await asked(upstream) == OK
            assert (opened(server), len(server.requests)) == (2, 2)
            await http2_closed(upstream)

    run(main())


def test_a_connection_that_goes_takes_its_exchanges_along(run):
    async def main():
        async with H2Server([head(), until(asyncio.Event())], [head(), drop()]) as server:
            upstream = http2_at(server)
            one, two = Transcript(), Transcript()
            upstream.send(POST, one)
            await one.told(1)
            upstream.send(POST, two)
            for transcript in (one, two):
                assert await transcript.finished() == [("response", 200, []), ("error", "reset")]
            assert repr(upstream) == "<Http2Upstream connecting=0 streams=0 connections=0>"

    run(main())


def test_rubbish_is_garbled_for_all_and_closes_the_connection(run):
    async def main():
        async with H2Server([head(), until(asyncio.Event())], [raw(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x")]) as server:
            upstream = http2_at(server)
            one, two = Transcript(), Transcript()
            upstream.send(POST, one)
            await one.told(1)
            upstream.send(POST, two)
            assert await two.finished() == [("error", "garbled")]
            assert await one.finished() == [("response", 200, []), ("error", "garbled")]
            await server.logged("gone")

    run(main())
