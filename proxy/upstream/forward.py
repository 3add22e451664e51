"""Forward proxies: CONNECT (RFC 9110 §9.3.6) and SOCKS 5 (RFC 1928, RFC 1929), spoken on a connected socket.

Plain HTTP through an HTTP proxy needs no tunnel: there the request line carries the whole URL instead (`absolute`).
"""

from __future__ import annotations

import asyncio
import base64
import socket
from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from proxy.upstream._base import UpstreamError
from proxy.upstream.endpoint import Endpoint, ascii_host

SCHEMES: dict[str, int] = {"http": 3128, "socks5": 1080, "socks5h": 1080}
"""Those spoken, with the port they use when none is written. The proxy resolves the name with both kinds of SOCKS."""
ANSWER_BYTES = 16 * 1024


class Credentials(msgspec.Struct, frozen=True):
    user: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Credentials(***)"


class ForwardProxy(msgspec.Struct, frozen=True):
    kind: Literal["http", "socks5"]
    host: str
    port: int
    credentials: Credentials | None = None

    def absolute(self, endpoint: Endpoint) -> bool:
        """True if requests are written in absolute form instead of through a tunnel."""
        return self.kind == "http" and not endpoint.secure

    def authorization(self) -> tuple[tuple[bytes, bytes], ...]:
        """The proxy-authorization header, if any."""
        if self.credentials is None or self.kind != "http":
            return ()
        pair = base64.b64encode(self.credentials.user + b":" + self.credentials.password)
        return ((b"proxy-authorization", b"Basic " + pair),)

    async def open(self, connected: socket.socket, endpoint: Endpoint) -> None:
        """The socket leads to the endpoint afterwards. Raises UpstreamError or OSError; the caller closes the socket."""
        if self.kind == "socks5":
            await _socks(connected, endpoint, self.credentials)
        elif not self.absolute(endpoint):
            await _tunnel(connected, endpoint, self.authorization())


def parse_forward_proxy(url: str) -> ForwardProxy:
    """Raises ValueError, without quoting credentials."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"expected a forward proxy with {', '.join(SCHEMES)}, found the scheme {parts.scheme!r}")
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("expected a forward proxy as scheme://host:port")
    credentials = None
    if parts.username is not None:
        credentials = Credentials(unquote_to_bytes(parts.username), unquote_to_bytes(parts.password or ""))
        if len(credentials.user) > 255 or len(credentials.password) > 255:
            raise ValueError("expected a user and a password of at most 255 bytes")
    return ForwardProxy(
        kind="http" if parts.scheme == "http" else "socks5",
        host=ascii_host(parts.hostname),
        port=parts.port or SCHEMES[parts.scheme],
        credentials=credentials,
    )


async def _tunnel(connected: socket.socket, endpoint: Endpoint, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    loop = asyncio.get_running_loop()
    where = endpoint.tunnel
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    await loop.sock_sendall(connected, b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (where, where, lines))
    answer = b""
    while b"\r\n\r\n" not in answer:
        read = await loop.sock_recv(connected, 4096)
        answer += read
        if not read or len(answer) > ANSWER_BYTES:
            raise UpstreamError("connect", "the forward proxy did not answer CONNECT")
    version, _, rest = answer.partition(b" ")
    if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not rest[:3].isdigit() or not answer.endswith(b"\r\n\r\n"):
        raise UpstreamError("connect", "the forward proxy's answer to CONNECT is not HTTP/1.1")
    if not rest.startswith(b"2"):
        raise UpstreamError("connect", f"the forward proxy answered CONNECT with {int(rest[:3])}")


async def _socks(connected: socket.socket, endpoint: Endpoint, credentials: Credentials | None) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, b"\x05\x01\x00" if credentials is None else b"\x05\x02\x00\x02")
    version, method = await _exactly(connected, 2)
    if version != 5 or method not in {0, 2} or (method == 2 and credentials is None):
        raise UpstreamError("connect", "the SOCKS proxy accepts no way of logging in that is configured")
    if method == 2 and credentials is not None:
        user, password = credentials.user, credentials.password
        await loop.sock_sendall(connected, b"\x01%c%b%c%b" % (len(user), user, len(password), password))
        if (await _exactly(connected, 2))[1] != 0:
            raise UpstreamError("connect", "the SOCKS proxy did not accept the credentials")
    await loop.sock_sendall(connected, b"\x05\x01\x00" + _socks_address(endpoint.host) + endpoint.port.to_bytes(2, "big"))
    _, reply, _, kind = await _exactly(connected, 4)
    if reply != 0:
        raise UpstreamError("connect", f"the SOCKS proxy could not reach the upstream (reply {reply})")
    length = {1: 4, 4: 16}.get(kind) or (await _exactly(connected, 1))[0]
    await _exactly(connected, length + 2)


def _socks_address(host: str) -> bytes:
    for family, kind in ((socket.AF_INET, b"\x01"), (socket.AF_INET6, b"\x04")):
        try:
            return kind + socket.inet_pton(family, host)
        except OSError:
            continue
    return b"\x03%c%b" % (len(host), host.encode("ascii"))


async def _exactly(connected: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        more = await asyncio.get_running_loop().sock_recv(connected, count - len(read))
        if not more:
            raise UpstreamError("connect", "the SOCKS proxy closed the connection")
        read += more
    return read
