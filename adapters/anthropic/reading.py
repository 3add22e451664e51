"""What a model reads of a Messages request: its texts in order, for counting where nobody counts for us.

Lenient where the door is strict: a count generates nothing, and a block that nobody knows is counted by its bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from adapters._base import AdapterError, Json
from adapters._json import encode


class Read(NamedTuple):
    """`texts` is UTF-8, one text a line; images and messages cost tokens of their own."""

    texts: bytes
    images: int
    messages: int


def read(body: Json) -> Read:
    """What there is to count. Raises AdapterError where the request's members have not the kind that the API gives them."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise AdapterError("`messages` must be a non-empty array.", "messages")
    found = _Found()
    _content(body.get("system") or "", "system", found)
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise AdapterError("A message must be an object.", f"messages[{number}]")
        _content(message.get("content"), f"messages[{number}].content", found)
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise AdapterError("`tools` must be an array.", "tools")
    for number, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise AdapterError("A tool must be an object.", f"tools[{number}]")
        found.texts += [_plain(tool.get(name)) for name in ("name", "description", "input_schema") if tool.get(name) is not None]
    return Read("\n".join(found.texts).encode("utf-8", "replace"), found.images, len(messages))


class _Found:
    __slots__ = ("images", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.images = 0


def _content(content: Any, path: str, found: _Found) -> None:
    if isinstance(content, str):
        found.texts.append(content)
        return
    if not isinstance(content, list):
        raise AdapterError("A string or an array of blocks is expected.", path)
    for number, block in enumerate(content):
        if not isinstance(block, dict):
            raise AdapterError("A block must be an object.", f"{path}[{number}]")
        _block(block, f"{path}[{number}]", found)


def _block(block: Json, path: str, found: _Found) -> None:
    match block.get("type"):
        case "text":
            found.texts.append(_plain(block.get("text")))
        case "tool_use":
            found.texts += [_plain(block.get("name")), _plain(block.get("input"))]
        case "tool_result":
            _content(block.get("content") or "", f"{path}.content", found)
        case "search_result":
            found.texts += [_plain(block.get("title")), _plain(block.get("source"))]
            _content(block.get("content") or "", f"{path}.content", found)
        case "image":
            found.images += 1
        case "document":
            _document(block, path, found)
        case "thinking" | "redacted_thinking":
            # of earlier turns, which no model is shown again (.../build-with-claude/token-counting)
            return
        case _:
            found.texts.append(_plain(block))


def _document(block: Json, path: str, found: _Found) -> None:
    """A document's text; one that is encoded is taken for an image, because its pages are not counted here."""
    source = block.get("source")
    told = source if isinstance(source, dict) else {}
    found.texts += [_plain(block[name]) for name in ("title", "context") if block.get(name) is not None]
    match told.get("type"):
        case "text":
            found.texts.append(_plain(told.get("data")))
        case "content":
            _content(told.get("content") or "", f"{path}.source.content", found)
        case _:
            found.images += 1


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else encode(value).decode()
