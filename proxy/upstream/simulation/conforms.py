"""Whether a value meets a JSON Schema, for the keywords that `sampler` fills in. Regular expressions are not run: see `patterns`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any] | bool
_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "number": lambda value: _is_number(value),  # noqa: PLW0108  defined below
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def resolve(reference: str, root: Schema) -> Schema | None:
    """What a local `$ref` (`#/$defs/name`, `#`) points to; None for one that leads out or nowhere."""
    if not reference.startswith("#"):
        return None
    target: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~").replace("%25", "%").replace("%24", "$")
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdigit() and int(name) < len(target):
            target = target[int(name)]
        else:
            return None
    return target if isinstance(target, dict | bool) else None


def conforms(value: Any, schema: Any, root: Schema, steps: list[int]) -> bool:
    """True if `value` meets `schema`. What is not understood is taken as met; so is all when `steps[0]`, counted down, is spent."""
    steps[0] -= 1
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict) or steps[0] < 0:
        return True
    if isinstance(schema.get("$ref"), str):
        target = resolve(schema["$ref"], root)
        if target is not None and not conforms(value, target, root, steps):
            return False
    return (
        _is_listed(value, schema)
        and _combined(value, schema, root, steps)
        and _number(value, schema)
        and _string(value, schema)
        and _array(value, schema, root, steps)
        and _object(value, schema, root, steps)
    )


def equal(one: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    return type(one) is type(other) and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_listed(value: Any, schema: dict[str, Any]) -> bool:
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(names, list) and not any(_TYPES.get(str(name), lambda _: True)(value) for name in names):
        return False
    if "const" in schema and not equal(value, schema["const"]):
        return False
    listed = schema.get("enum")
    return not isinstance(listed, list) or any(equal(value, item) for item in listed)


def _combined(value: Any, schema: dict[str, Any], root: Schema, steps: list[int]) -> bool:
    def meets(part: Any) -> bool:
        return conforms(value, part, root, steps)

    if "not" in schema and meets(schema["not"]):
        return False
    for keyword, enough in (("allOf", all), ("anyOf", any)):
        parts = schema.get(keyword)
        if isinstance(parts, list) and parts and not enough(meets(part) for part in parts):
            return False
    one = schema.get("oneOf")
    if isinstance(one, list) and one and sum(meets(part) for part in one) != 1:
        return False
    if "if" in schema:
        branch = "then" if meets(schema["if"]) else "else"
        return branch not in schema or meets(schema[branch])
    return True


def _number(value: Any, schema: dict[str, Any]) -> bool:
    if not _is_number(value):
        return True
    limits: tuple[tuple[str, Callable[[float, float], bool]], ...] = (
        ("minimum", lambda number, limit: number >= limit),
        ("maximum", lambda number, limit: number <= limit),
        ("exclusiveMinimum", lambda number, limit: number > limit),
        ("exclusiveMaximum", lambda number, limit: number < limit),
        ("multipleOf", lambda number, step: step <= 0 or _is_multiple(number, step)),
    )
    return all(holds(value, schema[name]) for name, holds in limits if _is_number(schema.get(name)))


def _is_multiple(number: float, step: float) -> bool:
    if isinstance(number, int) and isinstance(step, int):
        return number % step == 0
    quotient = number / step
    return math.isfinite(quotient) and quotient == int(quotient)


def _string(value: Any, schema: dict[str, Any]) -> bool:
    return not isinstance(value, str) or _within(len(value), schema, "minLength", "maxLength")


def _array(value: Any, schema: dict[str, Any], root: Schema, steps: list[int]) -> bool:
    if not isinstance(value, list):
        return True
    first = schema.get("prefixItems")
    first = first if isinstance(first, list) else []
    contains = schema.get("contains")
    return (
        _within(len(value), schema, "minItems", "maxItems")
        and all(conforms(item, part, root, steps) for item, part in zip(value, first, strict=False))
        and all(conforms(item, schema.get("items", True), root, steps) for item in value[len(first) :])
        and (contains is None or any(conforms(item, contains, root, steps) for item in value))
        and (schema.get("uniqueItems") is not True or not any(equal(a, b) for i, a in enumerate(value) for b in value[:i]))
    )


def _object(value: Any, schema: dict[str, Any], root: Schema, steps: list[int]) -> bool:
    if not isinstance(value, dict):
        return True
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    rest = schema.get("additionalProperties", True)
    wants = schema.get("dependentRequired")
    if isinstance(wants, dict) and any(name in value and not set(others) <= set(value) for name, others in wants.items()):
        return False
    return (
        _within(len(value), schema, "minProperties", "maxProperties")
        and all(name in value for name in (required if isinstance(required, list) else []))
        and all(
            conforms(item, properties.get(name, True if "patternProperties" in schema else rest), root, steps)
            for name, item in value.items()
        )
    )


def _within(size: int, schema: dict[str, Any], low: str, high: str) -> bool:
    least, most = schema.get(low), schema.get(high)
    return not (_is_number(least) and size < float(str(least))) and not (_is_number(most) and size > float(str(most)))
