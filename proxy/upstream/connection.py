"""One HTTP/1.1 connection: reads responses, strictly, and decides whether it may serve another request.

llhttp frames and validates; what it lets pass is refused here: a second answer, bytes after the end, endless heads.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httptools

from proxy.outbox import BUSY
from proxy.upstream._base import UpstreamError
from proxy.upstream.answers import Met, met
from proxy.upstream.chunks import HEADS, LONGEST
from proxy.upstream.exchange import STREAMING, Exchange

if TYPE_CHECKING:
    from proxy.upstream.pool import Pool

HEAD_BYTES = 64 * 1024
"""Bound on a response head, interim responses included, and on whatever else of the framing comes without body bytes."""
HEAD_LINES = 200
JOINED_BYTES = 32 * 1024
"""Up to here head and body are copied into one write: cheaper than a second one."""
OK = 200
LAST_CHUNK = b"\r\n0\r\n\r\n"
_H, _D, _CR, _LF = b"Hd\r\n"


class RefusedError(Exception):
    """Raised at the parser, which then stops: what llhttp would let pass and we do not."""


class Connection(asyncio.Protocol):
    """`exchange` is None exactly while idle: then any byte that comes closes it."""

    __slots__ = (
        *("_between", "_done", "_feed", "_head", "_headers", "_interim", "_keep", "_parser", "_parts", "_pool", "_quiet_bytes"),
        *("_status", "_until_close", "born_s", "exchange", "idle_since_s", "late", "on_body", "transport"),
    )

    transport: asyncio.Transport

    def __init__(self, pool: Pool, exchange: Exchange | None) -> None:
        self._pool = pool
        self.exchange = exchange
        self.born_s = self.idle_since_s = pool.sweep.now_s
        self._headers: list[tuple[bytes, bytes]] = []
        self._head: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        # The parser calls the list itself: a chunk then costs no Python frame.
        self.on_body = self._parts.append
        self.late = b""
        """A request that is written at the end of the loop's turn."""
        self._status = 0
        self._quiet_bytes = 0
        self._between = False
        """The last read ended with a chunk, and with its framing: the parser waits for the head of the next one."""
        self._done = self._interim = self._keep = self._until_close = False
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP and TLS transports are Transports
        self._pool.opened += 1
        exchange = self.exchange
        if exchange is None:
            return
        if not exchange.begin(self):
            self.exchange = None
            self.transport.abort()
        elif exchange.paused:
            # uvloop starts to read after this call, whatever was said during it.
            asyncio.get_running_loop().call_soon(self.hold, exchange)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self._pool.forget(self)
            self.transport.abort()
            return
        exchange.heard = True
        if self._between:
            framing = HEADS[size] if (size := len(data)) < LONGEST else b""
            start = len(framing)
            if start and data[:start] == framing and data[-1] == _LF and data[-2] == _CR:
                # the parser need not see it: it is between two chunks before and after
                lane = exchange.lane
                if lane is not None:
                    # CPython 3.11 looks up anew what a slot holds where it is called as a method
                    holds, write = lane.holds, lane.write
                    if holds(data, start, size - 2):
                        lane.chunks += 1
                        write(data)
                        return
                exchange.receiver.on_chunk(data, start)
                return
            self._between = False
        begins = exchange.phase != STREAMING and not self._quiet_bytes
        if begins and (known := self._pool.met) is not None and (body_at := known.framed.body_at(data)):
            self._known(exchange, known, data[body_at:])
        else:
            self._parse(exchange, data, begins)

    def _parse(self, exchange: Exchange, data: bytes, begins: bool) -> None:
        """A read taken apart. `begins`: an answer begins with it."""
        broken = False
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            broken = True
        if exchange.phase != STREAMING:
            head = self._head
            if not self._response(exchange, data, broken):
                return
        parts = self._parts
        if parts:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            exchange.receiver.on_data(body)
            if self.exchange is not exchange:
                return
            if self._done:
                reusable = not broken and self._keep and self._clean(data)
                if begins and reusable and self._status == OK:
                    self._pool.met = met(data, head)
                self._finish(exchange, reusable)
                return
            last = parts[-1]
            # A piece whose own end looks like this is nothing but CRs and LFs, and has no `d` (of `data:`).
            self._between = last[0] == _D and data[-2 - len(last) :] == last + b"\r\n"
            parts.clear()
            self._quiet_bytes = 0
        elif self._done:
            self._finish(exchange, not broken and self._keep and self._clean(data))
            return
        else:
            self._quiet_bytes += len(data)
            broken = broken or self._quiet_bytes > HEAD_BYTES
        if broken:
            exchange.fail(UpstreamError("garbled", "the upstream's answer is not HTTP/1.1"))

    def eof_received(self) -> None:
        """The upstream closes: an idle connection must not be taken in the meantime."""
        if self.exchange is None:
            self._pool.forget(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.opened -= 1
        self._pool.forget(self)
        # The parser holds this object's methods: without it the object is freed at once rather than by the collector.
        del self._parser, self._feed, self.on_body
        exchange = self.exchange
        if exchange is None:
            return
        self.exchange = None
        if self._until_close and error is None:
            exchange.end()
        else:
            exchange.lost(error)

    # the exchange's side

    def carry(self, exchange: Exchange) -> None:
        self.exchange = exchange
        transport = self.transport
        if exchange.paused:
            transport.pause_reading()
        request = exchange.request
        assert request is not None  # noqa: S101  # an exchange has it until its response head
        body = request.body
        if len(body) > JOINED_BYTES:
            transport.write(b"%b%d\r\n\r\n" % (exchange.head, len(body)))
            transport.write(body)
        elif body or request.method not in {b"GET", b"HEAD"}:
            data = b"%b%d\r\n\r\n%b" % (exchange.head, len(body), body)
            if len(self._pool.sweep.watched) < BUSY:
                transport.write(data)
            else:
                self.late = data
                self._pool.outbox.put(self)
        else:
            transport.write(exchange.head[: exchange.head.rindex(b"content-length")] + b"\r\n")

    def flush(self) -> None:
        """The request that was put off is written now, if it is still wanted."""
        data, self.late = self.late, b""
        if data and self.exchange is not None and not self.transport.is_closing():
            self.transport.write(data)

    def hold(self, exchange: Exchange) -> None:
        if self.exchange is exchange and exchange.paused and not self.transport.is_closing():
            self.transport.pause_reading()

    def release(self, exchange: Exchange) -> None:
        if self.exchange is exchange and not self.transport.is_closing():
            self.transport.resume_reading()

    def drop(self, exchange: Exchange, *, failed: bool) -> None:  # noqa: ARG002  # either way the connection is spent
        if self.exchange is exchange:
            self.exchange = None
            self.transport.abort()

    def unsent_bytes(self, exchange: Exchange) -> int:
        return self.transport.get_write_buffer_size() if self.exchange is exchange else 0

    # the parser's side

    def on_message_begin(self) -> None:
        if self._done:
            raise RefusedError

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        parser = self._parser
        status = parser.get_status_code()
        if status < 100:
            raise RefusedError
        if status < 200:
            self._interim = True
            self._headers.clear()
            return
        self._status = status
        self._keep = parser.should_keep_alive()
        self._head = self._headers
        self._headers = []

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self._done = True

    # between the two

    def _known(self, exchange: Exchange, known: Met, body: bytes) -> None:
        """A whole answer with the head of one before: the parser, which is between two answers, does not see it."""
        exchange.phase = STREAMING
        exchange.request = None
        receiver = exchange.receiver
        receiver.on_response(OK, known.headers_of(body))
        if body and self.exchange is exchange:
            receiver.on_data(body)
        if self.exchange is exchange:
            self._finish(exchange, True)

    def _response(self, exchange: Exchange, data: bytes, broken: bool) -> bool:
        """Tells of the response once its head is whole; False if there is nothing more to do with this read."""
        head = self._head
        status = self._status
        read_bytes = self._quiet_bytes + len(data)
        garbled = (not self._quiet_bytes and data[0] != _H) or (broken and not status)
        if not status and not garbled and read_bytes <= HEAD_BYTES:
            self._quiet_bytes = read_bytes
            return False
        if read_bytes > HEAD_BYTES:
            read_bytes = self._quiet_bytes + data.find(b"\r\n\r\n") + 4 if status else read_bytes
        if garbled or not 200 <= status <= 599 or len(head) > HEAD_LINES or read_bytes > HEAD_BYTES:
            exchange.fail(UpstreamError("garbled", "the upstream's answer does not begin with a response head"))
            return False
        self._quiet_bytes = 0
        self._head = []
        bodiless = exchange.request is not None and exchange.request.method == b"HEAD"
        if not self._keep:
            self._until_close = not any(name in {b"content-length", b"transfer-encoding"} for name, _ in head)
        exchange.phase = STREAMING
        exchange.request = None
        exchange.receiver.on_response(status, head)
        if self.exchange is not exchange:
            return False
        if bodiless:
            # llhttp waits for the body that the head describes: this connection cannot go on.
            self._finish(exchange, False)
            return False
        return True

    def _clean(self, data: bytes) -> bool:
        """True if the last read ended with the response. Line ends after it are all that the parser does not report."""
        if self._parts:
            last = self._parts[-1]
            if not last.strip(b"\r\n") and not data.endswith(LAST_CHUNK):
                # of line ends alone: how many are its own is told by the head, if that came in the same read
                return data.startswith(b"HTTP/") and data.find(b"\r\n\r\n") + 4 + len(last) == len(data)
            return data.endswith((last, LAST_CHUNK))
        return (data.endswith(b"\r\n\r\n") and not data.endswith(b"\r\n\r\n\r\n")) or LAST_CHUNK.endswith(data)

    def _finish(self, exchange: Exchange, reusable: bool) -> None:
        self.exchange = None
        self._between = self._done = self._until_close = False
        self._status = 0
        self._quiet_bytes = 0
        self._parts.clear()
        if self._headers:
            self._headers = []  # trailers: left there they would be headers of the next answer, another client's
        transport = self.transport
        if reusable and not self.late and not transport.get_write_buffer_size():
            if exchange.paused:
                transport.resume_reading()
            self._pool.put(self)
        else:
            transport.abort()
        exchange.end()
