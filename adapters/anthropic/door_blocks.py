"""Content blocks of Anthropic's requests, as Structs, and the hub messages made of them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from adapters._base import AdapterError, Json
from adapters._json import encode
from adapters._order import placed


class CacheControl(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None
    scope: str | None = None
    """Who shares the cache (beta prompt-caching-scope-2026-01-05); Claude Code sends it, and no other vendor knows it."""


class _Citations(msgspec.Struct, forbid_unknown_fields=True):
    enabled: bool | None = None


class _Base64(msgspec.Struct, tag_field="type", tag="base64", forbid_unknown_fields=True):
    data: str
    media_type: str


class _Url(msgspec.Struct, tag_field="type", tag="url", forbid_unknown_fields=True):
    url: str


class _File(msgspec.Struct, tag_field="type", tag="file", forbid_unknown_fields=True):
    file_id: str


class Text(msgspec.Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str
    cache_control: CacheControl | None = None
    citations: list[Any] | None = None


class _Image(msgspec.Struct, tag_field="type", tag="image", forbid_unknown_fields=True):
    source: _Base64 | _Url | _File
    cache_control: CacheControl | None = None
    transformations: Json | None = None


class _PlainSource(msgspec.Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    data: str
    media_type: Literal["text/plain"] = "text/plain"


class _ContentSource(msgspec.Struct, tag_field="type", tag="content", forbid_unknown_fields=True):
    content: str | list[Text | _Image]


class _Document(msgspec.Struct, tag_field="type", tag="document", forbid_unknown_fields=True):
    source: _Base64 | _Url | _File | _PlainSource | _ContentSource
    title: str | None = None
    context: str | None = None
    citations: _Citations | None = None
    cache_control: CacheControl | None = None


class _SearchResult(msgspec.Struct, tag_field="type", tag="search_result", forbid_unknown_fields=True):
    content: list[Text]
    source: str
    title: str
    citations: _Citations | None = None
    cache_control: CacheControl | None = None


class _Thinking(msgspec.Struct, tag_field="type", tag="thinking", forbid_unknown_fields=True):
    thinking: str
    signature: str = ""


class _Redacted(msgspec.Struct, tag_field="type", tag="redacted_thinking", forbid_unknown_fields=True):
    data: str


class _ToolUse(msgspec.Struct, tag_field="type", tag="tool_use", forbid_unknown_fields=True):
    id: str
    name: str
    input: Json
    cache_control: CacheControl | None = None
    caller: Json | None = None
    toolset_name: str | None = None


class _ToolResult(msgspec.Struct, tag_field="type", tag="tool_result", forbid_unknown_fields=True):
    tool_use_id: str
    content: str | list[Text | _Image | _SearchResult | _Document] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None
    toolset_name: str | None = None


class _ServerToolUse(msgspec.Struct, tag_field="type", tag="server_tool_use", forbid_unknown_fields=True):
    id: str
    name: Literal["web_search"]
    input: Any = None
    cache_control: CacheControl | None = None
    caller: Json | None = None


class _Searched(msgspec.Struct, tag_field="type", tag="web_search_tool_result", forbid_unknown_fields=True):
    """What was found is in the words that follow it; the pages are sealed for Anthropic."""

    tool_use_id: str
    content: Any = None
    cache_control: CacheControl | None = None
    caller: Json | None = None


Part = Text | _Image | _Document | _SearchResult
Block = Text | _Image | _Document | _SearchResult | _Thinking | _Redacted | _ToolUse | _ToolResult | _ServerToolUse | _Searched


def marked(value: Json, control: CacheControl | None) -> Json:
    """The same object, with the prompt-cache mark on it if there is one."""
    if control is not None:
        value["cache_control"] = {"type": "ephemeral"} if control.ttl is None else {"type": "ephemeral", "ttl": control.ttl}
    return value


def plain(parts: list[Json]) -> str | list[Json]:
    """A lone unmarked text as a string, which every host takes; else the parts."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def messages_of(role: str, content: str | list[Block], path: str) -> list[Json]:
    """The hub messages of one Messages turn: tool results become messages of their own, before the rest of the turn."""
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if role == "assistant":
        return [_assistant(content, path)]
    results: list[Json] = []
    parts: list[Json] = []
    for number, block in enumerate(content):
        place = f"{path}.content[{number}]"
        if isinstance(block, _ToolResult) and role == "user":
            results.append(_tool_message(block, place))
        elif isinstance(block, Text) or (role == "user" and isinstance(block, (_Image, _Document, _SearchResult))):
            parts += _parts(block, place)
        else:
            raise _misplaced(block, role, place)
    return results + ([{"role": role, "content": plain(parts) if parts else ""}] if parts or not results else [])


def _assistant(content: list[Block], path: str) -> Json:
    parts: list[Json] = []
    calls: list[Json] = []
    readable: list[str] = []
    signed: list[Json] = []
    for number, block in enumerate(content):
        place = f"{path}.content[{number}]"
        match block:
            case Text():
                parts += _parts(block, place)
            case _Thinking():
                readable.append(block.thinking)
                # an unsigned block was written by us from another vendor's reasoning: Anthropic would refuse it
                if block.signature:
                    kept = {"type": "thinking", "thinking": block.thinking, "signature": block.signature}
                    signed.append(placed(kept, _characters(parts), len(calls)))
            case _Redacted():
                signed.append(placed({"type": "redacted_thinking", "data": block.data}, _characters(parts), len(calls)))
            case _ServerToolUse() | _Searched():
                pass
            case _ToolUse():
                calls.append(_call(block, place))
            case _:
                raise _misplaced(block, "assistant", place)
    message: Json = {"role": "assistant", "content": plain(parts) if parts else None if calls else ""}
    if any(readable):
        message["reasoning_content"] = "".join(readable)
    if signed:
        message["thinking_blocks"] = signed
    if calls:
        message["tool_calls"] = calls
    return message


def _characters(parts: list[Json]) -> int:
    return sum(len(part["text"]) for part in parts)


def _call(block: _ToolUse, place: str) -> Json:
    if block.toolset_name is not None:
        raise AdapterError("Calls of Anthropic's toolsets cannot be passed on to this model.", f"{place}.toolset_name")
    if block.caller is not None and block.caller.get("type") != "direct":
        raise AdapterError("Calls made by Anthropic's code execution cannot be passed on to this model.", f"{place}.caller")
    function = {"name": block.name, "arguments": encode(block.input).decode()}
    # a cache mark on a call has no place in the hub form, and only Anthropic, whose bytes go through, would heed it
    return {"id": block.id, "type": "function", "function": function}


def _tool_message(block: _ToolResult, place: str) -> Json:
    if block.toolset_name is not None:
        raise AdapterError("Results of Anthropic's toolsets cannot be passed on to this model.", f"{place}.toolset_name")
    content = block.content
    told = content if isinstance(content, str) else plain(parts_of(content or [], f"{place}.content"))
    message: Json = {"role": "tool", "tool_call_id": block.tool_use_id, "content": told or ""}
    if block.is_error:
        message["is_error"] = True
    return marked(message, block.cache_control)


def parts_of(blocks: list[Text] | list[Any], path: str) -> list[Json]:
    return [part for number, block in enumerate(blocks) for part in _parts(block, f"{path}[{number}]")]


def _parts(block: Part, place: str) -> list[Json]:
    match block:
        case Text():
            return [marked({"type": "text", "text": block.text}, block.cache_control)]
        case _Image():
            return [marked({"type": "image_url", "image_url": {"url": _image_url(block, place)}}, block.cache_control)]
        case _SearchResult():
            _no_citations(block.citations, place)
            head = f"Search result: {block.title}\nSource: {block.source}\n\n"
            text = head + "\n".join(piece.text for piece in block.content)
            return [marked({"type": "text", "text": text}, block.cache_control)]
        case _Document():
            _no_citations(block.citations, place)
            parts = _document(block, place)
            if parts:
                marked(parts[-1], block.cache_control)
            return parts


def _image_url(block: _Image, place: str) -> str:
    match block.source:
        case _Base64(data=data, media_type=media_type):
            return f"data:{media_type};base64,{data}"
        case _Url(url=url):
            return url
        case _File():
            raise _stored(place)


def _document(block: _Document, place: str) -> list[Json]:
    head = "\n".join(line for line in (block.title and f"Document: {block.title}", block.context) if line)
    told = [{"type": "text", "text": head}] if head else []
    match block.source:
        case _Base64(data=data, media_type=media_type):
            about = [{"type": "text", "text": block.context}] if block.context else []
            filename = block.title or ("document.pdf" if media_type == "application/pdf" else "document")
            return [*about, {"type": "file", "file": {"file_data": f"data:{media_type};base64,{data}", "filename": filename}}]
        case _Url(url=url):
            return [*told, {"type": "file", "file": {"file_url": url}}]
        case _PlainSource(data=text):
            return [{"type": "text", "text": f"{head}\n\n{text}" if head else text}]
        case _ContentSource(content=content):
            inner = [{"type": "text", "text": content}] if isinstance(content, str) else parts_of(content, f"{place}.source.content")
            return [*told, *inner]
        case _File():
            raise _stored(place)


def _no_citations(citations: _Citations | None, place: str) -> None:
    if citations is not None and citations.enabled:
        raise AdapterError("Citations cannot be had from this model.", f"{place}.citations")


def _stored(place: str) -> AdapterError:
    return AdapterError("A file stored at Anthropic cannot be passed on to this model; send its content.", f"{place}.source.file_id")


def _misplaced(block: Block, role: str, place: str) -> AdapterError:
    kind = block.__struct_config__.tag
    return AdapterError(f"A block of type {kind} cannot stand in a message of role {role}.", f"{place}.type")
