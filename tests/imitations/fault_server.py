"""A TCP server that does to each connection exactly what a script says: the bytes, cuts, resets and silences of bad upstreams.

    async with FaultServer([read_request(), send(b"HTTP/1.1 200 OK\\r\\n"), reset()]) as server:
        ...  # connect to 127.0.0.1, server.port
        server.requests  # what came, one bytes a request
        server.log       # what happened, in order: "0 open", "0 request", "0 sent", "0 reset", "0 gone"

One script a connection, in the order of their coming; the last one serves all further connections. When a script has run to
its end the connection is closed. `log` counts connections from 0.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from proxy.upstream._base import UpstreamError


class Wire(NamedTuple):
    """One connection, as a step sees it."""

    server: FaultServer
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def log(self, what: str) -> None:
        self.server.log.append(f"{self.number} {what}")
        self.server.changed.set()


Step = Callable[[Wire], Awaitable[None]]


def read_request() -> Step:
    """Reads one request with its content-length body and keeps it in `server.requests`."""

    async def step(wire: Wire) -> None:
        head = await wire.reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
        wire.server.requests.append(head + await wire.reader.readexactly(length))
        wire.log("request")

    return step


def send(*pieces: bytes) -> Step:
    """Sends the pieces, each one in a write of its own; the network may still join them."""

    async def step(wire: Wire) -> None:
        for piece in pieces:
            wire.writer.write(piece)
            await wire.writer.drain()
        wire.log("sent")

    return step


def dribble(data: bytes, size: int = 1) -> Step:
    """Sends so that the client reads `size` bytes at a time (it shares the loop, and has read before the next piece)."""

    async def step(wire: Wire) -> None:
        for start in range(0, len(data), size):
            wire.writer.write(data[start : start + size])
            for _ in range(4):
                await asyncio.sleep(0)
        wire.log("sent")

    return step


def respond(body: bytes = b"ok", status: int = 200, *headers: bytes) -> Step:
    """A whole, correct answer."""
    return send(response(body, status, *headers))


def response(body: bytes = b"ok", status: int = 200, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %d Said\r\n%bcontent-length: %d\r\n\r\n%b" % (status, lines, len(body), body)


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """A body in chunks, for a head that says so."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if end else b"")


def wait(seconds: float) -> Step:
    async def step(_: Wire) -> None:
        await asyncio.sleep(seconds)

    return step


def until(event: asyncio.Event) -> Step:
    """Goes on when the test says so."""

    async def step(_: Wire) -> None:
        await event.wait()

    return step


def stall() -> Step:
    """Says nothing more until the client leaves."""

    async def step(wire: Wire) -> None:
        with contextlib.suppress(ConnectionError):
            while await wire.reader.read(65536):
                pass
        wire.log("gone")

    return step


def half_close() -> Step:
    """Sends FIN and goes on reading."""

    async def step(wire: Wire) -> None:
        wire.writer.write_eof()
        wire.log("half closed")

    return step


def close() -> Step:
    async def step(wire: Wire) -> None:
        await wire.writer.drain()
        wire.writer.close()
        wire.log("closed")

    return step


def reset() -> Step:
    """RST instead of FIN; what the client has not read yet is lost."""

    async def step(wire: Wire) -> None:
        raw = wire.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.writer.transport.abort()
        wire.log("reset")

    return step


def forever(*steps: Step) -> Step:
    """Repeats the steps until the connection ends."""

    async def step(wire: Wire) -> None:
        while not wire.writer.is_closing():
            for inner in steps:
                await inner(wire)
        raise ConnectionResetError

    return step


class FaultServer:
    def __init__(self, *scripts: Sequence[Step], tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts or ([forever(read_request(), respond())],)
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.log: list[str] = []
        self.connections = 0
        self.changed = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def logged(self, what: str) -> None:
        """Returns once the log has the line."""
        async with asyncio.timeout(60):
            while what not in self.log:
                self.changed.clear()
                await self.changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Wire(self, self.connections, reader, writer)
        self.connections += 1
        wire.log("open")
        script = self._scripts[min(wire.number, len(self._scripts) - 1)]
        try:
            for step in script:
                await step(wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            wire.log("gone")
        except asyncio.CancelledError:
            pass  # the test is over; asyncio.start_server would report a cancelled handler
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


class Transcript:
    """A receiver that writes down what it was told. `said` joins what came in several reads, so that whole values compare."""

    def __init__(self, on_event: Callable[[str], None] | None = None) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.over = asyncio.Event()
        self._on_event = on_event or (lambda _: None)
        self.changed = asyncio.Event()

    def on_response(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._add("response", status, headers)

    def on_data(self, data: bytes) -> None:
        assert data
        self._add("data", bytes(data))

    def on_chunk(self, chunk: bytes, start: int) -> None:
        assert chunk == b"%x\r\n%b\r\n" % (len(chunk) - start - 2, chunk[start:-2])
        self.on_data(chunk[start:-2])

    def on_end(self) -> None:
        self.over.set()
        self._add("end")

    def on_error(self, error: UpstreamError) -> None:
        self.over.set()
        self._add("error", error.kind)

    def _add(self, *event: Any) -> None:
        self.events.append(event)
        self.changed.set()
        self._on_event(event[0])

    @property
    def said(self) -> list[tuple[Any, ...]]:
        joined: list[tuple[Any, ...]] = []
        for event in self.events:
            if event[0] == "data" and joined and joined[-1][0] == "data":
                joined[-1] = ("data", joined[-1][1] + event[1])
            else:
                joined.append(event)
        return joined

    async def finished(self, within_s: float = 60) -> list[tuple[Any, ...]]:
        """What was said, once it is over."""
        async with asyncio.timeout(within_s):
            await self.over.wait()
        return self.said

    async def told(self, count: int) -> None:
        """Returns once there are so many events."""
        async with asyncio.timeout(60):
            while len(self.events) < count:
                self.changed.clear()
                await self.changed.wait()


@functools.cache
def certificate() -> tuple[Path, Path]:
    """A self-signed certificate for localhost and 127.0.0.1, and its key, made by the openssl command."""
    folder = Path(tempfile.mkdtemp(prefix="greenlane-certificate-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = (folder / "certificate.pem", folder / "key.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *key, *subject, "-keyout", str(made[1]), "-out", str(made[0])]
    subprocess.run(command, check=True, capture_output=True)
    return made


def server_tls(*protocols: str) -> ssl.SSLContext:
    """The server's side of `certificate()`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
