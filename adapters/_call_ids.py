"""Ids of tool calls that a host would refuse for their length, replaced alike in calls and results.

vLLM's have 46 characters, and one that carries a thought signature of Gemini's (`gemini/signatures.py`) hundreds; the history may go on
at another vendor. The replacement is a digest, so the same id is always the same, and the client keeps the long one.
"""

from __future__ import annotations

import hashlib
from typing import Any

from adapters._base import Json

_SPACE = b" \t\r\n:"


def any_long(body: bytes, name: bytes, most: int) -> bool:
    """Whether the value of some member of this name (in quotes) may be longer than `most`: 1 µs for 2 KB, where decoding takes 20."""
    at = body.find(name)
    while at >= 0:
        start = at + len(name)
        while body[start : start + 1] and body[start] in _SPACE:
            start += 1
        if body[start : start + 1] == b'"' and not -1 < body.find(b'"', start + 1) <= start + most + 1:
            return True
        at = body.find(name, start)
    return False


def shortened(identifier: Any, most: int) -> Any:
    """The id, or a digest of it in its place; anything that is no long text as it is."""
    if not isinstance(identifier, str) or len(identifier) <= most:
        return identifier
    return ("call_" + hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest())[:most]


def in_messages(messages: Any, most: int, /) -> Any:
    """Chat messages with no id longer than `most`; the very same list where there was none."""
    if not isinstance(messages, list):
        return messages
    changed = [_in_message(message, most) for message in messages]
    return changed if any(new is not old for new, old in zip(changed, messages, strict=True)) else messages


def in_items(items: Any, most: int, /) -> Any:
    """The same for input items of the Responses API."""
    if not isinstance(items, list):
        return items
    changed = [{**item, "call_id": shortened(item["call_id"], most)} if _long(item, "call_id", most) else item for item in items]
    return changed if any(new is not old for new, old in zip(changed, items, strict=True)) else items


def _in_message(message: Any, most: int) -> Any:
    if _long(message, "tool_call_id", most):
        return {**message, "tool_call_id": shortened(message["tool_call_id"], most)}
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    if not isinstance(calls, list) or not any(_long(call, "id", most) for call in calls):
        return message
    told: list[Json] = [{**call, "id": shortened(call["id"], most)} if _long(call, "id", most) else call for call in calls]
    return {**message, "tool_calls": told}


def _long(holder: Any, name: str, most: int) -> bool:
    identifier = holder.get(name) if isinstance(holder, dict) else None
    return isinstance(identifier, str) and len(identifier) > most
