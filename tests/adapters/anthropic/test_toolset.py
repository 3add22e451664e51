"""Tools and the choice among them: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters._base import AdapterError, Target
from adapters.anthropic import ADAPTER
from tests.imitations.anthropic_rules import check

Json = dict[str, Any]
HI = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def tool(name: str = "f", **function: Any) -> Json:
    return {"type": "function", "function": {"name": name, **function}}


def made(model: str = "claude-opus-5", **chat: Any) -> Any:
    return ADAPTER.outbound({"messages": [HI], **chat}, Target(upstream_model=model))


def sent(model: str = "claude-opus-5", **chat: Any) -> tuple[Any, Any]:
    body = json.loads(made(model, **chat).body)
    check(body, "2026-10-21")
    return body.get("tools"), body.get("tool_choice")


def refused(model: str = "claude-opus-5", **chat: Any) -> str | None:
    with pytest.raises(AdapterError) as caught:
        made(model, **chat)
    return caught.value.param


F = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
G = {"name": "g", "input_schema": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", None),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "g"}}, {"type": "tool", "name": "g"}),
    ],
)
def test_a_choice_finds_its_word(choice: Any, expected: Any) -> None:
    assert sent(tools=[tool(), tool("g")], tool_choice=choice) == ([F, G], expected)


def test_one_call_at_a_time_is_part_of_the_choice() -> None:
    assert sent(tools=[tool()], parallel_tool_calls=False)[1] == {"type": "auto", "disable_parallel_tool_use": True}
    assert sent(tools=[tool()], parallel_tool_calls=False, tool_choice="required")[1] == {"type": "any", "disable_parallel_tool_use": True}
    assert sent(tools=[tool()], parallel_tool_calls=False, tool_choice="none")[1] == {"type": "none"}
    assert sent(parallel_tool_calls=False) == (None, None)


def test_allowed_tools_are_those_that_are_sent() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    assert sent(tools=[tool(), tool("g")], tool_choice={"type": "allowed_tools", "allowed_tools": allowed}) == ([G], {"type": "any"})


def test_legacy_functions_are_tools() -> None:
    """An answer to `functions` has room for one call."""
    alone = {"disable_parallel_tool_use": True}
    assert sent(functions=[{"name": "f"}], function_call={"name": "f"}) == ([F], {"type": "tool", "name": "f", **alone})
    assert sent(functions=[{"name": "f"}]) == ([F], {"type": "auto", **alone})
    assert sent(functions=[{"name": "f"}], function_call="none") == ([F], {"type": "none"})


def test_a_strict_tool_gets_a_schema_that_is_compiled() -> None:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/strict-tool-use"""
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"], "additionalProperties": False}
    fitted = {**schema, "properties": {"a": {"type": "string", "description": "{minLength: 2}"}}}
    assert sent(tools=[tool(strict=True, parameters=schema)]) == ([{"name": "f", "input_schema": fitted, "strict": True}], None)


def test_a_model_without_strict_tools_gets_plain_ones() -> None:
    old = made("claude-sonnet-4-20250514", tools=[tool(strict=True, parameters=SCHEMA)])
    assert json.loads(old.body)["tools"] == [{"name": "f", "input_schema": SCHEMA}]
    assert old.ignored == ("tools.strict",)


def test_a_schema_that_is_not_strict_goes_through_unchanged() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"oneOf": [{"type": "string", "minLength": 2}, {"$ref": "#/$defs/x"}]}},
        "$defs": {"x": {}},
    }
    assert sent(tools=[tool(parameters=schema, description="")])[0] == [{"name": "f", "input_schema": schema}]


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        ({"tools": [tool("")]}, "tools[0].function.name"),
        ({"tools": [tool(), tool()]}, "tools[1].function.name"),
        ({"tools": [tool(parameters={"type": "array"})]}, "tools[0].function.parameters"),
        ({"tools": [tool(parameters={"anyOf": [SCHEMA]})]}, "tools[0].function.parameters"),
        ({"tools": [tool(parameters="x")]}, "tools[0].function.parameters"),
        ({"tools": [tool(description=3)]}, "tools[0].function.description"),
        ({"tools": [tool(strict="yes")]}, "tools[0].function.strict"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0]"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [tool()], "functions": [{"name": "g"}]}, "functions"),
        ({"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "h"}}}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}}, "tool_choice.allowed_tools"),
        ({"tools": [tool(f"f{n}", strict=True, parameters=SCHEMA) for n in range(21)]}, "tools"),
    ],
)
def test_what_cannot_be_told_is_refused(chat: Json, param: str) -> None:
    assert refused(**chat) == param


def test_very_many_tools_are_compared_by_name_at_once() -> None:
    """Each was compared with all before it: 20,000 tools, a megabyte, held the loop for minutes."""
    tools = [tool(f"f{number}") for number in range(20_000)]
    assert len(json.loads(made(tools=tools).body)["tools"]) == 20_000
    assert refused(tools=[*tools, tool("f0")]) == "tools[20000].function.name"
