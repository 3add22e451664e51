"""Answers as bytes in OpenAI's dialect: whole, or as the events of a stream."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec

from proxy.upstream.simulation import tokens
from proxy.upstream.simulation.answers import Answer, Choice, ToolCall, embedding
from proxy.upstream.simulation.requests import BadRequestError, Chat, Json, inputs, model_of

FINGERPRINT = "fp_simulation"
DIMENSIONS = 256
MAX_DIMENSIONS = 4096
_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class Stamp(msgspec.Struct, frozen=True):
    """What differs between two answers to the same request."""

    id: str
    created: int


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def fault(error: BadRequestError) -> bytes:
    """The body of an error."""
    told = {"message": error.message, "type": "invalid_request_error", "param": error.param, "code": error.code}
    return encoded({"error": told})


def chat_completion(chat: Chat, answer: Answer, stamp: Stamp) -> bytes:
    """A whole chat completion."""
    choices = [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": None if choice.calls else "".join(choice.pieces),
                "refusal": None,
                **({"tool_calls": [_call(call, "".join(call.arguments)) for call in choice.calls]} if choice.calls else {}),
            },
            "logprobs": _chat_logprobs(choice.logprobs),
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(answer.choices)
    ]
    return encoded(_envelope("chat.completion", chat, stamp) | {"choices": choices, "usage": _usage([answer])})


def chat_events(chat: Chat, answer: Answer, stamp: Stamp) -> list[bytes]:
    """The events of a streamed chat completion, one token of each choice at a time; the last is the end marker."""
    envelope = _envelope("chat.completion.chunk", chat, stamp)
    ticks = [_chat_deltas(index, choice) for index, choice in enumerate(answer.choices)]
    return _events(chat, [answer], envelope, ticks)


def completion(chats: list[Chat], answers: list[Answer], stamp: Stamp) -> bytes:
    """A whole text completion."""
    choices = [choice for answer in answers for choice in answer.choices]
    told = [
        {
            "index": index,
            "text": "".join(choice.pieces),
            "logprobs": _completion_logprobs(choice.logprobs),
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(choices)
    ]
    return encoded(_envelope("text_completion", chats[0], stamp) | {"choices": told, "usage": _usage(answers)})


def completion_events(chats: list[Chat], answers: list[Answer], stamp: Stamp) -> list[bytes]:
    """The events of a streamed text completion."""
    choices = [choice for answer in answers for choice in answer.choices]
    ticks = [_completion_deltas(index, choice) for index, choice in enumerate(choices)]
    return _events(chats[0], answers, _envelope("text_completion", chats[0], stamp), ticks)


def embeddings(body: Json) -> bytes:
    """The answer to a request to /embeddings."""
    texts, model = inputs(body), model_of(body)
    form = body.get("encoding_format") or "float"
    if not isinstance(form, str) or form not in {"float", "base64"}:
        raise BadRequestError("'encoding_format' must be float or base64", "encoding_format")
    size = body.get("dimensions")
    size = DIMENSIONS if size is None else size
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_DIMENSIONS:
        raise BadRequestError(f"'dimensions' must be a whole number between 1 and {MAX_DIMENSIONS}", "dimensions")
    data = []
    for index, text in enumerate(texts):
        vector = embedding(text, model, size)
        told: Any = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if form == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": told})
    count = sum(tokens.count(text) for text in texts)
    return encoded({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": count, "total_tokens": count}})


def moderations(body: Json, stamp: Stamp) -> bytes:
    """The answer to a request to /moderations. A simulation objects to nothing."""
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 1e-6),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    results = [result for _ in inputs(body)]
    return encoded({"id": stamp.id, "model": body.get("model") or "simulation", "results": results})


def models(name: str) -> bytes:
    """The answer to a request to /models."""
    return encoded({"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "simulation"}]})


def _envelope(kind: str, chat: Chat, stamp: Stamp) -> Json:
    return {"id": stamp.id, "object": kind, "created": stamp.created, "model": chat.model, "system_fingerprint": FINGERPRINT}


def _usage(answers: list[Answer]) -> Json:
    given, made = sum(answer.input_tokens for answer in answers), sum(answer.output_tokens for answer in answers)
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _events(chat: Chat, answers: list[Answer], envelope: Json, ticks: list[list[Json]]) -> list[bytes]:
    """One event a step; in each step every choice that has not ended says its next piece."""
    quiet = {"usage": None} if chat.include_usage else {}
    events = []
    for step in range(max(len(deltas) for deltas in ticks)):
        now = [_block(envelope | {"choices": [deltas[step]]} | quiet) for deltas in ticks if step < len(deltas)]
        events.append(b"".join(now))
    end = b"data: [DONE]\n\n"
    if chat.include_usage:
        end = _block(envelope | {"choices": [], "usage": _usage(answers)}) + end
    return [*events, end]


def _block(value: Json) -> bytes:
    return b"data: " + encoded(value) + b"\n\n"


def _chat_deltas(index: int, choice: Choice) -> list[Json]:
    def told(delta: Json, finish: str | None = None, logprobs: Any = None) -> Json:
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    first: Json = {"role": "assistant", "content": None if choice.calls else "", "refusal": None}
    deltas = [told(first)]
    for place, piece in enumerate(choice.pieces):
        logprobs = _chat_logprobs((choice.logprobs[place],)) if choice.logprobs is not None else None
        deltas.append(told({"content": piece}, logprobs=logprobs))
    for place, call in enumerate(choice.calls):
        deltas.append(told({"tool_calls": [{"index": place} | _call(call, "")]}))
        kind, member = ("custom", "input") if call.custom else ("function", "arguments")
        deltas.extend(told({"tool_calls": [{"index": place, kind: {member: piece}}]}) for piece in call.arguments)
    return [*deltas, told({}, choice.finish_reason)]


def _completion_deltas(index: int, choice: Choice) -> list[Json]:
    deltas: list[Json] = [
        {
            "index": index,
            "text": piece,
            "logprobs": _completion_logprobs((choice.logprobs[place],)) if choice.logprobs is not None else None,
            "finish_reason": None,
        }
        for place, piece in enumerate(choice.pieces)
    ]
    return [*deltas, {"index": index, "text": "", "logprobs": None, "finish_reason": choice.finish_reason}]


def _call(call: ToolCall, arguments: str) -> Json:
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _chat_logprobs(logprobs: tuple[Json, ...] | None) -> Json | None:
    return None if logprobs is None else {"content": list(logprobs), "refusal": None}


def _completion_logprobs(logprobs: tuple[Json, ...] | None) -> Json | None:
    if logprobs is None:
        return None
    offsets, place = [], 0
    for part in logprobs:
        offsets.append(place)
        place += len(part["token"])
    return {
        "tokens": [part["token"] for part in logprobs],
        "token_logprobs": [part["logprob"] for part in logprobs],
        "top_logprobs": [{other["token"]: other["logprob"] for other in part["top_logprobs"]} for part in logprobs],
        "text_offset": offsets,
    }
