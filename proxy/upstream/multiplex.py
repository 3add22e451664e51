"""One HTTP/2 connection and its streams. Framing, header compression and flow control are h2's; what to do with them is ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from proxy.upstream._base import Request, UpstreamError
from proxy.upstream.connection import HEAD_LINES
from proxy.upstream.exchange import STREAMING, Exchange
from proxy.upstream.pool import AGE_S, IDLE_S

if TYPE_CHECKING:
    from proxy.upstream.http2 import Http2Upstream

STREAMS = 100
"""At most, also where the upstream allows more; RFC 9113 §6.5.2 recommends that it allow no fewer."""
STREAM_WINDOW_BYTES = 256 * 1024
"""What one paused exchange can make us hold."""
CONNECTION_WINDOW_BYTES = 2**30
"""More than all streams' windows together: a paused exchange never stops its neighbours."""
CONNECTION_HEADERS = frozenset((b"connection", b"host", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))

_SETTINGS = 4
_MACHINE = h2.connection.H2ConnectionStateMachine
_OPEN = h2.connection.ConnectionState.CLIENT_OPEN
_TRANSITIONS = _MACHINE._transitions | {(_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY): (None, _OPEN)}
"""h2 takes GOAWAY for the end and refuses the frames that finish the other streams (RFC 9113 §6.8 lets them finish)."""


class Stream:
    """One exchange's part of a connection."""

    __slots__ = ("ended", "exchange", "held", "unacknowledged_bytes", "unsent")

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        self.exchange = exchange
        self.unsent = memoryview(body)
        self.held: list[bytes] = []
        """Body that came while paused; bounded by the stream's window, since it is not acknowledged."""
        self.unacknowledged_bytes = 0
        self.ended = False


class Multiplex(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, owner: Http2Upstream) -> None:
        self._owner = owner
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        self._h2.state_machine._transitions = _TRANSITIONS
        self.streams: dict[int, Stream] = {}
        self._retired = False
        self._silent = True
        """Nothing has come yet."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._born_s = owner.sweep.clock()

    def roomy(self) -> bool:
        """True if one more exchange may begin here."""
        allowed = min(STREAMS, self._h2.remote_settings.max_concurrent_streams)
        if self._owner.sweep.clock() - self._born_s > AGE_S:
            self.retire()
        return not self._retired and len(self.streams) < allowed and self._h2.open_outbound_streams < allowed

    def retire(self) -> None:
        """Takes no further exchange, and closes when the last one has ended."""
        self._retired = True
        if not self.streams:
            self.transport.close()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP and TLS transports are Transports
        secured = transport.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() != "h2":
            self._retired = True
            self.transport.abort()
            self._owner.refused(UpstreamError("tls", "the upstream does not offer HTTP/2"))
            return
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 64 * 1024,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES)
        self._owner.connected(self)
        self._flush()
        self._rest()

    def data_received(self, data: bytes) -> None:
        if self._silent and (len(data) < 4 or data[3] != _SETTINGS):
            # RFC 9113 §3.4: SETTINGS comes first. h2 would read "HTTP/1.1 400" as a frame of 4 MB, and wait for the rest.
            self._broken()
            return
        self._silent = False
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()
            self._broken()
            return
        for event in events:
            self._handle(event)
        self._flush()
        self._rest()

    def connection_lost(self, error: Exception | None) -> None:
        self._retired = True
        self._owner.gone(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        streams = list(self.streams.values())
        self.streams.clear()
        for stream in streams:
            stream.exchange.lost(error)

    # the exchange's side

    def carry(self, exchange: Exchange) -> None:
        request = exchange.request
        assert request is not None  # noqa: S101  # an exchange has it until its response head
        number = self._h2.get_next_available_stream_id()
        stream = self.streams[number] = Stream(exchange, request.body)
        self._h2.send_headers(number, self._head(request), end_stream=not request.body)
        self._push(number, stream)
        self._flush()

    def hold(self, exchange: Exchange) -> None:
        """Nothing to do: what comes is kept, and not acknowledged."""

    def release(self, exchange: Exchange) -> None:
        number = self._number(exchange)
        if number is None:
            return
        stream = self.streams[number]
        held, stream.held = stream.held, []
        for at, data in enumerate(held):
            exchange.receiver.on_data(data)
            if number not in self.streams:
                return
            if exchange.paused:
                stream.held = held[at + 1 :] + stream.held
                return
        self._acknowledge(number, stream)
        if stream.ended:
            self._end(number)
        self._flush()

    def drop(self, exchange: Exchange, *, failed: bool) -> None:
        number = self._number(exchange)
        if number is None:
            return
        del self.streams[number]
        try:
            self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:
            self._retired = True
        # A connection on which the upstream failed may be dead altogether; it must not get further requests.
        self._retired = self._retired or failed
        self._flush()
        self._rest()

    def unsent_bytes(self, exchange: Exchange) -> int:
        number = self._number(exchange)
        return 0 if number is None else len(self.streams[number].unsent) + self.transport.get_write_buffer_size()

    # h2's side

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived(stream_id=number) if number in self.streams:
                self._data(number, self.streams[number], event)
            case h2.events.ResponseReceived(stream_id=number) if number in self.streams:
                self._response(self.streams[number].exchange, event.headers or [])
            case h2.events.InformationalResponseReceived(stream_id=number) if number in self.streams:
                self.streams[number].exchange.heard = True
            case h2.events.StreamEnded(stream_id=number) if number in self.streams:
                self.streams[number].ended = True
                if not self.streams[number].exchange.paused:
                    self._end(number)
            case h2.events.StreamReset(stream_id=number) if number in self.streams:
                self._reset(number, event)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for number, stream in tuple(self.streams.items()):
                    self._push(number, stream)
            case h2.events.ConnectionTerminated():
                self._terminated(event)
            case _:
                pass  # pings and settings are answered by h2; frames of dropped streams are of no interest

    def _response(self, exchange: Exchange, fields: list[tuple[bytes, bytes]]) -> None:
        headers = [(bytes(name), bytes(value)) for name, value in fields]
        status = next((value for name, value in headers if name == b":status"), b"")
        if not (status.isdigit() and 200 <= int(status) <= 599) or len(headers) > HEAD_LINES:
            exchange.fail(UpstreamError("garbled", "the upstream's answer does not begin with a response head"))
            return
        exchange.heard = True
        exchange.phase = STREAMING
        exchange.request = None
        exchange.receiver.on_response(int(status), [header for header in headers if not header[0].startswith(b":")])

    def _data(self, number: int, stream: Stream, event: h2.events.DataReceived) -> None:
        exchange = stream.exchange
        exchange.heard = True
        stream.unacknowledged_bytes += event.flow_controlled_length or 0
        if exchange.paused:
            if event.data:
                stream.held.append(bytes(event.data))
            return
        if event.data:
            exchange.receiver.on_data(bytes(event.data))
        if number in self.streams and not exchange.paused:
            self._acknowledge(number, stream)

    def _reset(self, number: int, event: h2.events.StreamReset) -> None:
        exchange = self.streams.pop(number).exchange
        if event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM and exchange.phase != STREAMING and exchange.retry():
            return
        exchange.connection = None
        exchange.fail(UpstreamError("reset", "the upstream reset the stream"))

    def _terminated(self, event: h2.events.ConnectionTerminated) -> None:
        """GOAWAY: streams above the last one were not looked at; the others may still end well (RFC 9113 §6.8)."""
        self._retired = True
        for number in [number for number in self.streams if number > (event.last_stream_id or 0)]:
            exchange = self.streams.pop(number).exchange
            if not exchange.retry():
                exchange.connection = None
                exchange.fail(UpstreamError("reset", "the upstream refused the stream"))

    def _end(self, number: int) -> None:
        exchange = self.streams.pop(number).exchange
        if exchange.phase != STREAMING:
            exchange.fail(UpstreamError("garbled", "the upstream's answer has no response head"))
            return
        exchange.end()

    def _broken(self) -> None:
        self._retired = True
        streams = list(self.streams.values())
        self.streams.clear()
        self.transport.abort()
        for stream in streams:
            stream.exchange.connection = None
            stream.exchange.fail(UpstreamError("garbled", "the upstream's answer is not HTTP/2"))

    # between them

    def _head(self, request: Request) -> list[tuple[bytes, bytes]]:
        endpoint = self._owner.endpoint
        head = [
            (b":method", request.method),
            (b":scheme", endpoint.scheme.encode()),
            (b":authority", endpoint.authority),
            (b":path", request.path),
            (b"accept-encoding", b"identity"),
        ]
        head += [(name.lower(), value) for name, value in (*request.headers, *request.own) if name.lower() not in CONNECTION_HEADERS]
        if request.body:
            head.append((b"content-length", b"%d" % len(request.body)))
        return head

    def _push(self, number: int, stream: Stream) -> None:
        """Sends as much of the body as the windows allow."""
        while stream.unsent:
            size = min(len(stream.unsent), self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if size <= 0:
                return
            piece, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self._h2.send_data(number, piece.tobytes(), end_stream=not stream.unsent)

    def _acknowledge(self, number: int, stream: Stream) -> None:
        count, stream.unacknowledged_bytes = stream.unacknowledged_bytes, 0
        if count:
            self._h2.acknowledge_received_data(count, number)

    def _number(self, exchange: Exchange) -> int | None:
        return next((number for number, stream in self.streams.items() if stream.exchange is exchange), None)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def _rest(self) -> None:
        """Closes a connection that is retired and empty; one that is merely empty after IDLE_S."""
        if self.streams:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None
        elif self._retired:
            self.transport.close()
        elif self._idle_timer is None:
            self._idle_timer = asyncio.get_running_loop().call_later(IDLE_S, self.retire)
