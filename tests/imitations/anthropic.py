"""A strict imitation of Anthropic's Messages API, for tests: it refuses what the API refuses and answers with the request's words.

    async with ... uvicorn.Server(Config(imitation := create_app())) ...      # POST /v1/messages, /v1/messages/count_tokens
    imitation.received, imitation.last.body, imitation.last.headers

A scenario is chosen by the header `x-imitate`, by the model's name (`claude-haiku-4-5--tools`) or by `imitation.scenario`.
Error shapes and statuses: https://platform.claude.com/docs/en/api/errors; versions: https://platform.claude.com/docs/en/api/versioning
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.imitations import asgi
from tests.imitations.anthropic_rules import VERSIONS, Json, RefusedError, check, check_count
from tests.imitations.anthropic_says import ANSWERING, events, say, whole
from tests.imitations.asgi import Receive, Send

KEY = "sk-ant-imitation-0123456789"
LARGEST_BYTES = 32 * 1024 * 1024
"""Requests above 32 MB are answered with 413 (https://platform.claude.com/docs/en/api/overview#request-size-limits)."""

COUNTING = "/count_tokens"
COUNTED = 2095
"""What every count comes to, as in the reference's example (https://platform.claude.com/docs/en/api/messages-count-tokens)."""

FAILING: dict[str, tuple[int, str, str]] = {
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "rate_limited": (429, "rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per minute."),
    "invalid": (400, "invalid_request_error", "messages.0.content.0.text: Input should be a valid string"),
    "too_long": (400, "invalid_request_error", "prompt is too long: 214315 tokens > 200000 maximum"),
    "unauthorized": (401, "authentication_error", f"invalid x-api-key {KEY}"),
    "billing": (402, "billing_error", "Your credit balance is too low to access the Anthropic API."),
    "forbidden": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "not_found": (404, "not_found_error", "model: claude-missing"),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "server_error": (500, "api_error", "Internal server error"),
    "timeout": (504, "timeout_error", "Request timed out"),
}
"""Scenarios that answer with an error object."""
SCENARIOS = frozenset({*ANSWERING, *FAILING, "html_500"})


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: Any = None


RATE_LIMITS = (
    (b"requests-limit", b"50"),
    (b"requests-remaining", b"49"),
    (b"requests-reset", b"2020-01-01T00:00:00Z"),
    (b"tokens-limit", b"96000"),
    (b"tokens-remaining", b"95000"),
    (b"tokens-reset", b"2020-01-01T00:00:00Z"),
    (b"input-tokens-limit", b"80000"),
    (b"input-tokens-remaining", b"79000"),
    (b"input-tokens-reset", b"2020-01-01T00:00:00Z"),
    (b"output-tokens-limit", b"16000"),
    (b"output-tokens-remaining", b"16000"),
    (b"output-tokens-reset", b"2020-01-01T00:00:00Z"),
)
"""https://platform.claude.com/docs/en/api/rate-limits#response-headers; the buckets are full again."""


@dataclass
class Imitation:
    """The ASGI app, and what it has seen."""

    key: str = KEY
    scenario: str = "text"
    pace_s: float = 0.0
    """Pause between two events of a stream."""
    piece_bytes: int | None = None
    """Streams are sent in pieces of so many bytes instead of event by event."""
    requests: list[Received] = field(default_factory=list)
    left: int = 0
    """Streams whose client went before the end."""
    seen: set[str] = field(default_factory=set)
    answered: dict[str, list[Json]] = field(default_factory=dict)
    """Id of a call → the whole answer it stood in, which must come back as it was where thinking comes back."""

    @property
    def received(self) -> int:
        return len(self.requests)

    @property
    def last(self) -> Received:
        return self.requests[-1]

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await asgi.lifespan(receive, send)
            return
        raw = await asgi.body_of(receive)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request = Received(scope["method"], scope["path"], headers, raw)
        self.requests.append(request)
        number = f"req_imitation_{self.received:06d}"
        try:
            scenario = self._admit(request)
        except RefusedError as refusal:
            await self._refuse(send, number, (refusal.status, refusal.kind, refusal.message))
            return
        if scenario in FAILING:
            await self._refuse(send, number, FAILING[scenario])
            return
        if request.path.endswith(COUNTING):
            await asgi.answer(send, 200, asgi.encoded({"input_tokens": COUNTED}), self._headers(number))
            return
        if scenario == "html_500":
            page = b"<html><body><h1>500 Internal Server Error</h1></body></html>"
            await asgi.answer(send, 500, page, [(b"content-type", b"text/html")])
            return
        said = say(request.body, scenario, self.seen)
        self.answered |= {block["id"]: said.blocks for block in said.blocks if block["type"] == "tool_use"}
        if not request.body.get("stream"):
            await asgi.answer(send, 200, asgi.encoded(whole(request.body, said)), self._headers(number))
            return
        await self._stream(events(request.body, said, scenario), number, receive, send)

    def _admit(self, request: Received) -> str:
        """The scenario to play. Raises RefusedError for a request the API would refuse."""
        counting = request.path.endswith(COUNTING)
        if request.path.removesuffix(COUNTING) not in ("/v1/messages", "//v1/messages"):
            raise RefusedError("Not found", 404, "not_found_error")
        if request.method != "POST":
            raise RefusedError("Method Not Allowed", 405)
        self._authenticate(request.headers)
        version = request.headers.get("anthropic-version")
        if not version:
            raise RefusedError("anthropic-version: header is required")
        if version not in VERSIONS:
            raise RefusedError(f'anthropic-version: "{version}" is not a valid version')
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RefusedError("content-type: must be application/json")
        if len(request.raw) > LARGEST_BYTES:
            raise RefusedError("Request exceeds the maximum size", 413, "request_too_large")
        try:
            request.body = json.loads(request.raw)
        except (ValueError, RecursionError):
            raise RefusedError("The request body is not valid JSON: unexpected character") from None
        (check_count if counting else check)(request.body, version, request.headers.get("anthropic-beta", ""))
        _check_thoughts(request.body, self.answered)
        named = str(request.body["model"]).partition("--")[2]
        scenario = request.headers.get("x-imitate") or named or self.scenario
        if scenario not in SCENARIOS:
            raise RefusedError(f"this imitation has no scenario {scenario!r}", 500, "api_error")
        return scenario

    def _authenticate(self, headers: dict[str, str]) -> None:
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            raise RefusedError("x-api-key header is required", 401, "authentication_error")
        if given != self.key:
            raise RefusedError("invalid x-api-key", 401, "authentication_error")

    async def _refuse(self, send: Send, number: str, error: tuple[int, str, str]) -> None:
        status, kind, message = error
        headers = self._headers(number)
        if status == 429:
            headers += [(b"retry-after", b"7"), (b"x-should-retry", b"true")]
        await asgi.answer(
            send, status, asgi.encoded({"type": "error", "error": {"type": kind, "message": message}, "request_id": number}), headers
        )

    def _headers(self, number: str) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", b"application/json"),
            (b"request-id", number.encode()),
            (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000"),
            *((b"anthropic-ratelimit-" + name, value) for name, value in RATE_LIMITS),
        ]

    async def _stream(self, parts: Iterator[bytes], number: str, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), *self._headers(number)[1:]]
        if not await asgi.stream(asgi.cut(parts, self.piece_bytes), headers, receive, send, self.pace_s):
            self.left += 1


def create_app(**settings: Any) -> Imitation:
    """An imitation of its own; the settings are its fields."""
    return Imitation(**settings)


def _check_thoughts(body: Json, answered: dict[str, list[Json]]) -> None:
    """Thinking that comes back in the last assistant's turn must be all there was, as it was, where it was.

    .../build-with-claude/thinking#preserving-thinking-blocks
    """
    turns = [message for message in body["messages"] if message["role"] == "assistant"]
    blocks = turns[-1]["content"] if turns and isinstance(turns[-1]["content"], list) else []
    told = next((answered[block["id"]] for block in blocks if block.get("id") in answered), blocks)
    thoughts = ("thinking", "redacted_thinking")
    if any(block["type"] in thoughts for block in blocks) and _uncalled(blocks) != _uncalled(told):
        number = body["messages"].index(turns[-1])
        text = "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified."
        raise RefusedError(f"messages.{number}.content: {text} These blocks must remain as they were in the original response.")


def _uncalled(blocks: list[Json]) -> list[Json]:
    """Blocks without what clients may leave out, `caller`, or add, a cache mark."""
    return [{name: value for name, value in block.items() if name not in ("caller", "cache_control")} for block in blocks]
