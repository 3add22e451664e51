"""What hosts of OpenAI's dialect say otherwise than OpenAI does, in the hub's terms: reasoning by another name, content in parts."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from adapters._base import Json
from adapters._json import encode


def in_hub_words(answer: Json) -> Json:
    """A completion or chunk. Newer vLLM (≥ 0.11) and OpenRouter say `reasoning`, the hub knows `reasoning_content`."""
    for choice in answer.get("choices") or ():
        delta = choice.get("delta")
        said = choice.get("message") if delta is None else delta
        if isinstance(said, dict) and isinstance(said.get("reasoning"), str) and "reasoning_content" not in said:
            said["reasoning_content"] = said.pop("reasoning")
        for place, call in enumerate(delta.get("tool_calls") or () if delta else ()):
            if call.get("index") is None:  # Mistral's, Moonshot's: what goes on stands at the same place
                call["index"] = place
    return answer


def holds_place(chunk: Json) -> bool:
    """Whether a chunk says nothing, its answer's id least of all: Azure sends one first, with its filters' results."""
    return not chunk.get("choices") and not chunk.get("id")


def made_id(data: bytes) -> str:
    """An id for an answer whose host gives none, as Google's host of this dialect: another for other bytes."""
    return f"chatcmpl-{hashlib.sha256(data).hexdigest()[:24]}"


def with_plain_content(data: bytes) -> bytes | None:
    """The same with content in parts, as Mistral's reasoning models answer it, written as a string; None where there is none.

    What is neither text nor thinking (references to what was searched) is left out.
    https://docs.mistral.ai/studio-api/conversations/reasoning
    """
    try:
        answer: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choices = answer.get("choices") if isinstance(answer, dict) else None
    found = False
    for choice in choices if isinstance(choices, list) else ():
        for name in ("message", "delta"):
            said = choice.get(name) if isinstance(choice, dict) else None
            if isinstance(said, dict) and _parts(said.get("content")):
                said |= _told(said["content"])
                found = True
    return encode(answer) if found else None


def _parts(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content)


def _told(parts: list[Json]) -> Json:
    thoughts: list[str] = []
    texts: list[str] = []
    for part in parts:
        if part["type"] == "text":
            texts.append(_text(part))
        elif part["type"] == "thinking":
            inner = part.get("thinking")
            thoughts += [inner] if isinstance(inner, str) else map(_text, inner) if isinstance(inner, list) else []
    told: Json = {"content": "".join(texts) or None}
    return {**told, "reasoning_content": "".join(thoughts)} if any(thoughts) else told


def _text(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""
