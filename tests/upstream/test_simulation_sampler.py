"""What `sample` makes is judged by the jsonschema package."""

from __future__ import annotations

import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.upstream.simulation.sampler import sample


def _meets(value: Any, schema: Any) -> bool:
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).is_valid(value)


TABLE: list[Any] = [
    True,
    {},
    {"type": "string", "minLength": 40, "maxLength": 41},
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
    {"type": "string", "pattern": r"^\d+(\.\d+)?(px|em)$", "maxLength": 12},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "email"},
    {"type": "string", "format": "ipv6"},
    {"type": "integer", "minimum": -5, "maximum": -5},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "multipleOf": 7, "minimum": 8},
    {"type": "number", "minimum": 0.001, "maximum": 0.002},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    {"type": "number", "multipleOf": 0.25},
    {"type": ["null", "boolean"]},
    {"const": {"a": [1, None]}},
    {"enum": ["celsius", "fahrenheit", 3]},
    {"type": "string", "enum": ["a", 3]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False},
    {"type": "array", "prefixItems": [{"const": 1}], "minItems": 4, "items": {"enum": ["x"]}},
    {"type": "array", "contains": {"const": 5}, "items": {"type": "integer"}},
    {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"], "b": ["a"]}},
    {"required": ["free"], "properties": {"x": {"type": "null"}}},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": k}}, "required": ["kind"]} for k in ("cat", "dog")]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 4}, {"not": {"const": 3}}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"a": {"minimum": 7, "maximum": 7}}}]},
    {"not": {"type": "string"}, "type": ["string", "integer"]},
    {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "if": {"properties": {"n": {"minimum": 50}}},
        "then": {"required": ["big"]},
    },
    {"$defs": {"p": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}}, "$ref": "#/$defs/p"},
    {"$defs": {"a/b": {"const": 1}}, "type": "array", "items": {"$ref": "#/$defs/a~1b"}, "minItems": 1},
    {
        "$defs": {
            "node": {
                "type": "object",
                "required": ["value", "next"],
                "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            }
        },
        "$ref": "#/$defs/node",
    },
    {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}, "name": {"type": "string"}},
        "required": ["children", "name"],
    },
]


@pytest.mark.parametrize("schema", TABLE, ids=str)
def test_what_is_sampled_meets_the_schema(schema):
    for seed in range(25):
        assert _meets(sample(schema, random.Random(seed)), schema)


def test_the_same_seed_gives_the_same_value():
    schema = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 3}
    assert sample(schema, random.Random(4)) == sample(schema, random.Random(4)) != sample(schema, random.Random(5))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"enum": []},
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/elsewhere.json"},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "not": {"$ref": "#"}},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 3},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "(a+)+(b{1000000})"},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "(?<=x)y"},
        {"type": "object", "minProperties": 10**9},
        {"type": 5, "properties": [], "required": "abc", "minLength": "many", "enum": 3, "items": 7, "allOf": 1},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 5, "uniqueItems": True},
        "not a schema",
    ],
    ids=str,
)
def test_a_schema_that_nothing_meets_or_that_is_none_comes_to_an_end_without_an_error(schema):
    sample(schema, random.Random(1))


def _schemas() -> st.SearchStrategy[Any]:
    small = st.integers(-20, 20)
    leaves = st.one_of(
        st.sampled_from([{"type": "null"}, {"type": "boolean"}, {"type": "string"}, {"type": "string", "format": "date"}]),
        st.builds(lambda a, b: {"type": "integer", "minimum": min(a, b), "maximum": max(a, b)}, small, small),
        st.builds(lambda a, b: {"type": "number", "minimum": min(a, b), "maximum": max(a, b)}, small, small),
        st.builds(lambda a, b: {"type": "string", "minLength": min(a, b), "maxLength": max(a, b)}, st.integers(0, 30), st.integers(0, 30)),
        st.builds(lambda items: {"enum": items}, st.lists(small | st.text(max_size=5) | st.none(), min_size=1)),
        st.builds(lambda item: {"const": item}, st.text() | small | st.booleans()),
        st.sampled_from([{"type": "string", "pattern": "^[a-f0-9]{2,8}$"}, {"type": "integer", "multipleOf": 3}]),
    )

    def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        names = st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4)
        return st.one_of(
            st.builds(lambda item, n: {"type": "array", "items": item, "minItems": n, "maxItems": n + 2}, inner, st.integers(0, 3)),
            st.builds(
                lambda properties, k: {
                    "type": "object",
                    "properties": properties,
                    "required": list(properties)[:k],
                    "additionalProperties": False,
                },
                names,
                st.integers(0, 4),
            ),
            st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
        )

    return st.recursive(leaves, nested, max_leaves=8)


@given(_schemas(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_any_schema_of_the_usual_keywords_is_met(schema, seed):
    assert _meets(sample(schema, random.Random(seed)), schema)
