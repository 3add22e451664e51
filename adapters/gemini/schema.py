"""JSON Schema as clients write it, reduced to the part of it that Gemini's responseJsonSchema and parametersJsonSchema take.

Keywords outside that part are ignored by the models as the reference says; some make the API answer 400, so they are left out.
Reference: https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
"""

from __future__ import annotations

from typing import Any

from adapters._base import AdapterError, Json
from adapters._json import encode

_COUNTS = ("minItems", "maxItems")
_TEXTS = ("title", "description", "format")
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_DEFS = ("$defs", "definitions")
_DEPTH = 64
_NODES = 5_000
"""Sub-schemas looked at in one document: written-out references could multiply without end."""


class Allowance:
    """What the references of one request may write out, in all its documents together: a few words in each of them do for a gigabyte."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts = 4 * _NODES


def subset(schema: Any, path: str, allowance: Allowance | None = None) -> Json:
    """The schema in Gemini's subset. Raises AdapterError for what is no schema, and for references that cannot be resolved.

    `allowance`: of the request whose document it is, where it has several.
    """
    if not isinstance(schema, dict):
        raise AdapterError("A JSON Schema must be an object.", path)
    cleaner = _Cleaner(schema, path, allowance or Allowance())
    try:
        cleaned = cleaner.clean(schema, ())
    except RecursionError:
        raise AdapterError("The JSON Schema has too many levels.", path) from None
    definitions = cleaner.definitions()
    return {**cleaned, "$defs": definitions} if definitions else cleaned


def takes_arguments(schema: Json) -> bool:
    """Whether a function's (cleaned) schema leaves anything to fill in."""
    if set(schema) - {"type", "title", "description", "required", "properties", "additionalProperties"}:
        return True
    return bool(schema.get("properties")) or schema.get("additionalProperties") not in (None, False)


class _Cleaner:
    """One document: the root that references point into, and the definitions that were found to be used."""

    __slots__ = ("_allowance", "_defs", "_left", "_path", "_root", "_used", "_whole")

    def __init__(self, root: Json, path: str, allowance: Allowance) -> None:
        self._root, self._path, self._left, self._allowance = root, path, _NODES, allowance
        self._used: dict[str, Json | None] = {}
        self._defs: Json = {}
        for name in _DEFS:
            if isinstance(root.get(name), dict):
                self._defs |= root[name]
        self._whole = "root"
        while self._whole in self._defs:
            self._whole += "_"

    def definitions(self) -> Json:
        return {name: schema for name, schema in self._used.items() if schema is not None}

    def clean(self, schema: Any, inlined: tuple[str, ...]) -> Json:
        """`inlined` are the references being written out at this place: one that comes again is endless."""
        if isinstance(schema, bool):
            return {}
        if not isinstance(schema, dict):
            raise AdapterError("A JSON Schema must consist of objects.", self._path)
        self._count(inlined)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            merged, seen = self._merged(schema, inlined)
            return self.clean(merged, seen)
        if "$ref" in schema:
            return self._reference(schema, inlined)
        out: Json = {name: schema[name] for name in _TEXTS if isinstance(schema.get(name), str)}
        self._type(schema, out)
        self._values(schema, out)
        self._numbers(schema, out)
        self._nested(schema, out, inlined)
        return out

    def _count(self, inlined: tuple[str, ...], parts: int = 1) -> None:
        """`parts`: as many as it weighs; one that is large and referred to often would fill the memory as many do."""
        self._left -= parts
        if inlined:
            self._allowance.parts -= parts
        if self._left < 0 or self._allowance.parts < 0 or len(inlined) > _DEPTH:
            raise AdapterError("The JSON Schema has too many parts or levels of references.", self._path)

    def _reference(self, schema: Json, inlined: tuple[str, ...]) -> Json:
        reference = schema["$ref"]
        beside = {name: value for name, value in schema.items() if name not in ("$ref", *_DEFS)}
        name = _definition(reference)
        if reference == "#" and "$ref" not in self._root:
            # recursion as OpenAI's guide writes it: the root once more, as a definition
            name = self._whole
            self._defs.setdefault(name, {key: value for key, value in self._root.items() if key not in _DEFS})
        if name is None or name not in self._defs:
            # a pointer elsewhere (`#/properties/a`): Gemini knows references to $defs only, so the target is written out
            if reference in inlined:
                raise AdapterError("The JSON Schema refers to itself other than through $defs.", self._path)
            target = self._target(reference)
            self._count((*inlined, reference), _weight(target))
            return self.clean({**target, **beside}, (*inlined, reference))
        if name not in self._used:
            self._used[name] = None
            self._used[name] = self.clean(self._defs[name], ())
        pointer: Json = {"$ref": f"#/$defs/{name}"}
        kept = self.clean(beside, inlined)
        # beside $ref nothing else may stand, so what stood there goes around it
        return {**kept, "anyOf": [pointer]} if kept else pointer

    def _target(self, reference: Any) -> Json:
        place: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise AdapterError("References out of the JSON Schema cannot be resolved.", self._path)
        for step in reference.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict) and key in place:
                place = place[key]
            elif isinstance(place, list) and key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(place):
                place = place[int(key)]
            else:
                raise AdapterError("A reference of the JSON Schema points nowhere.", self._path)
        if not isinstance(place, dict):
            raise AdapterError("A reference of the JSON Schema points to something that is no schema.", self._path)
        return {name: value for name, value in place.items() if name not in _DEFS}

    def _merged(self, schema: Json, inlined: tuple[str, ...]) -> tuple[Json, tuple[str, ...]]:
        """`allOf` as one schema, and the references written out for it.

        Properties and requirements are united, of the rest the last word counts.
        """
        beside = {name: value for name, value in schema.items() if name != "allOf"}
        parts = schema["allOf"]
        if len(parts) == 1 and isinstance(parts[0], dict):
            # the usual way to put words beside a reference, which may then be one to itself
            return {**parts[0], **beside}, inlined
        merged: Json = {}
        properties: Json = {}
        required: dict[str, None] = {}
        all_seen = inlined
        for part in (*parts, beside):
            piece, seen = self._resolved(part if isinstance(part, dict) else {}, inlined)
            all_seen += tuple(reference for reference in seen if reference not in all_seen)
            merged |= piece
            own, needed = piece.get("properties"), piece.get("required")
            self._count(inlined, 1 + (_size(own) + _size(needed)) // 16)
            if isinstance(own, dict):
                properties |= own
                merged["properties"] = properties
            if isinstance(needed, list):
                required |= dict.fromkeys(name for name in needed if isinstance(name, str))
        if required:
            merged["required"] = list(required)
        return merged, all_seen

    def _resolved(self, piece: Json, inlined: tuple[str, ...]) -> tuple[Json, tuple[str, ...]]:
        """A part of `allOf` without references and without `allOf` of its own."""
        seen = inlined
        while "$ref" in piece or (isinstance(piece.get("allOf"), list) and piece["allOf"]):
            self._count(seen)
            if "$ref" not in piece:
                piece, seen = self._merged(piece, seen)
                continue
            reference = piece["$ref"]
            if reference in seen:
                raise AdapterError("The JSON Schema contains itself through allOf.", self._path)
            seen = (*seen, reference)
            name = _definition(reference)
            target = self._defs[name] if name is not None and isinstance(self._defs.get(name), dict) else self._target(reference)
            self._count(seen, _weight(target))
            piece = {**target, **{key: value for key, value in piece.items() if key != "$ref"}}
        return piece, seen

    def _type(self, schema: Json, out: Json) -> None:
        told = schema.get("type")
        names = [told] if isinstance(told, str) else told if isinstance(told, list) else []
        types = [name.lower() for name in names if isinstance(name, str) and name.lower() in _TYPES]
        if not types and isinstance(schema.get("properties"), dict):
            types = ["object"]
        if schema.get("nullable") is True and types and "null" not in types:
            types.append("null")
        if types:
            out["type"] = types[0] if len(types) == 1 else types

    def _values(self, schema: Json, out: Json) -> None:
        """`enum` may hold strings and numbers only; null becomes a type, truth values stay free."""
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list) or not values:
            return
        named = [value for value in values if isinstance(value, str | int | float) and not isinstance(value, bool)]
        if len(named) == len([value for value in values if value is not None]) and named:
            out["enum"] = named
        types = {_type_name(value) for value in values}
        if "type" not in out:
            ordered = sorted(types)
            out["type"] = ordered[0] if len(ordered) == 1 else ordered
        elif "null" in types and "null" not in (out["type"] if isinstance(out["type"], list) else [out["type"]]):
            out["type"] = [*(out["type"] if isinstance(out["type"], list) else [out["type"]]), "null"]

    def _numbers(self, schema: Json, out: Json) -> None:
        for name in _COUNTS:
            if isinstance(schema.get(name), int) and not isinstance(schema[name], bool):
                out[name] = schema[name]
        step = 1 if out.get("type") == "integer" else 0
        for name, exclusive, inwards in (("minimum", "exclusiveMinimum", step), ("maximum", "exclusiveMaximum", -step)):
            bound, open_bound = _number(schema.get(name)), _number(schema.get(exclusive))
            if bound is not None:
                out[name] = bound
            elif open_bound is not None:
                # exact for integers; for others the bound itself is let in, because the subset has no open bounds
                out[name] = int(open_bound // 1 + inwards) if step and float(open_bound).is_integer() else open_bound

    def _nested(self, schema: Json, out: Json, inlined: tuple[str, ...]) -> None:
        for name in ("anyOf", "oneOf", "prefixItems"):
            if isinstance(schema.get(name), list) and schema[name]:
                out[name] = [self.clean(part, inlined) for part in schema[name]]
        items = schema.get("items")
        if isinstance(items, list):
            out["prefixItems"] = [self.clean(part, inlined) for part in items]
        elif isinstance(items, dict):
            out["items"] = self.clean(items, inlined)
        properties = schema.get("properties")
        if isinstance(properties, dict):
            out["properties"] = {name: self.clean(part, inlined) for name, part in properties.items()}
        extra = schema.get("additionalProperties")
        if isinstance(extra, bool):
            out["additionalProperties"] = extra
        elif isinstance(extra, dict):
            out["additionalProperties"] = self.clean(extra, inlined)
        for name in ("required", "propertyOrdering"):
            if isinstance(schema.get(name), list):
                out[name] = [entry for entry in schema[name] if isinstance(entry, str)]


def _definition(reference: Any) -> str | None:
    """The name in `#/$defs/NAME`; None for any other pointer."""
    for prefix in ("#/$defs/", "#/definitions/"):
        if isinstance(reference, str) and reference.startswith(prefix) and "/" not in reference[len(prefix) :]:
            return reference[len(prefix) :]
    return None


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _size(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _weight(schema: Json) -> int:
    """How many parts of a kilobyte it is as large as."""
    return len(encode(schema)) // 1024
