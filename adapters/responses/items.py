"""Input items of the Responses API as hub messages, and the envelope in which signed thinking travels through clients."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

import msgspec

from adapters._base import AdapterError, Json
from adapters._custom import as_call
from adapters._json import encode
from adapters._order import placed
from adapters._shape import INVALID, MISSING, shaped
from adapters.responses.tools import ADDED, hub_name

ENVELOPE = "greenlane-thinking-1."
"""Marks `encrypted_content` that we wrote; what lacks it was sealed by another service and tells us nothing."""
UPDATE = "configuration_update"
"""An item of the input that changes members of the request from there on."""
_APART = ("web_search_call", ADDED, UPDATE)
"""Kinds of items that are no part of a message: what a search found is in the answer that follows it, the others are about the request."""
_UNSUPPORTED = "unsupported_value"


class _Breakpoint(msgspec.Struct):
    mode: str | None = None
    ttl: str | None = None


class _Text(msgspec.Struct):
    text: str
    prompt_cache_breakpoint: _Breakpoint | None = None


class _Refusal(msgspec.Struct):
    refusal: str


class _Image(msgspec.Struct):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: _Breakpoint | None = None


class _File(msgspec.Struct):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: _Breakpoint | None = None


class _AudioData(msgspec.Struct):
    data: str
    format: str


class _Audio(msgspec.Struct):
    input_audio: _AudioData


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Json]


class _FunctionCall(msgspec.Struct):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class _CustomCall(msgspec.Struct):
    call_id: str
    name: str
    input: str
    namespace: str | None = None


class _Output(msgspec.Struct):
    call_id: str
    output: str | list[Json]


class _Piece(msgspec.Struct):
    text: str


class _Reasoning(msgspec.Struct):
    summary: list[_Piece] | None = None
    content: list[_Piece] | None = None
    encrypted_content: str | None = None


class _Signed(msgspec.Struct, tag_field="type", tag="thinking", forbid_unknown_fields=True):
    thinking: str
    signature: str


class _Redacted(msgspec.Struct, tag_field="type", tag="redacted_thinking", forbid_unknown_fields=True):
    data: str


def sealed(blocks: list[Json]) -> str:
    """Thinking blocks as `encrypted_content`, so that signatures survive a client's tool loop. Not secret, only opaque."""
    return ENVELOPE + base64.urlsafe_b64encode(encode(blocks)).decode()


def unsealed(text: str, path: str) -> list[Json]:
    """The blocks in an envelope of ours; none in anybody else's. Raises AdapterError where ours was changed."""
    if not text.startswith(ENVELOPE):
        return []
    try:
        data = base64.b64decode(text.removeprefix(ENVELOPE), altchars=b"-_", validate=True)
        msgspec.json.decode(data, type=list[_Signed | _Redacted])
        blocks: list[Json] = msgspec.json.decode(data)
    except (binascii.Error, ValueError, RecursionError):
        raise AdapterError("This encrypted_content is damaged.", path, code=INVALID) from None
    return blocks


def messages_of(items: list[Json]) -> list[Json]:
    """Hub messages. The items of one assistant turn (reasoning, text, calls) become one message."""
    return [message for message, _ in turns_of(items)]


def turns_of(items: list[Json]) -> list[tuple[Json, list[int]]]:
    """Hub messages, each with the numbers of the items that it is made of."""
    told: list[tuple[Json, list[int]]] = []
    draft: Json | None = None
    for number, item in enumerate(items):
        path = f"input[{number}]"
        kind = item.get("type", "message")
        if kind in _APART:
            continue
        if kind in ("reasoning", "function_call", "custom_tool_call") or (kind == "message" and item.get("role") == "assistant"):
            if draft is not None and _begins_anew(draft, kind):
                draft = None
            if draft is None:
                draft = {"role": "assistant", "content": None}
                told.append((draft, []))
            _join(draft, kind, item, path)
            told[-1][1].append(number)
            continue
        draft = None
        told.append((_message(kind, item, path), [number]))
    return [(_finished(message), numbers) for message, numbers in told if len(message) > 2 or message.get("content") is not None]


def _begins_anew(draft: Json, kind: str) -> bool:
    """After its text a turn goes on with calls only; a message or reasoning then belongs to a turn of its own."""
    return kind in ("reasoning", "message") and draft["content"] is not None and "tool_calls" not in draft


def _finished(message: Json) -> Json:
    if message["role"] == "assistant" and message["content"] is None and "tool_calls" not in message:
        return {**message, "content": ""}
    return message


def _join(draft: Json, kind: str, item: Json, path: str) -> None:
    if kind == "reasoning":
        found = shaped(item, _Reasoning, path)
        readable = "".join(piece.text for piece in found.content or ()) or "\n\n".join(piece.text for piece in found.summary or ())
        blocks = unsealed(found.encrypted_content or "", f"{path}.encrypted_content")
        if readable:
            draft["reasoning_content"] = draft.get("reasoning_content", "") + readable
        if blocks:
            # behind a call its place must be told; behind text alone a message of its own begins (see above)
            place = (_characters(draft["content"]), len(draft.get("tool_calls", ())))
            draft["thinking_blocks"] = draft.get("thinking_blocks", []) + [placed(block, *place) for block in blocks]
    elif kind == "message":
        content = shaped(item, _Message, path).content
        old = draft["content"]
        new = content if isinstance(content, str) else _content(content, f"{path}.content")
        draft["content"] = new if old is None else _listed(old) + _listed(new)
    else:
        draft.setdefault("tool_calls", []).append(_call(kind, item, path))


def _characters(content: Any) -> int:
    return sum(len(part.get("text") or part.get("refusal") or "") for part in _listed(content)) if content is not None else 0


def _call(kind: str, item: Json, path: str) -> Json:
    if kind == "function_call":
        call = shaped(item, _FunctionCall, path)
        return {
            "id": call.call_id,
            "type": "function",
            "function": {"name": hub_name(call.name, call.namespace), "arguments": call.arguments},
        }
    custom = shaped(item, _CustomCall, path)
    return as_call(custom.call_id, hub_name(custom.name, custom.namespace), custom.input)


def _message(kind: Any, item: Json, path: str) -> Json:
    if kind == "message":
        message = shaped(item, _Message, path)
        content = message.content
        return {"role": message.role, "content": content if isinstance(content, str) else _content(content, f"{path}.content")}
    if kind in ("function_call_output", "custom_tool_call_output"):
        result = shaped(item, _Output, path)
        output = result.output if isinstance(result.output, str) else _content(result.output, f"{path}.output")
        return {"role": "tool", "tool_call_id": result.call_id, "content": output}
    if kind == "item_reference":
        raise AdapterError(
            "That item is not kept here, and what OpenAI stores cannot be passed on to this model: send the item itself. "
            "The AI SDK does with `providerOptions: {openai: {store: false}}`, or through `.chat(NAME)`.",
            path,
            code=_UNSUPPORTED,
        )
    named = kind[:64] if isinstance(kind, str) else "of this type"
    raise AdapterError(f"An item {named} cannot be passed on to this model.", f"{path}.type", code=_UNSUPPORTED)


def _listed(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _content(parts: list[Json], path: str) -> str | list[Json]:
    """Parts in hub form; a lone unmarked text as a string, which every host takes."""
    told = [_part(part, f"{path}[{number}]") for number, part in enumerate(parts)]
    if len(told) == 1 and told[0].keys() == {"type", "text"}:
        text: str = told[0]["text"]
        return text
    return told or ""


def _part(part: Json, path: str) -> Json:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            text = shaped(part, _Text, path)
            return _marked({"type": "text", "text": text.text}, text.prompt_cache_breakpoint)
        case "refusal":
            return {"type": "refusal", "refusal": shaped(part, _Refusal, path).refusal}
        case "input_image":
            return _image(shaped(part, _Image, path), path)
        case "input_file":
            return _file(shaped(part, _File, path), path)
        case "input_audio":
            audio = shaped(part, _Audio, path).input_audio
            return {"type": "input_audio", "input_audio": {"data": audio.data, "format": audio.format}}
        case None:
            raise AdapterError(f"Missing required parameter: '{path}.type'.", f"{path}.type", code=MISSING)
        case kind:
            named = kind[:64] if isinstance(kind, str) else "of this type"
            raise AdapterError(f"Content {named} cannot be passed on to this model.", f"{path}.type", code=_UNSUPPORTED)


def _image(image: _Image, path: str) -> Json:
    if image.image_url is None:
        at = f"{path}.{'image_url' if image.file_id is None else 'file_id'}"
        raise AdapterError("Expected image_url; a file stored at OpenAI cannot be passed on.", at, code=_UNSUPPORTED)
    told: Json = {"url": image.image_url}
    if image.detail is not None:
        told["detail"] = image.detail
    return _marked({"type": "image_url", "image_url": told}, image.prompt_cache_breakpoint)


def _file(file: _File, path: str) -> Json:
    told = {name: value for name in ("file_data", "file_url", "filename") if (value := getattr(file, name)) is not None}
    if "file_data" not in told and "file_url" not in told:
        at = path if file.file_id is None else f"{path}.file_id"
        raise AdapterError("Expected file_data or file_url; a file stored at OpenAI cannot be passed on.", at, code=_UNSUPPORTED)
    return _marked({"type": "file", "file": told}, file.prompt_cache_breakpoint)


def _marked(part: Json, mark: _Breakpoint | None) -> Json:
    # chat completions have the same mark (guides/prompt-caching), and `anthropic/content.py` knows it
    told = {} if mark is None else {name: value for name in ("mode", "ttl") if (value := getattr(mark, name)) is not None}
    return part if mark is None else {**part, "prompt_cache_breakpoint": told}
