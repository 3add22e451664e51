"""An HTTP/2 server that does to each stream exactly what a script says. The counterpart of `fault_server` for HTTP/2.

    async with H2Server([head(200), data(b"ok"), end()]) as server:
        server.requests  # (headers as a dict, body), one a stream
        server.log       # "open", "1 request", "1 cancelled 8", "gone"

One script a stream, in the order of their requests; the last one serves all further streams.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self

import h2.config
import h2.connection
import h2.events


class Stream(NamedTuple):
    protocol: Protocol
    number: int


Act = Callable[[Stream], Awaitable[None]]


def head(status: int = 200, *headers: tuple[bytes, bytes], last: bool = False) -> Act:
    async def act(stream: Stream) -> None:
        fields = [(b":status", b"%d" % status), *headers]
        stream.protocol.h2.send_headers(stream.number, fields, end_stream=last)
        stream.protocol.flush()

    return act


def data(piece: bytes) -> Act:
    """Sends as the client's window allows."""

    async def act(stream: Stream) -> None:
        left = piece
        while left:
            room = min(stream.protocol.h2.local_flow_control_window(stream.number), 16384)
            if room <= 0:
                stream.protocol.log(f"{stream.number} blocked")
                stream.protocol.window.clear()
                await stream.protocol.window.wait()
                continue
            stream.protocol.h2.send_data(stream.number, left[:room])
            stream.protocol.flush()
            left = left[room:]
            await asyncio.sleep(0)

    return act


def end() -> Act:
    async def act(stream: Stream) -> None:
        stream.protocol.h2.end_stream(stream.number)
        stream.protocol.flush()

    return act


def reset(code: int = 2) -> Act:
    """RST_STREAM; 2 is INTERNAL_ERROR, 7 REFUSED_STREAM."""

    async def act(stream: Stream) -> None:
        stream.protocol.h2.reset_stream(stream.number, code)
        stream.protocol.flush()

    return act


def goaway(last: int) -> Act:
    """GOAWAY of the graceful kind, by hand: h2 would not send anything after its own."""

    async def act(stream: Stream) -> None:
        frame = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + last.to_bytes(4, "big") + b"\x00\x00\x00\x00"
        stream.protocol.transport.write(frame)

    return act


def raw(piece: bytes) -> Act:
    async def act(stream: Stream) -> None:
        stream.protocol.transport.write(piece)

    return act


def drop() -> Act:
    """Closes the connection under all streams."""

    async def act(stream: Stream) -> None:
        stream.protocol.transport.close()

    return act


def until(event: asyncio.Event) -> Act:
    async def act(_: Stream) -> None:
        await event.wait()

    return act


class Protocol(asyncio.Protocol):
    def __init__(self, server: H2Server) -> None:
        self.server = server
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.window = asyncio.Event()
        self._open: dict[int, tuple[dict[bytes, bytes], bytearray]] = {}

    def log(self, what: str) -> None:
        self.server.log.append(what)
        self.server.changed.set()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.log("open")
        self.h2.initiate_connection()
        if self.server.max_streams is not None:
            self.h2.update_settings({3: self.server.max_streams})
        self.flush()

    def connection_lost(self, _: Exception | None) -> None:
        self.log("gone")

    def data_received(self, received: bytes) -> None:
        for event in self.h2.receive_data(received):
            match event:
                case h2.events.RequestReceived(stream_id=number):
                    self._open[number] = (dict(event.headers), bytearray())
                case h2.events.DataReceived(stream_id=number):
                    self._open[number][1].extend(event.data)
                    self.h2.acknowledge_received_data(event.flow_controlled_length, number)
                case h2.events.StreamEnded(stream_id=number):
                    headers, body = self._open.pop(number)
                    self.server.requests.append((headers, bytes(body)))
                    self.log(f"{number} request")
                    self.server.play(Stream(self, number))
                case h2.events.StreamReset(stream_id=number):
                    self.log(f"{number} cancelled {int(event.error_code)}")
                case h2.events.WindowUpdated():
                    self.window.set()
                case _:
                    pass
        self.flush()


class H2Server:
    def __init__(self, *scripts: Sequence[Act], tls: ssl.SSLContext | None = None, max_streams: int | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._played = 0
        self.max_streams = max_streams
        self.requests: list[tuple[dict[bytes, bytes], bytes]] = []
        self.log: list[str] = []
        self.changed = asyncio.Event()
        self.port = 0

    def play(self, stream: Stream) -> None:
        script = self._scripts[min(self._played, len(self._scripts) - 1)]
        self._played += 1
        task = asyncio.get_running_loop().create_task(self._play(script, stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self, script: Sequence[Act], stream: Stream) -> None:
        for act in script:
            await act(stream)

    async def logged(self, what: str) -> None:
        """Returns once the log has the line."""
        async with asyncio.timeout(60):
            while what not in self.log:
                self.changed.clear()
                await self.changed.wait()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Protocol(self), "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
