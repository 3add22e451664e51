"""CPU of the HTTP/1.1 client alone: microseconds per exchange and per streamed chunk.

`python benchmarks/upstream_micro.py` prints two tables: in memory (no kernel: the Python and the parser), and over loopback
against a trivial server in another process (with the system calls and the event loop, asyncio's and uvloop's).
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import sys
import time

import httptools
import uvloop

from proxy.upstream._base import Request, UpstreamError
from proxy.upstream.connection import Connection
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.http1 import Http1Upstream

BODY = b'{"model":"qwen3-32b","messages":[{"role":"user","content":"' + b"x" * 1900 + b'"}]}'
HEADERS = (
    (b"authorization", b"Bearer sk-0123456789abcdef0123456789abcdef"),
    (b"content-type", b"application/json"),
    (b"accept", b"*/*"),
    (b"user-agent", b"greenlane"),
)
ANSWER = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[' + b"y" * 600 + b"]}"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 09:30:59 GMT\r\nserver: uvicorn\r\ncontent-type: application/json\r\n"
    b"x-request-id: 0123456789\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
CHUNKS = 200
REPEATS = 5


class Silent(asyncio.Transport):
    """Takes everything, does nothing."""

    def write(self, data) -> None: ...

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Sink:
    def on_response(self, status, headers) -> None: ...

    def on_data(self, data) -> None: ...

    def on_chunk(self, chunk, start) -> None: ...

    def on_end(self) -> None: ...

    def on_error(self, error) -> None:
        raise error


class ParserAlone:
    def on_body(self, data) -> None: ...


def best(run, count: int) -> float:
    """Microseconds of CPU for one of `count`, the best of REPEATS."""
    gc.collect()
    gc.disable()
    figures = []
    for _ in range(REPEATS):
        started = time.process_time()
        run()
        figures.append((time.process_time() - started) / count * 1e6)
    gc.enable()
    return min(figures)


async def in_memory() -> None:
    upstream = Http1Upstream(Endpoint("http", "127.0.0.1", 9))
    connection = Connection(upstream.pool, None)
    connection.connection_made(Silent())
    upstream.pool.put(connection)
    request = Request(b"POST", b"/v1/chat/completions", HEADERS, BODY)
    sink = Sink()

    def exchanges() -> None:
        for _ in range(10_000):
            upstream.send(request, sink)
            connection.data_received(RESPONSE)

    def fresh_headers() -> None:
        for _ in range(10_000):
            upstream.send(Request(b"POST", b"/v1/chat/completions", (*HEADERS, (b"x-request-id", b"abc")), BODY), sink)
            connection.data_received(RESPONSE)

    def stream() -> None:
        for _ in range(50):
            upstream.send(request, sink)
            connection.data_received(STREAM_HEAD)
            for _ in range(CHUNKS):
                connection.data_received(CHUNK)
            connection.data_received(b"0\r\n\r\n")

    def parser() -> None:
        for _ in range(50):
            feed = httptools.HttpResponseParser(ParserAlone()).feed_data
            feed(STREAM_HEAD)
            for _ in range(CHUNKS):
                feed(CHUNK)

    print(f"in memory: exchange, kept head {best(exchanges, 10_000):6.2f} us")
    print(f"in memory: exchange, new head  {best(fresh_headers, 10_000):6.2f} us")
    chunk = best(stream, 50 * CHUNKS)
    alone = best(parser, 50 * CHUNKS)
    print(f"in memory: streamed chunk      {chunk:6.2f} us, of which the parser {alone:.2f}")


class Trivial(asyncio.Protocol):
    """Answers each request; those whose body begins with `s` with a stream, a chunk a write."""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.held = b""

    def data_received(self, data) -> None:
        self.held += data
        end = self.held.find(b"\r\n\r\n")
        if end < 0:
            return
        length = int(self.held[:end].rpartition(b"content-length: ")[2])
        if len(self.held) < end + 4 + length:
            return
        streamed = self.held[end + 4 : end + 5] == b"s"
        self.held = b""
        if streamed:
            self.transport.write(STREAM_HEAD)
            asyncio.get_running_loop().call_soon(self.more, CHUNKS)
        else:
            self.transport.write(RESPONSE)

    def more(self, left: int) -> None:
        if left:
            self.transport.write(CHUNK)
            asyncio.get_running_loop().call_soon(self.more, left - 1)
        else:
            self.transport.write(b"0\r\n\r\n")


def serve(port) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Trivial, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


class Again(Sink):
    """Sends the next request as soon as one has ended."""

    def __init__(self, upstream, request, left: list[int], done) -> None:
        self.upstream, self.request, self.left, self.done = upstream, request, left, done

    def on_end(self) -> None:
        if self.left[0]:
            self.left[0] -= 1
            self.upstream.send(self.request, self)
        elif not self.done.done():
            self.done.set_result(None)

    def on_error(self, error: UpstreamError) -> None:
        self.done.set_exception(error)


async def loopback(port: int, name: str) -> None:
    upstream = Http1Upstream(Endpoint("http", "127.0.0.1", port))
    for what, body, count, per in (("exchange", BODY, 20_000, 1), ("streamed chunk", b"s" + BODY, 200, CHUNKS)):
        request = Request(b"POST", b"/v1/chat/completions", HEADERS, body)
        figures = []
        for _ in range(REPEATS):
            left, done = [count], asyncio.get_running_loop().create_future()
            started = time.process_time()
            for _ in range(32):
                upstream.send(request, Again(upstream, request, left, done))
            await done
            figures.append((time.process_time() - started) / count / per * 1e6)
            await asyncio.sleep(0.05)
        print(f"loopback, {name}: {what:<15} {min(figures):6.2f} us")
    upstream.close()


def main() -> None:
    asyncio.run(in_memory())
    if "--memory" in sys.argv:
        return
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    asyncio.run(loopback(port, "asyncio"))
    uvloop.run(loopback(port, "uvloop"))
    server.terminate()


if __name__ == "__main__":
    main()
