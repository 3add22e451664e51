"""One attempt's answer on its way to the client: chunks are forwarded in the call that brings them, and nothing is spliced.

Until the first body byte goes out (the commit point) a failure leaves the client untouched and another deployment can be tried;
after it a broken stream ends in one error event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from time import perf_counter
from typing import Literal

import msgspec

from adapters._base import Fault, FaultError, GarbledError, Stream
from carbon.footprint import Footprint
from proxy.exchange import Exchange
from proxy.upstream._base import Lane, Sending, UpstreamError

log = logging.getLogger("greenlane.relay")
ERROR_BYTES = 256 * 1024
"""Of an upstream's error answer this much is read."""
HELD_BYTES = 256 * 1024
"""Of a stream this much may come before its first content (pings, heads of messages)."""

Ending = Literal["whole", "streamed", "truncated", "failed", "gone"]


class Result(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """How one attempt ended."""

    ending: Ending
    status: int | None = None
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""
    """Of a whole answer, or of an error answer."""
    fault: Fault | None = None
    """What an upstream said in the stream, or what broke it."""
    kind: str = "ok"
    """`ok`, `status`, or an error kind."""
    first_s: float | None = None
    """When the first content came (perf_counter)."""
    held_up: bool = False
    """The client read too slowly for a while: what came then tells nothing of the upstream's pace."""

    def __repr__(self) -> str:
        return f"<Result {self.ending} {self.status} {self.kind}>"


class Relay:
    """Receives from one upstream, sends to one client. Awaited, it gives its result; see `steps.py`."""

    # defaults of the class rather than slots filled one by one: on CPython 3.11 a third cheaper to make
    _asyncio_future_blocking = False
    _clock = staticmethod(perf_counter)
    _result: Result | None = None
    _wake: Callable[[Relay], object] | None = None
    _sending: Sending | None = None
    _status: int | None = None
    _headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012  # replaced, never changed
    _held = b""
    _size = 0
    _first_s: float | None = None
    _committed = False
    _done = False
    _held_up = False
    _lane: Lane | None = None
    """Set once chunks are what the client gets."""
    foretold: Footprint | None = None
    """What the head said the answer would take."""
    _events = 0
    """Events forwarded, but for those on the lane."""

    def __init__(
        self,
        exchange: Exchange,
        stream: Stream | None,
        on_commit: Callable[[list[tuple[bytes, bytes]], bytes], Footprint] | None,
        answer_bytes: int,
        *,
        raw: bool = False,
    ) -> None:
        self._exchange = exchange
        self._stream = stream
        self._on_commit = on_commit
        self._answer_bytes = answer_bytes
        self._raw = raw
        """The answer may be anything: events, which are read, a JSON object, which is collected, or bytes forwarded unread."""
        self._parts: list[bytes] = []

    @property
    def stream(self) -> Stream | None:
        """What reads the answer's events; None where it has none."""
        return self._stream

    @property
    def events(self) -> int:
        """Events forwarded; about the tokens generated where nobody says."""
        return self._events + (0 if self._lane is None else self._lane.chunks)

    def __await__(self) -> Generator[Relay, None, Result]:
        while self._result is None:
            yield self
        return self._result

    def add_done_callback(self, callback: Callable[[Relay], object], /) -> None:
        """Called in the call that sets the result: whoever waits goes on without a turn of the loop."""
        self._wake = callback

    def watch(self, sending: Sending) -> None:
        """Ties the client's pace and presence to this attempt."""
        if self._done:
            return
        self._sending = sending
        exchange = self._exchange
        exchange.on_pause = self._pause
        exchange.on_resume = sending.resume
        exchange.on_gone = self._gone

    def on_response(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._headers = headers
        if status >= 300:
            self._stream = None
            self._raw = False
        elif self._stream is not None and self._raw:
            kind = next((value.lower() for name, value in headers if name == b"content-type"), b"")
            self._raw = not kind.startswith((b"text/event-stream", b"application/json"))
            if not kind.startswith(b"text/event-stream"):
                self._stream = None
        elif self._stream is not None and _is_json(headers):
            self._abort()
            self._broken(Fault(message="The upstream answered a stream with a whole answer.", code="upstream_error"), "garbled")

    def on_data(self, data: bytes) -> None:
        stream = self._stream
        if stream is None or not self._committed or self._done:
            self._on_early_data(data)
            return
        try:
            out = stream.feed(data)
        except Exception as error:  # noqa: BLE001 - whatever a reader fails at, the client is told
            self._unreadable(error)
            return
        if out:
            self._events += out.count(b"\n\n")
            self._exchange.send(out)
        if stream.ended and not self._done:
            self._at_the_end(stream)

    def on_chunk(self, chunk: bytes, start: int) -> None:
        self.on_data(chunk[start:-2])

    def _on_early_data(self, data: bytes) -> None:
        """Data of an answer that is whole or forwarded unread, and of a stream of which nothing has gone to the client yet."""
        if self._done:
            return
        stream = self._stream
        if stream is None and not self._raw:
            self._collect(data)
            return
        if stream is None:
            if self._first_s is None:
                self._first_s = self._clock()
            self._forward(data)
            return
        at_s = self._clock()
        try:
            out = stream.feed(data)
        except Exception as error:  # noqa: BLE001 - whatever a reader fails at, the client is told
            self._unreadable(error)
            return
        if self._first_s is None and stream.started:
            self._first_s = at_s
        if out:
            self._forward_events(out)
        if stream.ended and not self._done:
            self._at_the_end(stream)

    def _unreadable(self, error: Exception) -> None:
        """A reader's error: what an upstream said of itself, garbage, or what no reader thought of."""
        if isinstance(error, FaultError):
            self._broken(error.fault, "in_band")
            return
        told = f": {error}" if isinstance(error, GarbledError) else ""
        if not told:
            log.error("a stream reader failed", exc_info=error)
        self._broken(Fault(message=f"The upstream's stream could not be read{told}.", code="upstream_error"), "garbled")

    def _at_the_end(self, stream: Stream) -> None:
        """The dialect's end has come before the body's, or an error behind words of the same read."""
        try:
            stream.feed(b"")
        except Exception as error:  # noqa: BLE001 - whatever a reader fails at, the client is told
            self._unreadable(error)
            return
        if self._sending is not None:
            self._sending.leave()
        self._ended(stream)

    def on_end(self) -> None:
        if self._done:
            return
        if self._stream is not None:
            self._end_of_events()
        elif self._raw and self._committed:
            self._finish(Result(ending="streamed", status=self._status, headers=self._headers, first_s=self._first_s))
        else:
            parts = self._parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            kind = "ok" if self._status is not None and 200 <= self._status < 300 else "status"
            ending: Ending = "whole" if kind == "ok" else "failed"
            self._finish(Result(ending=ending, status=self._status, headers=self._headers, body=body, kind=kind))

    def on_error(self, error: UpstreamError) -> None:
        if not self._done and self._stream is not None and self._stream.finished:
            self._end_of_events()
        elif not self._done:
            code = "upstream_timeout" if error.kind.startswith("timeout") else "upstream_error"
            self._broken(Fault(message=_TOLD.get(error.kind, "The upstream could not be reached."), code=code), error.kind)

    def _end_of_events(self) -> None:
        stream = self._stream
        if stream is None:
            return
        try:
            out = stream.finish()
        except FaultError as error:
            self._broken(error.fault, "in_band")
            return
        except GarbledError:
            out = b""
        if out:
            self._forward_events(out)
        if stream.ended:
            self._ended(stream)
        else:
            self._broken(Fault(message="The upstream ended the stream before it was complete.", code="upstream_error"), "truncated")

    def _ended(self, stream: Stream) -> None:
        """The dialect's end has come; a stream without anything before it is no answer."""
        if not self._committed:
            if not stream.started:
                self._broken(Fault(message="The upstream's stream holds no answer.", code="upstream_error"), "garbled")
                return
            self._forward(b"")
        self._finish(Result(ending="streamed", status=self._status, headers=self._headers, first_s=self._first_s, held_up=self._held_up))

    def _collect(self, data: bytes) -> None:
        self._size += len(data)
        limit = self._answer_bytes if self._status is not None and self._status < 300 else ERROR_BYTES
        if self._size <= limit:
            self._parts.append(data)
        elif limit == self._answer_bytes:
            self._abort()
            self._broken(Fault(message="The upstream's answer is too large.", code="upstream_error"), "too_large")

    def _forward_events(self, out: bytes) -> None:
        stream = self._stream
        self._events += out.count(b"\n\n")
        if not self._committed and stream is not None and not stream.started:
            self._held += out
            if len(self._held) > HELD_BYTES:
                self._broken(Fault(message="The upstream's stream does not begin.", code="upstream_error"), "garbled")
            return
        self._forward(out)

    def _forward(self, out: bytes) -> None:
        if self._committed:
            self._exchange.send(out)
            return
        self._committed = True
        first, self._held = self._held + out, b""
        if self._on_commit is not None:
            self.foretold = self._on_commit(self._headers, first)
        if self._stream is not None and self._sending is not None and self._exchange.chunked:
            self._lane = self._sending.lane = Lane(self._stream.alike, self._exchange.connection.write)

    def _broken(self, fault: Fault, kind: str) -> None:
        self._abort()
        ending: Ending = "truncated" if self._committed else "failed"
        self._finish(Result(ending=ending, status=self._status, headers=self._headers, fault=fault, kind=kind, first_s=self._first_s))

    def _pause(self) -> None:
        self._held_up = True
        if self._sending is not None:
            self._sending.pause()

    def _gone(self) -> None:
        if self._exchange.cut and not self._done:
            self._broken(Fault(message=_TOLD["stopped"], code="unavailable", retry_after_s=1.0), "stopped")
        elif not self._done:
            self._abort()
            self._finish(Result(ending="gone", status=self._status, kind="client_gone", first_s=self._first_s))

    def _abort(self) -> None:
        if self._sending is not None:
            self._sending.abort()

    def _finish(self, result: Result) -> None:
        self._done = True
        if self._lane is not None and self._sending is not None:
            self._sending.lane = None
        # the two hold each other: left so, only the collector would free them, at 8 µs a request
        self._sending = None
        self._parts = []
        exchange = self._exchange
        exchange.on_pause = exchange.on_resume = exchange.on_gone = None
        if self._result is None:
            self._result = result
            wake, self._wake = self._wake, None
            if wake is not None:
                wake(self)


_TOLD = {
    "connect": "The upstream could not be reached.",
    "dns": "The upstream's name could not be resolved.",
    "tls": "The upstream's certificate or TLS was not accepted.",
    "reset": "The upstream broke the connection.",
    "garbled": "The upstream's answer could not be read.",
    "timeout_connect": "The upstream could not be reached in time.",
    "timeout_first_byte": "The upstream did not begin to answer in time.",
    "timeout_idle": "The upstream fell silent.",
    "timeout_total": "The upstream did not finish in time.",
    "too_large": "The upstream's answer is too large.",
    "closed": "The upstream is being closed.",
    "stopped": "The proxy is being stopped.",
}


def _is_json(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value.lower().startswith(b"application/json") for name, value in headers)
