"""CPU of one request's journey by its steps, in memory: no kernel, no mock, no other process. What to make cheaper is seen here.

`python -m benchmarks.journey_micro [CONFIG]` sends requests through the connection, the data plane and the settling of an account to
an upstream that answers at once. Each step's figure is its own time, less that of the steps within it; the least of many batches.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, thread_time
from types import SimpleNamespace
from typing import Any, BinaryIO

import msgspec
import uvloop

from adapters.openai import OpenAI
from benchmarks.places import HERE
from benchmarks.scenarios import PAD, WINDOWS
from benchmarks.stacks import KEY
from policies.decide import Prepared
from proxy import runtime, server
from proxy.access import Keyring
from proxy.configuration import load
from proxy.dataplane import attempt, endpoint, finish
from proxy.dataplane.endpoint import DataPlane
from proxy.dataplane.finish import Finish
from proxy.dataplane.settle import Settler
from proxy.exchange import Exchange
from proxy.framed import Framed
from proxy.snapshot import Snapshot
from proxy.telemetry.logs import RequestLog
from proxy.upstream.answers import Met, Shared
from proxy.upstream.heads import Heads

REQUESTS = 600
BATCHES = 40
SETTLED_S = 2.0
"""Until the workers have loaded what they load."""

ANSWER = (
    b'{"id":"chatcmpl-9f3b2c1d8e7a4650b1c2d3e4f5a6b7c8","object":"chat.completion","created":1767225600,"model":"mock","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"' + b"The quick brown fox jumps over the lazy dog. " * 5 + b'"},"logprobs":null,'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":420,"completion_tokens":57,"total_tokens":477}}'
)
ANSWER_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER)), (b"x-request-id", b"0123456789")]
MET = Met(Framed(b"", b""), ANSWER_HEADERS, 1, Shared())

STEPS: tuple[tuple[Any, str, str], ...] = (
    (server.Connection, "data_received", "parse the request, frame it (proxy/server.py)"),
    (DataPlane, "admit", "admit: ids, headers (admit.py)"),
    (Keyring, "admit", "admit: the key (access.py)"),
    (DataPlane, "serve", "start the journey's task"),
    (DataPlane, "_read", "ask: the rest"),
    (endpoint, "read", "ask: read the body (ask.py)"),
    (Snapshot, "plan", "plan (snapshot.py)"),
    (DataPlane, "_home", "affinity: look"),
    (DataPlane, "_turned", "turn"),
    (endpoint, "recalled", "decide: a standing decision (candidates.py)"),
    (DataPlane, "_keep", "decide: kept as standing"),
    (endpoint, "candidates", "candidates and their forecasts (candidates.py)"),
    (Prepared, "decide", "decide (policies)"),
    (attempt, "asked", "outbound: the request (carriage.py)"),
    (OpenAI, "identity", "outbound: identity (openai.py)"),
    (Heads, "prefix", "outbound: head (heads.py)"),
    (attempt, "_judge", "breaker"),
    (attempt, "_read", "answer read (carriage.py)"),
    (DataPlane, "_remember", "affinity: remember"),
    (Finish, "finish", "finish: the rest (finish.py)"),
    (Finish, "_account", "account: tokens, energy, grams, price"),
    (finish, "told", "usage.greenlane: written (settle.py)"),
    (finish, "reply", "usage.greenlane: spliced in (carriage.py)"),
    (Finish, "_head", "headers of the answer (answer.py)"),
    (Settler, "settle", "settle: the rest (settle.py)"),
    (Settler, "_shared", "settle: the row's context (contexts.py)"),
    (Settler, "_row", "settle: the row"),
    (Settler, "_count", "settle: metrics"),
    (runtime.Runtime, "_keep", "settle: spool"),
    (runtime, "encode_into", "settle: the row encoded"),
    (RequestLog, "write", "settle: log line"),
    (Exchange, "respond", "answer written (exchange.py)"),
)


class Clock:
    """Exclusive time by step, with a stack of what is running."""

    def __init__(self) -> None:
        self.own_s: dict[str, float] = {}
        self.gone: list[str] = []
        """Steps that the code has no longer under that name: their time is in the step around them."""
        self._inner_s: list[float] = [0.0]

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        inner: Callable[..., Any] | None = getattr(owner, attribute, None)
        if inner is None:
            self.gone.append(name)
            return
        own_s, stack = self.own_s, self._inner_s
        own_s[name] = 0.0

        def timed(*args: Any, **named: Any) -> Any:
            stack.append(0.0)
            began_s = perf_counter()
            try:
                return inner(*args, **named)
            finally:
                took_s = perf_counter() - began_s
                own_s[name] += took_s - stack.pop()
                stack[-1] += took_s

        setattr(owner, attribute, timed)

    def reset(self) -> None:
        self.own_s.update(dict.fromkeys(self.own_s, 0.0))


class Instant:
    """An upstream that has answered before it was asked, less one turn of the loop."""

    inflight = 0

    def __init__(self) -> None:
        self._heads = Heads(b"127.0.0.1:9100")

    def send(self, request: Any, receiver: Any) -> Any:
        self._heads.prefix(request)
        asyncio.get_running_loop().call_soon(self._answer, receiver)
        return self

    def _answer(self, receiver: Any) -> None:
        receiver.on_response(200, MET.headers_of(ANSWER))
        receiver.on_data(ANSWER)
        receiver.on_end()

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None: ...

    def leave(self) -> None: ...

    def close(self) -> None: ...


class Client:
    """A transport that sends the next request when it is written to."""

    def __init__(self, made: Callable[..., Any]) -> None:
        lines = ("POST /v1/chat/completions HTTP/1.1", "Host: 127.0.0.1:8080", "User-Agent: OpenAI/Python 2.0", "Accept: application/json")
        head = "\r\n".join((*lines, "Content-Type: application/json", f"Authorization: Bearer {KEY}", "Content-Length: "))
        bodies = [WINDOWS[0].body().replace(PAD.encode(), b"x" * ((length * 1847) % 3000)) for length in range(3000)]
        self._requests = itertools.cycle([b"%b%d\r\n\r\n%b" % (head.encode(), len(body), body) for body in bodies])
        self._loop = asyncio.get_running_loop()
        self._left = 0
        self._over: asyncio.Future[None] = self._loop.create_future()
        state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0)
        self._connection = made(SimpleNamespace(loaded_app=None), state, {})
        self._connection.connection_made(self)

    async def batch(self, requests: int) -> None:
        self._left, self._over = requests, self._loop.create_future()
        self._loop.call_soon(self._connection.data_received, next(self._requests))
        await self._over

    def write(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200"):
            self._over.set_exception(RuntimeError(data[:300].decode("latin-1")))
            return
        self._left -= 1
        if self._left:
            self._loop.call_soon(self._connection.data_received, next(self._requests))
        else:
            self._over.set_result(None)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _: str) -> None: ...

    def set_write_buffer_limits(self, *_: int) -> None: ...


async def measured(config_path: Path, clock: Clock | None, log: BinaryIO) -> tuple[float, dict[str, float]]:
    """Least µs a request of all batches, and by step."""
    config = load(str(config_path))
    # the worker that writes rows stays asleep: what it costs is the store's, and it is seen in a whole run
    config = msgspec.structs.replace(config, ledger=msgspec.structs.replace(config.ledger, interval_s=3600.0))
    running = runtime.Runtime(config, None)
    running.request_log._stream = log
    await running.start()
    await asyncio.sleep(SETTLED_S)
    client = Client(server.protocol_class(running.plane))
    least_us, steps = float("inf"), {}
    gc.collect()
    gc.freeze()
    for _ in range(BATCHES):
        if clock is not None:
            clock.reset()
        began_s = thread_time()
        await client.batch(REQUESTS)
        took_us = 1e6 * (thread_time() - began_s) / REQUESTS
        if took_us < least_us:
            least_us = took_us
            steps = {} if clock is None else {name: 1e6 * own_s / REQUESTS for name, own_s in clock.own_s.items()}
        records = running.spool.read(REQUESTS)
        running.spool.release(len(records))
    await running.stop()
    return least_us, steps


def main() -> None:
    path = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE / "greenlane.yaml"
    os.environ.setdefault("GREENLANE_BENCH_KEY", KEY)
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("wb") as nowhere:
        os.chdir(folder)
        runtime._connect = lambda *_: Instant()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            plain_us, _ = runner.run(measured(path, None, nowhere))
            clock = Clock()
            for owner, attribute, name in STEPS:
                clock.watch(owner, attribute, name)
            timed_us, steps = runner.run(measured(path, clock, nowhere))
        os.chdir("/")
    for name, own_us in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"{own_us:7.2f} µs  {name}")
    for name in clock.gone:
        print(f"      - µs  {name}: not there any more")
    print(f"{timed_us - sum(steps.values()):7.2f} µs  the rest: the loop, the task, the journey's own lines, the clock")
    print(f"{timed_us:7.2f} µs  a request, with the clock\n{plain_us:7.2f} µs  a request")


if __name__ == "__main__":
    main()
