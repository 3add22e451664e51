"""Anthropic's own answers and streams for a client that speaks the same: the bytes go through.

Changed is only what carries the account: `usage.greenlane` in the last message_delta, and a comment beside message_stop.
Reference: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import Fault, FaultError, GarbledError, Usage
from adapters._faults import readable, require_object
from adapters._halves import mended
from adapters._json import encode, with_account
from adapters._sse import EVENT_BYTES, Event, Events, block, closed, passed
from adapters._usage import ServerTools, without_usage
from adapters.anthropic.answer import REASONS, Tokens, usage_of
from adapters.anthropic.door_answer import error_of

CAPTURE_BYTES = 4 * 1024 * 1024
SEARCHED = "web_search_tool_result"
"""With a list of what was found it is charged for, with an error it is not (.../agents-and-tools/tool-use/web-search-tool)."""
_STOP = b'{"type":"message_stop"}'
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Delta(msgspec.Struct):
    stop_reason: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Head(msgspec.Struct):
    type: str = ""
    usage: Tokens | None = None
    content: msgspec.Raw = msgspec.Raw(b"")


class _Event(msgspec.Struct):
    type: str = ""
    message: _Head | None = None
    content_block: _Head | None = None
    delta: _Delta | None = None
    usage: Tokens | None = None
    error: Any = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


class _Message(msgspec.Struct):
    type: str = ""
    content: msgspec.Raw = msgspec.Raw(b"")
    stop_reason: str | None = None
    usage: Tokens | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message).decode


class MessagesStream:
    """A `Stream` over the Messages API's events."""

    __slots__ = (
        "_broken",
        "_events",
        "_held",
        "_tokens",
        "capture",
        "comments",
        "ended",
        "finish_reason",
        "started",
        "text",
        "usage",
    )

    def __init__(self, capture: bool = False, event_bytes: int = EVENT_BYTES) -> None:
        self._events = Events(event_bytes)
        self._held: list[Event] = []
        self._tokens = Tokens()
        self._broken: FaultError | GarbledError | None = None
        self.capture = capture
        self.comments = self._events.comments
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.ended = False
        self.started = False
        self.text = bytearray()

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    def feed(self, data: bytes) -> bytes:
        """What came before garbage in the same bytes goes out first, once there are words; the error is raised next time."""
        self._raise_broken()
        out, error = passed(self._events, data, self._pass)
        if error is not None:
            if not (self.started and out):
                raise error
            self._broken, self.ended = error, True
        return out

    def _raise_broken(self) -> None:
        if self._broken is not None:
            self.ended = False
            raise self._broken

    def alike(self, data: bytes, start: int, end: int, /) -> bool:  # noqa: ARG002  # each event is read
        return False

    def finish(self) -> bytes:
        self._raise_broken()
        try:
            out = b"".join([self._pass(event) for event in closed(self._events)])
        except GarbledError:
            if not self.finished:
                raise
            out = b""  # cut short, behind all that there was to say
        if self.finish_reason is not None and not self.ended:
            # a clean end of the body after the reason: the event that other clients wait for is ours to add
            self.ended = True
            self._held.append(Event(b"message_stop", _STOP, block(_STOP, b"message_stop")))
        return out

    def close(self, account: bytes | None) -> bytes:
        held, self._held = self._held, []
        if account is None:
            return b"".join([event.raw for event in held])
        comment = b": greenlane " + account + b"\n"
        out = [_accounted(event, account, self.usage) if number == 0 else event.raw for number, event in enumerate(held)]
        if out:
            # a blank line before the event would make the comment a block of its own, at which some clients stumble
            out[-1] = comment + out[-1].lstrip(b"\r\n")
        return b"".join(out)

    def fail(self, fault: Fault) -> bytes:
        return block(error_of(fault, fault.status or 500), b"error")

    def _pass(self, event: Event) -> bytes:
        if self.ended:
            return b""
        if event.data is None:
            # official clients fail at a block that is no comment and has no data
            return event.raw if event.raw.startswith(b":") else b""
        kind = self._note(event.data)
        if kind == "message_delta":
            before, self._held = self._held, [event]
            return b"".join([held.raw for held in before])
        if kind == "message_stop":
            self._held.append(event)
            return b""
        if self._held and not kind.startswith("content_block"):
            self._held.append(event)
            return b""
        before, self._held = self._held, []
        return b"".join([held.raw for held in before]) + event.raw if before else event.raw

    def _note(self, data: bytes) -> str:
        """What an event says is noted; its type. An event of a shape we do not know passes unnoted."""
        try:
            event = _decode(data)
        except msgspec.ValidationError:
            plain = without_usage(data)
            if plain is not None:
                return self._note(plain)
            require_object(data)
            return ""
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if (whole := mended(data)) is not None:
                return self._note(whole)
            raise GarbledError("an event of the stream is not JSON") from None
        if not data.isascii():
            readable(data)
        match event.type:
            case "message_start":
                if event.message is not None and event.message.usage is not None:
                    # output_tokens is provisional here
                    event.message.usage.output_tokens = None
                    self._count(event.message.usage)
            case "content_block_start":
                # text and thinking blocks start empty
                block = event.content_block
                self.started |= block is None or block.type not in ("text", "thinking")
                if block is not None and block.type == SEARCHED and bytes(block.content).startswith(b"["):
                    self._search()
            case "content_block_delta":
                self.started = True
                if self.capture and event.delta is not None:
                    self._keep(event.delta)
            case "message_delta":
                if event.delta is not None and event.delta.stop_reason is not None:
                    self.finish_reason = REASONS.get(event.delta.stop_reason, "stop")
                if event.usage is not None:
                    self._count(event.usage)
            case "message_stop":
                self.ended = self.started = True
            case "error":
                raise FaultError(_fault(event.error))
            case "" if event.error:
                # gateways put other dialects' errors into the stream
                raise FaultError(_fault(event.error))
            case "":
                require_object(data)
        return event.type

    def _count(self, found: Tokens) -> None:
        """Counts are cumulative: a later one replaces an earlier, one that is absent does not."""
        for name in Tokens.__struct_fields__:
            value = getattr(found, name)
            if value is not None:
                setattr(self._tokens, name, value)
        self.usage = usage_of(self._tokens)

    def _search(self) -> None:
        """A search that found something, before the vendor counts it: the stream may break off until then."""
        before = self._tokens.server_tool_use
        self._count(Tokens(server_tool_use=ServerTools(((before and before.web_search_requests) or 0) + 1)))

    def _keep(self, delta: _Delta) -> None:
        text = delta.text or delta.thinking or delta.partial_json
        if text and len(self.text) < CAPTURE_BYTES:
            self.text += text.encode("utf-8", "replace")


def messages_reply(body: bytes, account: bytes | None, otherwise: bytes | None = None) -> tuple[bytes, Usage | None, str | None]:
    """A whole answer with `usage.greenlane` put in, its usage, and why it ended in hub words.

    `otherwise`: the usage object of an answer that has none. Raises FaultError where a 200 holds an error object, GarbledError
    where it holds no message.
    """
    try:
        answer = _decode_message(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        plain = mended(body) or without_usage(body)
        if plain is None:
            raise GarbledError("the answer is not a message object") from None
        _, usage, reason = messages_reply(plain, None)
        return (body if account is None else with_account(body, account, otherwise)), usage, reason
    if answer.type == "error":
        raise FaultError(_fault(answer.error))
    if answer.type != "message" or not bytes(answer.content).startswith(b"["):
        raise GarbledError("the answer is not a message object")
    if not body.isascii():
        readable(body)
    usage = None if answer.usage is None else usage_of(answer.usage)
    reason = None if answer.stop_reason is None else REASONS.get(answer.stop_reason, "stop")
    return (body if account is None else with_account(body, account, otherwise)), usage, reason


def messages_text(body: bytes) -> bytes:
    """What was generated in a whole answer, to be counted where its host does not."""
    try:
        found = msgspec.json.decode(mended(body) or body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    said: list[Any] = []
    for part in found["content"] if isinstance(found.get("content"), list) else ():
        if isinstance(part, dict):
            said += [part.get("text"), part.get("thinking"), encode(part["input"]).decode() if "input" in part else None]
    return "".join(text for text in said if isinstance(text, str)).encode("utf-8", "replace")


def plain_counts(usage: Usage) -> bytes | None:
    """Anthropic's usage object for an answer that came without one."""
    if usage.input_tokens is None:
        return None
    return encode({"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens or 0})


def _fault(error: Any) -> Fault:
    found = error if isinstance(error, dict) else {}
    kind, message = found.get("type"), found.get("message")
    kind = kind if isinstance(kind, str) else "api_error"
    text = message[:2000] if isinstance(message, str) and message else "The upstream reported an error."
    return Fault(message=text, type=kind, status=_STATUS.get(kind, 500))


def _accounted(event: Event, account: bytes, otherwise: Usage | None) -> bytes:
    """A message_delta's block with the account in its usage, or in one of what was counted where it has none."""
    data = event.data or b""
    if b'"message_delta"' not in data:
        return event.raw
    told = with_account(data, account, None if otherwise is None else plain_counts(otherwise))
    return event.raw.replace(data, told, 1) if data in event.raw else block(told, event.name)
