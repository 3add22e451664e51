"""OpenAI's own Responses and their streams for a client that speaks the same: the bytes go through.

Changed is only what carries the account: `usage.greenlane` and a comment in the last event.
Reference: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from adapters._base import Fault, FaultError, GarbledError, Usage, credible
from adapters._faults import in_band, readable, require_object
from adapters._halves import edited_through, mended
from adapters._json import View, edited, encode, with_account
from adapters._sse import EVENT_BYTES, Event, Events, block, closed, passed
from adapters._usage import without_usage
from adapters.responses.answer import error_body, failed, usage_of

CAPTURE_BYTES = 4 * 1024 * 1024
ID_CHARACTERS = 1024
"""Of a response's id that is remembered: hosts have some fifty, gateways that write their own into it some hundred."""
_LAST = ("response.completed", "response.incomplete")
_CALLS = ("function_call", "custom_tool_call")
SEARCH = "web_search_call"
_REQUESTS_OWN = frozenset(
    (
        *("invalid_prompt", "context_length_exceeded", "image_content_policy_violation"),
        *("invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode"),
        *("image_too_large", "image_too_small", "image_parse_error", "image_file_too_large", "unsupported_image_media_type"),
        *("empty_image_file", "failed_to_download_image", "image_file_not_found"),
    )
)
"""Codes of what is wrong with the request: another deployment would say the same."""
_OUR_SHARE = frozenset({"rate_limit_exceeded", "insufficient_quota"})


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    server_side_tool_usage_details: Any = None
    """xAI."""


class _Item(msgspec.Struct):
    type: str = ""
    status: Any = None
    action: msgspec.Raw = msgspec.Raw(b"")


class _Action(msgspec.Struct):
    type: str = ""


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: Any = None
    object: str = ""
    status: str | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None
    output: list[_Item] | None = None
    usage: _Usage | None = None
    tool_usage: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    item: _Item | None = None
    sequence_number: int | None = None
    error: Any = None
    response: msgspec.Raw = msgspec.Raw(b"")  # with `| None` msgspec would take nothing but null


_decode = msgspec.json.Decoder(_Event).decode
_decode_action = msgspec.json.Decoder(_Action).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_view = msgspec.json.Decoder(View).decode


class ResponsesStream:
    """A `Stream` over the Responses API's events."""

    finished = False
    """The last event holds the whole Response."""

    __slots__ = (
        "_broken",
        "_events",
        "_head",
        "_held",
        "_number",
        "_searches",
        "capture",
        "comments",
        "ended",
        "finish_reason",
        "response_id",
        "started",
        "text",
        "usage",
    )

    def __init__(self, capture: bool = False, event_bytes: int = EVENT_BYTES) -> None:
        self._events = Events(event_bytes)
        self._held: Event | None = None
        self._head: msgspec.Raw | None = None
        self._number = -1
        self._searches = 0
        self._broken: FaultError | GarbledError | None = None
        self.capture = capture
        self.comments = self._events.comments
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.response_id: str | None = None
        """Once it ended: only the host that made it can go on from it."""
        self.ended = False
        self.started = False
        self.text = bytearray()

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
        return b"".join([self._pass(event) for event in closed(self._events)])

    def close(self, account: bytes | None) -> bytes:
        held, self._held = self._held, None
        if held is None:
            return b""
        if account is None:
            return held.raw
        # a blank line before the event would make the comment a block of its own, at which some clients stumble
        return b": greenlane " + account + b"\n" + _accounted(held, account, self.usage).lstrip(b"\r\n")

    def fail(self, fault: Fault) -> bytes:
        head = {} if self._head is None else msgspec.json.decode(self._head)
        number, error = self._number + 1, error_body(fault)
        ended = {"type": "response.failed", "sequence_number": number, "response": failed(head, [], fault)}
        told = {"code": fault.code, "message": fault.message, "param": fault.param, "error": error}
        last = {"type": "error", "sequence_number": number + 1, **told}
        return block(encode(ended), b"response.failed") + block(encode(last), b"error")

    def _pass(self, event: Event) -> bytes:
        if self.ended:
            return b""
        if event.data is None:
            # official clients fail at a block that is no comment and has no data
            return event.raw if event.raw.startswith(b":") and not self._events.numbered else b""
        self._note(event.data)
        if self.ended:
            self._held = event
            return b""
        return event.raw

    def _note(self, data: bytes) -> None:
        """What an event says is noted. An event of a shape we do not know passes unnoted."""
        try:
            event = _decode(data)
        except msgspec.ValidationError:
            require_object(data)
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if data.strip() == b"[DONE]":  # not of this API, but hosts that imitate it send it
                return
            if (whole := mended(data)) is not None:
                self._note(whole)
                return
            raise GarbledError("an event of the stream is not JSON") from None
        if not data.isascii():
            readable(data)
        if event.sequence_number is not None:
            self._number = event.sequence_number
        kind = event.type
        if kind.endswith(".delta"):
            self.started = True
            if self.capture and isinstance(event.delta, str) and len(self.text) < CAPTURE_BYTES:
                self.text += event.delta.encode("utf-8", "replace")
        elif kind == "response.output_item.done":
            self.started = True
            if event.item is not None and event.item.type == SEARCH and _charged(event.item):
                # the Response that counts them may never come
                self._searches += 1
                self.usage = Usage(searches=self._searches)
        elif kind == "response.created":
            self._head = event.response.copy()
        elif kind in _LAST:
            self._end(event.response)
        elif kind in ("error", "response.failed"):
            # told anew, in its place
            self._number = self._number if event.sequence_number is None else event.sequence_number - 1
            self._count(event.response)
            raise FaultError(_fault(data, event.response))
        elif not kind and event.error:
            # hosts that imitate the API put errors of chat completions into the stream
            raise FaultError(_fault(data, event.response))
        elif not kind:
            require_object(data)

    def _end(self, raw: msgspec.Raw) -> None:
        self.ended = self.started = True
        self._count(raw)

    def _count(self, raw: msgspec.Raw) -> None:
        response = _response(raw)
        if response is not None:
            self.usage, self.finish_reason = _usage(response) or self.usage, _reason(response)
            self.response_id = response.id if isinstance(response.id, str) and len(response.id) <= ID_CHARACTERS else None


def responses_reply(
    body: bytes, account: bytes | None, otherwise: Usage | None = None
) -> tuple[bytes, Usage | None, str | None, Fault | None]:
    """A whole answer with `usage.greenlane` put in, its usage, why it ended in hub words, and the error by which it failed.

    `otherwise`: what was counted where one that ended has no usage. Raises FaultError where a 200 holds only an error, or a Response
    that failed with nothing to show, as its stream does; GarbledError where it holds no Response.
    """
    response = _response(body)
    if response is None:
        raise GarbledError("the answer is not a response object")
    if response.object != "response":
        if response.error:
            raise FaultError(in_band(response.error))
        raise GarbledError("the answer is not a response object")
    if response.error and response.status == "failed" and not response.output and response.usage is None:
        raise FaultError(_with_status(in_band(response.error)))
    if not body.isascii():
        readable(body)
    reason = _reason(response)
    told = body if account is None else _with_account(body, account, None if reason is None else otherwise)
    return told, _usage(response), reason, _failure(response)


def responses_text(body: bytes) -> bytes:
    """What was generated in a whole answer, to be counted where its host does not: as much as the deltas of a stream hold."""
    try:
        found = msgspec.json.decode(mended(body) or body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    said: list[Any] = []
    for item in found["output"] if isinstance(found.get("output"), list) else ():
        parts = [item.get(name) for name in ("content", "summary")] if isinstance(item, dict) else []
        listed = [part for each in parts if isinstance(each, list) for part in each if isinstance(part, dict)]
        said += [part.get(name) for part in listed for name in ("text", "refusal")]
        said += [item.get(name) for name in ("arguments", "input")] if isinstance(item, dict) else []
    return "".join(text for text in said if isinstance(text, str)).encode("utf-8", "replace")


def _response(raw: bytes | msgspec.Raw) -> _Response | None:
    try:
        return _decode_response(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        plain = mended(bytes(raw)) or without_usage(raw)
        return None if plain is None else _response(plain)


def _reason(response: _Response) -> str | None:
    """The hub's finish_reason; None where the model did not come to an end."""
    if response.status == "completed":
        return "tool_calls" if any(item.type in _CALLS for item in response.output or ()) else "stop"
    if response.status == "incomplete":
        details = response.incomplete_details
        return "content_filter" if details is not None and details.reason == "content_filter" else "length"
    return None


def _failure(response: _Response) -> Fault | None:
    """The error of a Response that failed, also where it tells none."""
    failed_so = response.status == "failed" or response.error
    return _with_status(in_band(response.error)) if failed_so else None


def _with_account(body: bytes, account: bytes, otherwise: Usage | None) -> bytes:
    told = with_account(body, account, None)
    if told is not body or otherwise is None:
        return told
    usage = usage_of(otherwise, None)
    return told if usage is None else with_account(body, account, encode(usage))


def _usage(response: _Response) -> Usage | None:
    found, searches = response.usage, _searches(response)
    if found is None or (found.input_tokens is None and found.output_tokens is None):
        return Usage(searches=searches) if searches and response.status != "failed" else None
    read, written = found.input_tokens_details, found.output_tokens_details
    usage = Usage(
        input_tokens=found.input_tokens,
        cached_tokens=None if read is None else read.cached_tokens,
        cache_write_tokens=None if read is None else read.cache_write_tokens,
        output_tokens=found.output_tokens,
        reasoning_tokens=None if written is None else written.reasoning_tokens,
        searches=searches,
    )
    return credible(usage)


def _searches(response: _Response) -> int | None:
    """Searches that are charged for, as their vendor counts them, else by the items. None: nobody speaks of any.

    OpenAI and Bedrock tell it in `tool_usage` (BerriAI/litellm#39610), xAI in its usage (BerriAI/litellm#30817).
    """
    found = None if response.tool_usage is None else _member(_member(response.tool_usage, "web_search"), "num_requests")
    if found is None and response.usage is not None and response.usage.server_side_tool_usage_details is not None:
        found = _member(response.usage.server_side_tool_usage_details, "web_search_calls")
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    return len([item for item in response.output or () if item.type == SEARCH and _charged(item)]) or None


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else None


def _charged(item: _Item) -> bool:
    """Whether a call of the tool is a search: opening a page and looking through it cost nothing (.../guides/tools-web-search)."""
    try:
        action = _decode_action(item.action) if item.action else _Action()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        action = _Action()
    return action.type in ("", "search") and item.status != "failed"


def _fault(data: bytes, raw: msgspec.Raw) -> Fault:
    """The error of an `error` event (flat or nested) or of a failed Response."""
    response = _response(raw)
    found: Any = response.error if response is not None else None
    if found is None:
        event: dict[str, Any] = msgspec.json.decode(data)
        found = event["error"] if isinstance(event.get("error"), dict) else {**event, "type": "upstream_error"}
    return _with_status(in_band(found))


def _with_status(fault: Fault) -> Fault:
    if fault.status is not None:
        return fault
    status = 400 if fault.code in _REQUESTS_OWN else 429 if fault.code in _OUR_SHARE else 500
    return msgspec.structs.replace(fault, status=status)


def _accounted(event: Event, account: bytes, otherwise: Usage | None) -> bytes:
    """The last event's block with the account in the usage of its Response, or in one of what was counted where it has none."""
    data = event.data or b""
    told = edited_through(data, partial(_told_in, account=account, otherwise=otherwise)) or _told_in(data, account, otherwise)
    if told is data:
        return event.raw
    return event.raw.replace(data, told, 1) if data in event.raw else block(told, event.name)


def _told_in(data: bytes, account: bytes, otherwise: Usage | None) -> bytes:
    members = _view(data)
    response = members.get("response")
    if response is None or not bytes(response).startswith(b"{"):
        return data
    old = bytes(response)
    new = _with_account(old, account, otherwise)
    # a Response's bytes can stand in its event only once more if a member repeats them: then the members are written anew
    return data.replace(old, new) if data.count(old) == 1 else edited(data, members, {"response": new})
