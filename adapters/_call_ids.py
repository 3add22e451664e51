"""Ids of tool calls that a host would refuse for their form, replaced alike in calls and results.

vLLM's have 46 characters, and one that carries a thought signature of Gemini's (`gemini/signatures.py`) hundreds; the history may go on
at another vendor. The replacement is a digest, so the same id is always the same, and the client keeps its own.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable
from typing import Any

Fit = Callable[[Any], Any]
"""The id as the host takes it; the very same one where it does already, and anything that is no text."""
NINE_CHARACTERS = 9
_SPACE = b" \t\r\n:"
_NINE = re.compile(r"\A[A-Za-z0-9]{9}\Z")
_ALPHABET = string.digits + string.ascii_letters


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


def nine(identifier: Any) -> Any:
    """The id where it is nine letters and digits, or a digest of it that is; anything that is no text as it is."""
    if not isinstance(identifier, str) or _NINE.match(identifier):
        return identifier
    number = int.from_bytes(hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).digest())
    signs = []
    for _ in range(NINE_CHARACTERS):
        number, at = divmod(number, len(_ALPHABET))
        signs.append(_ALPHABET[at])
    return "".join(signs)


def in_messages(messages: Any, fit: Fit, /) -> Any:
    """Chat messages with every id as it fits; the very same list where all did."""
    if not isinstance(messages, list):
        return messages
    changed = [_in_message(message, fit) for message in messages]
    return changed if any(new is not old for new, old in zip(changed, messages, strict=True)) else messages


def in_items(items: Any, fit: Fit, /) -> Any:
    """The same for input items of the Responses API."""
    if not isinstance(items, list):
        return items
    changed = [_with(item, "call_id", fit) for item in items]
    return changed if any(new is not old for new, old in zip(changed, items, strict=True)) else items


def _in_message(message: Any, fit: Fit) -> Any:
    told = _with(message, "tool_call_id", fit)
    calls = told.get("tool_calls") if isinstance(told, dict) else None
    if not isinstance(calls, list):
        return told
    changed = [_with(call, "id", fit) for call in calls]
    return {**told, "tool_calls": changed} if any(new is not old for new, old in zip(changed, calls, strict=True)) else told


def _with(holder: Any, name: str, fit: Fit) -> Any:
    identifier = holder.get(name) if isinstance(holder, dict) else None
    fitting = fit(identifier)
    return holder if fitting is identifier else {**holder, name: fitting}
