"""A value that meets a JSON Schema, and nothing but the schema decides which.

Sampled and then checked (`conforms`), so that what cannot be built forwards (`not`, overlapping `oneOf`, `if`) is found by
trying. The work is bounded: schemas come from clients.
"""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Callable
from typing import Any

from proxy.upstream.simulation import words
from proxy.upstream.simulation.conforms import Schema, conforms, equal, resolve
from proxy.upstream.simulation.patterns import UnsatisfiableError, matching

TRIES = 40
STEPS = 20_000
"""Values made or looked at for one answer."""
MAX_DEPTH = 48
SPARE_DEPTH = 5
"""Beyond it only what is required is made, so that recursive schemas come to an end."""
MAX_ITEMS = 500
_IMPLIED = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "patternProperties", "propertyNames"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_ALTERNATIVES = ("anyOf", "oneOf")
# schemas come from clients: where a keyword holds something else than it may, Python says so in one of these ways
_MALFORMED = (UnsatisfiableError, RecursionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def sample(schema: Schema, random_: random.Random) -> Any:
    """A value that meets the schema; where none was found, the best try (None if there was none at all)."""
    steps, checks = [STEPS], [STEPS]
    best: Any = None
    for _ in range(TRIES):
        try:
            value = _Sampling(schema, random_, steps).value(schema, 0)
            if conforms(value, schema, schema, checks):
                return value
            best = value if best is None else best
        except _MALFORMED:
            continue
    return best


class _Sampling:
    """One try."""

    def __init__(self, root: Schema, random_: random.Random, steps: list[int]) -> None:
        self.root, self.random, self.steps = root, random_, steps

    def value(self, schema: Any, depth: int) -> Any:
        self.steps[0] -= 1
        if self.steps[0] < 0 or depth > MAX_DEPTH:
            raise UnsatisfiableError("the schema is too deep or too large")
        if schema is False:
            raise UnsatisfiableError("nothing meets false")
        if not isinstance(schema, dict):
            return words.phrase(self.random)
        schema = self._flat(schema, depth)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list):
            listed = [item for item in schema["enum"] if conforms(item, _without(schema, "enum"), self.root, [STEPS])]
            if not listed:
                raise UnsatisfiableError("nothing listed meets the rest of the schema")
            return self.random.choice(listed)
        for keyword in _ALTERNATIVES:
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                return self._alternative(schema, keyword, depth)
        return self._typed(schema, depth)

    def _flat(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """The schema with its `$ref` and `allOf` merged into it."""
        for _ in range(MAX_DEPTH):
            if isinstance(schema.get("$ref"), str):
                target = resolve(schema["$ref"], self.root)
                rest = _without(schema, "$ref")
                if target is False:
                    raise UnsatisfiableError("nothing meets false")
                schema = _merged(target, rest) if isinstance(target, dict) else rest
            elif isinstance(schema.get("allOf"), list):
                parts, schema = schema["allOf"], _without(schema, "allOf")
                for part in parts:
                    if part is False:
                        raise UnsatisfiableError("nothing meets false")
                    schema = _merged(schema, self._flat(part, depth + 1)) if isinstance(part, dict) else schema
            elif "then" in schema or "else" in schema:
                return self._conditional(schema)
            else:
                return schema
            self.steps[0] -= 1
        raise UnsatisfiableError("references go in a circle")

    def _conditional(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Takes one branch of `if`; whether it was the right one is seen when the value is checked."""
        rest = {name: part for name, part in schema.items() if name not in {"if", "then", "else"}}
        taken = [schema.get("if"), schema.get("then")] if self.random.random() < 0.5 else [schema.get("else")]
        for part in taken:
            rest = _merged(rest, part) if isinstance(part, dict) else rest
        return rest

    def _alternative(self, schema: dict[str, Any], keyword: str, depth: int) -> Any:
        parts, rest = list(schema[keyword]), _without(schema, keyword)
        self.random.shuffle(parts)
        if depth <= SPARE_DEPTH:
            parts.sort(key=lambda part: isinstance(part, dict) and part.get("type") == "null")
        else:
            parts.sort(key=lambda part: isinstance(part, dict) and ("$ref" in part or "properties" in part or "items" in part))
        for part in parts:
            try:
                return self.value(_merged(rest, part) if isinstance(part, dict) else rest if part is not False else False, depth + 1)
            except UnsatisfiableError:
                if self.steps[0] < 0:
                    raise
        raise UnsatisfiableError("no alternative can be met")

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        match self._type(schema, depth):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return self.random.random() < 0.5
            case "null":
                return None
            case _:
                return self._string(schema)

    def _type(self, schema: dict[str, Any], depth: int) -> str:
        wanted = schema.get("type")
        if isinstance(wanted, list):
            names = [str(name) for name in wanted]
            if not names:
                raise UnsatisfiableError("no type is allowed")
            if depth > SPARE_DEPTH and "null" in names:
                return "null"
            return self.random.choice([name for name in names if name != "null"] or names)
        if isinstance(wanted, str):
            return wanted
        return next((name for name, keywords in _IMPLIED.items() if any(keyword in schema for keyword in keywords)), "string")

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema["properties"] if isinstance(schema.get("properties"), dict) else {}
        required = [str(name) for name in schema.get("required") or []]
        rest = schema.get("additionalProperties", True)
        least, most = _whole(schema, "minProperties", 0), _whole(schema, "maxProperties", len(properties) + len(required) + MAX_ITEMS)
        wanted = dict.fromkeys(required)
        for name in properties:
            if depth < SPARE_DEPTH and len(wanted) < most and self.random.random() < 0.6:
                wanted[name] = None
        wanted |= dict.fromkeys(list(properties)[: max(0, least)]) if len(wanted) < least else {}
        for name, others in (schema.get("dependentRequired") or {}).items():
            wanted |= dict.fromkeys(others) if name in wanted else {}
        while len(wanted) < least:
            if rest is False or len(wanted) >= MAX_ITEMS:
                raise UnsatisfiableError("too few properties are allowed")
            wanted[f"{self.random.choice(words.NOUNS)}_{len(wanted)}"] = None
        # in the order of the schema, as models write them
        names = [name for name in properties if name in wanted] + [name for name in wanted if name not in properties]
        result: dict[str, Any] = {}
        for name in names:
            try:
                result[name] = self.value(properties.get(name, rest), depth + 1)
            except UnsatisfiableError:
                if name in required or self.steps[0] < 0:
                    raise
        return result

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema["prefixItems"] if isinstance(schema.get("prefixItems"), list) else []
        items = schema.get("items", True)
        least = _whole(schema, "minItems", 0)
        most = _whole(schema, "maxItems", MAX_ITEMS)
        if least > MAX_ITEMS or least > most:
            raise UnsatisfiableError("the array would be too long")
        usual = 0 if depth > SPARE_DEPTH or items is False else self.random.randint(1, 3)
        length = min(most, max(least, len(first) + usual if items is not False else len(first)))
        result: list[Any] = []
        tries = 0
        while len(result) < length:
            value = self.value(first[len(result)] if len(result) < len(first) else items, depth + 1)
            if "contains" in schema and not result and not first:
                value = self.value(_merged(items, schema["contains"]) if isinstance(items, dict) else schema["contains"], depth + 1)
            if schema.get("uniqueItems") is True and any(equal(value, other) for other in result):
                tries += 1
                if tries > TRIES and len(result) >= least:
                    break
                if tries > TRIES * 5:
                    raise UnsatisfiableError("too few different items")
                continue
            result.append(value)
        return result

    def _string(self, schema: dict[str, Any]) -> str:
        least, most = _whole(schema, "minLength", 0), _whole(schema, "maxLength", 1 << 30)
        if least > most or least > 1 << 16:
            raise UnsatisfiableError("no text is as long as that")
        if isinstance(schema.get("pattern"), str):
            for _ in range(TRIES):
                text = matching(schema["pattern"], self.random)
                if least <= len(text) <= most:
                    return text
                text += matching(schema["pattern"], self.random) if not schema["pattern"].startswith("^") else ""
                if least <= len(text) <= most:
                    return text
            raise UnsatisfiableError("no text of that length matches")
        if isinstance(schema.get("format"), str) and schema["format"] in _FORMATS:
            return _FORMATS[schema["format"]](self.random)
        text = words.phrase(self.random)
        while len(text) < least:
            text += " " + words.phrase(self.random)
        return text if len(text) <= most else text[:most].strip().ljust(least, "a")

    def _integer(self, schema: dict[str, Any]) -> int:
        low, high = _bounds(schema)
        step = schema.get("multipleOf")
        step = step if isinstance(step, int | float) and step > 0 else 1
        if step != int(step):  # whole multiples of a fraction: of its numerator
            step = next((k * step for k in range(1, 1001) if float(k * step).is_integer()), 1)
        first, last = math.ceil(low / step), math.floor(high / step)
        if first > last:
            raise UnsatisfiableError("no whole number is between the limits")
        number = self.random.randint(first, last) * int(step)
        return number + (number == schema.get("exclusiveMinimum")) * int(step) - (number == schema.get("exclusiveMaximum")) * int(step)

    def _number(self, schema: dict[str, Any]) -> float | int:
        if _has(schema, "multipleOf") and schema["multipleOf"] > 0:
            low, high = _bounds(schema)
            step = schema["multipleOf"]
            first, last = math.ceil(low / step), math.floor(high / step)
            if first > last:
                raise UnsatisfiableError("no multiple is between the limits")
            return float(self.random.randint(first, last) * step) if isinstance(step, float) else self.random.randint(first, last) * step
        low, high = _bounds(schema)
        if low > high:
            raise UnsatisfiableError("no number is between the limits")
        number = round(self.random.uniform(low, high), 2)
        return (
            number
            if low <= number <= high and number not in {schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")}
            else (low + high) / 2
        )


def _without(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    return {name: part for name, part in schema.items() if name != keyword}


def _has(schema: dict[str, Any], keyword: str) -> bool:
    return isinstance(schema.get(keyword), int | float) and not isinstance(schema[keyword], bool)


def _whole(schema: dict[str, Any], keyword: str, otherwise: int) -> int:
    return math.ceil(schema[keyword]) if _has(schema, keyword) else otherwise


def _bounds(schema: dict[str, Any]) -> tuple[float, float]:
    """Least and greatest; 0 to 100 where the schema does not say, shifted to its one limit where it names one."""
    lows = [schema[name] for name in ("minimum", "exclusiveMinimum") if _has(schema, name)]
    highs = [schema[name] for name in ("maximum", "exclusiveMaximum") if _has(schema, name)]
    if lows and highs:
        return max(lows), min(highs)
    if lows:
        return max(lows), max(lows) + 100
    if highs:
        return min(0, min(highs) - 100), min(highs)
    step = schema["multipleOf"] if _has(schema, "multipleOf") else 0
    return 0, max(100, step * 10)


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A schema that asks what both ask, as far as that can be written; the check finds where it could not."""
    result = dict(one)
    for name, part in other.items():
        if name not in result:
            result[name] = part
        elif name == "properties" and isinstance(part, dict) and isinstance(result[name], dict):
            result[name] = {
                key: _both(result[name].get(key, True), part.get(key, True))
                for key in [*result[name], *(k for k in part if k not in result[name])]
            }
        elif name == "required" and isinstance(part, list) and isinstance(result[name], list):
            result[name] = list(dict.fromkeys([*result[name], *part]))
        elif name in {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}:
            result[name] = max(result[name], part)
        elif name in {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}:
            result[name] = min(result[name], part)
        elif name == "enum" and isinstance(part, list) and isinstance(result[name], list):
            result[name] = [item for item in result[name] if any(equal(item, listed) for listed in part)]
        elif name == "type":
            result[name] = _types(result[name], part)
        elif name in {*_ALTERNATIVES, "$ref"}:
            result["allOf"] = [*result.get("allOf", []), {name: part}]
        elif name == "allOf" and isinstance(part, list):
            result[name] = [*result[name], *part]
        elif name in {"items", "additionalProperties"}:
            result[name] = _both(result[name], part)
    return result


def _both(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    return {"allOf": [one, other]} if isinstance(one, dict) and isinstance(other, dict) else one if isinstance(one, dict) else other


def _types(one: Any, other: Any) -> Any:
    """The types both allow; whole numbers are numbers."""
    first, second = ([part] if isinstance(part, str) else list(part) for part in (one, other))
    common = [name for name in first if name in second or (name == "integer" and "number" in second)]
    return [*common, "integer"] if "integer" in second and "number" in first and "integer" not in common else common


def _date(random_: random.Random) -> str:
    return f"{random_.randint(2000, 2030)}-{random_.randint(1, 12):02}-{random_.randint(1, 28):02}"


def _time(random_: random.Random) -> str:
    return f"{random_.randint(0, 23):02}:{random_.randint(0, 59):02}:{random_.randint(0, 59):02}Z"


def _host(random_: random.Random) -> str:
    return f"{random_.choice(words.NOUNS)}.example.org"


_FORMATS: dict[str, Callable[[random.Random], str]] = {
    "date": _date,
    "time": _time,
    "date-time": lambda random_: f"{_date(random_)}T{_time(random_)}",
    "duration": lambda random_: f"PT{random_.randint(1, 59)}M",
    "email": lambda random_: f"{random_.choice(words.NOUNS)}@{_host(random_)}",
    "idn-email": lambda random_: f"{random_.choice(words.NOUNS)}@{_host(random_)}",
    "hostname": _host,
    "uri": lambda random_: f"https://{_host(random_)}/{random_.choice(words.NOUNS)}",
    "uri-reference": lambda random_: f"/{random_.choice(words.NOUNS)}",
    "uuid": lambda random_: str(uuid.UUID(int=random_.getrandbits(128), version=4)),
    "ipv4": lambda random_: ".".join(str(random_.randint(1, 254)) for _ in range(4)),
    "ipv6": lambda random_: ":".join(f"{random_.getrandbits(16):x}" for _ in range(8)),
}
