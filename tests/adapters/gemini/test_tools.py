"""Functions and the choice among them: https://ai.google.dev/gemini-api/docs/function-calling."""

import pytest

from adapters._base import AdapterError
from adapters.gemini.tools import tools_of

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name, parameters=None, **more):
    function = {"name": name, **more} if parameters is None else {"name": name, "parameters": parameters, **more}
    return {"type": "function", "function": function}


def declared(name, **more):
    return {"name": name, "description": name, **more}


def test_functions_are_one_tool_with_json_schemas():
    chat = {"tools": [tool("weather", WEATHER, description="The weather.", strict=True), tool("now")]}
    assert tools_of(chat) == {
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "weather", "description": "The weather.", "parametersJsonSchema": WEATHER},
                    {"name": "now", "description": "now"},
                ]
            }
        ]
    }


@pytest.mark.parametrize("parameters", [{}, {"type": "object"}, {"type": "object", "properties": {}, "additionalProperties": False}])
def test_a_function_without_arguments_has_no_parameters(parameters):
    assert tools_of({"tools": [tool("f", parameters)]})["tools"] == [{"functionDeclarations": [declared("f")]}]


@pytest.mark.parametrize("parameters", [{"type": "object", "additionalProperties": {"type": "string"}}, {"additionalProperties": True}])
def test_a_function_of_free_arguments_keeps_its_schema(parameters):
    [declaration] = tools_of({"tools": [tool("f", parameters)]})["tools"][0]["functionDeclarations"]
    assert declaration["parametersJsonSchema"] == {"type": "object", **parameters}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (None, None),
        ("auto", None),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "g"}}, {"mode": "ANY", "allowedFunctionNames": ["g"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("g"), tool("f"), tool("g")]}},
            {"mode": "ANY", "allowedFunctionNames": ["g", "f"]},
        ),
    ],
)
def test_the_choice_is_a_mode_and_names(choice, config):
    said = tools_of({"tools": [tool("f"), tool("g")], "tool_choice": choice})
    assert said.get("toolConfig") == (None if config is None else {"functionCallingConfig": config})
    assert len(said["tools"][0]["functionDeclarations"]) == 2


def test_an_automatic_choice_among_some_declares_only_those():
    chat = {
        "tools": [tool("f"), tool("g")],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("g")]}},
    }
    assert tools_of(chat) == {"tools": [{"functionDeclarations": [declared("g")]}]}


def test_the_older_form_is_understood():
    said = tools_of({"functions": [{"name": "f", "parameters": WEATHER}], "function_call": {"name": "f"}})
    assert said == {
        "tools": [{"functionDeclarations": [declared("f", parametersJsonSchema=WEATHER)]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    }


@pytest.mark.parametrize("chat", [{}, {"tools": []}, {"tools": None, "tool_choice": "none"}, {"tool_choice": "auto"}])
def test_without_functions_nothing_is_said(chat):
    assert tools_of(chat) == {}


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [tool("1st")]}, "tools[0].function.name"),
        ({"tools": [tool("f"), tool("f")]}, "tools[1].function.name"),
        ({"tools": [tool("f", {"type": "string"})]}, "tools[0].function.parameters"),
        ({"tools": [tool("f", [])]}, "tools[0].function.parameters"),
        ({"tools": [tool("f")], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"tools": [tool("f")], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": []}}}, "tool_choice"),
        ({"tools": [tool("f")], "tool_choice": 5}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call"),
    ],
)
def test_what_is_malformed_or_unknown_is_refused_by_its_place(chat, param):
    with pytest.raises(AdapterError) as refused:
        tools_of(chat)
    assert refused.value.param == param


def test_the_schemas_of_all_functions_together_are_bounded_as_one_is():
    """A dozen of references that double are four thousand parts of a kilobyte, and a thousand functions of them some hundred megabytes."""
    doubling = {f"p{step}": {"properties": {at: {"$ref": f"#/properties/p{step + 1}"} for at in "ab"}} for step in range(9)}
    schema = {"type": "object", "properties": {**doubling, "p9": {"type": "string"}}}
    assert len(tools_of({"tools": [tool("f", schema), tool("g", WEATHER)]})["tools"][0]["functionDeclarations"]) == 2
    with pytest.raises(AdapterError, match="too many parts"):
        tools_of({"tools": [tool(f"f{number}", schema) for number in range(1000)]})
    plain = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(100)}}
    assert tools_of({"tools": [tool(f"f{number}", plain) for number in range(500)]}) is not None
