"""How many searches a request asks for and may make, read from its members as they stand."""

from __future__ import annotations

import json

import pytest

from proxy.dataplane.searching import searches

SEARCH = {"type": "web_search"}
CLAUDES = {"type": "web_search_20250305", "name": "web_search"}
FUNCTION = {"type": "function", "name": "web_search", "parameters": {}}
CASES = {
    "no tools": ({}, (0, 0)),
    "none of them": ({"tools": [FUNCTION]}, (0, 0)),
    "offered": ({"tools": [SEARCH]}, (0, 7)),
    "in another version": ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, (0, 7)),
    "by a reseller's name": ({"tools": [{"type": "openrouter:web_search"}]}, (0, 7)),
    "another tool that ends so": ({"tools": [{"type": "no_web_search"}]}, (0, 0)),
    "left to the model": ({"tools": [SEARCH], "tool_choice": "auto"}, (0, 7)),
    "forbidden": ({"tools": [SEARCH], "tool_choice": "none"}, (0, 0)),
    "forbidden to Claude": ({"tools": [CLAUDES], "tool_choice": {"type": "none"}}, (0, 0)),
    "the only one, and one is required": ({"tools": [SEARCH], "tool_choice": "required"}, (1, 7)),
    "any of Claude's, and there is no other": ({"tools": [CLAUDES], "tool_choice": {"type": "any"}}, (1, 7)),
    "any, and there are others": ({"tools": [SEARCH, FUNCTION], "tool_choice": "required"}, (0, 7)),
    "named": ({"tools": [SEARCH, FUNCTION], "tool_choice": {"type": "web_search"}}, (1, 7)),
    "named to Claude": ({"tools": [CLAUDES, FUNCTION], "tool_choice": {"type": "tool", "name": "web_search"}}, (1, 7)),
    "another is named": ({"tools": [SEARCH, FUNCTION], "tool_choice": {"type": "function", "name": "web_search"}}, (0, 7)),
    "Claude's other is named": ({"tools": [CLAUDES, FUNCTION], "tool_choice": {"type": "tool", "name": "f"}}, (0, 7)),
    "bounded": ({"tools": [SEARCH], "max_tool_calls": 3}, (0, 3)),
    "bounded beyond the ceiling": ({"tools": [SEARCH], "max_tool_calls": 30}, (0, 30)),
    "bounded to none": ({"tools": [SEARCH], "tool_choice": "required", "max_tool_calls": 0}, (0, 0)),
    "bounded for Claude": ({"tools": [{**CLAUDES, "max_uses": 2}]}, (0, 2)),
    "each tool by itself": ({"tools": [{**CLAUDES, "max_uses": 2}, {**CLAUDES, "max_uses": 3}]}, (0, 5)),
    "one of two": ({"tools": [{**CLAUDES, "max_uses": 2}, CLAUDES]}, (0, 7)),
    "the strictest bound": ({"tools": [{**CLAUDES, "max_uses": 2}], "max_tool_calls": 3}, (0, 2)),
    "no bound at all": ({"tools": [SEARCH], "max_tool_calls": None}, (0, 7)),
    "nor is that one": ({"tools": [SEARCH], "max_tool_calls": True}, (0, 7)),
    "nor that": ({"tools": [SEARCH], "max_tool_calls": -1}, (0, 7)),
    "the options of chat completions": ({"web_search_options": {}}, (1, 7)),
    "which are null": ({"web_search_options": None}, (0, 0)),
    "null, with a tool": ({"web_search_options": None, "tools": [SEARCH]}, (0, 7)),
    "no list": ({"tools": {"type": "web_search"}}, (0, 0)),
    "no tool": ({"tools": ["web_search", {"type": 5}, None]}, (0, 0)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_request_asks_for_and_may_make(case):
    members, expected = CASES[case]
    assert searches({name: json.dumps(value).encode() for name, value in members.items()}, 7) == expected


@pytest.mark.parametrize("tools", [b'[{"type":"web\\u005fsearch"}]', b'[{"\\u0074ype":"web_search"}]'])
def test_however_it_is_written(tools):
    assert searches({"tools": tools}, 7) == (0, 7)


@pytest.mark.parametrize(
    "tools", [b'[{"type":"web_search"}', b'["\xffweb_search"]', b"[" * 100_000 + b"web_search"], ids=["cut", "not UTF-8", "deep"]
)
def test_what_is_malformed_is_for_others_to_refuse(tools):
    assert searches({"tools": tools}, 7) == (0, 0)
