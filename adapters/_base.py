"""The seam between the proxy and the wire dialects: what an adapter and a door must offer.

An *adapter* is our code for the dialect an upstream speaks, a *door* for the dialect a client speaks. Both translate to and
from one hub form, the OpenAI chat completion as plain dicts, so that n dialects need n translators and not n². Where client
and upstream speak the same dialect nothing is translated: see `_passthrough.py`. Everything here is pure: no clock, no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Raw

Json = dict[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
Support = Literal["translated", "dropped", "refused"]
"""What a dialect does with one member of the hub request: expresses it, may leave it out (inert hint), or cannot express it."""


class AdapterError(Exception):
    """The request cannot be expressed in the upstream's dialect, or is malformed. Whose fault: the client's.

    `param` names the member (`tools[0].function.parameters`), `message` says what was expected and never quotes a prompt. `status` is
    another than 400 where clients tell by it what to do next.
    """

    def __init__(self, message: str, param: str | None = None, *, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


class GarbledError(Exception):
    """The upstream sent something that its dialect does not allow. Whose fault: the upstream's."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens the upstream reported. None where it did not say; never 0 for unknown."""

    input_tokens: int | None = None
    """All prompt tokens, those read from and written to a cache included."""
    cached_tokens: int | None = None
    """Prompt tokens read from the upstream's prompt cache; part of input_tokens."""
    cache_write_tokens: int | None = None
    """Prompt tokens written to the upstream's prompt cache; part of input_tokens."""
    output_tokens: int | None = None
    """All generated tokens, reasoning included."""
    reasoning_tokens: int | None = None
    """Generated tokens that were reasoning; part of output_tokens."""
    input_audio_tokens: int | None = None
    """Prompt tokens of sound; part of input_tokens."""
    output_audio_tokens: int | None = None
    """Generated tokens of sound; part of output_tokens."""
    searches: int | None = None
    """Searches of the web that the vendor made for the answer and charges for."""


MOST_TOKENS = 1_000_000_000
"""No answer has more; what an upstream counts beyond that is no count."""
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
"""Tokens on the wire, where an impossible number may fail the decoding of the usage it stands in."""


def credible(usage: Usage) -> Usage | None:
    """The usage, or None where one of its counts is impossible: then nobody knows, and it is counted instead."""
    for count in (
        *(usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens),
        *(usage.output_tokens, usage.reasoning_tokens, usage.searches),
    ):
        if count is not None and not 0 <= count <= MOST_TOKENS:
            return None
    return usage


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An error as an upstream told it, in OpenAI's terms. Its texts are the upstream's own and may quote a key."""

    message: str
    type: str = "upstream_error"
    code: str | None = None
    param: str | None = None
    status: int | None = None
    """The HTTP status the fault stands for, where the dialect tells one (in-band errors of streams)."""
    retry_after_s: float | None = None
    """Seconds until a retry may do, where the body tells (Google's RetryInfo) what others put in a Retry-After header."""

    def __repr__(self) -> str:
        return f"<Fault {self.status}>"


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one host that speaks OpenAI's dialect does otherwise. Every member is a setting of a deployment (`quirks:`)."""

    stream_options: bool = True
    """False: the host refuses `stream_options`; usage is then read if it comes and counted if it does not."""
    max_completion_tokens: bool = True
    """False: send `max_tokens` instead."""
    developer_role: bool = True
    """False: send `system` instead of `developer`."""
    reasoning_content: bool = True
    """False: the host refuses thinking (`reasoning_content`, and what other vendors add) in a history; it is left out."""
    reports_usage: bool = True
    """False: the host never reports usage in streams; it is counted."""
    call_id_characters: int | None = None
    """Most characters the host takes in the id of a tool call; a longer one (Gemini's carry a signature) is sent as a digest of it."""
    nine_character_call_ids: bool = False
    """True: the host takes ids of tool calls of exactly nine letters and digits; any other is sent as a digest of it."""
    refuses: tuple[str, ...] = ()
    """Top-level members the host answers with an error: requests that carry them are not sent there."""
    drops: tuple[str, ...] = ()
    """Top-level members that are left out for this host, and listed as ignored; also those that its dialect or its model refuses."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter must know of a deployment to write a request for it."""

    upstream_model: str
    base_path: str = ""
    """Path of the base_url without trailing slash (`/v1`), to which Outbound.path is appended."""
    api_version: str | None = None
    max_output_tokens: int | None = None
    quirks: Quirks = Quirks()
    event_bytes: int = 1024 * 1024
    """Most of one event of a stream."""
    image_event_bytes: int = 8 * 1024 * 1024
    """The same where events may hold images."""
    cache_salt: str | None = None
    """vLLM's: what keeps the prefixes of one team's prompts apart from all others. A secret of that team's."""

    def __repr__(self) -> str:
        return f"<Target {self.upstream_model}>"


class Outbound(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request ready for the wire, less host and credentials."""

    path: str
    """Appended to Target.base_path; begins with a slash; may carry a query."""
    body: bytes
    headers: Headers = ()
    """The dialect's own, lower-case names (`anthropic-version`); content-type is the caller's."""
    ignored: tuple[str, ...] = ()
    """Members left out because they are inert hints here."""

    def __repr__(self) -> str:
        return f"<Outbound {self.path}, {len(self.body)} bytes>"


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer in hub form."""

    body: Json
    """A `chat.completion` object; `model` as the upstream names it, `usage` in OpenAI's form where reported."""
    usage: Usage | None
    finish_reason: str | None


class Reader(Protocol):
    """Turns an upstream's event stream into hub chunks. One instance a stream; fed from one task, in order."""

    @property
    def usage(self) -> Usage | None: ...
    @property
    def finish_reason(self) -> str | None:
        """Last finish_reason seen."""
        ...

    @property
    def finished(self) -> bool:
        """Nothing but the end can be missing: each choice has told why it ended. However the stream breaks now, it is complete."""
        ...

    @property
    def ended(self) -> bool:
        """Nothing more will come: the dialect's own end marker was seen (`[DONE]`, `message_stop`; bytes after it are ignored), or an
        error that the next call will raise.
        """
        ...

    @property
    def comments(self) -> list[bytes]:
        """SSE comment lines as they came, without line end (`: energy {…}`); bounded to 64 KiB in all."""
        ...

    def feed(self, data: bytes) -> list[Json]:
        """Chunks completed by these bytes, cut anywhere. Raises FaultError for an in-band error, GarbledError for rubbish.

        Where content came before it in the same bytes, that is returned first, and `ended` says that there is an error to be raised.
        """
        ...

    def finish(self) -> list[Json]:
        """Chunks still held when the body ended cleanly."""
        ...


class FaultError(Exception):
    """An in-band error of a stream. Its own text is not the upstream's, which may quote a key."""

    def __init__(self, fault: Fault) -> None:
        super().__init__("the upstream reported an error")
        self.fault = fault


class Writer(Protocol):
    """Turns hub chunks into the client's event stream. One instance a stream."""

    def write(self, chunk: Json) -> bytes:
        """The events due for this chunk, complete blocks only; b"" if none is due yet."""
        ...

    def close(self, usage: Usage | None, account: bytes | None) -> bytes:
        """The end of a good stream: what was held, usage where due, the account, the end marker."""
        ...

    def fail(self, fault: Fault) -> bytes:
        """The end of a broken stream: one well-formed error event and no end marker."""
        ...


class Stream(Protocol):
    """What the relay drives: upstream bytes in, client bytes out. A Passthrough or a Translated one."""

    usage: Usage | None
    """As reported; whoever counts instead sets it before `close`."""

    @property
    def finish_reason(self) -> str | None: ...
    @property
    def finished(self) -> bool:
        """As `Reader.finished`."""
        ...

    @property
    def ended(self) -> bool: ...
    @property
    def started(self) -> bool:
        """Content (not only a comment) has come; before that, nothing need have been sent."""
        ...

    @property
    def text(self) -> bytearray:
        """Generated text in UTF-8 so far, where `capture` was asked for; else empty. Bounded to 4 MiB."""
        ...

    @property
    def comments(self) -> list[bytes]: ...
    def feed(self, data: bytes) -> bytes: ...
    def alike(self, data: bytes, start: int, end: int, /) -> bool:
        """Whether `data[start:end]` is one event that `feed` would give back as it is, learning nothing. It is not fed then."""
        ...

    def finish(self) -> bytes: ...
    def close(self, account: bytes | None) -> bytes:
        """`account` is the JSON object of `usage.greenlane`."""
        ...

    def fail(self, fault: Fault) -> bytes: ...


class Adapter(Protocol):
    """Outbound: hub to an upstream's dialect and back."""

    @property
    def name(self) -> str: ...
    @property
    def members(self) -> Mapping[str, Support]:
        """Every top-level member of a hub request this dialect knows; one that is absent is refused, unless `open_members`."""
        ...

    @property
    def open_members(self) -> bool:
        """True: unknown members pass (OpenAI's dialect)."""
        ...

    @property
    def abilities(self) -> frozenset[str]:
        """Of: tools, image, audio, document, json_schema, json_object, logprobs, n, reasoning, embeddings."""
        ...

    @property
    def apis(self) -> frozenset[str]:
        """Operations this dialect can serve: chat, responses, messages, completions, embeddings, ..."""
        ...

    def authorize(self, key: str) -> Headers:
        """The header(s) that carry our key."""
        ...

    def outbound(self, chat: Json, target: Target) -> Outbound:
        """The upstream request for a hub request. Raises AdapterError. Does not change `chat`."""
        ...

    def completion(self, body: bytes) -> Completion:
        """The hub form of a whole (non-streamed) answer. Raises GarbledError; FaultError for an error in a 200."""
        ...

    def reader(self, target: Target) -> Reader: ...

    def fault(self, status: int, body: bytes) -> Fault:
        """What an error answer says. Never raises: an unreadable body gives a plain message with the status."""
        ...


@runtime_checkable
class Transparent(Protocol):
    """An adapter that can send a client's own bytes, where client and upstream speak the same dialect."""

    def path(self, api: str, target: Target) -> str: ...
    def identity(self, api: str, body: bytes, members: dict[str, Raw], target: Target) -> Outbound:
        """The client's body with only what must be changed. `members` is `adapters._json.view` of it."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """An adapter whose dialect has embeddings under another form than OpenAI's."""

    def embeddings_outbound(self, body: Json, target: Target) -> Outbound:
        """The upstream request for OpenAI's. Raises AdapterError."""
        ...

    def embeddings_reply(self, body: bytes, request: Json) -> tuple[Json, Usage | None]:
        """OpenAI's list for the upstream's answer, in the encoding the request asked for. Raises GarbledError."""
        ...


@runtime_checkable
class Worded(Protocol):
    """An adapter some of whose models have no JSON mode: they are asked in words, and their answer is cut to its object."""

    def json_by_words(self, chat: Json, target: Target) -> bool:
        """Whether this hub request asks for JSON so. `adapters._json_mode` reads the answer then."""
        ...


@runtime_checkable
class Parallel(Protocol):
    """An adapter whose models cannot be kept from calling several tools at once."""

    def one_call(self, chat: Json) -> bool:
        """Whether this hub request allows one call only. `adapters._one_call` reads the answer then."""
        ...


@runtime_checkable
class Renames(Protocol):
    """An adapter whose vendor does not take every name of a function: such a one is sent as another."""

    def own_names(self, chat: Json, target: Target) -> Mapping[str, str]:
        """Name sent → the client's own, for the functions of this hub request of which that holds."""
        ...


@runtime_checkable
class Limited(Protocol):
    """An adapter whose vendor tells its rate limits in headers of its own."""

    def limits(self, headers: list[tuple[bytes, bytes]], until_s: Callable[[str], float]) -> Headers:
        """Those limits as OpenAI's `x-ratelimit-*`, for clients that know no others.

        `until_s`: seconds until an RFC 3339 instant; raises ValueError for what is none.
        """
        ...


class Door(Protocol):
    """Inbound: a client's dialect to the hub and back."""

    @property
    def name(self) -> str:
        """`chat`, `responses` or `messages`: the operation it serves."""
        ...

    def hub(self, body: Json) -> Json:
        """The hub request of a client's request. Raises AdapterError naming the member.

        Hints that have no place in it are named under `greenlane.ignored`.
        """
        ...

    def place(self, param: str, request: Json) -> str:
        """Where the client wrote what `param` names in the hub request made of `request`; `param` itself where it stands there too."""
        ...

    def reply(self, completion: Json, usage: Usage | None, account: bytes | None, request: Json) -> bytes:
        """The client's whole answer. `request` is the client's own request as decoded (echoed members)."""
        ...

    def writer(self, request: Json) -> Writer: ...

    def error(self, fault: Fault, status: int, request_id: str | None = None) -> bytes:
        """The error body in the client's dialect, which may have a place for our id of the request."""
        ...
