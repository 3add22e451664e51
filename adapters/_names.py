"""Names of functions that a vendor does not take, as ones that it takes, and back.

What clients and tool servers call their tools is theirs. A name sent follows from the client's alone, so that a history says the same in
every turn; whatever looks like one that was made here is made anew, so that no two can meet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters._base import Json

_ODD = re.compile(r"[^A-Za-z0-9_-]+")
_MADE = re.compile(r"_x[0-9a-f]{12}\Z")


class Names(msgspec.Struct, frozen=True):
    """What one vendor takes."""

    taken: re.Pattern[str]
    most: int = 64
    """Characters of one that is made."""

    def fits(self, name: str) -> bool:
        return self.taken.match(name) is not None and _MADE.search(name) is None

    def made(self, name: str) -> str:
        """The name, or one that the vendor takes in its place."""
        if not name or self.fits(name):
            return name
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12]
        plain = _ODD.sub("_", name)
        return f"{'' if plain[0].isalpha() or plain[0] == '_' else '_'}{plain}"[: self.most - 14] + f"_x{digest}"

    def sent(self, chat: Json) -> Json:
        """The hub request with such names in its tools, its choice and its history; itself where none is needed.

        What is malformed stays so: the adapter refuses it.
        """
        told: Json = {name: self._renamed(chat[name]) for name in ("tool_choice", "function_call") if name in chat}
        for name in ("tools", "functions"):
            if isinstance(chat.get(name), list):
                told[name] = _changed(chat[name], self._declared)
        messages = chat.get("messages")
        if isinstance(messages, list):
            told["messages"] = _changed(messages, self._message)
        changed = {name: value for name, value in told.items() if value is not chat[name]}
        return {**chat, **changed} if changed else chat

    def back(self, chat: Json) -> dict[str, str]:
        """Name sent → the client's own, for those of its functions that are sent under another."""
        tools = [tool.get("function") for tool in _list(chat.get("tools")) if isinstance(tool, dict)]
        found = [*tools, *_list(chat.get("functions"))]
        names = [each["name"] for each in found if isinstance(each, dict) and isinstance(each.get("name"), str)]
        return {self.made(name): name for name in names if name and not self.fits(name)}

    def _renamed(self, value: Any) -> Any:
        """Wherever a function stands, or a list of them: `name` in an object, or in its `function`."""
        if isinstance(value, list):
            return _changed(value, self._renamed)
        if not isinstance(value, dict):
            return value
        for holder in ("function", "allowed_tools", "tools"):
            if holder in value:
                inner = self._renamed(value[holder])
                return value if inner is value[holder] else {**value, holder: inner}
        name = value.get("name")
        if not isinstance(name, str) or not name or self.fits(name):
            return value
        return {**value, "name": self.made(name)}

    def _declared(self, tool: Any) -> Any:
        """A tool, or a function of the older form. What says nothing else of itself says its own name."""
        told = self._renamed(tool)
        if told is tool:
            return tool
        own = tool.get("function", tool)
        described = own if own.get("description") else {"description": own["name"]}
        return {**told, "function": {**described, **told["function"]}} if "function" in told else {**described, **told}

    def _message(self, message: Any) -> Any:
        if not isinstance(message, dict):
            return message
        if message.get("role") == "function":
            return self._renamed(message)
        told = {name: self._renamed(message[name]) for name in ("tool_calls", "function_call") if message.get(name)}
        changed = {name: value for name, value in told.items() if value is not message[name]}
        return {**message, **changed} if changed else message


def own_names(completion: Json, names: Mapping[str, str]) -> Json:
    """A hub answer with the client's names."""
    return {**completion, "choices": [_own(choice, "message", names) for choice in completion.get("choices") or ()]}


class OwnNames:
    """The same for a stream's chunks."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def __call__(self, chunks: list[Json]) -> list[Json]:
        return [{**chunk, "choices": [_own(choice, "delta", self._names) for choice in chunk.get("choices") or ()]} for chunk in chunks]


def _own(choice: Json, holder: str, names: Mapping[str, str]) -> Json:
    said = choice.get(holder) or {}
    calls = said.get("tool_calls")
    if not calls:
        return choice
    told = [_called(call, names) for call in calls]
    return {**choice, holder: {**said, "tool_calls": told}}


def _called(call: Json, names: Mapping[str, str]) -> Json:
    function = call.get("function") or {}
    name = names.get(function.get("name") or "")
    return call if name is None else {**call, "function": {**function, "name": name}}


def _changed(values: list[Any], change: Any) -> list[Any]:
    """The list itself where nothing changes."""
    told = [change(value) for value in values]
    return values if all(new is old for new, old in zip(told, values, strict=True)) else told


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
