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
FORCED: Json = {"type": "web_search"}
"""A `tool_choice` of the hub: it must search. Only doors whose dialect says so make it."""
SEARCHES = "searches"
"""A member of the hub's messages and deltas: what the vendor searched for. Chat completions have no place for it."""


class Place(msgspec.Struct, forbid_unknown_fields=True):
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class Near(Place, forbid_unknown_fields=True):
    """A place as the tools of the other dialects have it."""

    type: Literal["approximate"] | None = None


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


def asked_of(near: Near | None, size: str | None, filters: Filters | None) -> Json:
    """The hub's member for what a tool of another dialect says."""
    options: Json = {}
    if near is not None:
        place = {name: value for name in Place.__struct_fields__ if (value := getattr(near, name)) is not None}
        options["user_location"] = {"type": "approximate", "approximate": place}
    if size is not None:
        options["search_context_size"] = size
    domains = {} if filters is None else {name: value for name, value in msgspec.structs.asdict(filters).items() if value}
    return {MEMBER: {**options, "filters": domains} if domains else options}


def unsearched(told: Json) -> Json:
    """The members without the search."""
    return {name: value for name, value in told.items() if name != MEMBER}


def cited(url: str, title: str | None, start: int, end: int) -> Json:
    """One annotation of a message; `start` and `end` count characters of its content."""
    return {"type": "url_citation", "url_citation": {"start_index": start, "end_index": end, "url": url, "title": title or url}}


def searched(queries: list[str], pages: list[Json], *, failed: bool = False) -> Json:
    """A search that the vendor made. `pages` have `url` and `title`."""
    return {"queries": queries, "pages": pages, "failed": failed}


def numbered(annotations: list[Json], before: int) -> list[Json]:
    """As a delta has them: openai-python adds up lists of deltas by their index. `before`: how many there were."""
    return [{"index": before + number, **each} for number, each in enumerate(annotations)]
