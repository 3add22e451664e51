"""A plain tree to the Structs of proxy/config.py, finding every wrong value and not only the first."""

from __future__ import annotations

import re
import types
import typing
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from proxy.config import Config
from proxy.configuration.document import Document
from proxy.configuration.problems import Path, Problem, nearest, written

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
    "str | object": "text or a mapping",
}


def shaped(document: Document) -> tuple[Config | None, list[Problem]]:
    """The Config in the document, or every reason why there is none."""
    if document.tree is None:
        return None, list(document.problems)
    found = _Shape(document)
    found.value(document.tree, Config, ())
    problems = [*document.problems, *found.problems]
    if problems:
        return None, sorted(problems, key=lambda problem: problem.line or 0)
    try:
        return msgspec.convert(document.tree, Config), []
    except msgspec.ValidationError as error:  # what a Struct itself refuses; for the rest the walk above is complete
        message, _, place = str(error).partition(" - at `$")
        path = _path(place.removesuffix("`"))
        return None, [Problem(path=written(path), message=message, line=document.line(path))]


def _path(place: str) -> Path:
    """`.carbon.sources[3].uk_neso` as a path."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", place))


class _Shape:
    """Compares a tree with types, as deep as Structs and mappings go."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def value(self, value: Any, wanted: Any, path: Path) -> None:
        if isinstance(value, dict):
            struct, mapping = _struct_in(wanted), _mapping_in(wanted)
            if struct is not None:
                self._struct(value, struct, path)
                return
            if mapping is not None:
                for key, item in value.items():
                    self._leaf(key, mapping[0], (*path, key))
                    self.value(item, mapping[1], (*path, key))
                return
        items = _items_in(wanted)
        if isinstance(value, list) and items is not None and _struct_in(items) is not None:
            for index, item in enumerate(value):
                self.value(item, items, (*path, index))
            return
        self._leaf(value, wanted, path)

    def _struct(self, value: dict[str, Any], struct: type[msgspec.Struct], path: Path) -> None:
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        for key, item in value.items():
            if key in fields:
                self.value(item, fields[key].type, (*path, key))
            else:
                known = f"; there are {', '.join(fields)}" if len(fields) <= 8 else ""
                self._problem((*path, key), f"is not a setting{'' if path else ' of the file'}{known}", nearest(key, fields))
        for name, field in fields.items():
            if field.required and name not in value:
                self._problem((*path, name), "is missing")

    def _leaf(self, value: Any, wanted: Any, path: Path) -> None:
        try:
            msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            message, _, inner = str(error).partition(" - at `")
            where = path
            if inner.startswith("$["):
                where = (*path, int(inner[2:].partition("]")[0])) if inner[2:3].isdigit() else path
            self._problem(where, _told(message, value, wanted), _suggestion(value, wanted))

    def _problem(self, path: Path, message: str, suggestion: str | None = None) -> None:
        line = self.document.line(path)
        self.problems.append(Problem(path=written(path), message=message, suggestion=suggestion, line=line))


def _members(wanted: Any) -> tuple[Any, ...]:
    """The alternatives of a type; itself if it has none."""
    if get_origin(wanted) is Annotated:
        return _members(get_args(wanted)[0])
    if get_origin(wanted) in {Union, types.UnionType}:
        return tuple(member for part in get_args(wanted) for member in _members(part))
    return (wanted,)


def _struct_in(wanted: Any) -> type[msgspec.Struct] | None:
    return next((part for part in _members(wanted) if isinstance(part, type) and issubclass(part, msgspec.Struct)), None)


def _mapping_in(wanted: Any) -> tuple[Any, Any] | None:
    return next((get_args(part) for part in _members(wanted) if get_origin(part) is dict), None)


def _items_in(wanted: Any) -> Any | None:
    """What a list of any length holds."""
    return next((get_args(part)[0] for part in _members(wanted) if get_origin(part) is tuple and get_args(part)[1:] == (...,)), None)


def _suggestion(value: Any, wanted: Any) -> str | None:
    return nearest(value, _choices(wanted)) if isinstance(value, str) else None


def _choices(wanted: Any) -> list[str]:
    return [choice for part in _members(wanted) if get_origin(part) is typing.Literal for choice in get_args(part)]


def _told(message: str, value: Any, wanted: Any) -> str:
    """The message of msgspec in words of YAML. The value is named only where a number or a truth value was wanted: no secret."""
    for theirs, ours in _WORDS.items():
        message = message.replace(f"`{theirs} | null`", ours).replace(f"`{theirs}`", ours)
    if "matching regex '^(env|file)" in message:
        return "must be written env:NAME or file:PATH, so that no secret stands in the file"
    if "matching regex '^(env:|file:|sha256:" in message:
        return "must be written env:NAME, file:PATH or sha256:HEX (64 digits, lower case), so that no key stands in the file"
    message = message[:1].lower() + message[1:]
    choices = _choices(wanted)
    if message.startswith("invalid enum value") and choices:
        return f"must be one of {', '.join(map(str, choices))}"
    named = isinstance(value, bool | int | float) and not message.startswith("expected text")
    return f"{message} ({value!r})" if named else message
