"""The seam to whatever carries a request to an upstream. Callbacks, not coroutines: a streamed chunk then costs one call.

An Upstream is made per deployment; `send` returns at once and everything that follows arrives at the Receiver, on the event
loop, in order: `on_response` once, `on_data` any number of times, then exactly one of `on_end` and `on_error`. After `abort`
nothing arrives any more. An `on_error` can come at any point, also first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

ErrorKind = Literal[
    "connect",
    "tls",
    "dns",
    "reset",
    "garbled",
    "timeout_connect",
    "timeout_first_byte",
    "timeout_idle",
    "timeout_total",
    "too_large",
    "closed",
]


class UpstreamError(Exception):
    """The upstream could not be reached or did not keep to HTTP. The text carries no key, no header and no prompt."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message


class Request(msgspec.Struct, frozen=True, gc=False):
    """`head` ends before the body's framing: request line and headers, each line with CRLF, without the final empty line,
    without host, content-length and connection (the client adds them).
    """

    method: bytes
    path: bytes
    """Path and query, as on the request line."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Hardly ever other ones for one deployment: the head is kept for them."""
    body: bytes
    own: tuple[tuple[bytes, bytes], ...] = ()
    """This request's alone (its id, its trace); after the others."""

    def __repr__(self) -> str:
        return f"<Request {self.method!r} {self.path!r}, {len(self.body)} bytes>"


class Receiver(Protocol):
    """Whoever waits for the answer. Must not raise and must not block."""

    def on_response(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Final status (1xx are swallowed) and headers, names in lower case."""
        ...

    def on_data(self, data: bytes) -> None:
        """Body bytes as they came in one read, de-chunked. Never empty."""
        ...

    def on_chunk(self, chunk: bytes, start: int) -> None:
        """`on_data` for a read that is one chunk in its framing, as it stood on the wire: the data is `chunk[start:-2]`.

        Its framing is the one any server would give it: the size in hexadecimal digits without leading zeros, in lower case.
        """
        ...

    def on_end(self) -> None:
        """The body is whole by its own framing."""
        ...

    def on_error(self, error: UpstreamError) -> None: ...


class Lane:
    """Where chunks go that the receiver need not see: one for which `holds` says so is written as it stood on the wire, and counted."""

    __slots__ = ("chunks", "holds", "write")

    def __init__(self, holds: Callable[[bytes, int, int], bool], write: Callable[[bytes], object]) -> None:
        self.holds = holds
        """Of the chunk, and where in it its data begins and ends."""
        self.write = write
        self.chunks = 0


class Sending(Protocol):
    """The handle on one request under way."""

    lane: Lane | None
    """Set by the receiver while chunks may pass it by. Not every client looks at it."""

    def pause(self) -> None:
        """Reads nothing more from the socket until `resume` (back-pressure)."""
        ...

    def resume(self) -> None: ...

    def abort(self) -> None:
        """Drops the exchange and its connection now. Harmless when it has ended."""
        ...

    def leave(self) -> None:
        """The receiver has all it wants: the upstream gets half a second to end by itself, then the exchange is dropped."""
        ...


class Upstream(Protocol):
    def send(self, request: Request, receiver: Receiver) -> Sending: ...

    @property
    def inflight(self) -> int: ...

    def close(self) -> None:
        """Closes idle connections now and the others when their exchange ends; `send` must not be called again."""
        ...
