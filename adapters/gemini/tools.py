"""Functions and the choice among them.

References: https://ai.google.dev/api/caching#FunctionDeclaration, https://ai.google.dev/api/caching#FunctionCallingConfig
"""

from __future__ import annotations

import re
from typing import Any

from adapters._base import AdapterError, Json
from adapters._names import Names
from adapters._web_search import FORCED
from adapters.gemini.schema import Allowance, subset, takes_arguments

NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_.:-]{0,63}\Z")
"""Names of functions that the API takes. The reference says 128 by now, the API has answered 400 to more than 64 (cline/cline#7339)."""
NAMES = Names(taken=NAME)


def tools_of(chat: Json) -> Json:
    """`tools` and `toolConfig`, each only where it says something: a toolConfig without functions is refused by the API."""
    declared = _declared(chat)
    choice, names = _choice(chat, declared)
    if choice == "allowed":
        declared = {name: function for name, function in declared.items() if name in names}
    if not declared:
        return {}
    said: Json = {"tools": [{"functionDeclarations": list(declared.values())}]}
    if choice in ("ANY", "NONE"):
        config: Json = {"mode": choice}
        if names:
            config["allowedFunctionNames"] = names
        said["toolConfig"] = {"functionCallingConfig": config}
    return said


def _declared(chat: Json) -> dict[str, Json]:
    declared: dict[str, Json] = {}
    allowance = Allowance()
    for path, function in functions_of(chat):
        declaration = _declaration(function, path, allowance)
        if declaration["name"] in declared:
            raise AdapterError("Two functions have the same name.", f"{path}.name")
        declared[declaration["name"]] = declaration
    return declared


def functions_of(chat: Json) -> list[tuple[str, Json]]:
    """Where each function stands, and the function; `functions` is the older form of `tools`."""
    found: list[tuple[str, Json]] = []
    for name in ("tools", "functions"):
        listed = chat.get(name)
        if listed is not None and not isinstance(listed, list):
            raise AdapterError("An array is expected.", name)
        for number, entry in enumerate(listed or ()):
            path = f"{name}[{number}]"
            if name == "tools":
                if not isinstance(entry, dict) or entry.get("type") != "function":
                    raise AdapterError("Only functions can be passed on to Gemini as tools.", f"{path}.type")
                entry, path = entry.get("function"), f"{path}.function"  # noqa: PLW2901
            if not isinstance(entry, dict):
                raise AdapterError("An object is expected.", path)
            found.append((path, entry))
    return found


def _declaration(function: Json, path: str, allowance: Allowance) -> Json:
    name = function.get("name")
    if not isinstance(name, str) or not NAME.match(name):
        raise AdapterError("Gemini takes names of letters, digits, _ . : - that begin with a letter or _.", f"{path}.name")
    description = function.get("description")
    # `description` is required by the reference
    declaration: Json = {"name": name, "description": description if isinstance(description, str) and description else name}
    parameters = function.get("parameters")
    if parameters is None:
        return declaration
    schema = subset(parameters, f"{path}.parameters", allowance)
    if schema.get("type", "object") != "object":
        raise AdapterError("The parameters of a function must be an object's schema.", f"{path}.parameters")
    if takes_arguments(schema):
        declaration["parametersJsonSchema"] = schema if "$ref" in schema else {**schema, "type": "object"}
    return declaration


def _choice(chat: Json, declared: dict[str, Json]) -> tuple[str, list[str]]:
    """The mode (or `allowed`: an auto choice among some), and the names it is limited to."""
    told = chat.get("tool_choice")
    path = "tool_choice"
    if told is None and chat.get("function_call") is not None:
        told, path = chat["function_call"], "function_call"
        if isinstance(told, dict):
            told = {"type": "function", "function": told}
    if told is None or told in ("auto", "none", "required"):
        mode = {None: "AUTO", "auto": "AUTO", "none": "NONE", "required": "ANY"}[told]
        if mode == "ANY" and not declared:
            raise AdapterError("There are no tools to choose from.", path)
        return mode, []
    if not isinstance(told, dict):
        raise AdapterError("This tool choice is not known.", path)
    if told == FORCED:
        raise AdapterError("Gemini searches where it sees fit, and cannot be made to.", path, code="unsupported_value")
    if told.get("type") == "allowed_tools":
        allowed = told.get("allowed_tools")
        inner: Json = allowed if isinstance(allowed, dict) else told
        entries = inner.get("tools")
        names = [_named(entry, declared, path) for entry in entries] if isinstance(entries, list) else []
        if not names:
            raise AdapterError("There are no tools to choose from.", path)
        return ("ANY" if inner.get("mode") == "required" else "allowed"), list(dict.fromkeys(names))
    return "ANY", [_named(told, declared, path)]


def _named(entry: Any, declared: dict[str, Json], path: str) -> str:
    function = entry.get("function") if isinstance(entry, dict) else None
    name = function.get("name") if isinstance(function, dict) else entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or name not in declared:
        raise AdapterError("The tool choice names a function that is not among the tools.", path)
    return name
