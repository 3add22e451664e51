"""Anthropic's whole answers, usage and errors in the hub's terms.

References: https://platform.claude.com/docs/en/api/messages/create, .../build-with-claude/handling-stop-reasons, .../api/errors
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters._base import Completion, Fault, FaultError, GarbledError, Json, Usage, credible
from adapters._halves import decoded, mended
from adapters._json import encode
from adapters._order import placed
from adapters._usage import ServerTools, hub_usage, without_usage
from adapters._web_search import SEARCHES, cited, searched

MESSAGE_CHARACTERS = 2000
REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
TIERS = {"standard": "default", "priority": "priority"}


class _Meaning(msgspec.Struct, frozen=True):
    status: int
    type: str
    code: str | None = None


ERRORS: dict[str, _Meaning] = {
    "invalid_request_error": _Meaning(400, "invalid_request_error"),
    "authentication_error": _Meaning(401, "authentication_error", "invalid_api_key"),
    "billing_error": _Meaning(402, "insufficient_quota", "insufficient_quota"),
    "permission_error": _Meaning(403, "permission_error", "forbidden"),
    "not_found_error": _Meaning(404, "invalid_request_error", "model_not_found"),
    "conflict_error": _Meaning(409, "invalid_request_error", "conflict"),
    "request_too_large": _Meaning(413, "invalid_request_error", "too_large"),
    "rate_limit_error": _Meaning(429, "rate_limit_error", "rate_limit_exceeded"),
    "api_error": _Meaning(500, "server_error"),
    # 529 is the vendor's own number; 503 is what clients know to try again
    "overloaded_error": _Meaning(503, "server_error", "overloaded"),
    "timeout_error": _Meaning(504, "server_error", "timeout"),
}
# The vendor gives this one no code of its own, and clients cut their history when they see OpenAI's.
_TOO_LONG = re.compile(r"prompt is too long|exceeds? (?:the )?(?:model's )?context (?:window|limit)", re.IGNORECASE)
_KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{6,}|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}|(?<=x-api-key: )\S+")


class _Details(msgspec.Struct):
    thinking_tokens: int | None = None


class Tokens(msgspec.Struct):
    """Usage as the wire has it. In a stream the counts are cumulative: a later one replaces an earlier."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _Details | None = None
    server_tool_use: ServerTools | None = None


class Counts(Tokens):
    """What is translated of it as well."""

    service_tier: str | None = None

    def after(self, later: Counts) -> Counts:
        """These counts with those a later event brought."""
        found = {name: getattr(later, name) for name in self.__struct_fields__ if getattr(later, name) is not None}
        return msgspec.structs.replace(self, **found)


class StopDetails(msgspec.Struct):
    explanation: str | None = None


class _Message(msgspec.Struct):
    type: str = ""
    id: str = ""
    model: str = ""
    content: list[Json] | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: Counts | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Message).decode


def completion_of(body: bytes) -> Completion:
    """The hub form of a message. `created` is 0: the vendor does not tell, and there is no clock here."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        plain = mended(body) or without_usage(body)
        if plain is not None:
            return completion_of(plain)
        raise GarbledError("the answer is not a message") from None
    if answer.type == "error":
        raise FaultError(fault_of(answer.error))
    if answer.type != "message" or answer.content is None:
        raise GarbledError("the answer is not a message")
    message = _message_of(answer)
    # a message that is whole has ended, whether or not its host says how
    searched = any(block.get("type") == "server_tool_use" for block in answer.content)
    reason = reason_of(answer.stop_reason or "end_turn", called=bool(message.get("tool_calls")), searched=searched)
    whole: Json = {
        "id": completion_id(answer.id),
        "object": "chat.completion",
        "created": 0,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
    }
    usage = None if answer.usage is None else usage_of(answer.usage)
    if searched and usage is not None and usage.searches is None:
        found = [each for each in message.get(SEARCHES, ()) if not each["failed"]]
        usage = msgspec.structs.replace(usage, searches=len(found) or None)
    told = hub_usage(usage)
    if told is not None:
        whole["usage"] = told
    if answer.usage is not None and answer.usage.service_tier in TIERS:
        whole["service_tier"] = TIERS[answer.usage.service_tier]
    return Completion(body=whole, usage=usage, finish_reason=reason)


def completion_id(message_id: str) -> str:
    """The message's id as OpenAI's clients know ids of completions; the same message always gets the same."""
    return f"chatcmpl-{message_id.removeprefix('msg_')}"


def reason_of(stop_reason: str | None, *, called: bool, searched: bool = False) -> str | None:
    """OpenAI's finish_reason; None for none. A reason the vendor adds later is an end all the same, and told as `stop`."""
    if stop_reason is None:
        return None
    if searched and stop_reason == "pause_turn":
        # the vendor paused a turn of many searches before its answer was whole, and no client of another dialect can let it go on
        return "length"
    reason = REASONS.get(stop_reason, "stop")
    # some models end in tool_use and call nothing (anthropics/claude-code#63581)
    if reason == "tool_calls" and not called:
        return "stop"
    # hosts that speak this dialect end in end_turn and have called: clients look at the reason before they look for calls
    return "tool_calls" if called and reason == "stop" and stop_reason != "pause_turn" else reason


def usage_of(counts: Tokens) -> Usage | None:
    """Our Usage: `input_tokens` on the wire leave out what was read from or written to the cache."""
    if counts.input_tokens is None and counts.output_tokens is None:
        return None
    parts = (counts.input_tokens, counts.cache_read_input_tokens, counts.cache_creation_input_tokens)
    usage = Usage(
        input_tokens=None if counts.input_tokens is None else sum(part or 0 for part in parts),
        cached_tokens=counts.cache_read_input_tokens,
        cache_write_tokens=counts.cache_creation_input_tokens,
        output_tokens=counts.output_tokens,
        reasoning_tokens=None if counts.output_tokens_details is None else counts.output_tokens_details.thinking_tokens,
        searches=None if counts.server_tool_use is None else counts.server_tool_use.web_search_requests,
    )
    return credible(usage)


def said(block: Json, member: str) -> str:
    """A text of a block; empty where it has none. Raises GarbledError for anything else."""
    found = block.get(member)
    if found is not None and not isinstance(found, str):
        raise GarbledError(f"a content block's {member} is no text")
    return found or ""


def arguments_of(given: Any) -> str:
    """A tool's input as the string OpenAI's clients expect."""
    return encode(given).decode() if given else "{}"


def fault_of(error: Any) -> Fault:
    """An error object (`{"type", "message", "details"}`), in a stream or in a 200. `status` is what it stands for."""
    found = error if isinstance(error, dict) else {}
    kind = found.get("type")
    meaning = ERRORS.get(kind if isinstance(kind, str) else "", ERRORS["api_error"])
    text = found.get("message")
    message = scrubbed(text) if isinstance(text, str) and text.strip() else "The upstream reported an error."
    details = found.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    if meaning.status == 400 and _TOO_LONG.search(message):
        code = "context_length_exceeded"
    return Fault(
        message=message,
        type=meaning.type,
        code=code if isinstance(code, str) else meaning.code,
        status=meaning.status,
    )


def fault_of_body(status: int, body: bytes) -> Fault:
    """The error of an error answer. A body that is not the vendor's is told by its status alone: it may hold anything."""
    try:
        found = decoded(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    error = found.get("error") if isinstance(found, dict) else None
    if isinstance(error, dict) and isinstance(error.get("type"), str):
        fault = fault_of(error)
        meaning = ERRORS.get(error["type"])
        if error["type"] == "invalid_request_error" and 400 <= status < 500:
            return msgspec.structs.replace(fault, type=_type_of(status), status=status)  # hosts say it with 413, 422 and more
        # a type this table does not know, that says nothing, or whose side (client's, server's) is not the status's, is told with the
        # answer's own status
        if meaning is None or error["type"] == "api_error" or (meaning.status < 500) != (status < 500):
            return msgspec.structs.replace(fault, type=_type_of(status), code=fault.code if meaning is None else None, status=status)
        return fault
    return Fault(message=f"The upstream answered with status {status}.", type=_type_of(status), status=status)


def scrubbed(text: str) -> str:
    """A vendor's text without keys, cut to a length that can be shown."""
    return _KEY.sub("***", text)[:MESSAGE_CHARACTERS]


def _type_of(status: int) -> str:
    return "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"


def citations_of(citations: Any, start: int, end: int) -> list[Json]:
    """Where a text has its facts from, of those on the web: a text block holds what its citations support, and nothing else."""
    return [
        cited(each["url"], each.get("title") if isinstance(each.get("title"), str) else None, start, end)
        for each in (citations if isinstance(citations, list) else ())
        if isinstance(each, dict) and each.get("type") == "web_search_result_location" and isinstance(each.get("url"), str)
    ]


def query_of(asked: Any) -> list[str]:
    """What the vendor's own search was asked."""
    query = asked.get("query") if isinstance(asked, dict) else None
    return [query] if isinstance(query, str) and query else []


def searched_of(result: Json, queries: list[str]) -> Json:
    """A search with its result: pages, or an error."""
    found = result.get("content")
    pages = [
        {"url": each["url"], "title": each["title"] if isinstance(each.get("title"), str) else each["url"]}
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, dict) and isinstance(each.get("url"), str)
    ]
    return searched(queries, pages, failed=not isinstance(found, list))


def _message_of(answer: _Message) -> Json:
    texts: list[str] = []
    thoughts: list[Json] = []
    calls: list[Json] = []
    annotations: list[Json] = []
    searches: list[Json] = []
    queries: dict[str, list[str]] = {}
    for block in answer.content or ():
        match block.get("type"):
            case "text" if isinstance(block.get("text"), str):
                begun = sum(map(len, texts))
                texts.append(block["text"])
                annotations += citations_of(block.get("citations"), begun, begun + len(block["text"]))
            case "thinking" | "redacted_thinking":
                thoughts.append(placed(block, sum(map(len, texts)), len(calls)))
            case "tool_use":
                function = {"name": said(block, "name"), "arguments": arguments_of(block.get("input"))}
                calls.append({"id": said(block, "id"), "type": "function", "function": function})
            case "server_tool_use":
                queries[said(block, "id")] = query_of(block.get("input"))
            case "web_search_tool_result":
                searches.append(searched_of(block, queries.get(said(block, "tool_use_id"), [])))
            case _:
                pass  # the vendor's own tools: their calls are answered there
    text = "".join(texts)
    message: Json = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
    if answer.stop_reason == "refusal" and answer.stop_details is not None:
        message["refusal"] = answer.stop_details.explanation
    readable = "\n\n".join(filter(None, [said(block, "thinking") for block in thoughts]))
    if annotations:
        message["annotations"] = annotations
    if searches:
        message[SEARCHES] = searches
    if readable:
        message["reasoning_content"] = readable
    if thoughts:
        message["thinking_blocks"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return message
