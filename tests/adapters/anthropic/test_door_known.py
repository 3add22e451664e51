"""Anthropic's tools that clients run: https://platform.claude.com/docs/en/agents-and-tools/tool-use/text-editor-tool and its neighbours."""

from typing import Any

import pytest

from adapters._base import AdapterError, Target
from adapters.anthropic.door import DOOR
from adapters.gemini import ADAPTER as GEMINI

BASE: dict[str, Any] = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
KNOWN = [
    ("bash_20241022", "bash"),
    ("bash_20250124", "bash"),
    ("text_editor_20241022", "str_replace_editor"),
    ("text_editor_20250124", "str_replace_editor"),
    ("text_editor_20250429", "str_replace_based_edit_tool"),
    ("text_editor_20250728", "str_replace_based_edit_tool"),
    ("memory_20250818", "memory"),
]
VIEW = {"command": "view", "path": "/a", "view_range": [1, -1]}
CREATE = {"command": "create", "path": "/a", "file_text": "x"}
REPLACE = {"command": "str_replace", "path": "/a", "old_str": "x", "new_str": "y"}
INSERT = {"command": "insert", "path": "/a", "insert_line": 0}
CALLS: dict[str, list[dict[str, Any]]] = {
    "bash": [{"command": "ls"}, {"restart": True}],
    "str_replace_editor": [VIEW, CREATE, REPLACE, {**INSERT, "new_str": "z"}, {"command": "undo_edit", "path": "/a"}],
    "str_replace_based_edit_tool": [VIEW, CREATE, REPLACE, {**INSERT, "insert_text": "z"}],
    "memory": [
        *(VIEW, CREATE, REPLACE, {**INSERT, "insert_text": "z"}, {"command": "delete", "path": "/a"}),
        {"command": "rename", "old_path": "/a", "new_path": "/b"},
    ],
}
"""Inputs that the references show for each tool."""


@pytest.mark.parametrize(("kind", "name"), KNOWN)
def test_such_a_tool_is_a_function_that_takes_what_the_reference_says(kind: str, name: str) -> None:
    (tool,) = DOOR.hub(BASE | {"tools": [{"type": kind, "name": name}]})["tools"]
    function = tool["function"]
    members = function["parameters"]["properties"]
    assert (function["name"], "strict" in function) == (name, False)
    for call in CALLS[name]:
        assert call.keys() <= members.keys()
        assert set(function["parameters"]["required"]) <= call.keys()
        assert name == "bash" or call["command"] in members["command"]["enum"]
    assert name == "bash" or {call["command"] for call in CALLS[name]} == set(members["command"]["enum"])
    GEMINI.outbound(DOOR.hub(BASE | {"tools": [{"type": kind, "name": name}]}), Target(upstream_model="gemini-2.5-flash"))


def test_its_mark_stays_and_its_hints_are_listed() -> None:
    tool = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 100, "defer_loading": True}
    told = DOOR.hub(BASE | {"tools": [tool | {"strict": True, "cache_control": {"type": "ephemeral"}}]})
    assert told["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert told["greenlane"]["ignored"] == ["tools.defer_loading", "tools.max_characters"]


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "bash_20250124", "name": "shell"}, "tools[0].name"),
        ({"type": "bash_20250124"}, "tools[0].name"),
        ({"type": "bash_20250124", "name": "bash", "input_schema": {}}, "tools[0].input_schema"),
        ({"type": "bash_20250124", "name": "bash", "allowed_callers": ["code_execution_20260120"]}, "tools[0].allowed_callers"),
        ({"type": "bash_20990101", "name": "bash"}, "tools[0].type"),
        ({"type": "computer_toolset_20260801"}, "tools[0].type"),
    ],
)
def test_what_cannot_be_told_is_named(tool: dict[str, Any], param: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(BASE | {"tools": [tool]})
    assert caught.value.param == param


def test_hints_for_anthropics_service_are_listed() -> None:
    hints = {"user_profile_id": "up_1", "workspace_id": "wrkspc_1", "fallback_credit_token": "t"}
    assert DOOR.hub(BASE | hints | {"billing_policy": {"type": "billing_policy", "bill_to": "self"}})["greenlane"]["ignored"] == list(hints)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fallbacks", [{"model": "claude-opus-5"}], "Anthropic's fallbacks cannot be passed on to this model; use substitutes."),
        ("compaction", {"type": "auto"}, "A conversation cannot be compacted by this model."),
        ("mcp_servers", [{"type": "url", "name": "a"}], "MCP servers are called by Anthropic and cannot be passed on to this model."),
        ("billing_policy", {"bill_to": "user_profile"}, "Whom Anthropic bills cannot be passed on to this model."),
    ],
)
def test_what_only_anthropics_service_does_is_refused_by_name(name: str, value: Any, message: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(BASE | {name: value})
    assert (caught.value.param, caught.value.message) == (name, message)
