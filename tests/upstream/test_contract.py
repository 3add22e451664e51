"""What every client that implements Upstream must do alike: the same script upstream, the same transcript at the receiver.

Each runs on asyncio's loop and on uvloop's.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from proxy.config import Timeouts, Tls
from proxy.upstream._base import Request, UpstreamError
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.http1 import Http1Upstream
from proxy.upstream.http2 import Http2Upstream
from proxy.upstream.sweep import Sweep
from tests.imitations import fault_server as h1
from tests.imitations import h2_server as h2
from tests.upstream.asking import Turned

POST = Request(b"POST", b"/v1/chat/completions", ((b"x-a", b"b"),), b'{"model":"m"}')
QUICK = Timeouts(first_byte_s=5, between_s=5)
STALLED, RESET, ENDED = "stalled", "reset", "ended"


class Kind:
    """One implementation, and a server that speaks its protocol."""

    def __init__(self, version: int, secure: bool) -> None:
        self.version, self.secure = version, secure

    def server(self, *scripts):
        if self.version == 1:
            tls = h1.server_tls("http/1.1") if self.secure else None
            return h1.FaultServer(*[[h1.read_request(), *map(http1_step, script)] for script in scripts], tls=tls)
        tls = h1.server_tls("h2") if self.secure else None
        return h2.H2Server(*[[*map(http2_act, script)] for script in scripts], tls=tls)

    def upstream(self, port: int, timeouts: Timeouts | None = None, sweep: Sweep | None = None):
        made = Http1Upstream if self.version == 1 else Http2Upstream
        endpoint = Endpoint("https" if self.secure else "http", "127.0.0.1", port)
        return made(endpoint, timeouts, tls=Tls(ca_file=str(h1.certificate()[0])), sweep=sweep or Sweep(interval_s=0.02))

    def gone(self) -> str:
        """What the server logs when its one request has been given up."""
        return "0 gone" if self.version == 1 else "1 cancelled 8"


def http1_step(act):
    match act:
        case (int() as status, *headers):
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            return h1.send(b"HTTP/1.1 %d Said\r\n%btransfer-encoding: chunked\r\n\r\n" % (status, lines))
        case bytes():
            return h1.send(h1.chunked(act, end=False))
        case asyncio.Event():
            return h1.until(act)
        case _:
            return {STALLED: h1.stall(), RESET: h1.reset(), ENDED: h1.send(b"0\r\n\r\n")}[act]


def http2_act(act):
    match act:
        case (int() as status, *headers):
            return h2.head(status, *headers)
        case bytes():
            return h2.data(act)
        case asyncio.Event():
            return h2.until(act)
        case _:
            return {STALLED: h2.until(asyncio.Event()), RESET: h2.reset(), ENDED: h2.end()}[act]


@pytest.fixture(params=[(1, False), (1, True), (2, False), (2, True)], ids=["http1", "http1-tls", "http2", "http2-tls"])
def kind(request):
    return Kind(*request.param)


@asynccontextmanager
async def playing(kind, *scripts, timeouts=None, sweep=None):
    async with kind.server(*scripts) as server:
        upstream = kind.upstream(server.port, timeouts, sweep)
        yield server, upstream
        await closed(upstream)


async def closed(upstream) -> None:
    """Closes it and waits for its last connection to go."""
    upstream.close()
    async with asyncio.timeout(60):
        while "busy=0 idle=0" not in repr(upstream) and "connections=0" not in repr(upstream):  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)


def told(transcript) -> list:
    """The transcript without the framing's own header."""
    return [
        (*event[:2], [header for header in event[2] if header[0] != b"transfer-encoding"]) if event[0] == "response" else event
        for event in transcript
    ]


ANSWERS = {
    "a whole answer": (
        [(200, (b"x-b", b"c")), b"hello ", b"world", ENDED],
        [("response", 200, [(b"x-b", b"c")]), ("data", b"hello world"), ("end",)],
    ),
    "an answer without a body": ([(200,), ENDED], [("response", 200, []), ("end",)]),
    "an error status with its body": (
        [(429, (b"retry-after", b"1")), b"{}", ENDED],
        [("response", 429, [(b"retry-after", b"1")]), ("data", b"{}"), ("end",)],
    ),
    "a redirection, which is not followed": ([(307, (b"location", b"/b")), ENDED], [("response", 307, [(b"location", b"/b")]), ("end",)]),
    "a cookie, which is only passed on": (
        [(200, (b"set-cookie", b"a=b")), ENDED],
        [("response", 200, [(b"set-cookie", b"a=b")]), ("end",)],
    ),
    "compressed bytes, left as they are": (
        [(200, (b"content-encoding", b"gzip")), b"\x1f\x8b\x00", ENDED],
        [("response", 200, [(b"content-encoding", b"gzip")]), ("data", b"\x1f\x8b\x00"), ("end",)],
    ),
    "a megabyte": ([(200,), b"x" * 1_000_000, ENDED], [("response", 200, []), ("data", b"x" * 1_000_000), ("end",)]),
    "a reset before the head": ([RESET], [("error", "reset")]),
    "a reset within the body": ([(200,), b"hello", RESET], [("response", 200, []), ("data", b"hello"), ("error", "reset")]),
    "silence before the head": ([STALLED], [("error", "timeout_first_byte")]),
    "silence within the body": ([(200,), b"hello", STALLED], [("response", 200, []), ("data", b"hello"), ("error", "timeout_idle")]),
}


@pytest.mark.parametrize(("script", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_the_receiver_is_told(kind, run, script, expected):
    async def main():
        # A reset may overtake what was sent before it: the server waits until the client has read.
        read = asyncio.Event()
        held = [*script[:-1], read, RESET] if script[-1] == RESET and len(script) > 1 else script
        async with playing(kind, held, timeouts=QUICK, sweep=(sweep := Turned())) as (server, upstream):
            transcript = h1.Transcript(lambda event: read.set() if event == "data" else None)
            upstream.send(POST, transcript)
            if script[-1] == STALLED:
                await server.logged("0 request" if kind.version == 1 else "1 request")
                await transcript.told(len(expected) - 1)
                sweep.turn()  # which hears what has come
                sweep.turn(5)
            assert told(await transcript.finished()) == expected
            assert upstream.inflight == 0

    run(main())


def test_the_upstream_gets_the_request_as_it_was_given(kind, run):
    async def main():
        async with playing(kind, [(200,), ENDED]) as (server, upstream):
            transcript = h1.Transcript()
            upstream.send(Request(b"POST", b"/v1/x?y=z", ((b"x-a", b"b"),), b"z" * 300_000), transcript)
            await transcript.finished()
            authority = b"127.0.0.1:%d" % server.port
            if kind.version == 1:
                head = b"POST /v1/x?y=z HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\nx-a: b\r\ncontent-length: 300000\r\n\r\n"
                assert server.requests == [head % authority + b"z" * 300_000]
            else:
                line = {b":method": b"POST", b":path": b"/v1/x?y=z", b":authority": authority}
                line |= {b":scheme": b"https" if kind.secure else b"http"}
                headers = line | {b"accept-encoding": b"identity", b"x-a": b"b", b"content-length": b"300000"}
                assert server.requests == [(headers, b"z" * 300_000)]

    run(main())


def test_a_cookie_is_never_sent_back(kind, run):
    async def main():
        async with playing(kind, [(200, (b"set-cookie", b"secret=1; Path=/")), ENDED]) as (server, upstream):
            for _ in range(2):
                transcript = h1.Transcript()
                upstream.send(POST, transcript)
                await transcript.finished()
            assert "secret" not in repr(server.requests)

    run(main())


def test_a_request_sent_from_on_end_goes_over_the_same_connection(kind, run):
    async def main():
        # HTTP/1's script is one connection's, HTTP/2's one stream's.
        again = [h1.forever(h1.read_request(), h1.respond(b"ok"))]
        server = h1.FaultServer(again, tls=h1.server_tls() if kind.secure else None) if kind.version == 1 else kind.server([(200,), ENDED])
        async with server:
            upstream = kind.upstream(server.port)
            second = h1.Transcript()
            first = h1.Transcript(lambda event: upstream.send(POST, second) if event == "end" else None)
            upstream.send(POST, first)
            assert (await second.finished())[-1] == ("end",)
            assert sum(line.endswith("open") for line in server.log) == 1
            await closed(upstream)

    run(main())


@pytest.mark.parametrize("script", [[STALLED], [(200,), STALLED], [(200,), b"hello", STALLED]], ids=["waiting", "head", "body"])
def test_the_upstream_notices_an_abort_at_once_and_the_receiver_hears_no_more(kind, run, script):
    async def main():
        async with playing(kind, script) as (server, upstream):
            transcript = h1.Transcript()
            sending = upstream.send(POST, transcript)
            await server.logged("0 request" if kind.version == 1 else "1 request")
            await transcript.told(len(script) - 1)
            before = list(transcript.events)
            sending.abort()
            sending.abort()
            sending.pause()
            sending.resume()
            await server.logged(kind.gone())
            assert transcript.events == before
            assert upstream.inflight == 0

    run(main())


def test_an_abort_while_connecting_leaves_nothing_behind(kind, run):
    async def main():
        async with playing(kind, [STALLED]) as (server, upstream):
            transcript = h1.Transcript()
            upstream.send(POST, transcript).abort()
            assert upstream.inflight == 0
            await asyncio.sleep(0.02)
            assert transcript.events == []
            assert [line for line in server.log if line.endswith("request")] == []

    run(main())


@pytest.mark.parametrize("moment", ["response", "data"])
def test_the_receiver_may_abort_from_within_a_callback(kind, run, moment):
    async def main():
        async with playing(kind, [(200,), b"hello", b"world", ENDED]) as (_, upstream):
            transcript = h1.Transcript(lambda event: sending.abort() if event == moment else None)
            sending = upstream.send(POST, transcript)
            await transcript.told(1 if moment == "response" else 2)
            await asyncio.sleep(0.02)
            assert [event[0] for event in transcript.events] == ["response", "data"][: 1 if moment == "response" else 2]
            assert upstream.inflight == 0

    run(main())


def test_nothing_arrives_between_pause_and_resume_and_nothing_is_lost(kind, run):
    async def main():
        more, sweep = asyncio.Event(), Turned()
        async with playing(kind, [(200,), b"a" * 10, more, b"b" * 3_000_000, ENDED], timeouts=QUICK, sweep=sweep) as (_, upstream):
            transcript = h1.Transcript(lambda event: sending.pause() if event == "response" else None)
            sending = upstream.send(POST, transcript)
            await transcript.told(1)
            while_paused = len(transcript.events)
            more.set()
            for _ in range(10):
                # Longer than the limit on silence: while paused it is not the upstream that is silent.
                sweep.turn(5)
                await asyncio.sleep(0.01)
            assert len(transcript.events) <= while_paused + 1
            sending.resume()
            sending.resume()
            sweep.turn()
            assert told(await transcript.finished()) == [("response", 200, []), ("data", b"a" * 10 + b"b" * 3_000_000), ("end",)]

    run(main())


def test_a_pause_before_the_connection_exists_holds_the_answer_back(kind, run):
    async def main():
        async with playing(kind, [(200,), b"hello", ENDED]) as (server, upstream):
            transcript = h1.Transcript()
            sending = upstream.send(POST, transcript)
            sending.pause()
            sending.pause()
            await server.logged("0 request" if kind.version == 1 else "1 request")
            await asyncio.sleep(0.02)
            assert [event for event in transcript.events if event[0] != "response"] == []
            sending.resume()
            assert told(await transcript.finished()) == [("response", 200, []), ("data", b"hello"), ("end",)]
            sending.pause()
            sending.resume()

    run(main())


def test_the_whole_exchange_has_a_deadline_however_busy_it_is(kind, run):
    async def main():
        ticks = [asyncio.Event() for _ in range(19)]
        script = [(200,), *[act for tick in ticks for act in (tick, b".")], STALLED]
        async with playing(kind, script, timeouts=Timeouts(between_s=5, total_s=20), sweep=(sweep := Turned())) as (_, upstream):
            transcript = h1.Transcript()
            upstream.send(POST, transcript)
            await transcript.told(1)
            for number, tick in enumerate(ticks):
                tick.set()
                await transcript.told(2 + number)
                sweep.turn(1)
            assert not transcript.over.is_set()
            sweep.turn(1)
            said = await transcript.finished()
            assert (said[0][0], said[-1]) == ("response", ("error", "timeout_total"))

    run(main())


def test_nobody_listening_is_a_connect_error(kind, run):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        transcript = h1.Transcript()
        upstream = kind.upstream(port)
        upstream.send(POST, transcript)
        assert await transcript.finished() == [("error", "connect")]
        assert upstream.inflight == 0

    run(main())


def test_a_peer_that_accepts_and_says_nothing_ends_the_connecting(run):
    """With TLS the handshake belongs to the connecting, and has its deadline."""

    async def main():
        async with h1.FaultServer([h1.stall()]) as server:
            for version in (1, 2):
                transcript, sweep = h1.Transcript(), Turned()
                upstream = Kind(version, secure=True).upstream(server.port, Timeouts(connect_s=5), sweep)
                upstream.send(POST, transcript)
                await server.logged(f"{version - 1} open")
                sweep.turn(5)
                assert await transcript.finished() == [("error", "timeout_connect")]
                await server.logged(f"{version - 1} gone")

    run(main())


def test_an_untrusted_certificate_is_a_tls_error(run):
    async def main():
        async with h1.FaultServer(tls=h1.server_tls("http/1.1", "h2")) as server:
            for made in (Http1Upstream, Http2Upstream):
                transcript = h1.Transcript()
                made(Endpoint("https", "127.0.0.1", server.port)).send(POST, transcript)
                assert await transcript.finished() == [("error", "tls")]
            assert server.requests == []

    run(main())


def test_an_unverified_certificate_is_accepted_where_the_settings_say_so(run):
    async def main():
        async with h1.FaultServer(tls=h1.server_tls("http/1.1")) as server:
            transcript = h1.Transcript()
            upstream = Http1Upstream(Endpoint("https", "127.0.0.1", server.port), tls=Tls(verify=False))
            upstream.send(POST, transcript)
            assert (await transcript.finished())[-1] == ("end",)
            await closed(upstream)

    run(main())


def test_a_peer_without_tls_is_a_tls_error(run):
    async def main():
        async with h1.FaultServer([h1.send(b"SSH-2.0-OpenSSH\r\n"), h1.stall()]) as server:
            for version in (1, 2):
                transcript = h1.Transcript()
                Kind(version, secure=True).upstream(server.port).send(POST, transcript)
                assert await transcript.finished() == [("error", "tls")]

    run(main())


def test_a_name_that_does_not_resolve_is_a_dns_error(kind, run, monkeypatch):
    async def main():
        async def nothing(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nothing)
        transcript = h1.Transcript()
        upstream = kind.upstream(1)
        upstream.send(POST, transcript)
        assert await transcript.finished() == [("error", "dns")]

    run(main())


def test_closing_ends_idle_connections_and_lets_exchanges_finish(kind, run):
    async def main():
        go = asyncio.Event()
        async with playing(kind, [(200,), go, b"late", ENDED]) as (_, upstream):
            transcript = h1.Transcript()
            upstream.send(POST, transcript)
            await transcript.told(1)
            upstream.close()
            refused = h1.Transcript()
            upstream.send(POST, refused)
            assert refused.events == []
            assert await refused.finished() == [("error", "closed")]
            go.set()
            assert told(await transcript.finished()) == [("response", 200, []), ("data", b"late"), ("end",)]

    run(main())


@pytest.mark.parametrize(
    "request_",
    [
        Request(b"POST", b"/", ((b"x-a", b"b\r\nx-evil: 1"),), b""),
        Request(b"POST", b"/", ((b"x-a", b"b\nx-evil: 1"),), b""),
        Request(b"POST", b"/", ((b"x-a", b"b\0"),), b""),
        Request(b"POST", b"/", ((b"x-a: b\r\nx-evil", b"1"),), b""),
        Request(b"POST", b"/", ((b"", b"1"),), b""),
        Request(b"POST", b"/", ((b"Content-Length", b"1"),), b""),
        Request(b"POST", b"/", ((b"transfer-encoding", b"chunked"),), b""),
        Request(b"POST", b"/ HTTP/1.1\r\nx-evil: 1", (), b""),
        Request(b"POST", b"http://elsewhere/", (), b""),
        Request(b"PO ST", b"/", (), b""),
    ],
)
def test_a_head_that_could_break_out_of_its_lines_is_refused_before_anything_is_sent(kind, request_):
    async def main():
        async with playing(kind, [(200,), ENDED]) as (server, upstream):
            with pytest.raises(ValueError, match=r"."):
                upstream.send(request_, h1.Transcript())
            assert (upstream.inflight, server.log) == (0, [])

    asyncio.run(main())


def test_an_error_knows_its_kind_and_says_no_more_than_its_message():
    error = UpstreamError("reset", "the response ended early")
    assert (error.kind, str(error)) == ("reset", "the response ended early")
