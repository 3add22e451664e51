"""A search of the web by the vendor: what a request says of it, and the citations that an answer then has.

The hub's `web_search_options` are those of chat completions; `filters` beside them are the Responses API's.
References: https://platform.openai.com/docs/api-reference/chat/create#chat-create-web_search_options,
https://platform.openai.com/docs/guides/tools-web-search
"""

from __future__ import annotations

from typing import Literal

import msgspec

from adapters._base import AdapterError, Json
from adapters._shape import shaped

MEMBER = "web_search_options"


class Place(msgspec.Struct, forbid_unknown_fields=True):
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class _Location(msgspec.Struct, forbid_unknown_fields=True):
    approximate: Place
    type: Literal["approximate"] = "approximate"


class Filters(msgspec.Struct, forbid_unknown_fields=True):
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None


class Search(msgspec.Struct, forbid_unknown_fields=True):
    user_location: _Location | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    filters: Filters | None = None


def search_of(chat: Json) -> Search | None:
    """The search that a hub request asks for. Raises AdapterError naming the member that is malformed."""
    told = chat.get(MEMBER)
    if told is None:
        return None
    if not isinstance(told, dict):
        raise AdapterError(f"`{MEMBER}` must be an object.", MEMBER)
    return shaped(told, Search, MEMBER)


def cited(url: str, title: str | None, start: int, end: int) -> Json:
    """One annotation of a message; `start` and `end` count characters of its content."""
    return {"type": "url_citation", "url_citation": {"start_index": start, "end_index": end, "url": url, "title": title or url}}


def numbered(annotations: list[Json], before: int) -> list[Json]:
    """As a delta has them: openai-python adds up lists of deltas by their index. `before`: how many there were."""
    return [{"index": before + number, **each} for number, each in enumerate(annotations)]
