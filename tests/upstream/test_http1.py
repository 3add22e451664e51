"""The HTTP/1.1 client against servers that misbehave on the wire."""

from __future__ import annotations

import asyncio

import pytest

from proxy.config import Timeouts
from proxy.upstream._base import Request
from tests.imitations.fault_server import (
    FaultServer,
    Transcript,
    close,
    dribble,
    forever,
    half_close,
    read_request,
    reset,
    respond,
    response,
    send,
    stall,
    until,
)
from tests.upstream.asking import POST, Turned, asked, http1_at, http1_closed, settled

OK = [("response", 200, [(b"content-length", b"2")]), ("data", b"ok"), ("end",)]
SERVES = [forever(read_request(), respond())]


def test_requests_one_after_the_other_share_a_connection(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = http1_at(server)
            for _ in range(5):
                assert await asked(upstream) == OK
                assert repr(upstream) == "<Http1Upstream connecting=0 busy=0 idle=1>"
            assert server.connections == 1
            await http1_closed(upstream)

    run(main())


def test_requests_at_the_same_time_have_a_connection_each(run):
    async def main():
        go = asyncio.Event()
        async with FaultServer([forever(read_request(), until(go), respond())]) as server:
            upstream = http1_at(server)
            transcripts = [Transcript() for _ in range(5)]
            for transcript in transcripts:
                upstream.send(POST, transcript)
            assert (upstream.inflight, repr(upstream)) == (5, "<Http1Upstream connecting=5 busy=0 idle=0>")
            await settled(upstream, "connecting=0 busy=5 idle=0")
            go.set()
            for transcript in transcripts:
                assert await transcript.finished() == OK
            assert (upstream.inflight, repr(upstream)) == (0, "<Http1Upstream connecting=0 busy=0 idle=5>")
            await http1_closed(upstream)

    run(main())


@pytest.mark.parametrize("how", [close(), half_close(), reset()], ids=["close", "half close", "reset"])
def test_a_connection_that_the_upstream_closes_while_idle_leaves_the_pool(run, how):
    async def main():
        async with FaultServer([read_request(), respond(), how, stall()], SERVES) as server:
            upstream = http1_at(server)
            assert await asked(upstream) == OK
            await settled(upstream, "connecting=0 busy=0 idle=0")
            assert await asked(upstream) == OK
            await http1_closed(upstream)

    run(main())


def test_bytes_that_come_while_idle_close_the_connection_and_reach_nobody(run):
    async def main():
        go = asyncio.Event()
        spoiled = [read_request(), respond(), until(go), send(response(b"not yours")), stall()]
        async with FaultServer(spoiled, SERVES) as server:
            upstream = http1_at(server)
            assert await asked(upstream) == OK
            go.set()
            await settled(upstream, "connecting=0 busy=0 idle=0")
            assert await asked(upstream) == OK
            assert server.connections == 2
            await http1_closed(upstream)

    run(main())


def test_an_answer_that_comes_too_much_never_answers_the_next_request(run):
    async def main():
        async with FaultServer([read_request(), send(response() + response(b"not yours")), stall()], SERVES) as server:
            upstream = http1_at(server)
            assert [await asked(upstream) for _ in range(3)] == [OK, OK, OK]
            assert server.connections == 2
            await http1_closed(upstream)

    run(main())


@pytest.mark.parametrize("how", [close(), reset()], ids=["close", "reset"])
def test_a_kept_connection_that_dies_before_any_byte_is_replaced_once_unnoticed(run, how):
    async def main():
        async with FaultServer([read_request(), respond(), read_request(), how], SERVES) as server:
            upstream = http1_at(server, sweep=Turned())
            assert [await asked(upstream), await asked(upstream)] == [OK, OK]
            assert (server.connections, len(server.requests)) == (2, 3)
            await http1_closed(upstream)

    run(main())


def test_the_replacement_is_not_replaced(run):
    async def main():
        async with FaultServer([read_request(), respond(), read_request(), reset()], [read_request(), reset()]) as server:
            upstream = http1_at(server, sweep=Turned())
            assert [await asked(upstream), await asked(upstream)] == [OK, [("error", "reset")]]
            assert server.connections == 2

    run(main())


def test_a_new_connection_that_dies_is_not_replaced(run):
    async def main():
        async with FaultServer([read_request(), close()]) as server:
            assert await asked(http1_at(server)) == [("error", "reset")]
            assert server.connections == 1

    run(main())


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_kept_connection_that_dies_after_the_first_byte_is_not_replaced(run, said):
    async def main():
        async with FaultServer([read_request(), respond(), read_request(), send(said), close()], SERVES) as server:
            upstream = http1_at(server)
            assert [await asked(upstream), await asked(upstream)] == [OK, [("error", "reset")]]
            assert server.connections == 1

    run(main())


def test_a_kept_connection_that_dies_after_a_while_is_not_replaced(run):
    """The upstream may have worked on the request: only its caller can know whether to pay twice."""

    async def main():
        sweep, go = Turned(), asyncio.Event()
        async with FaultServer([read_request(), respond(), read_request(), until(go), close()], SERVES) as server:
            upstream = http1_at(server, sweep=sweep)
            assert await asked(upstream) == OK
            transcript = Transcript()
            upstream.send(POST, transcript)
            sweep.turn(3.0)
            go.set()
            assert await transcript.finished() == [("error", "reset")]
            assert server.connections == 1

    run(main())


def test_an_answer_that_comes_before_the_request_was_read_counts(run):
    async def main():
        async with FaultServer([respond(b"too large", 413), stall()]) as server:
            upstream = http1_at(server)
            said = await asked(upstream, Request(b"POST", b"/", (), b"x" * 20_000_000))
            assert said == [("response", 413, [(b"content-length", b"9")]), ("data", b"too large"), ("end",)]
            await settled(upstream, "connecting=0 busy=0 idle=0")

    run(main())


def test_an_answer_byte_by_byte_is_the_same_answer(run):
    async def main():
        async with FaultServer([forever(read_request(), dribble(response()))]) as server:
            upstream = http1_at(server)
            assert [await asked(upstream), await asked(upstream)] == [OK, OK]
            await http1_closed(upstream)

    run(main())


def test_bytes_that_do_not_end_the_head_do_not_put_off_the_deadline(run):
    """Interim responses, say: something must be answered in time."""

    async def main():
        slow = [read_request(), forever(send(b"HTTP/1.1 102 Processing\r\n\r\n"), until_ticked())]
        async with FaultServer(slow) as server:
            assert await asked(http1_at(server, Timeouts(first_byte_s=0.5))) == [("error", "timeout_first_byte")]
            await server.logged("0 gone")

    run(main())


def until_ticked():
    async def step(_):
        await asyncio.sleep(0.01)

    return step


def test_an_upload_that_moves_does_not_count_as_waiting(run):
    """The first byte is awaited from the moment the request has been taken, not from the moment it was handed over."""

    async def main():
        sweep = Turned()

        async def slowly(wire):
            # Slower than the deadline as a whole, quicker in every step: what sockets hold meanwhile is less than a step.
            await wire.reader.readuntil(b"\r\n\r\n")
            for _ in range(3):
                await wire.reader.readexactly(20_000_000)
                sweep.turn(6)

        async with FaultServer([slowly, respond(), stall()]) as server:
            upstream = http1_at(server, Timeouts(first_byte_s=10), sweep=sweep)
            assert await asked(upstream, Request(b"POST", b"/", (), b"x" * 60_000_000)) == OK
            await http1_closed(upstream)

    run(main())


def test_a_first_byte_deadline_passes_on_a_kept_connection_without_a_second_try(run):
    async def main():
        async with FaultServer([read_request(), respond(), read_request(), stall()]) as server:
            sweep = Turned()
            upstream = http1_at(server, Timeouts(first_byte_s=10), sweep=sweep)
            assert await asked(upstream) == OK
            transcript = Transcript()
            upstream.send(POST, transcript)
            sweep.turn(9)
            assert transcript.events == []
            sweep.turn(1)
            assert await transcript.finished() == [("error", "timeout_first_byte")]
            assert server.connections == 1

    run(main())


def test_a_connection_paused_at_the_end_reads_again_for_the_next_request(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = http1_at(server)
            transcript = Transcript(lambda event: sending.pause() if event == "data" else None)
            sending = upstream.send(POST, transcript)
            assert await transcript.finished() == OK
            assert await asked(upstream) == OK
            assert server.connections == 1
            await http1_closed(upstream)

    run(main())


def test_a_handle_that_has_ended_has_no_hold_on_the_next_exchange(run):
    async def main():
        go = asyncio.Event()
        async with FaultServer([read_request(), respond(), read_request(), until(go), respond()]) as server:
            upstream = http1_at(server)
            first, second = Transcript(), Transcript()
            old = upstream.send(POST, first)
            await first.finished()
            upstream.send(POST, second)
            old.pause()
            old.abort()
            go.set()
            assert await second.finished() == OK
            upstream.close()
            await settled(upstream, "connecting=0 busy=0 idle=0")

    run(main())


def test_a_request_on_a_kept_connection_makes_no_task_and_no_timer(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = http1_at(server)
            await asked(upstream)
            loop, made = asyncio.get_running_loop(), []
            upstream.sweep.start()
            transcript = Transcript()
            loop.set_task_factory(lambda loop, work, **how: made.append(work) or asyncio.Task(work, loop=loop, **how))
            handle = upstream.sweep.handle
            upstream.send(POST, transcript)
            assert (made, upstream.sweep.handle) == ([], handle)
            loop.set_task_factory(None)
            assert await transcript.finished() == OK
            await http1_closed(upstream)

    run(main())


def test_nothing_ticks_while_nothing_is_under_way(run):
    async def main():
        async with FaultServer(SERVES) as server:
            upstream = http1_at(server)
            await asked(upstream)
            await asyncio.sleep(0.06)
            assert upstream.sweep.handle is None
            await http1_closed(upstream)

    run(main())
