"""A strict imitation of the Gemini API, for tests: it refuses what the API refuses and answers with the request's words.

    async with ... uvicorn.Server(Config(imitation := create_app())) ...     # POST /v1beta/models/MODEL:generateContent
    imitation.received, imitation.last.body, imitation.last.headers

A scenario is chosen by the header `x-imitate`, by the model's name (`gemini-3-flash-preview--safety`) or `imitation.scenario`.
Methods: https://ai.google.dev/api/all-methods; errors: https://ai.google.dev/gemini-api/docs/troubleshooting; a request
without alt=sse streams a JSON array: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.imitations import asgi
from tests.imitations.asgi import Receive, Send
from tests.imitations.gemini_rules import Json, RefusedError, check, check_embedding
from tests.imitations.gemini_says import ANSWERING, Said, embedded, events, say, whole

KEY = "AIzaImitation0123456789"
_PATH = re.compile(r"\A/v1beta/models/(?P<model>[^/:]+):(?P<method>[A-Za-z]+)\Z")
_METHODS = frozenset({"generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"})
_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_LOCALIZED = "type.googleapis.com/google.rpc.LocalizedMessage"
_SERVICE = {"service": "generativelanguage.googleapis.com"}


def _exhausted() -> RefusedError:
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    violation = {"quotaMetric": metric, "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"}
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"},
    ]
    return RefusedError("You exceeded your current quota, please check your plan.", 429, "RESOURCE_EXHAUSTED", details)


FAILING: dict[str, RefusedError] = {
    "exhausted": _exhausted(),
    "unavailable": RefusedError("The model is overloaded. Please try again later.", 503, "UNAVAILABLE"),
    "internal": RefusedError("An internal error has occurred. Please retry.", 500, "INTERNAL"),
    "deadline": RefusedError("The request timed out. Please try again.", 504, "DEADLINE_EXCEEDED"),
    "invalid": RefusedError("Request contains an invalid argument."),
    "too_long": RefusedError("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    "suspended": RefusedError(f"Permission denied: Consumer 'api_key:{KEY}' has been suspended.", 403, "PERMISSION_DENIED"),
    "not_found": RefusedError("models/gemini-0 is not found for API version v1beta, or is not supported.", 404, "NOT_FOUND"),
    "location": RefusedError("User location is not supported for the API use.", 400, "FAILED_PRECONDITION"),
}
SCENARIOS = frozenset({*ANSWERING, *FAILING, "html_500"})


@dataclass
class Received:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    body: Any = None


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
        request = Received(scope["method"], scope["path"], scope["query_string"].decode(), headers, raw)
        self.requests.append(request)
        try:
            model, method, scenario = self._admit(request)
            if scenario == "html_500":
                await asgi.answer(
                    send,
                    500,
                    b"<html><title>Error 500 (Server Error)!!1</title></html>",
                    [(b"content-type", b"text/html; charset=UTF-8"), *_HEADERS],
                )
            elif method.endswith(("mbedContent", "mbedContents")):
                batch = method == "batchEmbedContents"
                said = embedded(check_embedding(request.body, model, batch=batch), batch=batch)
                await asgi.answer(send, 200, asgi.encoded(said), _JSON)
            else:
                said = say(check(request.body, model), model, scenario)
                if method == "generateContent":
                    await asgi.answer(send, 200, asgi.encoded(whole(said)), _JSON)
                else:
                    await self._stream(said, request, receive, send)
        except RefusedError as refusal:
            await asgi.answer(send, refusal.code, asgi.encoded({"error": refusal.error}), _JSON)

    def _admit(self, request: Received) -> tuple[str, str, str]:
        """Model, method and scenario. Raises RefusedError for a request the API would refuse before it looks at the body."""
        found = _PATH.match(request.path)
        if found is None or found["method"] not in _METHODS or request.method != "POST":
            raise RefusedError("Requested entity was not found.", 404, "NOT_FOUND")
        self._authenticate(request.headers)
        for name, values in parse_qs(request.query, keep_blank_values=True).items():
            if name != "alt" or values[-1] not in ("json", "sse"):
                raise RefusedError(f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.')
            if values[-1] == "sse" and found["method"] != "streamGenerateContent":
                raise RefusedError("alt=sse is for streaming methods only.")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RefusedError("Invalid content type: application/json is expected.")
        try:
            request.body = json.loads(request.raw)
        except (ValueError, RecursionError):
            raise RefusedError("Invalid JSON payload received. Unexpected token.") from None
        model, _, named = found["model"].partition("--")
        scenario = request.headers.get("x-imitate") or named or self.scenario
        if scenario not in SCENARIOS:
            raise RefusedError(f"this imitation has no scenario {scenario!r}", 500, "INTERNAL")
        if scenario in FAILING:
            raise FAILING[scenario]
        if not model.startswith(("gemini-", "gemma-", "text-embedding-")):
            text = f"models/{model} is not found for API version v1beta, or is not supported for {found['method']}."
            raise RefusedError(text, 404, "NOT_FOUND")
        return model, found["method"], scenario

    def _authenticate(self, headers: dict[str, str]) -> None:
        given = headers.get("x-goog-api-key")
        if not given:
            text = (
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form "
                "of API consumer identity to call this API."
            )
            raise RefusedError(text, 403, "PERMISSION_DENIED")
        if given != self.key:
            text = "API key not valid. Please pass a valid API key."
            info = {"@type": _INFO, "reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": _SERVICE}
            raise RefusedError(text, details=[info, {"@type": _LOCALIZED, "locale": "en-US", "message": text}])

    async def _stream(self, said: Said, request: Received, receive: Receive, send: Send) -> None:
        sse = "alt=sse" in request.query
        kind = b"text/event-stream" if sse else b"application/json; charset=UTF-8"
        parts = asgi.cut(stream_bytes(said, sse=sse), self.piece_bytes)
        if not await asgi.stream(parts, [(b"content-type", kind), *_HEADERS], receive, send, self.pace_s):
            self.left += 1


_HEADERS = ((b"vary", b"Origin, X-Origin, Referer"), (b"server", b"scaffolding on HTTPServer2"), (b"x-frame-options", b"SAMEORIGIN"))
_JSON = ((b"content-type", b"application/json; charset=UTF-8"), *_HEADERS)


def create_app(**settings: Any) -> Imitation:
    """An imitation of its own; the settings are its fields."""
    return Imitation(**settings)


def stream_bytes(said: Said, *, sse: bool = True) -> Iterator[bytes]:
    """The body of a stream: events that end in CRLF CRLF, or the array that there is without alt=sse."""
    if sse:
        for event in events(said):
            yield b"data: " + asgi.encoded(event) + b"\r\n\r\n"
        return
    before = b"["
    for event in events(said):
        yield before + json.dumps(event, indent=2).encode()
        before = b"\n,\r\n"
    yield b"]" if before != b"[" else b"[]"
