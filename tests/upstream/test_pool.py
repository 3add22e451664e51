"""Which idle connections are kept, for how long, and which is used next."""

from __future__ import annotations

import asyncio

from tests.imitations.fault_server import FaultServer, Transcript, forever, read_request, respond
from tests.upstream.asking import POST, asked, http1_at, http1_closed, settled

OK = [("response", 200, [(b"content-length", b"2")]), ("data", b"ok"), ("end",)]
SERVES = [forever(read_request(), respond())]


def test_the_connection_used_last_is_used_first():
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = http1_at(server)
            first, second = Transcript(), Transcript()
            upstream.send(POST, first)
            upstream.send(POST, second)
            await first.finished()
            await second.finished()
            last = upstream.pool.idle[-1]
            await asked(upstream)
            assert upstream.pool.idle[-1] is last
            await http1_closed(upstream)

    asyncio.run(main())


def test_no_more_connections_stay_idle_than_allowed(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = http1_at(server, idle_connections=2)
            transcripts = [Transcript() for _ in range(5)]
            for transcript in transcripts:
                upstream.send(POST, transcript)
            for transcript in transcripts:
                await transcript.finished()
            await settled(upstream, "connecting=0 busy=0 idle=2")
            await http1_closed(upstream)

    run(main())


def test_an_idle_connection_is_closed_after_its_time(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = http1_at(server)
            upstream.pool.idle_s = 0.05
            await asked(upstream)
            await server.logged("0 gone")
            await settled(upstream, "idle=0")
            await http1_closed(upstream)

    run(main())


def test_an_old_connection_is_not_used_again(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = http1_at(server)
            upstream.pool.age_s = -1
            assert [await asked(upstream), await asked(upstream)] == [OK, OK]
            assert server.connections == 2
            await http1_closed(upstream)

    run(main())
