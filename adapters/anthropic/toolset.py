"""Tools and the choice among them.

References: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools, .../tool-use/web-search-tool
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import AdapterError, Json
from adapters._web_search import FORCED, MEMBER, Search, search_of
from adapters.anthropic.content import marked
from adapters.anthropic.conversation import TOOL_NAME
from adapters.anthropic.models import Rules
from adapters.anthropic.schema import fitted

STRICT_TOOLS = 20
"""At most so many tools of a request may be strict (.../build-with-claude/structured-outputs)."""
SEARCH = "web_search"
_SEARCH_USES = {"low": 1, "medium": 5, "high": 8}
"""How often the vendor may search: how much it takes from each page cannot be said. After ten steps it pauses the turn, which is then
not whole (.../tool-use/server-tools)."""
_COMBINED = ("oneOf", "allOf", "anyOf")


class Toolset(msgspec.Struct, frozen=True):
    tools: list[Json]
    choice: Json | None
    ignored: tuple[str, ...] = ()

    @property
    def forced(self) -> bool:
        return self.choice is not None and self.choice["type"] in ("any", "tool")


def toolset_of(chat: Json, rules: Rules) -> Toolset:
    """What `tools`, `tool_choice` and `parallel_tool_calls` ask for, or the legacy `functions` and `function_call`."""
    given, wanted = _given(chat)
    wanted, allowed = _allowed(wanted)
    tools: list[Json] = []
    names: set[str] = set()
    ignored: tuple[str, ...] = ()
    for number, tool in enumerate(given):
        path = f"tools[{number}]"
        made = _tool(tool, rules, path)
        if not rules.structured and "strict" in made:
            del made["strict"]
            ignored = ("tools.strict",)
        if made["name"] in names:
            raise AdapterError("Names of tools must differ.", f"{path}.function.name")
        names.add(made["name"])
        tools.append(made)
    if allowed is not None:
        if allowed - names:
            raise AdapterError("An allowed tool is not among `tools`.", "tool_choice.allowed_tools.tools")
        tools = [tool for tool in tools if tool["name"] in allowed]
    if sum(tool.get("strict", False) for tool in tools) > STRICT_TOOLS:
        raise AdapterError(f"At most {STRICT_TOOLS} tools may be strict here.", "tools")
    search = search_of(chat)
    choice = _choice(wanted, tools, rules, search)
    # an answer in the form of `functions` has room for one call
    alone = chat.get("parallel_tool_calls") is False or bool(chat.get("functions"))
    if alone and tools and wanted != FORCED and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if search is not None:
        if any(tool["name"] == SEARCH for tool in tools):
            raise AdapterError(f"A tool named {SEARCH} cannot stand beside the vendor's own search of that name.", MEMBER)
        if choice is not None and choice["type"] == "none":
            # it would forbid the search as well
            tools, choice = [], None
        tools.append(_search_tool(search))
    return Toolset(tools, choice, ignored)


def _search_tool(search: Search) -> Json:
    """The vendor's tool in its first version: later ones run code as well."""
    tool: Json = {"type": "web_search_20250305", "name": SEARCH, "max_uses": _SEARCH_USES[search.search_context_size or "medium"]}
    if search.user_location is not None:
        place = msgspec.structs.asdict(search.user_location.approximate)
        tool["user_location"] = {"type": "approximate", **{name: value for name, value in place.items() if value}}
    if search.filters is not None:
        if search.filters.allowed_domains and search.filters.blocked_domains:
            raise AdapterError("Domains can be allowed or blocked here, not both.", f"{MEMBER}.filters")
        domains = msgspec.structs.asdict(search.filters)
        tool |= {name: value for name, value in domains.items() if value}
    return tool


def _given(chat: Json) -> tuple[list[Any], Any]:
    if chat.get("parallel_tool_calls") not in (None, True, False):
        raise AdapterError("`parallel_tool_calls` must be true or false.", "parallel_tool_calls")
    tools, functions = chat.get("tools"), chat.get("functions")
    for name, value in (("tools", tools), ("functions", functions)):
        if value is not None and not isinstance(value, list):
            raise AdapterError(f"`{name}` must be an array.", name)
    if not functions:
        return tools or [], chat.get("tool_choice")
    if tools:
        raise AdapterError("`functions` cannot stand beside `tools`.", "functions")
    wanted = chat.get("function_call")
    if isinstance(wanted, dict):
        wanted = {"type": "function", "function": wanted}
    return [{"type": "function", "function": function} for function in functions], wanted


def _allowed(wanted: Any) -> tuple[Any, set[str] | None]:
    """An `allowed_tools` choice as its mode and the names; any other choice as it is."""
    if not isinstance(wanted, dict) or wanted.get("type") != "allowed_tools":
        return wanted, None
    path = "tool_choice.allowed_tools"
    inner = wanted.get("allowed_tools", wanted)
    listed = inner.get("tools") if isinstance(inner, dict) else None
    if not isinstance(listed, list) or not listed or inner.get("mode") not in ("auto", "required"):
        raise AdapterError("`allowed_tools` needs a mode of auto or required, and tools.", path)
    names = set()
    for number, tool in enumerate(listed):
        name = _name_of(tool)
        if name is None:
            raise AdapterError("Only functions can be allowed here.", f"{path}.tools[{number}]")
        names.add(name)
    return inner["mode"], names


def _tool(tool: Any, rules: Rules, path: str) -> Json:
    if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
        raise AdapterError("Only tools of type `function` can be passed on.", path)
    function, at = tool["function"], f"{path}.function"
    name, description, strict = function.get("name"), function.get("description"), function.get("strict")
    if not isinstance(name, str) or not TOOL_NAME.match(name):
        raise AdapterError("A tool's name must be 1 to 128 letters, digits, _ or -.", f"{at}.name")
    made: Json = {"name": name}
    if description is not None and not isinstance(description, str):
        raise AdapterError("A tool's description must be a string.", f"{at}.description")
    if description:
        made["description"] = description
    if strict not in (None, True, False):
        raise AdapterError("`strict` must be true or false.", f"{at}.strict")
    made["input_schema"] = _input_schema(function.get("parameters"), f"{at}.parameters")
    if strict:
        if rules.structured:
            made["input_schema"] = fitted({"additionalProperties": False, **made["input_schema"]}, f"{at}.parameters")
        made["strict"] = True
    return marked(made, tool, path)


def _input_schema(parameters: Any, path: str) -> Json:
    if parameters is None or parameters == {}:
        return {"type": "object", "properties": {}}
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise AdapterError("A tool's parameters must be a JSON Schema of an object.", path)
    if any(name in parameters for name in _COMBINED):
        raise AdapterError("A tool's parameters cannot be a choice of schemas (oneOf, allOf, anyOf) at the top level here.", path)
    return {"type": "object", **parameters}


def _choice(wanted: Any, tools: list[Json], rules: Rules, search: Search | None) -> Json | None:
    if wanted in (None, "auto"):
        return None
    if wanted == FORCED and search is not None:
        return _possible({"type": "tool", "name": SEARCH}, rules)
    if wanted == "none":
        return {"type": "none"} if tools else None
    if wanted == "required":
        choice: Json = {"type": "any"}
    else:
        name = _name_of(wanted)
        if name is None:
            raise AdapterError("`tool_choice` must be none, auto, required, or name a function.", "tool_choice")
        if all(tool["name"] != name for tool in tools):
            raise AdapterError("The chosen tool is not among `tools`.", "tool_choice")
        choice = {"type": "tool", "name": name}
    if not tools:
        raise AdapterError("`tool_choice` asks for a tool, but there are none.", "tool_choice")
    return _possible(choice, rules)


def _possible(choice: Json, rules: Rules) -> Json:
    if not rules.forced_tools:
        raise AdapterError("This model cannot be forced to call a tool.", "tool_choice", code="unsupported_value")
    return choice


def _name_of(tool: Any) -> str | None:
    function = tool.get("function", tool) if isinstance(tool, dict) and tool.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None
