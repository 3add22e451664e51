"""What a simulation answers: a pure function of the request. How it is sent is in `bodies`."""

from __future__ import annotations

import hashlib
import math
import random
import re
from typing import Any

import msgspec

from proxy.upstream.simulation import tokens, words
from proxy.upstream.simulation.requests import IMAGE_TOKENS, BadRequestError, Chat, Tool
from proxy.upstream.simulation.sampler import sample

MESSAGE_TOKENS = 4
"""What a message costs beside its text, and what the answer's beginning does: OpenAI's published rule of thumb."""


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: tuple[str, ...]
    """In pieces of one token."""
    custom: bool = False


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of the `n` answers."""

    pieces: tuple[str, ...]
    """Its text in pieces of one token; empty for tool calls."""
    calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    logprobs: tuple[dict[str, Any], ...] | None = None
    """One for each piece."""
    tokens: int = 0


class Answer(msgspec.Struct, frozen=True):
    choices: tuple[Choice, ...]
    input_tokens: int

    @property
    def output_tokens(self) -> int:
        return sum(choice.tokens for choice in self.choices)


def answer(chat: Chat, context_tokens: int) -> Answer:
    """The answer to a request; the same request has the same one. BadRequestError for a prompt beyond the context."""
    count = sum(tokens.count(text) + MESSAGE_TOKENS for text in chat.prompt) + chat.images * IMAGE_TOKENS
    if count > context_tokens:
        message = f"the prompt has {count} tokens and this simulation's context {context_tokens}"
        raise BadRequestError(message, "messages", code="context_length_exceeded")
    return Answer(tuple(_choice(chat, index) for index in range(chat.n)), count)


def embedding(text: str, model: str, dimensions: int) -> list[float]:
    """A unit vector that depends on the text and the model alone."""
    random_ = random.Random(hashlib.sha256(f"{model}\0{text}".encode("utf-8", "replace")).digest())  # noqa: S311  not for secrets
    vector = [random_.gauss(0, 1) for _ in range(dimensions)]
    length = math.sqrt(math.fsum(part * part for part in vector))
    return [part / length for part in vector]


def _choice(chat: Chat, index: int) -> Choice:
    random_ = random.Random(chat.seed + index.to_bytes(2, "big"))  # noqa: S311  not for secrets
    called = _called(chat)
    if called:
        return _tool_calls(chat, called, random_)
    text = words.text(random_, random_.randint(2, 6)) if chat.schema is None else _json(sample(chat.schema, random_))
    text, stopped = _stopped(chat.echo + text, chat.stop)
    parts = tokens.pieces(text)
    cut = chat.max_tokens is not None and len(parts) > chat.max_tokens
    parts = parts[: chat.max_tokens] if cut else parts
    logprobs = tuple(_logprob(part, chat.top_logprobs, random_) for part in parts) if chat.top_logprobs is not None else None
    finish = "length" if cut else "stop"
    return Choice(pieces=tuple(parts), finish_reason=finish, logprobs=logprobs, tokens=len(parts) + (not cut and not stopped))


def _called(chat: Chat) -> list[Tool]:
    """The tools this answer calls. Where the choice is free: those the user mentions."""
    if not chat.tools or chat.tool_choice == "none":
        return []
    if chat.tool_choice.startswith("="):
        return [tool for tool in chat.tools if tool.name == chat.tool_choice[1:]][:1]
    mentioned = [tool for tool in chat.tools if _mentions(chat.last_text, tool.name)] if chat.last_role == "user" else []
    if chat.tool_choice == "required" and not mentioned:
        mentioned = [chat.tools[0]]
    return mentioned if chat.parallel else mentioned[:1]


def _mentions(text: str, name: str) -> bool:
    """Whether the text says a tool's name, as it is or in plain words (`get_weather`, `getWeather`: get weather)."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.]+", " ", name).lower().strip()
    text = text.lower()
    return name.lower() in text or bool(plain and plain in re.sub(r"[_\-.\s]+", " ", text))


def _tool_calls(chat: Chat, called: list[Tool], random_: random.Random) -> Choice:
    left = chat.max_tokens
    used, calls = 0, []
    for tool in called:
        custom = tool.parameters is None
        text = words.sentence(random_) if custom else _arguments(tool, random_)
        parts = tokens.pieces(text)
        used += tokens.count(tool.name) + MESSAGE_TOKENS
        room = None if left is None else max(0, left - used)
        parts = parts if room is None else parts[:room]
        used += len(parts)
        calls.append(ToolCall(f"call_{random_.getrandbits(96):024x}", tool.name, tuple(parts), custom))
        if left is not None and used >= left:
            return Choice(pieces=(), calls=tuple(calls), finish_reason="length", tokens=left)
    logprobs = () if chat.top_logprobs is not None else None
    return Choice(pieces=(), calls=tuple(calls), finish_reason="tool_calls", logprobs=logprobs, tokens=used)


def _arguments(tool: Tool, random_: random.Random) -> str:
    value = sample(tool.parameters, random_)
    return _json(value if isinstance(value, dict) else {})


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _stopped(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """The text up to the first stop sequence."""
    found = [place for place in (text.find(part) for part in stop) if place >= 0]
    return (text[: min(found)], True) if found else (text, False)


def _logprob(piece: str, top: int, random_: random.Random) -> dict[str, Any]:
    """A token with its alternatives, the taken one first: their probabilities fall and come to less than 1."""
    share = random_.uniform(0.5, 0.99)
    taken = {"token": piece, "logprob": math.log(share), "bytes": list(piece.encode())}
    others, left = [], 1 - share
    for word in random_.sample(words.NOUNS, max(0, top - 1)):
        part = left * random_.uniform(0.4, 0.6)
        left -= part
        others.append({"token": f" {word}", "logprob": math.log(min(part, share)), "bytes": list(f" {word}".encode())})
    others.sort(key=lambda other: -float(str(other["logprob"])))
    return taken | {"top_logprobs": [taken, *others][:top]}
