"""Tools in namespaces are functions of the hub, and their calls are told as they were named."""

import msgspec
import pytest

from adapters._base import AdapterError
from adapters.responses import DOOR
from adapters.responses.tools import hub_name

ADD = {"type": "function", "name": "add", "description": "Adds.", "parameters": {"type": "object"}, "strict": False}
PATCH = {"type": "custom", "name": "patch"}
SPACE = {"type": "namespace", "name": "mcp__sums", "description": "Sums of numbers.", "tools": [ADD, PATCH]}
BASE = {"model": "m", "input": "Hi"}


def functions(*tools: object) -> list[dict[str, object]]:
    return [tool["function"] for tool in DOOR.hub(BASE | {"tools": list(tools)})["tools"]]


def test_a_namespace_is_told_by_the_names_and_the_first_description() -> None:
    add, patch = functions(SPACE)
    assert add == {
        "name": "mcp__sums__add",
        "description": "Sums of numbers.\n\nAdds.",
        "parameters": {"type": "object"},
        "strict": False,
    }
    assert (patch["name"], patch.get("description")) == ("mcp__sums__patch", None)


def test_an_empty_namespace_is_no_tool() -> None:
    assert "tools" not in DOOR.hub(BASE | {"tools": [{"type": "namespace", "name": "none", "description": "", "tools": []}]})


def test_a_name_no_vendor_takes_is_cut_and_stays_its_own() -> None:
    long, other = hub_name("a" * 60, "space"), hub_name("a" * 59 + "b", "space")
    assert len(long) == len(other) == 64
    assert long != other
    assert long == hub_name("a" * 60, "space")


def test_search_among_tools_loaded_later_is_needless() -> None:
    assert [tool["name"] for tool in functions({"type": "tool_search"}, {**ADD, "defer_loading": True})] == ["add"]


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "namespace", "name": "a", "tools": [{"type": "web_search"}]}, "tools[0].tools[0].type"),
        ({"type": "namespace", "name": "a"}, "tools[0]"),
        ({"type": "namespace", "tools": []}, "tools[0]"),
        ({"type": "tool_search", "execution": "client"}, "tools[0].type"),
    ],
)
def test_what_cannot_be_told_is_named(tool: object, param: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(BASE | {"tools": [tool]})
    assert (caught.value.param or "").startswith(param)


def test_the_history_names_the_same_functions() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "add", "namespace": "mcp__sums", "arguments": "{}"}
    patch = {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "namespace": "mcp__sums", "input": "x"}
    outputs = [{"type": "function_call_output", "call_id": each, "output": "7"} for each in ("c1", "c2")]
    message = DOOR.hub({"model": "m", "input": [call, patch, *outputs]})["messages"][0]
    assert [each["function"]["name"] for each in message["tool_calls"]] == ["mcp__sums__add", "mcp__sums__patch"]


def test_tools_that_an_item_adds_are_told_with_the_others() -> None:
    """https://platform.openai.com/docs/api-reference/responses/create: input items of type additional_tools."""
    added = {"type": "additional_tools", "role": "developer", "tools": [SPACE, {"type": "function", "name": "last"}]}
    body = BASE | {"input": [added, {"role": "user", "content": "Hi"}], "tools": [ADD]}
    hub = DOOR.hub(body)
    assert [tool["function"]["name"] for tool in hub["tools"]] == ["add", "mcp__sums__add", "mcp__sums__patch", "last"]
    assert hub["messages"] == [{"role": "user", "content": "Hi"}]
    assert DOOR.place("tools[0].function.name", body) == "tools[0].name"
    assert DOOR.place("tools[2].function.name", body) == "input[0].tools[0].tools[1].name"
    assert DOOR.place("tools[3].function.parameters", body) == "input[0].tools[1].parameters"
    call = {"id": "c", "type": "function", "function": {"name": "mcp__sums__patch", "arguments": '{"input": "x"}'}}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    told = msgspec.json.decode(DOOR.reply({"id": "r", "choices": [choice]}, None, None, body))["output"][0]
    assert (told["type"], told["name"], told["namespace"], told["input"]) == ("custom_tool_call", "patch", "mcp__sums", "x")


@pytest.mark.parametrize(
    ("added", "param"),
    [
        ({"tools": [{"type": "mcp"}]}, "input[1].tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "web_search"}]}]}, "input[1].tools[0].tools[0].type"),
        ({}, "input[1].tools"),
    ],
)
def test_an_added_tool_that_cannot_be_told_is_named(added: dict[str, object], param: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(BASE | {"input": [{"role": "user", "content": "Hi"}, {"type": "additional_tools", "role": "developer"} | added]})
    assert caught.value.param == param


def test_an_item_changes_the_request_until_a_later_one_does() -> None:
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "object"}}
    user = {"role": "user", "content": "Hi"}
    first = {"type": "configuration_update", "reasoning": {"effort": "high"}, "text": {"format": schema}}
    later = {"type": "configuration_update", "reasoning": {"effort": "low"}}
    hub = DOOR.hub(BASE | {"input": [first, user, later], "reasoning": {"effort": "none"}})
    assert (hub["reasoning_effort"], hub["response_format"]["type"], hub["messages"]) == ("low", "json_schema", [user])
    plain = {"type": "configuration_update", "text": {"format": {"type": "text"}}}
    assert DOOR.hub(BASE | {"input": [first, user, plain]})["response_format"] == {"type": "text"}
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(BASE | {"input": [user, {"type": "configuration_update", "model": "other"}]})
    assert caught.value.param == "input[1].model"
