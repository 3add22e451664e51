"""JSON Schemas within the subset that Claude's structured outputs and strict tools compile.

Reference: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
What the subset lacks is told to the model in the description, as the vendor's own client libraries do; an answer that keeps to
the fitted schema may then still break such a bound. What cannot be told so (recursion, conditions, open maps) is refused.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters._base import AdapterError, Json

DEPTH = 64
_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly", "$anchor"})
_TOLD = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "contentEncoding",
        "contentMediaType",
    }
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
# lookaround, references to groups and word boundaries are not compiled
_HARD_PATTERN = re.compile(r"\(\?|\\[bB1-9]")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MAPS = ("$defs", "definitions")
_NAMED = frozenset({"properties", "patternProperties", *_MAPS})
"""Keywords whose value holds schemas by name."""
_VALUES = frozenset({"enum", "const", "default", "examples"})
"""Keywords whose value is no schema, whatever it looks like."""


class UncompilableError(AdapterError):
    """A JSON Schema that the API does not compile, though another vendor may."""


def fitted(schema: Any, path: str) -> Json:
    """A schema that is compiled, and whose every instance has the shape the given one asks for. Raises AdapterError."""
    if not isinstance(schema, dict):
        raise AdapterError("A JSON Schema must be an object.", path)
    own = _with_definitions(schema, path)
    _refuse_recursion(own, path)
    return _node(own, path, 0)


def _node(node: Any, path: str, depth: int) -> Json:
    if depth > DEPTH:
        raise AdapterError("The JSON Schema nests too deep.", path)
    if not isinstance(node, dict):
        raise UncompilableError("Every part of a JSON Schema must be an object here: `true` and `false` have no counterpart.", path)
    out: Json = {}
    for name in _MAPS:
        if name in node:
            out[name] = _all_of_map(node[name], f"{path}.{name}", depth)
    if "$ref" in node:
        return {**out, "$ref": node["$ref"]}
    told: list[str] = []
    for name, value in node.items():
        if name not in _MAPS and name not in _ANNOTATIONS and not _scalar(name, value, path, out, told):
            _nested(name, value, (path, depth), out)
    _close_object(node, out, path)
    if not out.keys() & {"type", "anyOf", "allOf", "enum", "const"}:
        raise UncompilableError("A JSON Schema without a type has no counterpart here.", path)
    if told:
        bounds = "{" + ", ".join(told) + "}"
        out["description"] = f"{out['description']}\n\n{bounds}" if out.get("description") else bounds
    return out


def _scalar(name: str, value: Any, path: str, out: Json, told: list[str]) -> bool:
    """Takes a member that holds no schema: into `out`, or as words into `told`. False for other members."""
    match name:
        case "type":
            kinds = value if isinstance(value, list) else [value]
            if not kinds or any(not isinstance(kind, str) or kind not in _TYPES for kind in kinds):
                raise AdapterError("`type` must be one of JSON's types, or a list of them.", f"{path}.type")
            out[name] = value
        case "title" | "description":
            if not isinstance(value, str):
                raise AdapterError(f"`{name}` must be a string.", f"{path}.{name}")
            out[name] = value
        case "enum":
            if not isinstance(value, list) or not value or any(isinstance(item, dict | list) for item in value):
                raise AdapterError("`enum` must list strings, numbers, booleans or nulls.", f"{path}.enum")
            out[name] = value
        case "const" | "default":
            out[name] = value
        case "minItems" if value in (0, 1) and not isinstance(value, bool):
            out[name] = value
        case "format" if value in _FORMATS:
            out[name] = value
        case "pattern" if isinstance(value, str) and not _HARD_PATTERN.search(value):
            out[name] = value
        case "minItems" | "format" | "pattern":
            told.append(_words(name, value))
        case "required":
            if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
                raise AdapterError("`required` must list names.", f"{path}.required")
            out[name] = value
        case _ if name in _TOLD:
            told.append(_words(name, value))
        case _:
            return False
    return True


def _nested(name: str, value: Any, where: tuple[str, int], out: Json) -> None:
    path, depth = where
    at = f"{path}.{name}"
    match name:
        case "properties":
            out[name] = _all_of_map(value, at, depth)
        case "items":
            out[name] = _node(value, at, depth + 1)
        case "anyOf" | "oneOf" | "allOf":
            if not isinstance(value, list) or not value:
                raise AdapterError(f"`{name}` must be a list of schemas.", at)
            branches = [_node(item, f"{at}[{number}]", depth + 1) for number, item in enumerate(value)]
            if name == "allOf" and any("$ref" in branch for branch in branches):
                raise UncompilableError("`allOf` with `$ref` has no counterpart here.", at)
            # exactly one of the branches cannot be asked for; any of them can
            out["anyOf" if name == "oneOf" else name] = branches
        case "additionalProperties":
            pass
        case _:
            raise UncompilableError("This JSON Schema keyword has no counterpart here.", f"{path}.{name[:64]}")


def _close_object(node: Json, out: Json, path: str) -> None:
    kind = out.get("type")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind) and "properties" not in out:
        return
    if not out.get("properties") and node.get("additionalProperties") is not False:
        raise UncompilableError("An object whose members are not listed has no counterpart here.", path)
    out["additionalProperties"] = False


def _all_of_map(value: Any, path: str, depth: int) -> Json:
    if not isinstance(value, dict):
        raise AdapterError("An object of schemas was expected.", path)
    return {name: _node(item, f"{path}.{name[:64]}", depth + 1) for name, item in value.items()}


def _words(name: str, value: Any) -> str:
    return f"{name}: {msgspec.json.encode(value).decode()}"


def _refuse_recursion(schema: Json, path: str) -> None:
    """References must be local, exist, and not come back to where they are used."""
    defined = {f"#/{holder}/{name}": part for holder in _MAPS for name, part in _dict(schema.get(holder)).items()}
    uses = {name: _references(part, path) for name, part in defined.items()}
    for used in (*uses.values(), _references({k: v for k, v in schema.items() if k not in _MAPS}, path)):
        if "#" in used and "$ref" not in schema:
            raise UncompilableError("Recursive JSON Schemas have no counterpart here.", path)
        if not used <= defined.keys():
            raise AdapterError("`$ref` must name one of the schema's own definitions, and not itself.", path)
    while uses:
        settled = {name for name, used in uses.items() if not used & uses.keys()}
        if not settled:
            raise UncompilableError("Recursive JSON Schemas have no counterpart here.", path)
        uses = {name: used for name, used in uses.items() if name not in settled}


def _references(part: Any, path: str) -> set[str]:
    found: set[str] = set()
    todo = [part]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo += item
        elif isinstance(item, dict):
            if "$ref" in item:
                if not isinstance(item["$ref"], str):
                    raise AdapterError("`$ref` must be a string.", path)
                found.add(item["$ref"])
            for name, value in item.items():
                if name not in _VALUES:
                    todo += value.values() if name in _NAMED and isinstance(value, dict) else [value]
    return found


def _with_definitions(schema: Json, path: str) -> Json:
    """The schema with a definition of its own for every other place it refers to (`#/properties/a`): the API knows definitions alone.

    Generators write so what comes a second time (zod-to-json-schema unless told otherwise).
    """
    targets = {used: _target(schema, used) for used in sorted(_references(schema, path)) if used.startswith("#/")}
    definitions = _dict(schema.get("$defs"))
    names: dict[str, str] = {}
    for used, target in targets.items():
        if target is not None and not (used.count("/") == 2 and used.startswith(("#/$defs/", "#/definitions/"))):
            number = len(names) + 1
            while f"part_{number}" in definitions or f"part_{number}" in names.values():
                number += 1
            names[used] = f"part_{number}"
    if not names:
        return schema
    made: Json = _redirected(schema, names)
    parts = {name: _redirected(targets[used], names) for used, name in names.items()}
    return {**made, "$defs": {**_dict(made.get("$defs")), **parts}}


def _target(schema: Json, pointer: str) -> Json | None:
    """What a JSON pointer (RFC 6901) of the document stands for; None where there is no schema."""
    found: Any = schema
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = dict(enumerate(found)).get(int(key)) if _NUMBER.fullmatch(key) else None
        else:
            found = _dict(found).get(key)
    return found if isinstance(found, dict) else None


def _redirected(node: Any, names: dict[str, str]) -> Any:
    """A schema, or whatever holds some, with its references by their new names."""
    if isinstance(node, list):
        return [_redirected(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    out: Json = {}
    for name, value in node.items():
        if name == "$ref":
            out[name] = f"#/$defs/{names[value]}" if value in names else value
        elif name in _NAMED and isinstance(value, dict):
            out[name] = {each: _redirected(part, names) for each, part in value.items()}
        else:
            out[name] = value if name in _VALUES else _redirected(value, names)
    return out


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
