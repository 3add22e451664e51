"""JSON Schemas at the imitation: which of them are compiled, and an instance of one, made of words of the request.

Reference: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")


class RefusedError(Exception):
    """An error answer: its HTTP status, its `error.type`, its text."""

    def __init__(self, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.message, self.status, self.kind = message, status, kind


def compilable(node: Any, root: Json, path: str, seen: tuple[str, ...] = ()) -> None:
    """Raises RefusedError where a schema leaves the subset that is compiled into a grammar."""
    if not isinstance(node, dict):
        raise RefusedError(f"{path}: schema must be an object")
    plain = {
        # not in the reference, but Vercel's AI SDK 6 fits schemas to the subset and keeps these two
        "$schema",
        "$id",
        "title",
        "description",
        "default",
        "enum",
        "const",
        "type",
        "required",
        "additionalProperties",
        "format",
        "pattern",
        "minItems",
    }
    deep = {"$ref", "$defs", "definitions", "properties", "items", "anyOf", "allOf"}
    for name in node:
        if name not in plain | deep:
            raise RefusedError(f"{path}: For '{node.get('type')}' type, property '{name}' is not supported")
    for holder in ("properties", "$defs", "definitions"):
        for name, part in node.get(holder, {}).items():
            compilable(part, root, f"{path}.{holder}.{name}", seen)
    if "$ref" in node:
        ref = node["$ref"]
        holder, _, name = ref.removeprefix("#/").partition("/")
        if ref in seen or name not in root.get(holder, {}):
            raise RefusedError(f"{path}: Recursive or external references are not supported")
        compilable(root[holder][name], root, path, (*seen, ref))
        return
    if not node.keys() & {"type", "enum", "const", "anyOf", "allOf"}:
        raise RefusedError(f"{path}: Schema must have a type")
    kinds = node.get("type") if isinstance(node.get("type"), list) else [node.get("type")]
    if ("object" in kinds or "properties" in node) and node.get("additionalProperties") is not False:
        raise RefusedError(f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    if node.get("minItems", 0) not in (0, 1):
        raise RefusedError(f"{path}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    if "format" in node and node["format"] not in _FORMATS:
        raise RefusedError(f"{path}: format '{node['format']}' is not supported")
    if re.search(r"\(\?|\\[bB1-9]", node.get("pattern", "")):
        raise RefusedError(f"{path}: pattern uses an unsupported feature")
    if any(isinstance(item, dict | list) for item in node.get("enum", [])):
        raise RefusedError(f"{path}: enum values must be scalars")
    for part in (*node.get("anyOf", []), *node.get("allOf", []), *([node["items"]] if "items" in node else [])):
        compilable(part, root, path, seen)


def sample(schema: Any, word: str, root: Json | None = None) -> Any:
    """A value the schema allows; strings are made of `word`, numbers of its length."""
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return word
    if "$ref" in schema:
        holder, _, name = schema["$ref"].removeprefix("#/").partition("/")
        return sample(root[holder][name], word, root)
    for name in ("const", "enum"):
        if name in schema:
            return schema[name] if name == "const" else schema[name][0]
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return sample(schema[name][0], word, root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return {name: sample(part, word, root) for name, part in (schema.get("properties") or {}).items()}
        case "array":
            return [sample(schema.get("items", {}), word, root)]
        case "integer":
            return len(word)
        case "number":
            return len(word) + 0.5
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return word
