"""Hub answers as Anthropic's: the Message object, its usage, its stop reason, its errors.

References: https://platform.claude.com/docs/en/api/messages/create, https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters._base import Fault, Json, Usage
from adapters._halves import decoded
from adapters._json import encode
from adapters._order import interleaved
from adapters._web_search import SEARCHES
from adapters.anthropic.door_search import asks_to_search, blocks_of, cited_of, search_id

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded": 529,
    "overloaded_error": 529,
    "timeout": 504,
    "timeout_error": 504,
}
"""Codes and types of errors that tell no status, as those in OpenAI's streams do."""
_INDEX = re.compile(r"\[(\d+)\]")
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def base_id(completion_id: Any) -> str:
    """What is left of a completion's id without the prefix of its kind; the same answer always gets the same ids."""
    text = completion_id if isinstance(completion_id, str) else ""
    for prefix in ("chatcmpl-", "chatcmpl_", "msg_"):
        text = text.removeprefix(prefix)
    return _ODD.sub("_", text)[:128] or "0"


def message_of(completion: Json, usage: Usage | None, account: bytes | None, request: Json) -> Json:
    """A `message` object. Of several choices the first is told: Anthropic knows no `n`."""
    choice = (completion.get("choices") or [{}])[0]
    said = choice.get("message") or {}
    base = base_id(completion.get("id"))
    reason, sequence = stop_of(choice.get("finish_reason"), choice, request)
    if said.get("refusal") and reason == "end_turn":
        reason = "refusal"
    return {
        "id": f"msg_{base}",
        "type": "message",
        "role": "assistant",
        "model": completion.get("model") or request.get("model") or "",
        "content": _with_searches(_content(said, base), said, base) if asks_to_search(request) else _content(said, base),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": usage_of(usage, account),
    }


def _content(said: Json, base: str) -> list[Json]:
    thoughts: list[Json] = list(said.get("thinking_blocks") or ())
    readable = said.get("reasoning_content")
    if not thoughts and readable:
        thoughts.append({"type": "thinking", "thinking": readable, "signature": ""})
    texts: list[Json] = [{"type": "text", "text": said[name]} for name in ("content", "refusal") if said.get(name)]
    calls: list[Json] = []
    for number, call in enumerate(said.get("tool_calls") or ()):
        function = call.get("function") or {}
        calls.append(
            {
                "type": "tool_use",
                "id": call.get("id") or call_id(base, number),
                "name": function.get("name") or "",
                "input": _input(function.get("arguments")),
            }
        )
    return interleaved(thoughts, texts, calls)


def _with_searches(blocks: list[Json], said: Json, base: str) -> list[Json]:
    """With the citations at the last of the text, as in a stream, and the searches before all of it."""
    texts = [number for number, block in enumerate(blocks) if block["type"] == "text"]
    if texts and (told := cited_of(said.get("annotations"), said.get("content") or "")):
        blocks[texts[-1]]["citations"] = told
    at = texts[0] if texts else len(blocks)
    searches = [block for number, each in enumerate(said.get(SEARCHES) or ()) for block in blocks_of(each, search_id(base, number))]
    return [*blocks[:at], *searches, *blocks[at:]]


def call_id(base: str, number: int) -> str:
    """An id for a call that came without one."""
    return f"toolu_{base}_{number}"


def _input(arguments: Any) -> Json:
    """Arguments as the object Anthropic's clients expect; what is no object (cut off, or plain text) is kept under one name."""
    text = arguments if isinstance(arguments, str) else "{}"
    if not text.strip():
        return {}
    try:
        found = decoded(text)
    except (msgspec.DecodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"unparsed_arguments": text}


def stop_of(finish_reason: Any, choice: Json, request: Json) -> tuple[str | None, str | None]:
    """stop_reason and stop_sequence. None stays None: a reason is never invented."""
    reason = _STOPS.get(finish_reason, "end_turn") if isinstance(finish_reason, str) else None
    # vLLM names the stop string in `stop_reason`, SGLang in `matched_stop`, beside finish_reason `stop`
    for name in ("stop_reason", "matched_stop"):
        sequence = choice.get(name)
        if reason == "end_turn" and isinstance(sequence, str) and sequence in (request.get("stop_sequences") or ()):
            return "stop_sequence", sequence
    return reason, None


def usage_of(usage: Usage | None, account: bytes | None) -> Json:
    """Usage as Anthropic counts: `input_tokens` are those neither read from nor written to a cache.

    Its clients require `input_tokens` and `output_tokens` to be numbers; where nobody counted they are 0, the rest is null.
    """
    known = usage or Usage()
    told: Json = {
        "input_tokens": max(0, (known.input_tokens or 0) - (known.cached_tokens or 0) - (known.cache_write_tokens or 0)),
        "cache_creation_input_tokens": known.cache_write_tokens,
        "cache_read_input_tokens": known.cached_tokens,
        "output_tokens": known.output_tokens or 0,
    }
    if known.reasoning_tokens is not None:
        told["output_tokens_details"] = {"thinking_tokens": known.reasoning_tokens}
    if known.searches:
        told["server_tool_use"] = {"web_search_requests": known.searches, "web_fetch_requests": 0}
    if account is not None:
        told["greenlane"] = msgspec.Raw(account)
    return told


def status_of(fault: Fault) -> int:
    """The status that an error in a stream stands for."""
    return fault.status or _STATUSES.get(fault.code or "") or _STATUSES.get(fault.type) or 500


def _names(message: str, place: str) -> bool:
    """Whether a message names the place: at its head or in quotes. `inputs` is a word of `Extra inputs are not permitted` by chance."""
    return message.startswith((f"{place}:", f"{place} ")) or any(f"{mark}{place}{mark}" in message for mark in ("`", "'", '"'))


def error_of(fault: Fault, status: int, request_id: str | None = None) -> bytes:
    """Anthropic's error object; `details.error_code` carries our code."""
    kind = _ERRORS.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    message = fault.message
    if fault.param:
        # Anthropic names members as `messages.0.content`; the code of a misfit has its wording
        place = _INDEX.sub(r".\1", fault.param)
        message = message if _names(message, place) or _names(message, fault.param) else f"{place}: {message}"
    if fault.code == "context_length_exceeded" and "prompt is too long" not in message.lower():
        # Anthropic has no code for it: clients that shorten the conversation then know it by these words
        message = f"prompt is too long: {message}"
    error: Json = {"type": kind, "message": message}
    if fault.code is not None:
        error["details"] = {"error_code": fault.code}
    return encode({"type": "error", "error": error, "request_id": request_id})
