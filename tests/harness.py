"""A proxy and upstreams in threads of the test's process: real sockets, real clients, milliseconds to start."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from proxy.app import made_server
from proxy.configuration import loads
from proxy.runtime import Runtime

HEAD = """
server: {{port: 0}}
logs: {{requests: false}}
ledger: {{url: "sqlite:///{folder}/ledger.db", spool_file: "{folder}/spool", spool_bytes: 1048576, interval_s: 0.05}}
"""


class Served:
    """A running proxy. `url` ends in `/v1`. The text is a configuration without `server`, `logs` and `ledger`."""

    def __init__(self, text: str, folder: Path, environ: dict[str, str] | None = None, server: str = "{port: 0}") -> None:
        folder.mkdir()
        self.folder = folder
        self.path = folder / "greenlane.yaml"
        self._head = HEAD.format(folder=folder).replace("{port: 0}", server)
        self.write(text)
        self._ready: queue.Queue[Any] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(environ or {},), daemon=True)
        self._thread.start()
        started = self._ready.get(timeout=60)
        if isinstance(started, BaseException):
            raise started
        self.port: int = started
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.base}/v1"

    def write(self, text: str) -> None:
        """Replaces the configuration file; the proxy takes it in within a second or two, or at `reload`."""
        self.path.write_text(self._head + text)

    def reload(self) -> bool:
        """Takes the file in now; False where it was wrong."""
        done: queue.Queue[bool] = queue.Queue()
        self.loop.call_soon_threadsafe(lambda: done.put(self.runtime.reload()))
        return done.get(timeout=60)

    def call(self, work: Callable[[Runtime], Any]) -> Any:
        """What `work` returns for the runtime, called on its loop."""
        done: queue.Queue[Any] = queue.Queue()
        self.loop.call_soon_threadsafe(lambda: done.put(work(self.runtime)))
        return done.get(timeout=60)

    def entry(self, entry_id: str) -> dict[str, Any]:
        """The ledger's entry as JSON text knows it, once it is written."""
        import urllib.error
        import urllib.request

        end_s = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/greenlane/requests/{entry_id}", timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 503 or time.monotonic() > end_s:
                        raise

    def entries(self, least: int = 1, timeout_s: float = 30.0) -> list[Any]:
        """The newest entries, once there are that many."""
        end_s = time.monotonic() + timeout_s
        while True:
            future = asyncio.run_coroutine_threadsafe(self._recent(), self.loop)
            found = future.result(timeout=60)
            if len(found) >= least or time.monotonic() > end_s:
                return found
            time.sleep(0.02)

    async def _recent(self) -> list[Any]:
        await self.runtime.written()
        return await self.runtime.ledger.recent(100)

    def close(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop)
            self._thread.join(timeout=60)
        assert not self._thread.is_alive(), "the proxy did not stop"

    def _stop(self) -> None:
        self.server.should_exit = True

    def _run(self, environ: dict[str, str]) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(environ))
        except BaseException as error:  # noqa: BLE001 - told to the test's thread
            self._ready.put(error)

    async def _serve(self, environ: dict[str, str]) -> None:
        import os

        os.environ.update(environ)
        self.loop = asyncio.get_running_loop()
        self.runtime = Runtime(loads(self.path.read_text(), environ=os.environ), self.path)
        await self.runtime.start()
        self.server = made_server(self.runtime)
        self.server.config.timeout_graceful_shutdown = 5
        serving = asyncio.create_task(self.server.serve())
        while not self.server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells by a plain attribute
            await asyncio.sleep(0.005)
        if serving.done():
            await serving
        self._ready.put(self.server.servers[0].sockets[0].getsockname()[1])
        await serving
        await self.runtime.stop()


class Received(NamedTuple):
    """A request an upstream got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Received, "Handler"], None]


class _Server(ThreadingHTTPServer):
    """Says nothing of a peer that went away: that is what many tests are about."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Upstream:
    """An HTTP/1.1 server on a thread; `answer` writes each response by `handler.reply`, `handler.events` or raw `handler.wfile`."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or completion
        self.requests: list[Received] = []
        self.gone = threading.Event()
        """Set when a write failed because the proxy went away."""
        self._server = _Server(("127.0.0.1", 0), type("H", (Handler,), {"upstream": self}))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    upstream: Upstream
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        received = Received("POST", self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.upstream.requests.append(received)
        try:
            self.upstream.answer(received, self)
        except (BrokenPipeError, ConnectionResetError):
            self.upstream.gone.set()
            self.close_connection = True

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def events(self, pieces: Iterable[bytes], headers: dict[str, str] | None = None) -> None:
        """Server-sent events, one chunk a piece, flushed as they come."""
        self.send_response(200)
        for name, value in {"content-type": "text/event-stream", "transfer-encoding": "chunked", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass

    def finish(self) -> None:
        """A test may have closed or reset the connection by hand."""
        with contextlib.suppress(OSError, ValueError):
            super().finish()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One chat chunk as an event."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices, **more}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
DONE = b"data: [DONE]\n\n"


def said(words: Iterable[str] = ("Hel", "lo", "!"), *, usage: bool = True) -> list[bytes]:
    """A good stream."""
    pieces = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in words), chunk({}, "stop")]
    if usage:
        body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [], "usage": USAGE}
        pieces.append(b"data: " + json.dumps(body).encode() + b"\n\n")
    return [*pieces, DONE]


def completion(received: Received, handler: Handler) -> None:
    """What a plain OpenAI host answers."""
    request = received.json
    if request.get("stream"):
        handler.events(said(usage=(request.get("stream_options") or {}).get("include_usage") is True))
        return
    message = {"role": "assistant", "content": "Hello!", "refusal": None}
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": USAGE,
    }
    handler.reply(200, body)


def exchange(port: int, request: bytes, timeout_s: float = 60.0) -> bytes:
    """Everything a server answers to raw bytes until it closes or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as wire:
        wire.sendall(request)
        wire.settimeout(timeout_s)
        answer = b""
        while True:
            try:
                more = wire.recv(65536)
            except (TimeoutError, ConnectionResetError):
                return answer
            if not more:
                return answer
            answer += more


def ask(served: Served, body: dict[str, Any] | None = None, path: str = "/chat/completions", **headers: str) -> Any:
    """The answer (httpx.Response) to a body, by default a small chat; a header's underscores are hyphens."""
    import httpx

    given = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]} if body is None else body
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(served.url + path, json=given, headers=sent, timeout=60, verify=False)


def heard(served: Served, body: dict[str, Any], begun: threading.Event, path: str = "/chat/completions") -> Any:
    """The answer to a stream, read whole; `begun` is set when its first words have come: what the upstream says then is a later read."""
    import httpx

    with httpx.stream("POST", served.url + path, json={"model": "small", **body, "stream": True}, timeout=60) as answer:
        pieces = []
        for piece in answer.iter_bytes():
            pieces.append(piece)
            begun.set()
    return httpx.Response(answer.status_code, headers=answer.headers, content=b"".join(pieces))


class Process:
    """`greenlane serve` as a process of its own. `url` ends in `/v1`; what it prints is in `out_text` and `err_text`."""

    def __init__(self, text: str, folder: Path, environ: dict[str, str] | None = None, server: str = "{port: 0}") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.path = folder / "greenlane.yaml"
        self._head = HEAD.format(folder=folder).replace("{port: 0}", server)
        self.write(text)
        self.start(environ)

    def write(self, text: str) -> None:
        self.path.write_text(self._head + text)

    def start(self, environ: dict[str, str] | None = None) -> None:
        """Starts it, again after it has ended; returns when it says where it listens."""
        import os

        command = [sys.executable, "-c", "from proxy.cli import main; main()", "serve", "--config", str(self.path)]
        known = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **(environ or {})}
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self.popen = subprocess.Popen(command, stdout=out, stderr=err, env=known, cwd=self.folder)
        end_s = time.monotonic() + 60
        while (found := re.search(r"serves http://127\.0\.0\.1:(\d+)/v1", self.out_text)) is None:
            if self.popen.poll() is not None or time.monotonic() > end_s:
                self.close()
                raise AssertionError(f"it did not start: {self.err_text}")
            time.sleep(0.02)
        self.port = int(found[1])
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.base}/v1"

    @property
    def out_text(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err_text(self) -> str:
        return (self.folder / "err").read_text()

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def ended(self, timeout_s: float = 60.0) -> int:
        """The exit code, once it has ended."""
        return self.popen.wait(timeout_s)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(60)


class Ear:
    """An upstream on a bare socket: keeps every byte it is sent and answers as `manner` says."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.manner = "good"
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._server.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in [self._server, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                wire, _ = self._server.accept()
            except OSError:
                return
            self._open.add(wire)
            threading.Thread(target=self._converse, args=(wire,), daemon=True).start()

    def _converse(self, wire: socket.socket) -> None:
        held = b""
        try:
            while more := wire.recv(65536):
                self.heard += more
                held += more
                head, mark, body = held.partition(b"\r\n\r\n")
                length = int((re.search(rb"content-length: (\d+)", head) or [0, 0])[1])
                if mark and len(body) >= length:
                    held = b""
                    if not self._answer(wire, head.split(b" ")[1].partition(b"?")[0], body):
                        break
        except OSError:
            pass
        finally:
            self._open.discard(wire)
            wire.close()

    def _answer(self, wire: socket.socket, path: bytes, body: bytes) -> bool:
        """Answers one request; False: the connection is closed."""
        match self.manner:
            case "reset":
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return False
            case "silence":
                wire.settimeout(60)
                return wire.recv(1) != b""
            case "garbage":
                wire.sendall(b"\x15\x03\x01\x00\x02\x02\x16 not HTTP at all\r\n\r\n")
                return False
            case "half":
                first = b"data: " if b'"stream":true' in body else b"{"
                wire.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 500\r\n\r\n" + first)
                return False
            case "broken" if b'"stream":true' in body:
                piece = chunk({"role": "assistant", "content": "Hal"})
                wire.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n" + piece)
                return False
            case "in_band":
                self._reply(wire, b'{"error":{"message":"busy","code":503}}')
            case "good":
                self._well(wire, path, body)
            case status:
                self._reply(wire, b'{"error":{"message":"no"}}', status=int(status) if status.isdigit() else 500)
        return True

    def _well(self, wire: socket.socket, path: bytes, body: bytes) -> None:
        if path.endswith(b"/embeddings"):
            self._reply(wire, b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":'
                        b'{"prompt_tokens":1,"total_tokens":1}}')  # fmt: skip
        elif path.endswith(b"/count_tokens"):
            self._reply(wire, b'{"input_tokens":3}')
        elif path.endswith((b"/speech", b"/transcriptions", b"/generations", b"/moderations", b"/rerank")):
            self._reply(wire, b'{"text":"Hello","created":1,"data":[],"results":[]}')
        elif json.loads(body).get("stream"):
            self._reply(wire, b"".join(said(usage=False)), kind=b"text/event-stream")
        elif path.endswith(b"/chat/completions"):
            # what it was told last stands in the answer, under an id of its own
            told = (re.findall(rb"the secret number \d+ ", body) or [b"Hello"])[-1]
            self._reply(wire, b'{"id":"c%d","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
                        b'{"role":"assistant","content":"%b"},"finish_reason":"stop"}]}' % (zlib.crc32(told), told))  # fmt: skip
        else:
            self._reply(wire, b'{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"Hello",'
                        b'"finish_reason":"stop"}]}')  # fmt: skip

    def _reply(self, wire: socket.socket, body: bytes, *, status: int = 200, kind: bytes = b"application/json") -> None:
        wire.sendall(b"HTTP/1.1 %d X\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body))


@contextlib.contextmanager
def serving(text: Callable[[str], str], folder: Path, environ: dict[str, str] | None = None) -> Iterator[Served]:
    """A proxy before one upstream, its `host`, for all tests of a module. `text` makes the configuration from the upstream's address."""
    host = Upstream()
    made = Served(text(host.url), folder / "proxy", environ)
    made.host = host
    yield made
    made.close()
    host.close()


def chosen(answer: Any) -> tuple[str, str]:
    """Which deployment answered, and why."""
    assert answer.status_code == 200, answer.text
    return answer.headers["x-greenlane-deployment"], answer.headers["x-greenlane-reason"]


def held(upstream: Upstream) -> threading.Event:
    """Makes an upstream answer only when told; returns the switch."""
    let = threading.Event()

    def wait(received: Any, handler: Any) -> None:
        let.wait(60)
        completion(received, handler)

    upstream.answer = wait
    return let


def until(true: Callable[[], Any], timeout_s: float = 60.0) -> None:
    """Returns once it is so."""
    end_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.01)
