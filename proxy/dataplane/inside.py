"""A request that the proxy itself sends through its data plane: the ordinary journey, without a connection of its own."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Protocol

import msgspec

from proxy.dataplane.operations import OPERATIONS, Operation
from proxy.errors import Refusal
from proxy.exchange import Exchange

PATH = b"/v1/chat/completions"
_NOT_PASSED_ON = frozenset({b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"connection", b"expect"})
"""Of the outer request: how it was framed."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Journeys(Protocol):
    """The data plane, as far as a request needs it."""

    def admit(self, exchange: Exchange, operation: Operation) -> None: ...
    def serve(self, exchange: Exchange) -> None: ...
    def refuse(self, exchange: Exchange, refusal: Refusal) -> None: ...


class _Nowhere:
    """The wire of such an exchange: what is written to it is kept."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.whole = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        self.written += data

    write_whole = write

    def abort(self) -> None:
        self.end()

    def exchange_ended(self, exchange: Exchange) -> None:  # noqa: ARG002 - as a connection has it
        self.whole = True
        self.end()

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def chat(plane: Journeys, outer: Exchange, body: bytes) -> Reply | None:
    """The answer to a chat completion with the headers, and so with the key, of an exchange that waits for it.

    None where it broke off. If the outer client leaves, so does this one, and its upstream stops.
    """
    wire = _Nowhere()
    exchange = Exchange(wire)
    # without chunks: what is written is the body as it is
    exchange.method, exchange.path, exchange.version = b"POST", PATH, b"1.0"
    exchange.fields = {
        **{name: value for name, value in outer.fields.items() if name not in _NOT_PASSED_ON},
        b"content-type": b"application/json",
    }
    exchange.headers = list(exchange.fields.items())
    exchange.state = operation = OPERATIONS[PATH]

    def leave() -> None:
        # cancelled with its client still there: the process ends, and the journey settles that as its own doing
        exchange.gone, exchange.cut = outer.gone, not outer.gone
        if exchange.on_gone is not None:
            exchange.on_gone()
        if exchange.gone:
            wire.end()

    outer.on_gone = leave
    try:
        plane.admit(exchange, operation)
        exchange.body, exchange.complete, exchange.arrived_s = body, True, perf_counter()
        plane.serve(exchange)
    except Refusal as refusal:
        plane.refuse(exchange, refusal)
    try:
        await wire.ended
    except asyncio.CancelledError:
        leave()
        raise
    finally:
        outer.on_gone = None
    return _reply(bytes(wire.written)) if wire.whole else None


def _reply(written: bytes) -> Reply:
    head, _, body = written.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, _, value in (line.partition(b": ") for line in lines)}
    return Reply(status=int(first.split(b" ")[1]), headers=headers, body=body)
