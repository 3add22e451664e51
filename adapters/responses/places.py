"""Where in a Responses request stands what a member of its hub request was made of."""

from __future__ import annotations

from typing import Any

from adapters._base import Json
from adapters._places import CALL, MESSAGE, PART, TOOL, renamed
from adapters._web_search import MEMBER
from adapters.responses.items import turns_of
from adapters.responses.tools import offered, search_place, tool_place

_NAMES = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "response_format": "text.format",
    "response_format.json_schema": "text.format",
    "tool_choice.allowed_tools": "tool_choice",
    "tool_choice.function": "tool_choice",
}
_PARTS = {
    ".image_url": ".image_url",
    ".image_url.url": ".image_url",
    ".image_url.detail": ".detail",
    ".file": "",
    ".cache_control": ".prompt_cache_breakpoint",
}
_CALLS = {".id": ".call_id", ".name": ".name", ".arguments": ".arguments"}


def place_of(param: str, body: Json) -> str:
    """The client's name for a member of the hub request, as precise as it can be."""
    message, tool = MESSAGE.fullmatch(param), TOOL.fullmatch(param)
    if message is not None:
        return _in_message(int(message[1]), message[2], body)
    if tool is not None:
        # the schema of a custom tool, which takes text, is ours
        place = tool_place(int(tool[1]), offered(body))
        custom = [path for path, each in offered(body) if each.get("type") == "custom"]
        return place + ("" if tool[2].startswith(".parameters") and place in custom else tool[2])
    if (search := search_place(offered(body))) is not None and param.startswith(MEMBER):
        return search.path + param.removeprefix(MEMBER).replace(".approximate", "")
    return renamed(param, {**_NAMES, "logprobs": "top_logprobs" if body.get("top_logprobs") else "include"})


def _in_message(number: int, rest: str, body: Json) -> str:
    if body.get("instructions"):
        if number == 0:
            return "instructions"
        number -= 1
    turns = [] if isinstance(body["input"], str) else turns_of(body["input"])
    if number >= len(turns):
        return "input"
    message, numbers = turns[number]
    items = [(f"input[{each}]", body["input"][each]) for each in numbers]
    if message["role"] == "assistant":
        return _in_turn(items, rest)
    place, item = items[0]
    holder = "output" if message["role"] == "tool" else "content"
    if rest.startswith(".content"):
        return _in_content([(f"{place}.{holder}", item[holder])], rest)
    own = {".tool_call_id": ".call_id"} if message["role"] == "tool" else {".role": ".role"}
    return place + own.get(rest, "")


def _in_turn(items: list[tuple[str, Json]], rest: str) -> str:
    """In an assistant's turn, which is made of several items."""
    texts = [(f"{place}.content", item["content"]) for place, item in items if item.get("type", "message") == "message"]
    calls = [(place, item) for place, item in items if item.get("type") in ("function_call", "custom_tool_call")]
    thoughts = [place for place, item in items if item.get("type") == "reasoning"]
    call = CALL.fullmatch(rest)
    if call is not None and int(call[1]) < len(calls):
        place, item = calls[int(call[1])]
        own = _CALLS if item["type"] == "function_call" else {**_CALLS, ".arguments": ".input"}
        return place + own.get(call[2], "")
    if rest.startswith(".tool_calls") and calls:
        return calls[0][0]
    if rest.startswith(".content") and texts:
        return _in_content(texts, rest)
    if rest.startswith((".thinking_blocks", ".reasoning_content")) and thoughts:
        return thoughts[0]
    return items[0][0]


def _in_content(contents: list[tuple[str, Any]], rest: str) -> str:
    """In one of several contents that were joined, each a text or parts."""
    part = PART.fullmatch(rest)
    if part is None:
        return contents[0][0]
    left = int(part[1])
    for place, content in contents:
        size = max(1, len(content)) if isinstance(content, list) else 1
        if left < size:
            return f"{place}[{left}]{_in_part(part[2])}" if isinstance(content, list) and content else place
        left -= size
    return contents[0][0]


def _in_part(tail: str) -> str:
    return renamed(tail, _PARTS)
