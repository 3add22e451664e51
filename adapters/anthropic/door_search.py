"""The vendor's own search among the tools of a Messages request, and the choice of it.

References: https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool, .../tool-use/server-tools
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from adapters._base import Json
from adapters._json import encode
from adapters._shape import shaped
from adapters._web_search import MEMBER, Filters, Near, asked_of
from adapters.anthropic.door_blocks import CacheControl

NAME = "web_search"
SEAL = "greenlane_search"
"""Stands where Anthropic seals what it found, and in the ids of searches: what another vendor found must not go back there."""
_CITED_CHARACTERS = 150
"""Most of a citation's words, as at Anthropic."""
_KIND = re.compile(r"web_search_[0-9]{8}")
"""Later versions may run code over what was found: whether they do is theirs."""


class _Search(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    name: Literal["web_search"]
    max_uses: Annotated[int, msgspec.Meta(ge=1)] | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: Near | None = None
    cache_control: CacheControl | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool | None = None
    strict: bool | None = None


def searches(tool: Json) -> bool:
    kind = tool.get("type")
    return isinstance(kind, str) and _KIND.fullmatch(kind) is not None


def asks_to_search(request: Json) -> bool:
    return any(map(searches, request.get("tools") or ()))


def search_of(tools: list[Json]) -> Json:
    """The hub's `web_search_options`, where a tool searches the web."""
    found = search_place(tools)
    if found is None:
        return {}
    path, tool = found
    asked = shaped(tool, _Search, path)
    return asked_of(asked.user_location, None, Filters(asked.allowed_domains, asked.blocked_domains))


def search_place(tools: list[Json]) -> tuple[str, Json] | None:
    """Where the tool stands that searches the web, and the tool."""
    return next(((f"tools[{number}]", tool) for number, tool in enumerate(tools) if searches(tool)), None)


def tool_place(number: int, tools: list[Json]) -> str:
    """Where the client wrote the hub's function of that number."""
    functions = [at for at, tool in enumerate(tools) if not searches(tool)]
    return f"tools[{functions[number]}]" if number < len(functions) else "tools"


def member_place(param: str, tools: list[Json]) -> str | None:
    """Where the client wrote a member of the hub's options for a search; None for any other."""
    found = search_place(tools)
    if found is None or not param.startswith(MEMBER):
        return None
    path, tool = found
    rest = param.removeprefix(MEMBER).replace(".approximate", "")
    if rest == ".filters":
        rest = next((f".{name}" for name in Filters.__struct_fields__ if tool.get(name)), "")
    return path + rest.replace(".filters.", ".")


def cited_of(annotations: Any, text: str) -> list[Json]:
    """A text block's citations. What the page says is not known: `cited_text` are the words of the answer that it supports."""
    told = []
    for each in annotations or ():
        place = each.get("url_citation") if isinstance(each, dict) else None
        if isinstance(place, dict) and isinstance(place.get("url"), str):
            start, end = place.get("start_index"), place.get("end_index")
            words = text[start:end] if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end else ""
            page = {"url": place["url"], "title": place.get("title"), "encrypted_index": SEAL}
            told.append({"type": "web_search_result_location", "cited_text": words[:_CITED_CHARACTERS], **page})
    return told


def blocks_of(search: Json, search_id: str) -> tuple[Json, Json]:
    """A search and its result. Several queries of one search are one, for nobody tells which of them found what."""
    call = {"type": "server_tool_use", "id": search_id, "name": NAME, "input": {"query": "; ".join(search["queries"])}}
    pages = [{"type": "web_search_result", **page, "encrypted_content": SEAL, "page_age": None} for page in search["pages"]]
    error = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    return call, {"type": "web_search_tool_result", "tool_use_id": search_id, "content": error if search["failed"] else pages}


def search_id(base: str, number: int) -> str:
    return f"srvtoolu_{SEAL}_{base.replace('-', '_')}_{number}"


def own(messages: bytes) -> bytes:
    """Messages for Anthropic itself, without what another vendor found: it would refuse what it has not sealed."""
    told: Any = msgspec.json.decode(messages)
    if not isinstance(told, list):
        return messages
    kept = [_owned(message) for message in told]
    return encode([message for message, before in zip(kept, told, strict=True) if message is before or message["content"]])


def _owned(message: Any) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return message
    own_blocks = [_uncited(block) for block in content if not _foreign(block)]
    return message if own_blocks == content else {**message, "content": own_blocks}


def _foreign(block: Any) -> bool:
    told = block.get("id") or block.get("tool_use_id") if isinstance(block, dict) else None
    return isinstance(told, str) and told.startswith(f"srvtoolu_{SEAL}_")


def _uncited(block: Any) -> Any:
    cited = block.get("citations") if isinstance(block, dict) and block.get("type") == "text" else None
    if not isinstance(cited, list):
        return block
    kept = [each for each in cited if not (isinstance(each, dict) and each.get("encrypted_index") == SEAL)]
    return {**block, "citations": kept} if kept else {name: value for name, value in block.items() if name != "citations"}
