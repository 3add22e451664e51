"""Schemas as clients write them in Gemini's subset: https://ai.google.dev/api/generate-content#FIELDS.response_json_schema."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._base import AdapterError
from adapters.gemini.schema import subset, takes_arguments
from tests.imitations.gemini_rules import RefusedError, _schema

STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$schema": "https://x", "$id": "i", "type": "object", "properties": {}}, {"type": "object", "properties": {}}),
        ({"properties": {"a": STRING}}, {"type": "object", "properties": {"a": STRING}}),
        ({"type": ["string", "null"], "title": "T", "format": "date"}, {"type": ["string", "null"], "title": "T", "format": "date"}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"const": "a"}, {"enum": ["a"], "type": "string"}),
        ({"const": 3, "type": "integer"}, {"enum": [3], "type": "integer"}),
        ({"const": None}, {"type": "null"}),
        ({"const": True}, {"type": "boolean"}),
        ({"enum": ["a", None]}, {"enum": ["a"], "type": ["null", "string"]}),
        ({"type": "string", "enum": ["a", None]}, {"enum": ["a"], "type": ["string", "null"]}),
        ({"enum": [True, "a"]}, {"type": ["boolean", "string"]}),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9}, {"type": "integer", "minimum": 1, "maximum": 8}),
        ({"type": "number", "exclusiveMinimum": 0.5, "maximum": 2}, {"type": "number", "minimum": 0.5, "maximum": 2}),
        ({"type": "string", "pattern": "x", "minLength": 1, "default": "d", "examples": ["e"]}, STRING),
        ({"type": "array", "items": STRING, "minItems": 1, "uniqueItems": True}, {"type": "array", "items": STRING, "minItems": 1}),
        ({"type": "array", "items": [STRING, True]}, {"type": "array", "prefixItems": [STRING, {}]}),
        ({"anyOf": [STRING, {"type": "null"}], "not": STRING}, {"anyOf": [STRING, {"type": "null"}]}),
        (
            {"type": "object", "additionalProperties": {"const": 1}},
            {"type": "object", "additionalProperties": {"enum": [1], "type": "integer"}},
        ),
    ],
)
def test_each_keyword_is_kept_put_otherwise_or_left_out(schema, expected):
    assert subset(schema, "p") == expected


def test_references_to_definitions_stay_and_what_stood_beside_them_goes_around():
    """`If $ref is set on a sub-schema, no other properties, except for those starting as a $, may be set.`"""
    schema = {
        "definitions": {"Node": {"properties": {"next": {"$ref": "#/definitions/Node"}, "v": {"const": 1}}}},
        "properties": {"head": {"$ref": "#/definitions/Node", "description": "First."}, "tail": {"$ref": "#/definitions/Node"}},
    }
    assert subset(schema, "p") == {
        "type": "object",
        "properties": {
            "head": {"description": "First.", "anyOf": [{"$ref": "#/$defs/Node"}]},
            "tail": {"$ref": "#/$defs/Node"},
        },
        "$defs": {
            "Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "v": {"enum": [1], "type": "integer"}}},
        },
    }


def test_references_to_elsewhere_are_written_out():
    schema = {"properties": {"a": {"type": "object", "properties": {"b~/c": STRING}}, "d": {"$ref": "#/properties/a/properties/b~0~1c"}}}
    assert subset(schema, "p")["properties"]["d"] == STRING


def test_all_of_becomes_one_schema():
    schema = {
        "$defs": {"Base": {"properties": {"a": STRING}, "required": ["a"]}},
        "allOf": [{"$ref": "#/$defs/Base"}, {"properties": {"b": {"type": "integer"}}, "required": ["a", "b"]}],
        "description": "Both.",
    }
    assert subset(schema, "p") == {
        "type": "object",
        "description": "Both.",
        "properties": {"a": STRING, "b": {"type": "integer"}},
        "required": ["a", "b"],
    }


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        {"anyOf": ["string"]},
        {"properties": {"a": 5}},
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#/nowhere"}}},
        {"properties": {"a": {"$ref": "https://x.org/schema"}}},
        {"properties": {"a": {"properties": {"b": {"$ref": "#/properties/a"}}}}},
        {"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}, {"title": "T"}]}}, "$ref": "#/$defs/A"},
        {"$defs": {"A": 5}, "$ref": "#/$defs/A"},
    ],
)
def test_what_cannot_be_resolved_is_refused(schema):
    with pytest.raises(AdapterError) as refused:
        subset(schema, "p")
    assert refused.value.param == "p"


@pytest.mark.parametrize(("taken", "name"), [({}, "root"), ({"root": STRING, "root_": STRING}, "root__")])
def test_a_root_that_holds_itself_is_a_definition_too(taken, name):
    """As OpenAI's guide writes a linked list."""
    node = {"type": "object", "properties": {"v": STRING, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    told = subset({**node, "$defs": taken} if taken else node, "p")
    held = {**node, "properties": {"v": STRING, "next": {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}}}
    assert told == {**held, "$defs": {name: held}}
    _schema(told, "p", told["$defs"])


def test_a_definition_that_holds_itself_within_all_of_stays_a_reference():
    schema = {"$defs": {"Node": {"type": "array", "items": {"allOf": [{"$ref": "#/$defs/Node"}], "title": "N"}}}, "$ref": "#/$defs/Node"}
    assert subset(schema, "p") == {
        "$ref": "#/$defs/Node",
        "$defs": {"Node": {"type": "array", "items": {"title": "N", "anyOf": [{"$ref": "#/$defs/Node"}]}}},
    }


def test_a_small_document_that_unfolds_without_end_is_refused():
    doubled = {f"D{number}": {"allOf": [{"$ref": f"#/$defs/D{number + 1}"}] * 2} for number in range(60)}
    pointed = {f"p{number}": {"anyOf": [{"$ref": f"#/properties/p{number + 1}"}] * 2} for number in range(60)}
    for schema in ({"$defs": {**doubled, "D60": STRING}, "$ref": "#/$defs/D0"}, {"properties": {**pointed, "p60": STRING}}):
        with pytest.raises(AdapterError) as refused:
            subset(schema, "p")
        assert refused.value.param == "p"


MANY = 4000
LARGE = {
    "values": {"enum": [f"value {number}" for number in range(100_000)]},
    "names": {"type": "object", "required": [f"name {number}" for number in range(100_000)]},
    "words": {"type": "string", "description": "x" * 1_000_000},
    "members": {f"x-{number}": 1 for number in range(100_000)},
}


@pytest.mark.parametrize("large", LARGE)
def test_something_large_is_not_written_out_thousands_of_times(large):
    """Some megabytes that would be gigabytes, or a minute of copying."""
    beside = {f"p{number}": {"$ref": "#/x/large"} for number in range(MANY)}
    for schema in ({"properties": beside}, {"allOf": list(beside.values())}):
        with pytest.raises(AdapterError, match="too many parts"):
            subset({**schema, "x": {"large": LARGE[large]}}, "p")
    few = subset({"properties": {"a": {"$ref": "#/x/large"}, "b": {"$ref": "#/x/large"}}, "x": {"large": LARGE[large]}}, "p")
    assert few["properties"]["a"] == few["properties"]["b"]


def test_all_of_of_very_many_parts_is_refused_at_once():
    """Each was compared with all before it: a megabyte of them held the loop for 40 s."""
    with pytest.raises(AdapterError, match="too many parts"):
        subset({"allOf": [{"required": [f"name {number}"]} for number in range(40_000)]}, "p")
    united = subset({"allOf": [{"required": [f"name {number}", "name 0", 1]} for number in range(1000)]}, "p")
    assert united["required"] == [f"name {number}" for number in range(1000)]


def test_a_place_in_a_list_is_named_by_a_number():
    for number in ("\u00b2", "9" * 5000, "-1", "x"):
        with pytest.raises(AdapterError, match="nowhere"):
            subset({"anyOf": [STRING, {"$ref": f"#/anyOf/{number}"}]}, "p")
    assert subset({"anyOf": [STRING, {"$ref": "#/anyOf/0"}]}, "p") == {"anyOf": [STRING, STRING]}


@pytest.mark.parametrize(
    ("schema", "takes"),
    [({}, False), ({"type": "object", "required": []}, False), ({"properties": {"a": {}}}, True), ({"anyOf": [{}]}, True)],
)
def test_a_schema_that_leaves_nothing_to_fill_in_is_told_from_others(schema, takes):
    assert takes_arguments(schema) is takes


_TYPES = st.sampled_from(["string", "number", "integer", "boolean", "null", "array", "object", "STRING", "odd"])
_LEAF = st.one_of(
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES | st.lists(_TYPES, max_size=2),
            "enum": st.lists(st.none() | st.booleans() | st.integers() | st.text(max_size=3), max_size=3),
            "const": st.none() | st.booleans() | st.text(max_size=3),
            "minimum": st.integers(),
            "exclusiveMaximum": st.floats(allow_nan=False, allow_infinity=False),
            "pattern": st.just("a+"),
            "$ref": st.sampled_from(["#/$defs/A", "#/$defs/B", "#/definitions/A"]),
            "nullable": st.booleans(),
            "description": st.text(max_size=3),
        },
    ),
)
SCHEMAS = st.recursive(
    _LEAF,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES,
            "properties": st.dictionaries(st.sampled_from(["a", "b", "$ref"]), inner, max_size=2),
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=2),
            "items": inner | st.lists(inner, max_size=2),
            "anyOf": st.lists(inner, max_size=2),
            "allOf": st.lists(inner, max_size=2),
            "additionalProperties": inner,
            "not": inner,
        },
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(SCHEMAS, SCHEMAS)
def test_whatever_comes_out_is_inside_the_subset(root, definition):
    document = {**(root if isinstance(root, dict) else {}), "$defs": {"A": definition, "B": {"type": "string"}}}
    before = json.dumps(document)
    try:
        cleaned = subset(document, "p")
    except AdapterError:
        return
    assert json.dumps(document) == before
    try:
        _schema(cleaned, "schema", cleaned.get("$defs", {}))
    except RefusedError as refusal:
        raise AssertionError(str(refusal)) from refusal
