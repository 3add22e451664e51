"""Custom tools of chat completions: functions in the hub, and their calls told to the client as it named them.

References: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools; the schema of chunks has no custom calls yet
(openai/openai-openapi#576): `{index, id, type: custom, custom: {name, input}}`, then `{index, custom: {input}}`, as the service sends them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeGuard

import msgspec

from adapters._base import Json
from adapters._custom import as_call, as_function, unwrapped
from adapters._shape import shaped

_FUNCTION = re.compile(r"((?:messages\[[0-9]{1,9}\]\.tool_calls|tools)\[[0-9]{1,9}\])\.function(.*)", re.DOTALL)
_STEP = re.compile(r"([a-z_]+)\[([0-9]+)\]")


class _Named(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1)]


class _Tool(_Named):
    description: str | None = None
    format: Json | None = None


class _Said(msgspec.Struct):
    name: str
    input: str


class _Call(msgspec.Struct):
    id: str
    custom: _Said


def as_functions(asked: Json) -> Json:
    """The request with functions in the place of custom tools, of calls of them in the history and in the choice."""
    told: Json = {}
    if any(map(_custom, asked.get("tools") or ())):
        told["tools"] = [_tool(tool, f"tools[{number}]") if _custom(tool) else tool for number, tool in enumerate(asked["tools"])]
    if any(_custom(call) for message in asked["messages"] for call in message.get("tool_calls") or ()):
        told["messages"] = [_message(message, f"messages[{number}]") for number, message in enumerate(asked["messages"])]
    choice = asked.get("tool_choice")
    if _custom(choice):
        told["tool_choice"] = _chosen(choice, "tool_choice")
    elif isinstance(choice, dict) and isinstance(allowed := choice.get("allowed_tools"), dict) and isinstance(allowed.get("tools"), list):
        at = "tool_choice.allowed_tools.tools"
        tools = [_chosen(tool, f"{at}[{number}]") if _custom(tool) else tool for number, tool in enumerate(allowed["tools"])]
        told["tool_choice"] = {**choice, "allowed_tools": {**allowed, "tools": tools}}
    return {**asked, **told} if told else asked


def custom_names(request: Json) -> frozenset[str]:
    """What the custom tools of a well-formed request are called."""
    return frozenset(tool["custom"]["name"] for tool in request.get("tools") or () if _custom(tool))


def with_custom_calls(choice: Json, names: frozenset[str]) -> Json:
    """A choice of a whole answer."""
    said: Json = choice.get("message") or {}
    if not any(_of(call, names) for call in said.get("tool_calls") or ()):
        return choice
    calls = [
        _custom_call(call, unwrapped(call["function"].get("arguments") or "{}")) if _of(call, names) else call
        for call in said["tool_calls"]
    ]
    return {**choice, "message": {**said, "tool_calls": calls}}


def custom_place(param: str, request: Json) -> str | None:
    """Where the client wrote what `param` names of a custom tool or a call of one; None for all else."""
    found = _FUNCTION.fullmatch(param)
    if found is None:
        return None
    at: Any = request
    for name, number in _STEP.findall(found[1]):
        inner = at.get(name) if isinstance(at, dict) else None
        at = inner[int(number)] if isinstance(inner, list) and int(number) < len(inner) else None
    own = {"": ".custom", ".name": ".custom.name", ".description": ".custom.description", ".arguments": ".custom.input"}
    # the schema is ours
    return found[1] + own.get(found[2], ".custom") if _custom(at) else None


class CustomCalls:
    """The calls of one stream. The text of one is told whole, because it is unwrapped: when the next call begins or its choice ends."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held: dict[int, tuple[int, list[str]]] = {}
        """Choice → index and arguments of the custom call that it is making."""

    def told(self, chunk: Json) -> Json | None:
        """The chunk for the client; None where all of it is held."""
        choices = chunk.get("choices")
        if not choices:
            return chunk
        told = [choice for choice in map(self._told, choices) if choice is not None]
        return {**chunk, "choices": told} if told else None

    def rest(self) -> list[Json]:
        """Choices with what is held still, where a stream ended without a reason."""
        held = [(number, self._text(number)) for number in list(self._held)]
        return [{"index": number, "delta": {"tool_calls": calls}, "finish_reason": None} for number, calls in held]

    def _told(self, choice: Json) -> Json | None:
        number, delta = choice.get("index") or 0, choice.get("delta") or {}
        calls = [told for call in delta.get("tool_calls") or () for told in self._call(number, call)]
        if choice.get("finish_reason") is not None:
            calls += self._text(number)
        rest = {name: value for name, value in delta.items() if name != "tool_calls"}
        if calls:
            return {**choice, "delta": {**rest, "tool_calls": calls}}
        return {**choice, "delta": rest} if rest or choice.get("finish_reason") is not None else None

    def _call(self, number: int, call: Json) -> list[Json]:
        function: Json = call.get("function") or {}
        index, arguments = call.get("index") or 0, function.get("arguments") or ""
        held = self._held.get(number)
        if held is not None and held[0] == index:
            held[1].append(arguments)
            return []
        before = self._text(number)
        if not _of(call, self._names):
            return [*before, call]
        self._held[number] = (index, [arguments])
        return [*before, _custom_call(call, "")]

    def _text(self, number: int) -> list[Json]:
        """What a choice holds, as the last of its call; it holds nothing then."""
        held = self._held.pop(number, None)
        return [] if held is None else [{"index": held[0], "custom": {"input": unwrapped("".join(held[1]) or "{}")}}]


def _custom(value: Any) -> TypeGuard[Json]:
    """Whether a tool, a call or a choice of one is a custom tool's."""
    return isinstance(value, dict) and value.get("type") == "custom"


def _tool(tool: Json, path: str) -> Json:
    at = f"{path}.custom"
    custom = shaped(tool.get("custom", {}), _Tool, at)
    return as_function(custom.name, custom.description, custom.format, at)


def _message(message: Json, path: str) -> Json:
    calls = [
        _function(call, f"{path}.tool_calls[{at}]") if _custom(call) else call for at, call in enumerate(message.get("tool_calls") or ())
    ]
    return {**message, "tool_calls": calls} if calls else message


def _function(call: Json, path: str) -> Json:
    found = shaped(call, _Call, path)
    own = {name: value for name, value in call.items() if name != "custom"}
    return {**own, **as_call(found.id, found.custom.name, found.custom.input)}


def _chosen(choice: Json, path: str) -> Json:
    return {"type": "function", "function": {"name": shaped(choice.get("custom", {}), _Named, f"{path}.custom").name}}


def _of(call: Json, names: frozenset[str]) -> bool:
    return (call.get("function") or {}).get("name") in names


def _custom_call(call: Json, text: str) -> Json:
    own = {name: value for name, value in call.items() if name != "function"}
    return {**own, "type": "custom", "custom": {"name": call["function"]["name"], "input": text}}
