"""What the imitations of vendors share: the ASGI side of an answer that is whole or streamed, in pieces and at a pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Lines = Iterable[tuple[bytes, bytes]]


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def body_of(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def answer(send: Send, status: int, body: bytes, headers: Lines) -> None:
    sized = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": body})


async def stream(parts: Iterable[bytes], headers: Lines, receive: Receive, send: Send, pace_s: float) -> bool:
    """Whether the client stayed to the end."""
    await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
    gone = asyncio.ensure_future(_gone(receive))
    try:
        for part in parts:
            if gone.done():
                return False
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(pace_s)
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
    return True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def cut(parts: Iterator[bytes], piece_bytes: int | None) -> Iterator[bytes]:
    """The same bytes in pieces of a size; None: as they come."""
    if piece_bytes is None:
        yield from parts
        return
    whole = b"".join(parts)
    for at in range(0, len(whole), piece_bytes):
        yield whole[at : at + piece_bytes]


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
