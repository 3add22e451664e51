"""Writes request heads. Nothing that came from outside can add a line to one: names and values are checked here, at the edge.

The head of a deployment hardly changes between requests, so it is kept; what is a request's own is written behind it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from proxy.upstream._base import Request

Headers = tuple[tuple[bytes, bytes], ...]

MANAGED = frozenset(
    (
        *(b"host", b"content-length", b"connection", b"accept-encoding", b"transfer-encoding", b"keep-alive"),
        *(b"proxy-connection", b"upgrade", b"te", b"trailer", b"expect"),
    )
)
"""Headers that decide on framing and on the connection: the client's own business."""
KEPT = 32
"""Heads kept per upstream: method, path, headers; a deployment needs a handful."""

_LF, _CR = b"\n\r"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"/[!-~]*")


class Heads:
    """Request heads for one authority."""

    __slots__ = ("_authority", "_kept", "_origin", "_proxy_lines", "_request_lines")

    def __init__(self, authority: bytes, origin: bytes = b"", proxy_headers: Headers = ()) -> None:
        """With an `origin` (`http://host:port`) the request line is in absolute form, as a forward proxy wants it."""
        self._authority = authority
        self._origin = origin
        self._proxy_lines = header_lines(proxy_headers)
        self._kept: dict[tuple[bytes, bytes, Headers], bytes] = {}
        self._request_lines: dict[tuple[bytes, bytes], bytes] = {}

    def prefix(self, request: Request) -> bytes:
        """The head up to and including `content-length: `. Raises ValueError for what cannot be sent safely."""
        key = (request.method, request.path, request.headers)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._request_line(request.method, request.path) + header_lines(request.headers)
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[key] = kept
        return kept + own_lines(request.own) + b"content-length: " if request.own else kept + b"content-length: "

    def _request_line(self, method: bytes, path: bytes) -> bytes:
        key = (method, path)
        known = self._request_lines.get(key)
        if known is not None:
            return known
        if not _TOKEN.fullmatch(method):
            raise ValueError("expected an HTTP method as a token")
        if not _TARGET.fullmatch(path):
            raise ValueError("expected a path that begins with a slash and has only visible ASCII characters")
        written = b"%b %b%b HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n%b" % (
            *(method, self._origin, path, self._authority, self._proxy_lines),
        )
        if len(self._request_lines) >= KEPT:
            self._request_lines.clear()
        self._request_lines[key] = written
        return written


def header_lines(headers: Headers) -> bytes:
    """The headers as lines. Raises ValueError, without the value, for a name or value that could break out of its line."""
    for name, _ in headers:
        if not _allowed(name):
            raise ValueError(f"header {name!r} is not a token, or is written by the client itself")
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\r") != len(headers) or lines.count(b"\n") != len(headers) or b"\0" in lines:
        raise ValueError("a header value holds CR, LF or NUL")
    return lines


def own_lines(headers: Headers) -> bytes:
    """`header_lines` for what hardly ever is more than one."""
    if len(headers) == 1:
        name, value = headers[0]
        if _allowed(name) and _CR not in value and _LF not in value and 0 not in value:
            return b"%b: %b\r\n" % (name, value)
    return header_lines(headers)


@lru_cache(maxsize=256)
def _allowed(name: bytes) -> bool:
    return _TOKEN.fullmatch(name) is not None and name.lower() not in MANAGED
