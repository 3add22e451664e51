"""Names of functions that a vendor does not take."""

from __future__ import annotations

import re
from typing import Any

import pytest

from adapters._names import Names, OwnNames, own_names

NAMES = Names(taken=re.compile(r"\A[A-Za-z_][A-Za-z0-9_.:-]{0,63}\Z"))
ODD = ["1st", "a b", "a/b", "ünï", "x" * 65, "-a", "a\n", "💡", "tool_x0123456789ab", " ", "a?b", "a!b", "?"]


@pytest.mark.parametrize("name", ["a", "_a", "get.weather:now-2", "x" * 64])
def test_a_name_that_is_taken_stays(name: str) -> None:
    assert NAMES.made(name) == name


def test_any_other_becomes_one_that_is_taken_always_the_same_and_no_other_s() -> None:
    made = {name: NAMES.made(name) for name in ODD}
    assert all(NAMES.taken.match(name) for name in made.values())
    assert len(set(made.values())) == len(ODD)
    assert made == {name: NAMES.made(name) for name in ODD}
    # whatever looks like a made one is made anew: a client cannot hit another's name
    assert not set(made.values()) & {NAMES.made(name) for name in made.values()}
    assert made["a b"].startswith("a_b_x")


def tool(name: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def test_a_request_whose_names_are_taken_is_left_alone() -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}, 5], "tools": [tool("a", parameters={"name": "1st"}), 5], "tool_choice": "auto"}
    assert NAMES.sent(chat) is chat
    assert NAMES.back(chat) == {}


def test_names_are_the_same_wherever_they_stand() -> None:
    chat: dict[str, Any] = {
        "messages": [
            {"role": "user", "content": "Hi", "name": "1st"},
            {"role": "assistant", "tool_calls": [{"id": "c", **tool("1st", arguments="{}")}]},
            {"role": "assistant", "function_call": {"name": "1st", "arguments": "{}"}},
            {"role": "function", "name": "1st", "content": ""},
            {"role": "tool", "tool_call_id": "c", "content": "1st"},
        ],
        "tools": [tool("1st", parameters={"properties": {"name": {"const": "1st"}}}), tool("b")],
        "functions": [{"name": "1st", "description": "One"}],
        "function_call": {"name": "1st"},
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("1st"), tool("b")]}},
        "user": "1st",
    }
    made = NAMES.made("1st")
    sent = NAMES.sent(chat)
    messages = sent["messages"]
    assert messages[0] is chat["messages"][0]
    assert messages[4] is chat["messages"][4]
    assert messages[1]["tool_calls"][0]["function"] == {"name": made, "arguments": "{}"}
    assert (messages[2]["function_call"]["name"], messages[3]["name"]) == (made, made)
    assert sent["tools"][0]["function"] == {**chat["tools"][0]["function"], "name": made, "description": "1st"}
    assert sent["tools"][1] is chat["tools"][1]
    assert (sent["functions"][0]["name"], sent["function_call"], sent["user"]) == (made, {"name": made}, "1st")
    assert [each["function"]["name"] for each in sent["tool_choice"]["allowed_tools"]["tools"]] == [made, "b"]
    assert NAMES.back(chat) == {made: "1st"}


@pytest.mark.parametrize("name", [None, 5, "", ["a"]])
def test_what_is_no_name_is_the_adapter_s_to_refuse(name: Any) -> None:
    chat = {"messages": None, "tools": [tool(name), {"function": None}], "tool_choice": {"function": name}}
    assert NAMES.sent(chat) is chat
    assert NAMES.back(chat) == {}


def test_answers_have_the_client_s_names_again() -> None:
    made = NAMES.made("1st")
    call = {"id": "c", **tool(made, arguments="{}")}
    choices = [{"index": 0, "message": {"tool_calls": [call, {"id": "d", **tool("b")}]}}, {"index": 1, "message": {"content": "Hi"}}]
    told = own_names({"id": "1", "choices": choices}, {made: "1st"})
    assert [each["function"]["name"] for each in told["choices"][0]["message"]["tool_calls"]] == ["1st", "b"]
    assert told["choices"][1] is choices[1]
    more = {"index": 0, "function": {"arguments": "{"}}
    chunks = [{"choices": [{"delta": {"tool_calls": [{"index": 0, **tool(made)}]}}]}, {"choices": [{"delta": {"tool_calls": [more]}}]}]
    first, second = OwnNames({made: "1st"})(chunks)
    assert first["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "1st"
    assert second["choices"][0]["delta"]["tool_calls"] == [more]
