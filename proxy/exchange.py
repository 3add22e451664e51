"""One request and its answer, as the data plane sees them; `proxy/server.py` frames it, `proxy/dataplane/` answers it."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from time import perf_counter, time
from typing import Any, Protocol

from proxy.errors import Refusal

_STATUS = {
    code: b"HTTP/1.1 %d %b\r\n" % (code, HTTPStatus(code).phrase.encode() if code in list(HTTPStatus) else b"") for code in range(200, 600)
}


class _Date:
    """The Date line, which RFC 9110 §6.6.1 asks of a server with a clock; made anew once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = b"date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._line


_now = _Date()


def date_line() -> bytes:
    """The Date header line of this second."""
    return _now.line()


class Wire(Protocol):
    """The connection an exchange came on."""

    def write(self, data: bytes) -> None: ...

    def write_whole(self, data: bytes) -> None:
        """The whole of an answer, which may wait for the end of the loop's turn; what is written later goes out behind it."""
        ...

    def abort(self) -> None: ...
    def exchange_ended(self, exchange: Exchange) -> None: ...


class Exchange:
    """One request and its answer, as the data plane sees them.

    `on_pause`, `on_resume` and `on_gone` are called by the connection: the client reads too slowly, reads again, has left.
    Header blocks are bytes, each line ended with CRLF, without the final empty line and without framing.
    """

    # defaults of the class rather than slots filled one by one: on CPython 3.11 a third cheaper to make
    method = path = query = body = b""
    version = b"1.1"
    headers: list[tuple[bytes, bytes]]
    """As they came. Absent where the head was met before."""
    fields: Mapping[bytes, bytes] = {}  # replaced, never changed
    """Headers by name, the last of each."""
    parts: list[bytes]
    """Of the body that is being read."""
    size = 0
    complete = started = ended = gone = chunked = cut = False
    """`cut`: the process ends, and so does this, whatever is under way."""
    keep_alive = True
    state: Any = None
    notes: Any = None
    on_pause: Any = None
    on_resume: Any = None
    on_gone: Any = None
    refusal: Refusal | None = None
    """Set where the request was refused by its headers: the body is thrown away and this is the answer."""

    def __init__(self, connection: Wire) -> None:
        self.connection = connection
        self.arrived_s = perf_counter()
        """When its first byte came; once it is complete, when its last did."""

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer in one write."""
        if self.gone or self.ended:
            return
        self.started = True
        shown = b"" if self.method == b"HEAD" else body
        framing = b"" if status in (204, 304) else b"content-length: %d\r\n" % len(body)
        self.connection.write_whole(b"%b%b%b%b\r\n%b" % (_STATUS[status], headers, framing, self._connection_line(), shown))
        self._finish()

    def start(self, status: int, headers: bytes, first: bytes = b"") -> None:
        """The head of an answer of unknown length, and its first bytes in the same write."""
        if self.gone or self.ended:
            return
        self.started = True
        self.chunked = self.version == b"1.1"
        if not self.chunked:
            self.keep_alive = False
        framing = b"transfer-encoding: chunked\r\n" if self.chunked else b""
        head = b"%b%b%b%b\r\n" % (_STATUS[status], headers, framing, self._connection_line())
        if first:
            head += b"%x\r\n%b\r\n" % (len(first), first) if self.chunked else first
        self._write(head)

    def send(self, data: bytes) -> None:
        """More of the answer, now. Nothing is sent for b""."""
        if data and not self.gone:
            self.connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def end(self, data: bytes = b"") -> None:
        """The last bytes and the end of the answer in one write."""
        if self.gone or self.ended:
            return
        if not self.chunked:
            if data:
                self._write(data)
        elif data:
            self._write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        else:
            self._write(b"0\r\n\r\n")
        self._finish()

    def abort(self) -> None:
        """Drops the connection: the client must see that the answer is not whole."""
        self.ended = True
        self.connection.abort()

    def _connection_line(self) -> bytes:
        if not self.keep_alive:
            return _now.line() + b"connection: close\r\n"
        return _now.line() if self.version == b"1.1" else _now.line() + b"connection: keep-alive\r\n"

    def _write(self, data: bytes) -> None:
        self.connection.write(data)

    def _finish(self) -> None:
        self.ended = True
        self.on_pause = self.on_resume = self.on_gone = None
        self.connection.exchange_ended(self)
