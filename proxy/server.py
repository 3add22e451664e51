"""The client's side of the wire: a uvicorn protocol class that frames, bounds and orders requests.

ASGI comes too late for limits on headers, framing and slow clients, and costs more than all the rest of the journey, so the
inference routes are handed to the data plane as an `Exchange` and everything else to Litestar through uvicorn's own cycle. It
relies on uvicorn 0.54 internals (RequestResponseCycle, ServerState), pinned and tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import urllib.parse
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from proxy.errors import Refusal
from proxy.exchange import Exchange
from proxy.gateway import Gateway
from proxy.heads import HELD_S, Cut, Head, Heads, Last, cut, declined, kept_fields, plain, together
from proxy.outbox import BUSY, Outbox
from proxy.sweep import Sweep, let_go

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

DISCARDED_BYTES = 1024 * 1024
"""A refused request's body up to this size is read and thrown away so that the connection can stay open."""
PIPELINED = 64
"""Requests a client may send ahead on one connection; beyond that, or beyond one body's bound, its socket is not read."""

log = logging.getLogger("greenlane.server")


class Connection(asyncio.Protocol):
    """One client connection. Requests are parsed ahead but answered in order."""

    gateway: ClassVar[Gateway]
    last: Last | None = None
    """The head of its last request, where it was known."""
    late = b""
    """A whole answer that is written at the end of the loop's turn."""
    answered = False
    unsent_bytes = 0  # of an idle connection, when it was looked at last
    heads: ClassVar[Heads]
    outbox: ClassVar[Outbox]
    leaving: ClassVar[bool] = False
    """The process is about to stop: every answer from now on is its connection's last."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.config = config
        self.app = config.loaded_app
        self.app_state = app_state
        self.server_state = server_state
        self.loop = _loop or asyncio.get_event_loop()
        self.parser: Any = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.flow: FlowControl = cast("FlowControl", None)
        self.write: Callable[[bytes], None]
        self.current: Exchange | None = None
        """The one being answered."""
        self.incoming: Exchange | None = None
        """The one being parsed; may be `current` no longer or not yet."""
        self.waiting: deque[Exchange] = deque()
        self.cycle: RequestResponseCycle | None = None
        self.limits = self.gateway.limits
        self.lines: list[tuple[bytes, bytes]] = []
        self.head_bytes = 0
        self.in_head = True
        self.behind = False
        """The head began in one read with an earlier request's end: `head_bytes` lacks that part of it."""
        self.framed_bytes = 0
        """Read of a chunked body, where it comes in more than one piece."""
        self.quiet_since_s = perf_counter()
        self.closing = False
        self.read_paused = False
        self.unmet: Cut | None = None
        """Of the read that is being parsed, where it holds one request with a head not met before."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        # whoever writes calls the transport itself: a chunk then costs one Python call less
        self.write = self.transport.write
        self.flow = FlowControl(self.transport)
        self.server_state.connections.add(cast("Any", self))
        Sweep.of(self.loop).add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.server_state.connections.discard(cast("Any", self))
        Sweep.of(self.loop).discard(self)
        self.closing = True
        if self.cycle is not None:
            if not self.cycle.response_complete:
                self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_writing()
        exchanges = [*([self.current] if self.current else []), *self.waiting]
        for exchange in exchanges:
            exchange.gone = True
            if exchange.on_gone is not None:
                exchange.on_gone()
        self.waiting.clear()
        self.parser = None

    def eof_received(self) -> None:
        """A client that stops sending has left: the transport closes, `connection_lost` follows."""

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        if self.current is not None and self.current.on_pause is not None:
            self.current.on_pause()

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        if self.current is not None and self.current.on_resume is not None:
            self.current.on_resume()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        self.quiet_since_s = perf_counter()
        if self.in_head:
            if self.current is None and not self.head_bytes and self.incoming is None and not self.waiting and self._met_before(data):
                return
            self.head_bytes += len(data)
            self.behind = self.behind and self.incoming is not None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            refusal = error.__context__
            self._reject(refusal if isinstance(refusal, Refusal) else Refusal(400, None, "The request could not be read."))
        except httptools.HttpParserError:
            self._reject(Refusal(400, None, "This is not valid HTTP."))
        else:
            if self.in_head:
                if self.head_bytes > self.limits.header_bytes + self.limits.request_line_bytes:
                    self._reject(Refusal(431, "headers_too_large", "The headers are too large."))
            elif self.incoming is not None and b"transfer-encoding" in self.incoming.fields:
                self._bound_framing(self.incoming, len(data))

    def _met_before(self, data: bytes) -> bool:
        """Serves a request whose head is known; else notes what the parser's reading of it may be kept under."""
        last = self.last
        body_at = 0 if last is None else last.framed.body_at(data)
        if last is None or not body_at or len(data) - body_at > self.limits.body_bytes:
            self.unmet = found = cut(data)
            last = self.heads.last(found, self.limits.body_bytes)
            if found is None or last is None:
                return False
            self.unmet, body_at = None, found.body_at
            if self.answered:
                # half a kilobyte, which a connection for one request alone does not need
                self.last = last
        head = last.head
        exchange = Exchange(self)
        exchange.method, exchange.version = head.method, head.version
        exchange.path, exchange.query, exchange.fields, exchange.state = head.path, head.query, head.fields, head.state
        if not self.gateway.admit_again(exchange, head.notes):
            self.heads.forget()
            self.last, self.unmet = None, cut(data)
            return False
        exchange.body = data[body_at:]
        exchange.complete = True
        self.current = exchange
        self.gateway.serve(exchange)
        return True

    def _keep_head(self, exchange: Exchange) -> None:
        """Keeps the head of a request that was let in, if the parser and `cut` understood it alike."""
        found, self.unmet = self.unmet, None
        let_in = exchange.state is not None and exchange.refusal is None and exchange.method == b"POST"
        if found is None or not let_in or not exchange.keep_alive or not plain(found, exchange.fields, len(exchange.headers)):
            return
        fields = kept_fields(exchange.fields)
        head = Head(
            method=exchange.method,
            version=exchange.version,
            path=exchange.path,
            query=exchange.query,
            fields=fields,
            state=exchange.state,
            notes=self.gateway.memo(exchange.notes, fields),
        )
        self.heads.keep(found.digest, head)

    def abort(self) -> None:
        self.flush()
        self.transport.abort()

    def write_whole(self, data: bytes) -> None:
        if self.late or self.gateway.inflight < BUSY:
            self.write(data)
            return
        self.late = data
        self.write = self._write_behind
        self.outbox.put(self)

    def _write_behind(self, data: bytes) -> None:
        self.flush()
        self.write(data)

    def flush(self) -> None:
        """What was put off is written now."""
        if self.late:
            data, self.late, self.write = self.late, b"", self.transport.write
            if not self.transport.is_closing():
                self.write(data)

    def on_message_begin(self) -> None:
        self.incoming = exchange = Exchange(self)
        self.lines = exchange.headers = []
        exchange.parts = []

    def on_url(self, url: bytes) -> None:
        exchange = cast("Exchange", self.incoming)
        exchange.path += url
        # beside the path the line has the method, two spaces and the version
        if len(exchange.path) > self.limits.request_line_bytes - len(self.parser.get_method()) - 10:
            raise Refusal(414, "uri_too_long", "The request line is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        exchange = cast("Exchange", self.incoming)
        if self.parser.should_upgrade():
            return
        exchange.method = self.parser.get_method()
        exchange.version = self.parser.get_http_version().encode()
        if len(exchange.headers) > self.limits.header_lines:
            raise Refusal(431, "headers_too_large", f"More than {self.limits.header_lines} header lines.")
        self.in_head = False
        head_bytes, self.head_bytes = self.head_bytes, 0
        exchange.keep_alive = self.parser.should_keep_alive() and not (self.closing or self.leaving)
        uncertain = self.behind or head_bytes > self.limits.header_bytes
        if uncertain and sum(len(name) + len(value) + 4 for name, value in exchange.headers) > self.limits.header_bytes:
            raise Refusal(431, "headers_too_large", "The headers are too large.")
        path, _, query = exchange.path.partition(b"?")
        exchange.path, exchange.query = path, query.partition(b"#")[0]
        expects = self._framing(exchange)
        operation = self.gateway.route(exchange.method, path)
        exchange.state = operation
        length = exchange.fields.get(b"content-length")
        # what is not inference is let in by whoever answers it, unless it has a body: nobody unknown fills the memory
        if operation is not None or length not in (None, b"0") or b"transfer-encoding" in exchange.fields:
            try:
                self.gateway.admit(exchange, operation)
            except Refusal as refusal:
                exchange.refusal = refusal
                if exchange.fields.get(b"transfer-encoding") is not None or int(length or 0) > DISCARDED_BYTES or expects:
                    raise
        if expects and exchange.version == b"1.1" and self.current is None:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        exchange = cast("Exchange", self.incoming)
        exchange.size += len(data)
        if exchange.size > self.limits.body_bytes:
            raise Refusal(413, "too_large", f"The body is larger than {self.limits.body_bytes} bytes.")
        if exchange.refusal is None:
            exchange.parts.append(data)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        exchange = cast("Exchange", self.incoming)
        parts = exchange.parts
        exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
        exchange.parts = []
        exchange.complete = True
        exchange.arrived_s = self.quiet_since_s
        self.incoming, self.in_head, self.head_bytes, self.behind = None, True, 0, True
        if self.unmet is not None:
            self._keep_head(exchange)
        if self.current is None:
            self._begin(exchange)
            return
        self.waiting.append(exchange)
        if self._far_ahead() and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _far_ahead(self) -> bool:
        return len(self.waiting) >= PIPELINED or sum(len(each.body) for each in self.waiting) > self.limits.body_bytes

    def _decline(self, rest: bytes) -> None:
        """Answers an offer of another protocol in this one (RFC 9110 §7.8): the same request is read again without the offer."""
        exchange = cast("Exchange", self.incoming)
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._reject(Refusal(405, "method_not_allowed", "This is not a forward proxy."))
            return
        head = declined(b"%b %b HTTP/%b" % (method, exchange.path, self.parser.get_http_version().encode()), exchange.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.in_head, self.head_bytes = True, 0
        self.data_received(head + rest)

    def _framing(self, exchange: Exchange) -> bool:
        """Refuses ambiguous framing (RFC 9112 §6); True where the client waits for 100 Continue."""
        fields = exchange.fields = dict(exchange.headers)
        if exchange.version not in (b"1.1", b"1.0"):
            raise Refusal(505, None, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if len(fields) < len(exchange.headers):
            fields = exchange.fields = together(exchange.headers)
        if b"host" not in fields and exchange.version == b"1.1":
            raise Refusal(400, None, "A request needs exactly one Host header.")
        length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
        if coding is not None:
            self.framed_bytes = 0
            # trailers are thrown away: they must not become headers
            self.lines = []
        if coding is not None and (length is not None or exchange.version == b"1.0" or coding.lower().strip() != b"chunked"):
            raise Refusal(400, None, "Transfer-Encoding may only be `chunked`, in HTTP/1.1 and without Content-Length.")
        if length is not None:
            if not (length.isdigit() and len(length) < 16):
                raise Refusal(400, None, "Content-Length must be given once, in digits.")
            if int(length) > self.limits.body_bytes:
                raise Refusal(413, "too_large", f"The body is larger than {self.limits.body_bytes} bytes.")
        expect = fields.get(b"expect")
        if expect is None:
            return False
        if expect.lower() != b"100-continue":
            raise Refusal(417, None, "Only Expect: 100-continue is known.")
        return True

    def _bound_framing(self, exchange: Exchange, read_bytes: int) -> None:
        """Chunk sizes, extensions and trailers have no bound of their own: sixteen bytes for each of the body are plenty."""
        self.framed_bytes += read_bytes
        if self.framed_bytes > self.limits.header_bytes + 16 * exchange.size:
            self._reject(Refusal(400, None, "The chunked body has too much framing."))

    def _begin(self, exchange: Exchange) -> None:
        self.current = exchange
        if exchange.refusal is not None:
            self.gateway.refuse(exchange, exchange.refusal)
        elif exchange.state is not None:
            self.gateway.serve(exchange)
        else:
            self._to_litestar(exchange)

    def _to_litestar(self, exchange: Exchange) -> None:
        try:
            extra = self.gateway.adorn(exchange)
        except Refusal as refusal:
            self.gateway.refuse(exchange, refusal)
            return
        if not exchange.keep_alive:
            extra = [*extra, (b"connection", b"close")]
        path = self.gateway.canonical(exchange.path)
        text = path.decode("ascii", "replace")
        scope = {
            "type": "http",
            "asgi": {"version": self.config.asgi_version, "spec_version": "2.3"},
            "http_version": exchange.version.decode(),
            "server": get_local_addr(self.transport),
            "client": get_remote_addr(self.transport),
            "scheme": "http",
            "method": exchange.method.decode("ascii"),
            "root_path": "",
            "path": urllib.parse.unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": exchange.query,
            "headers": exchange.headers,
            "state": self.app_state.copy(),
            "greenlane": exchange,
        }
        self.cycle = cycle = RequestResponseCycle(
            scope=cast("Any", scope),
            transport=self.transport,
            flow=self.flow,
            logger=log,
            access_logger=log,
            access_log=False,
            default_headers=extra,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=exchange.keep_alive and exchange.version == b"1.1",
            on_response=lambda: self.exchange_ended(exchange),
        )
        cycle.body = bytearray(exchange.body)
        cycle.more_body = False
        cycle.message_event.set()
        task = self.loop.create_task(cycle.run_asgi(self.app))
        task.add_done_callback(self.server_state.tasks.discard)
        self.server_state.tasks.add(task)

    def exchange_ended(self, exchange: Exchange) -> None:
        """Called once when the answer is written; starts the next pipelined request."""
        if exchange is not self.current:
            return
        self.current = self.cycle = None
        self.answered = True
        self.server_state.total_requests += 1
        self.quiet_since_s = perf_counter()
        if not exchange.keep_alive or self.closing:
            self.closing = True
            self._linger()
            return
        if self.waiting:
            self.loop.call_soon(self._next)

    def _next(self) -> None:
        if self.waiting and self.current is None and not self.closing:
            exchange = self.waiting.popleft()
            if self.read_paused and not self._far_ahead():
                self.read_paused = False
                with contextlib.suppress(RuntimeError):
                    self.transport.resume_reading()
            self._begin(exchange)

    def _reject(self, refusal: Refusal) -> None:
        """Answers a request that cannot be let in, and closes: what follows on the wire cannot be trusted to be a request."""
        self.closing = True
        exchange = self.incoming or Exchange(self)
        exchange.keep_alive = False
        if self.incoming is not None and not exchange.fields:
            # of a head that was not read to its end the lines so far may name the page that asks
            exchange.fields = dict(exchange.headers)
        if self.current is not None or self.waiting:
            # answers go out in order: what is under way is finished first, the connection closes behind it
            for earlier in ([self.current] if self.current else []) + list(self.waiting):
                earlier.keep_alive = False
            self.waiting.clear()
            return
        self.current = exchange
        exchange.method = exchange.method or b"GET"
        self.gateway.refuse(exchange, refusal)

    def _linger(self) -> None:
        """Closes after the answer has left; a moment's reading lets a client that still sends see the answer first."""
        self.flush()
        if self.transport.is_closing():
            return
        incomplete = self.incoming is not None and not self.incoming.complete
        if incomplete and self.transport.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                self.transport.write_eof()
            self.loop.call_later(1.0, self.transport.close)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Lets what runs finish; an idle connection closes now (uvicorn calls this when it drains)."""
        self.flush()
        if self.current is None:
            self.transport.close()
        else:
            self.closing = not self.waiting and self.incoming is None
            self.current.keep_alive = False
            if self.cycle is not None:
                self.cycle.keep_alive = False

    def leave(self) -> None:
        """What was asked already is answered, the last of it with the end of the connection; what is asked later, see `leaving`."""
        self.last = None
        last = self.incoming or (self.waiting[-1] if self.waiting else self.current)
        if last is not None:
            last.keep_alive = False
            if self.cycle is not None and last is self.current:
                self.cycle.keep_alive = False

    def cut(self) -> None:
        """The process ends: what is being answered ends now, as well as it can."""
        self.closing = True
        self.waiting.clear()
        if (exchange := self.current) is not None and exchange.on_gone is not None:
            exchange.cut, exchange.keep_alive = True, False
            exchange.on_gone()

    def sweep(self, now_s: float) -> None:
        """Ends what is too slow: headers, a body that stalls, a connection that idles."""
        quiet_s = now_s - self.quiet_since_s
        if quiet_s > HELD_S:
            self.last = None
        incoming = self.incoming
        if incoming is not None and not incoming.complete:
            if self.in_head:
                if now_s - incoming.arrived_s > self.limits.header_timeout_s:
                    self._reject(Refusal(408, "request_timeout", "The headers took too long."))
            elif quiet_s > self.limits.body_timeout_s:
                self._reject(Refusal(408, "request_timeout", "The body took too long."))
        elif self.current is None and quiet_s > (self.limits.keep_alive_s if not self.head_bytes else self.limits.header_timeout_s):
            self.unsent_bytes, self.quiet_since_s = let_go(self.transport, self.unsent_bytes), now_s


def protocol_class(gateway: Gateway) -> type[Connection]:
    """The class uvicorn makes a connection's protocol from (`uvicorn.Config(http=…)`)."""
    return type("GreenlaneConnection", (Connection,), {"gateway": gateway, "heads": Heads(), "outbox": Outbox()})
