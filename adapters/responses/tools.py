"""Tools of a Responses request as functions of the hub, and how a call of one is told again.

The hub has functions only. A custom tool is one with a string; a tool in a namespace is one whose name begins with the namespace's.
Reference: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from adapters._base import AdapterError, Json
from adapters._custom import as_function
from adapters._shape import INVALID, MISSING, below, shaped
from adapters._web_search import FORCED, MEMBER, Filters, Near, asked_of, unsearched

UNSUPPORTED = "unsupported_value"
_SEARCHES = frozenset({"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"})
ADDED = "additional_tools"
"""An item of the input that adds tools: so Codex offers all of its own to the models it knows."""
_NAME_CHARACTERS = 64
"""Most that every vendor takes in the name of a function."""


class _Function(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    parameters: Json | None = None
    description: str | None = None
    strict: bool | None = None
    allowed_callers: list[str] | None = None


class _Custom(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    description: str | None = None
    format: Json | None = None
    allowed_callers: list[str] | None = None


class _Namespace(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    tools: list[Json]
    description: str | None = None


class _Added(msgspec.Struct):
    tools: list[Json]


class Placed(NamedTuple):
    """A tool, and where the client wrote it."""

    path: str
    tool: Json


class _Search(msgspec.Struct, forbid_unknown_fields=True):
    """https://platform.openai.com/docs/guides/tools-web-search"""

    type: str
    user_location: Near | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    filters: Filters | None = None
    external_web_access: bool | None = None
    return_token_budget: Any = None
    search_content_types: list[Literal["text", "image"]] | None = None


class Called(msgspec.Struct, frozen=True):
    """A tool as the client named it."""

    name: str
    namespace: str | None = None
    custom: bool = False
    """Its call is told as `custom_tool_call`."""


def offered(body: Json) -> list[Placed]:
    """Every tool of a request: those beside the input, then those that its items add. Raises AdapterError."""
    found = [Placed(f"tools[{number}]", tool) for number, tool in enumerate(body.get("tools") or ())]
    items = body.get("input")
    for number, item in enumerate(items if isinstance(items, list) else ()):
        if item.get("type") == ADDED:
            path = f"input[{number}]"
            found += [Placed(f"{path}.tools[{at}]", tool) for at, tool in enumerate(shaped(item, _Added, path).tools)]
    return found


def search_of(tools: list[Placed]) -> Json:
    """The hub's `web_search_options`, where a tool asks for a search of the web."""
    found = search_place(tools)
    if found is None:
        return {}
    path, tool = found
    asked = shaped(tool, _Search, path)
    if asked.external_web_access is False:
        raise AdapterError("Only OpenAI can search without access to the web.", f"{path}.external_web_access", code=UNSUPPORTED)
    return asked_of(asked.user_location, asked.search_context_size, asked.filters)


def search_place(tools: list[Placed]) -> Placed | None:
    """The tool that searches the web."""
    return next((placed for placed in tools if _searches(placed.tool)), None)


def _searches(tool: Json) -> bool:
    return isinstance(tool.get("type"), str) and tool["type"] in _SEARCHES


def tool_place(number: int, tools: list[Placed]) -> str:
    """Where the client wrote the hub's tool of that number."""
    for path, tool in tools:
        listed = tool.get("tools") if tool.get("type") == "namespace" else None
        size = len(listed) if isinstance(listed, list) else 0 if _needless(tool) or _searches(tool) else 1
        if number < size:
            return f"{path}.tools[{number}]" if isinstance(listed, list) else path
        number -= size
    return "tools"


def tools_of(tools: list[Placed]) -> list[Json]:
    """The hub's functions, those of namespaces among them. Raises AdapterError for tools that run at OpenAI."""
    told: list[Json] = []
    for path, tool in tools:
        if tool.get("type") == "namespace":
            told += _spaced(shaped(tool, _Namespace, path), path)
        elif not _needless(tool) and not _searches(tool):
            told.append(_tool(tool, path))
    return told


def hub_name(name: str, namespace: str | None) -> str:
    """The name of a function; the same for a tool, for a call of it in the history and for one in the answer."""
    if namespace is None:
        return name
    whole = f"{namespace}__{name}"
    if len(whole) <= _NAME_CHARACTERS:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: _NAME_CHARACTERS - 9]}_{digest}"


def called(request: Json) -> dict[str, Called]:
    """Hub name → the tool, for those of a request whose calls are told otherwise than as a call of that name."""
    found: dict[str, Called] = {}
    for _, tool in offered(request):
        space = tool["name"] if tool.get("type") == "namespace" else None
        for each in [tool] if space is None else tool["tools"]:
            if space is not None or each.get("type") == "custom":
                found[hub_name(each["name"], space)] = Called(each["name"], space, each.get("type") == "custom")
    return found


def _spaced(space: _Namespace, path: str) -> list[Json]:
    """The namespace's description stands before that of its first tool: once, for it may be long."""
    told = [_tool(tool, f"{path}.tools[{number}]") for number, tool in enumerate(space.tools)]
    for number, tool in enumerate(told):
        function = tool["function"]
        function["name"] = hub_name(function["name"], space.name)
        if number == 0 and space.description:
            function["description"] = "\n\n".join(filter(None, [space.description, function.get("description")]))
    return told


def _needless(tool: Json) -> bool:
    """OpenAI's search among tools that are loaded later: all of them are told at once instead."""
    return tool.get("type") == "tool_search" and tool.get("execution") in (None, "server")


def _tool(body: Json, path: str) -> Json:
    kind = body.get("type")
    if kind == "function":
        tool = shaped(body, _Function, path)
        _callable(tool.allowed_callers, path)
        told: Json = {"name": tool.name, "description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
        return {"type": "function", "function": {name: value for name, value in told.items() if value is not None}}
    if kind == "custom":
        custom = shaped(body, _Custom, path)
        _callable(custom.allowed_callers, path)
        return as_function(custom.name, custom.description, custom.format, path)
    if not isinstance(kind, str):
        raise AdapterError(f"Missing required parameter: '{path}.type'.", f"{path}.type", code=MISSING)
    raise AdapterError(
        f"The tool {kind[:64]} runs at OpenAI and cannot be passed on to this model; leave it out.", f"{path}.type", code=UNSUPPORTED
    )


def _callable(callers: list[str] | None, path: str) -> None:
    if callers is not None and "direct" not in callers:
        raise AdapterError("A tool that only code may call cannot be passed on.", f"{path}.allowed_callers", code=UNSUPPORTED)


def chosen_of(choice: str | Json, told: Json) -> Json:
    """The hub's members for tools with the choice among them: `told` has the functions and the search that there are.

    A choice of chat completions is about functions alone; this one is about the search too.
    """
    searches, functions = MEMBER in told, "tools" in told
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise AdapterError("Expected none, auto, required or an object.", "tool_choice", code=INVALID)
        if not searches:
            return {**told, "tool_choice": choice}
        if choice == "none":
            told = unsearched(told)
        return {**told, "tool_choice": choice} if functions else {**told, "tool_choice": FORCED} if choice == "required" else told
    kind = choice.get("type")
    if kind in ("function", "custom"):
        return {**told, "tool_choice": _named(choice, "tool_choice")}
    if kind == "allowed_tools":
        return _allowed(choice, told)
    if _searches(choice):
        if not searches:
            raise AdapterError("The chosen search is not among `tools`.", "tool_choice", code=INVALID)
        return {**told, "tool_choice": FORCED}
    raise AdapterError("This tool choice cannot be passed on to this model.", "tool_choice.type", code=UNSUPPORTED)


def _allowed(choice: Json, told: Json) -> Json:
    tools, mode = choice.get("tools"), choice.get("mode", "auto")
    if not isinstance(tools, list) or mode not in ("auto", "required"):
        raise AdapterError("Expected mode auto or required, and a list of tools.", "tool_choice", code=INVALID)
    found = [number for number, tool in enumerate(tools) if isinstance(tool, dict) and _searches(tool)]
    if found and MEMBER not in told:
        raise AdapterError("The allowed search is not among `tools`.", f"tool_choice.tools[{found[0]}]", code=INVALID)
    if not found:
        told = unsearched(told)
    named = [_named(tool, f"tool_choice.tools[{number}]") for number, tool in enumerate(tools) if number not in found]
    if named or not found:
        return {**told, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}}
    if mode == "required":
        return {**told, "tool_choice": FORCED}
    return {**told, "tool_choice": "none"} if "tools" in told else told


def _named(tool: Any, path: str) -> Json:
    """A function or custom tool by name; custom tools are functions in the hub."""
    found = tool if isinstance(tool, dict) else {}
    if found.get("type") not in ("function", "custom"):
        raise AdapterError("Only functions and custom tools can be chosen here.", below(path, "type"), code=UNSUPPORTED)
    if not isinstance(found.get("name"), str):
        raise AdapterError(f"Missing required parameter: '{path}.name'.", below(path, "name"), code=MISSING)
    return {"type": "function", "function": {"name": found["name"]}}
