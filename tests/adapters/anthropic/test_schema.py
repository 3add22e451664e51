"""Schemas within the subset: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._base import AdapterError
from adapters.anthropic.schema import fitted
from tests.imitations.anthropic_schema import compilable, sample

OBJECT = {"type": "object", "additionalProperties": False}


@pytest.mark.parametrize(
    ("given_schema", "expected"),
    [
        ({"type": "string", "minLength": 2, "maxLength": 5}, {"type": "string", "description": "{minLength: 2, maxLength: 5}"}),
        ({"type": "integer", "minimum": 1, "description": "n"}, {"type": "integer", "description": "n\n\n{minimum: 1}"}),
        ({"type": "array", "items": {"type": "null"}, "minItems": 1}, {"type": "array", "items": {"type": "null"}, "minItems": 1}),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 2},
            {"type": "array", "items": {"type": "null"}, "description": "{minItems: 2}"},
        ),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "iban"}, {"type": "string", "description": '{format: "iban"}'}),
        ({"type": "string", "pattern": "^a+$"}, {"type": "string", "pattern": "^a+$"}),
        ({"type": "string", "pattern": "(?=a)"}, {"type": "string", "description": '{pattern: "(?=a)"}'}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"enum": ["a", 1, None]}, {"enum": ["a", 1, None]}),
        ({"const": 3, "$schema": "x", "examples": [3]}, {"const": 3}),
        ({**OBJECT, "properties": {}}, {**OBJECT, "properties": {}}),
        (
            {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "additionalProperties": True},
            {**OBJECT, "properties": {"a": {"type": ["string", "null"]}}},
        ),
        (
            {"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}, "description": "lost beside a reference"},
            {"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}},
        ),
    ],
)
def test_what_the_subset_lacks_is_told_in_words(given_schema: Any, expected: Any) -> None:
    schema = {**OBJECT, "properties": {"p": given_schema}} if "$defs" not in given_schema else given_schema
    wanted = {**OBJECT, "properties": {"p": expected}} if "$defs" not in given_schema else expected
    assert fitted(schema, "s") == wanted
    compilable(wanted, wanted, "s")


@pytest.mark.parametrize(
    ("schema", "param"),
    [
        (True, "s"),
        ({}, "s"),
        ({"type": "object"}, "s"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "s"),
        ({"type": "thing"}, "s.type"),
        ({**OBJECT, "properties": {"a": True}}, "s.properties.a"),
        ({**OBJECT, "properties": {"a": {"type": "object"}}}, "s.properties.a"),
        ({**OBJECT, "properties": []}, "s.properties"),
        ({"enum": [{"a": 1}]}, "s.enum"),
        ({"enum": []}, "s.enum"),
        ({"type": "array", "prefixItems": []}, "s.prefixItems"),
        ({"not": {"type": "null"}}, "s.not"),
        ({"anyOf": []}, "s.anyOf"),
        ({"allOf": [{"$ref": "#/$defs/x"}], "$defs": {"x": {"type": "null"}}}, "s.allOf"),
        ({"$ref": "https://example.org/x"}, "s"),
        ({"$ref": "#"}, "s"),
        ({**OBJECT, "properties": {"a": {"$ref": "#/properties/b"}}}, "s"),
        ({**OBJECT, "properties": {"a": {"type": "array", "items": {"$ref": "#/properties/a"}}}}, "s"),
        ({"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/anyOf/2"}}]}, "s"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}}, "s"),
        ({"type": "string", "required": "a"}, "s.required"),
    ],
)
def test_what_cannot_be_told_is_refused(schema: Any, param: str) -> None:
    with pytest.raises(AdapterError) as caught:
        fitted(schema, "s")
    assert caught.value.param == param


def test_a_reference_to_another_place_is_one_to_a_definition() -> None:
    """Generators point to where a part came first: zod-to-json-schema unless told otherwise."""
    point = {**OBJECT, "properties": {"x": {"type": "number"}}, "required": ["x"]}
    members = {"from": point, "to": {"$ref": "#/properties/from"}, "via": {"type": "array", "items": {"$ref": "#/anyOf/0"}}}
    told = {"from": point, "to": {"$ref": "#/$defs/part_3"}, "via": {"type": "array", "items": {"$ref": "#/$defs/part_2"}}}
    schema = {"anyOf": [{"type": "null"}], **OBJECT, "properties": members, "$defs": {"part_1": {"type": "null"}}}
    definitions = {"part_1": {"type": "null"}, "part_2": {"type": "null"}, "part_3": point}
    assert fitted(schema, "s") == {**schema, "properties": told, "$defs": definitions}


def test_members_may_have_the_names_of_keywords() -> None:
    schema = {**OBJECT, "properties": {"$ref": {"type": "string"}, "properties": {"type": "null"}, "enum": {"const": {"$ref": 1}}}}
    assert fitted(schema, "s") == schema


def test_a_schema_too_deep_is_refused() -> None:
    schema: Any = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(AdapterError):
        fitted(schema, "s")


SCALARS = st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(lambda kind: {"type": kind})
BOUNDED = st.builds(
    lambda schema, bounds: {**schema, **bounds},
    SCALARS,
    st.dictionaries(st.sampled_from(["minimum", "maxLength", "multipleOf", "uniqueItems", "title"]), st.just(1), max_size=2).map(
        lambda found: {name: "t" if name == "title" else value for name, value in found.items()}
    ),
)
SCHEMAS = st.recursive(
    BOUNDED,
    lambda inner: st.one_of(
        inner.map(lambda item: {"type": "array", "items": item}),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"oneOf": items}),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3).map(
            lambda parts: {"type": "object", "properties": parts, "required": sorted(parts)}
        ),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
@settings(max_examples=150, deadline=None)
def test_what_is_fitted_is_compiled_and_its_instances_keep_the_shape(schema: Any) -> None:
    made = fitted({"type": "object", "properties": {"p": schema}, "required": ["p"]}, "s")
    compilable(made, made, "s")
    value = sample(made, "word")
    jsonschema.validate(value, made)
    told = json.dumps(schema)
    bounds = ("minimum", "maxLength", "multipleOf", "uniqueItems", "oneOf")
    if not any(f'"{bound}"' in told for bound in bounds):
        jsonschema.validate(value["p"], schema)
