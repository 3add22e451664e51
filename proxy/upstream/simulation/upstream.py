"""The Upstream behind `sim://`: no socket, OpenAI's dialect, the pace of a real engine.

Decides with `answers` and `bodies`, which are plain functions, and sends with the event loop's timers.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from proxy.configuration.simulated import Pace, pace_of
from proxy.upstream._base import Lane, Receiver, Request, UpstreamError
from proxy.upstream.simulation import bodies, requests, tokens
from proxy.upstream.simulation.answers import answer
from proxy.upstream.simulation.requests import BadRequestError

_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_MINIMUM_WAIT_S = 0.001
"""Shorter pauses are not made: the loop's timers are no finer."""
_numbers = itertools.count(int(time.time() * 1000) << 20)


class Reply(msgspec.Struct, frozen=True):
    """What is sent, and when."""

    status: int
    pieces: tuple[bytes, ...]
    streamed: bool = False
    wait_s: float = 0.0
    """Before the first piece."""
    between_s: float = 0.0
    """Between two pieces."""


class Simulation:
    """One simulated deployment. See Upstream."""

    def __init__(self, base_url: str) -> None:
        self._pace = pace_of(base_url)
        parts = urlsplit(base_url)
        self._name, self._base_path = parts.hostname or "simulation", parts.path.rstrip("/")
        self._open: set[_Sending] = set()
        self._closed = False

    @property
    def inflight(self) -> int:
        return len(self._open)

    def send(self, request: Request, receiver: Receiver) -> _Sending:
        sending = _Sending(receiver, self._open.discard)
        self._open.add(sending)
        if self._closed:
            sending.fail_soon(UpstreamError("closed", "the simulation has been closed"))
        else:
            sending.begin_soon(lambda: respond(request, self._name, self._base_path, self._pace))
        return sending

    def close(self) -> None:
        self._closed = True


def respond(request: Request, name: str, base_path: str, pace: Pace) -> Reply:
    """The reply to a request: a pure function but for ids and the time of day."""
    target = request.path.split(b"?")[0].decode("latin-1")
    path = target.removeprefix(base_path).removeprefix("/v1") or "/"
    try:
        if request.method == b"GET" and path == "/models":
            return Reply(200, (bodies.models(name),))
        operation = _OPERATIONS.get(path, _unknown) if request.method == b"POST" else _unknown
        return operation(requests.decoded(request.body), pace)
    except BadRequestError as error:
        return Reply(error.status, (bodies.fault(error),))


def _stamp(prefix: str) -> bodies.Stamp:
    return bodies.Stamp(f"{prefix}-{next(_numbers):x}", int(time.time()))


def _chat(body: requests.Json, pace: Pace) -> Reply:
    chat = requests.chat(body)
    answered = answer(chat, pace.context_tokens)
    stamp = _stamp("chatcmpl")
    if chat.stream:
        return Reply(200, tuple(bodies.chat_events(chat, answered, stamp)), True, pace.ttft_s, 1 / pace.tokens_per_s)
    longest = max(choice.tokens for choice in answered.choices)
    return Reply(200, (bodies.chat_completion(chat, answered, stamp),), wait_s=_whole_s(pace, longest))


def _completion(body: requests.Json, pace: Pace) -> Reply:
    chats = requests.completion(body)
    answers = [answer(chat, pace.context_tokens) for chat in chats]
    stamp = _stamp("cmpl")
    if chats[0].stream:
        return Reply(200, tuple(bodies.completion_events(chats, answers, stamp)), True, pace.ttft_s, 1 / pace.tokens_per_s)
    longest = max(choice.tokens for answered in answers for choice in answered.choices)
    return Reply(200, (bodies.completion(chats, answers, stamp),), wait_s=_whole_s(pace, longest))


def _embeddings(body: requests.Json, pace: Pace) -> Reply:
    return Reply(200, (bodies.embeddings(body),), wait_s=pace.ttft_s * pace.whole)


def _moderations(body: requests.Json, pace: Pace) -> Reply:
    return Reply(200, (bodies.moderations(body, _stamp("modr")),), wait_s=pace.ttft_s * pace.whole)


def _whole_s(pace: Pace, longest_tokens: int) -> float:
    """Seconds until an answer that is not streamed."""
    return pace.whole * (pace.ttft_s + longest_tokens / pace.tokens_per_s)


def _unknown(_body: requests.Json, _pace: Pace) -> Reply:
    raise BadRequestError("a simulation has no such operation", code="not_found", status=404)


_OPERATIONS: dict[str, Callable[[requests.Json, Pace], Reply]] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/embeddings": _embeddings,
    "/moderations": _moderations,
}


class _Sending:
    """One request under way. A timer or a thread is due, or it is paused, or it has ended."""

    lane: Lane | None = None

    def __init__(self, receiver: Receiver, ended: Callable[[_Sending], None]) -> None:
        self._receiver, self._ended = receiver, ended
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._reply: Reply | None = None
        self._next = 0
        self._paused = self._over = False

    def begin_soon(self, decide: Callable[[], Reply]) -> None:
        if tokens.table.cache_info().currsize:
            self._timer = self._loop.call_soon(self._begin, decide)
            return
        # the first request of all loads the tokenizer, which takes longer than a loop may be held up
        loading = self._loop.run_in_executor(None, tokens.table)
        loading.add_done_callback(lambda _: self._begin(decide))

    def fail_soon(self, error: UpstreamError) -> None:
        self._timer = self._loop.call_soon(self._fail, error)

    def pause(self) -> None:
        self._paused = True
        if self._timer is not None and self._reply is not None:
            self._timer.cancel()
            self._timer = None

    def resume(self) -> None:
        waiting = self._paused and self._reply is not None and not self._over
        self._paused = False
        if waiting:
            self._timer = self._loop.call_soon(self._step)

    def abort(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._finish()

    def leave(self) -> None:
        self.abort()

    def _begin(self, decide: Callable[[], Reply]) -> None:
        if self._over:
            return
        try:
            self._reply = decide()
        except Exception as error:  # noqa: BLE001  nobody awaits this: a mistake of ours would leave the exchange open for ever
            self._loop.call_exception_handler({"message": "a simulation failed", "exception": error})
            self._fail(UpstreamError("garbled", "the simulation failed"))
            return
        self._later(self._reply.wait_s)

    def _later(self, seconds_s: float) -> None:
        if self._paused:
            self._timer = None
        elif seconds_s < _MINIMUM_WAIT_S:
            self._timer = self._loop.call_soon(self._step)
        else:
            self._timer = self._loop.call_later(seconds_s, self._step)

    def _step(self) -> None:
        """Says the next piece, and the head before the first."""
        reply = self._reply
        if self._over or reply is None:
            return
        if self._next == 0:
            length = [] if reply.streamed else [(b"content-length", str(sum(map(len, reply.pieces))).encode())]
            self._receiver.on_response(reply.status, [_EVENTS if reply.streamed else _JSON, *length])
            if self._over:
                return
        piece = reply.pieces[self._next]
        self._next += 1
        self._receiver.on_data(piece)
        if self._over:
            return
        if self._next == len(reply.pieces):
            self._finish()
            self._receiver.on_end()
        else:
            self._later(reply.between_s)

    def _fail(self, error: UpstreamError) -> None:
        self._finish()
        self._receiver.on_error(error)

    def _finish(self) -> None:
        self._over = True
        self._ended(self)
