"""Searches of the web that a vendor makes for an answer and charges for: how many a request asks for, and may make."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._json import View
from adapters._web_search import MEMBER
from policies._base import Ask
from proxy.records import Tokens
from proxy.snapshot import Served

_SEARCH = b"web_search"
_ESCAPE = b"\\u"
"""In a name that is written otherwise: whoever must keep to a cap must not be able to write past it."""


def searches(members: View, ceiling: int) -> tuple[int, int]:
    """How many a request asks for, and how many it may make, at most `ceiling` where it does not say; 0 and 0: none.

    What is malformed is not for here to refuse.
    """
    if MEMBER in members and bytes(members[MEMBER]) != b"null":
        return 1, ceiling  # whoever names the options of chat completions wants one
    given = bytes(members.get("tools", b"null"))
    if given.find(_SEARCH) < 0 and given.find(_ESCAPE) < 0:
        return 0, 0
    listed = [tool for tool in _list(_decoded(given)) if isinstance(tool, dict)]
    found = [tool for tool in listed if _searches(tool)]
    choice = _decoded(members.get("tool_choice"))
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if not found or kind == "none":
        return 0, 0
    named = isinstance(choice, dict) and (_searches(choice) or (kind == "tool" and choice.get("name") == "web_search"))
    forced = named or (kind in ("required", "any") and len(found) == len(listed))
    # OpenAI bounds all calls of its tools (.../api-reference/responses/create#responses-create-max_tool_calls), Anthropic this tool's
    bounds = [bound for bound in (_whole(_decoded(members.get("max_tool_calls"))), _uses(found)) if bound is not None]
    most = min(bounds, default=ceiling)
    return min(int(forced), most), most


def expected(ask: Ask, served: Served) -> tuple[int, int]:
    """How many a forecast counts there, and a cost cap."""
    return (1, 1) if _once(ask, served) else (ask.least_searches, ask.most_searches)


def with_searches(tokens: Tokens, ask: Ask, served: Served) -> Tokens:
    """What was used, with the search that nobody tells of, where its price is known."""
    known = served.price is not None and served.price.search_usd
    return msgspec.structs.replace(tokens, searches=1) if tokens.searches is None and known and _once(ask, served) else tokens


def _once(ask: Ask, served: Served) -> bool:
    """Whether it goes there as OpenAI's chat completion: its models then search in any case (.../guides/tools-web-search), and tell
    no number.
    """
    return MEMBER in ask.members and served.adapter.open_members and (ask.api == "chat" or ask.api in served.translated)


def _searches(tool: dict[str, Any]) -> bool:
    """OpenAI's `web_search`, Anthropic's `web_search_20250305`, OpenRouter's `openrouter:web_search`, each with its other versions."""
    kind = tool.get("type")
    return isinstance(kind, str) and kind.rpartition(":")[2].startswith("web_search")


def _uses(found: list[dict[str, Any]]) -> int | None:
    """Anthropic's bound, of all such tools together (.../agents-and-tools/tool-use/web-search-tool)."""
    uses = [_whole(tool.get("max_uses")) for tool in found]
    stated = [each for each in uses if each is not None]
    return sum(stated) if len(stated) == len(uses) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _decoded(raw: bytes | msgspec.Raw | None) -> Any:
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
