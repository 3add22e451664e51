"""Forward proxies, against tiny ones that log what was asked of them."""

from __future__ import annotations

import asyncio

import pytest

from proxy.config import Timeouts, Tls
from proxy.upstream._base import Request
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.forward import Credentials, ForwardProxy, parse_forward_proxy
from proxy.upstream.http1 import Http1Upstream
from proxy.upstream.http2 import Http2Upstream
from tests.imitations import h2_server
from tests.imitations.fault_server import FaultServer, Transcript, certificate, forever, read_request, respond, send, server_tls, stall
from tests.upstream.asking import Turned

POST = Request(b"POST", b"/v1/x", ((b"x-a", b"b"),), b"{}")
OK = [("response", 200, [(b"content-length", b"2")]), ("data", b"ok"), ("end",)]
SERVES = [forever(read_request(), respond())]
CA = Tls(ca_file=str(certificate()[0]))


async def asked(upstream):
    transcript = Transcript()
    upstream.send(POST, transcript)
    return await transcript.finished()


async def closed(upstream) -> None:
    upstream.close()
    async with asyncio.timeout(60):
        while "idle=0" not in repr(upstream) and "connections=0" not in repr(upstream):  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)


def relay(port: int):
    """Passes bytes both ways between the client and the port until one of them leaves."""

    async def copy(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def step(wire):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(copy(wire.reader, writer), copy(reader, wire.writer), return_exceptions=True)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    return step


def socks(*, password: bool, reply: int = 0):
    """A SOCKS 5 server that writes down the messages of the client."""

    async def step(wire):
        count = (await wire.reader.readexactly(2))[1]
        wire.server.requests.append(await wire.reader.readexactly(count))
        wire.writer.write(b"\x05\x02" if password else b"\x05\x00")
        if password:
            user = await wire.reader.readexactly((await wire.reader.readexactly(2))[1])
            secret = await wire.reader.readexactly((await wire.reader.readexactly(1))[0])
            wire.server.requests.append(user + b":" + secret)
            wire.writer.write(b"\x01\x00")
        kind = (await wire.reader.readexactly(4))[3]
        size = {1: 4, 4: 16}.get(kind) or (await wire.reader.readexactly(1))[0]
        wire.server.requests.append(bytes([kind]) + await wire.reader.readexactly(size + 2))
        wire.writer.write(b"\x05%c\x00\x01\x00\x00\x00\x00\x00\x00" % reply)

    return step


def test_plain_http_goes_through_an_http_proxy_in_absolute_form_and_keeps_the_connection(run):
    async def main():
        async with FaultServer(SERVES) as through:
            proxy = parse_forward_proxy(f"http://user:pass%20word@127.0.0.1:{through.port}")
            upstream = Http1Upstream(Endpoint("http", "a.example", 8000), forward_proxy=proxy)
            assert [await asked(upstream), await asked(upstream)] == [OK, OK]
            head = (
                b"POST http://a.example:8000/v1/x HTTP/1.1\r\nhost: a.example:8000\r\naccept-encoding: identity\r\n"
                b"proxy-authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\nx-a: b\r\ncontent-length: 2\r\n\r\n{}"
            )
            assert (through.requests, through.connections) == ([head, head], 1)
            await closed(upstream)

    run(main())


@pytest.mark.parametrize("version", [1, 2])
def test_https_goes_through_a_tunnel_that_sees_no_key(run, version):
    async def main():
        answers = [h2_server.head(200, (b"content-length", b"2")), h2_server.data(b"ok"), h2_server.end()]
        serving = FaultServer(SERVES, tls=server_tls("http/1.1")) if version == 1 else h2_server.H2Server(answers, tls=server_tls("h2"))
        async with serving as server, FaultServer([read_request(), send(b"HTTP/1.1 200 Yes\r\n\r\n"), relay(server.port)]) as through:
            made = Http1Upstream if version == 1 else Http2Upstream
            proxy = parse_forward_proxy(f"http://127.0.0.1:{through.port}")
            upstream = made(Endpoint("https", "localhost", server.port), tls=CA, forward_proxy=proxy)
            assert [await asked(upstream), await asked(upstream)] == [OK, OK]
            where = b"localhost:%d" % server.port
            assert through.requests == [b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (where, where)]
            await closed(upstream)

    run(main())


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 407 Who\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n", b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nand more", b"x" * 100_000, b""],
    ids=["407", "502", "rubbish", "more than the head", "endless", "nothing"],
)
def test_a_tunnel_that_is_not_opened_is_a_connect_error(run, answer):
    async def main():
        async with FaultServer([read_request(), send(answer)]) as through:
            proxy = parse_forward_proxy(f"http://127.0.0.1:{through.port}")
            assert await asked(Http1Upstream(Endpoint("https", "a.example", 443), forward_proxy=proxy)) == [("error", "connect")]

    run(main())


def test_a_tunnel_has_the_connecting_s_deadline(run):
    async def main():
        async with FaultServer([read_request(), stall()]) as through:
            proxy = ForwardProxy("http", "127.0.0.1", through.port)
            sweep, transcript = Turned(), Transcript()
            upstream = Http1Upstream(Endpoint("https", "a.example", 443), Timeouts(connect_s=5), forward_proxy=proxy, sweep=sweep)
            upstream.send(POST, transcript)
            await through.logged("0 request")
            sweep.turn(5)
            assert await transcript.finished() == [("error", "timeout_connect")]
            await through.logged("0 gone")

    run(main())


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("login", ["", "user:secret@"])
def test_socks_5_leads_to_the_upstream_by_name(run, secure, login):
    async def main():
        async with (
            FaultServer(SERVES, tls=server_tls("http/1.1") if secure else None) as server,
            FaultServer([socks(password=bool(login)), relay(server.port)]) as through,
        ):
            proxy = parse_forward_proxy(f"socks5://{login}127.0.0.1:{through.port}")
            upstream = Http1Upstream(Endpoint("https" if secure else "http", "localhost", server.port), tls=CA, forward_proxy=proxy)
            assert [await asked(upstream), await asked(upstream)] == [OK, OK]
            address = b"\x03localhost" + server.port.to_bytes(2, "big")
            assert through.requests == ([b"\x00\x02", b"user:secret", address] if login else [b"\x00", address])
            await closed(upstream)

    run(main())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", b"\x01\x7f\x00\x00\x01\x00\x50"),
        ("::1", b"\x04" + b"\x00" * 15 + b"\x01\x00\x50"),
        ("a.example", b"\x03a.example\x00\x50"),
    ],
)
def test_a_socks_proxy_that_cannot_reach_the_upstream_is_a_connect_error(run, host, address):
    async def main():
        async with FaultServer([socks(password=False, reply=5), stall()]) as through:
            proxy = ForwardProxy("socks5", "127.0.0.1", through.port)
            assert await asked(Http1Upstream(Endpoint("http", host, 80), forward_proxy=proxy)) == [("error", "connect")]
            assert through.requests == [b"\x00", address]

    run(main())


@pytest.mark.parametrize("answer", [b"\x05\xff", b"\x04\x00", b"\x05", b"\x05\x02"])
def test_a_socks_proxy_that_wants_something_else_is_a_connect_error(run, answer):
    async def main():
        async with FaultServer([send(answer)]) as through:
            proxy = ForwardProxy("socks5", "127.0.0.1", through.port)
            assert await asked(Http1Upstream(Endpoint("http", "a", 80), forward_proxy=proxy)) == [("error", "connect")]

    run(main())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://user:secret@proxy.example", "expected a forward proxy with http, socks5, socks5h"),
        ("http://user:secret@proxy.example/path", "scheme://host:port"),
        ("http://", "scheme://host:port"),
        ("proxy.example:3128", "expected a forward proxy with"),
    ],
)
def test_a_forward_proxy_that_cannot_work_is_refused_with_the_reason(url, message):
    with pytest.raises(ValueError, match=message) as refused:
        parse_forward_proxy(url)
    assert "secret" not in str(refused.value)


def test_a_forward_proxy_does_not_show_its_password():
    proxy = parse_forward_proxy("http://user:secret@proxy.example")
    assert proxy == ForwardProxy("http", "proxy.example", 3128, Credentials(b"user", b"secret"))
    assert "secret" not in repr(proxy)


def test_http_2_without_tls_is_not_sent_to_an_http_proxy():
    async def main():
        with pytest.raises(ValueError, match="cannot pass an HTTP forward proxy"):
            Http2Upstream(Endpoint("http", "a", 80), forward_proxy=ForwardProxy("http", "b", 3128))

    asyncio.run(main())
