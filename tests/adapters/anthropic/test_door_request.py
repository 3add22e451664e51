"""What /v1/messages takes, and the hub request it becomes: https://platform.claude.com/docs/en/api/messages/create"""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._base import AdapterError
from adapters.anthropic.door import DOOR

BASE = {"model": "qwen3-32b", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
HUB = {"model": "qwen3-32b", "max_completion_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}


def with_content(*blocks: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return BASE | {"messages": [{"role": role, "content": list(blocks)}]}


def hub_messages(*blocks: dict[str, Any], role: str = "user") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DOOR.hub(with_content(*blocks, role=role))["messages"]
    return found


@pytest.mark.parametrize(
    ("sent", "hub"),
    [
        ({}, {}),
        ({"system": None, "tools": None, "thinking": None, "metadata": None}, {}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 5}, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}),
        ({"stop_sequences": ["END"]}, {"stop": ["END"]}),
        ({"stop_sequences": []}, {}),
        ({"stream": True}, {"stream": True}),
        ({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"speed": "standard"}, {}),
        ({"greenlane": {"policy": "green"}}, {}),
        ({"diagnostics": {"previous_message_id": None}}, {"greenlane": {"ignored": ["diagnostics"]}}),
        ({"context_management": {"edits": [{"type": "clear_x"}]}}, {"greenlane": {"ignored": ["context_management"]}}),
        ({"thread": {"type": "create"}}, {"greenlane": {"ignored": ["thread"]}}),
        ({"thread": None}, {}),
    ],
)
def test_top_level_members_have_their_hub_form(sent: dict[str, Any], hub: dict[str, Any]) -> None:
    assert DOOR.hub(BASE | sent) == HUB | hub


@pytest.mark.parametrize(
    ("sent", "hub"),
    [
        ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}, "reasoning_effort": "none"}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "reasoning_effort": "low"},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 8192}},
            {"thinking": {"type": "enabled", "budget_tokens": 8192}, "reasoning_effort": "medium"},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 8193, "display": "omitted"}},
            {"thinking": {"type": "enabled", "budget_tokens": 8193, "display": "omitted"}, "reasoning_effort": "high"},
        ),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            {"thinking": {"type": "adaptive"}, "reasoning_effort": "low"},
        ),
    ],
)
def test_thinking_is_passed_and_told_as_effort(sent: dict[str, Any], hub: dict[str, Any]) -> None:
    assert DOOR.hub(BASE | sent) == HUB | hub


def test_a_json_schema_becomes_a_strict_response_format() -> None:
    """`output_format` is where clients of the beta put it."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    wanted = {"type": "json_schema", "schema": schema}
    for sent in (
        {"output_config": {"format": wanted}},
        {"output_format": wanted},
        {"output_config": {"effort": "low"}, "output_format": wanted},
    ):
        assert DOOR.hub(BASE | sent)["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "output", "schema": schema, "strict": True},
        }


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("Be brief.", "Be brief."),
        ([{"type": "text", "text": "Be brief."}], "Be brief."),
        (
            [{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            [{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        ),
    ],
)
def test_the_system_prompt_is_the_first_message(system: Any, content: Any) -> None:
    assert DOOR.hub(BASE | {"system": system})["messages"] == [{"role": "system", "content": content}, {"role": "user", "content": "Hi"}]


def test_images_and_marks_keep_their_place() -> None:
    assert hub_messages(
        {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
            [{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "document.pdf"}}],
        ),
        (
            {"type": "document", "title": "Law", "source": {"type": "url", "url": "https://a.example/law.pdf"}},
            [{"type": "text", "text": "Document: Law"}, {"type": "file", "file": {"file_url": "https://a.example/law.pdf"}}],
        ),
        (
            {
                "type": "document",
                "title": "Law",
                "context": "Of 2020",
                "source": {"type": "text", "media_type": "text/plain", "data": "No."},
                "cache_control": {"type": "ephemeral"},
            },
            [{"type": "text", "text": "Document: Law\nOf 2020\n\nNo.", "cache_control": {"type": "ephemeral"}}],
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}},
            [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
        ),
        (
            {
                "type": "search_result",
                "source": "https://a.example",
                "title": "Tides",
                "content": [{"type": "text", "text": "Twice"}, {"type": "text", "text": "a day"}],
                "citations": {"enabled": False},
            },
            [{"type": "text", "text": "Search result: Tides\nSource: https://a.example\n\nTwice\na day"}],
        ),
    ],
)
def test_documents_and_search_results_become_parts(block: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    question = {"type": "text", "text": "?"}
    assert hub_messages(block, question) == [{"role": "user", "content": [*parts, question]}]


def test_a_tool_loop_keeps_ids_arguments_and_signed_thinking() -> None:
    sent = BASE | {
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Ask.", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "x=="},
                    {"type": "text", "text": "One moment."},
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}, "caller": {"type": "direct"}},
                    {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Go on."},
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain", "is_error": False},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "is_error": True,
                        "content": [{"type": "text", "text": "no clock"}],
                        "cache_control": {"type": "ephemeral"},
                    },
                ],
            },
        ]
    }
    assert DOOR.hub(sent)["messages"] == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "One moment.",
            "reasoning_content": "Ask.",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "Ask.", "signature": "sig"},
                {"type": "redacted_thinking", "data": "x=="},
            ],
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Köln"}'}},
                {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
        {
            "role": "tool",
            "tool_call_id": "toolu_2",
            "content": "no clock",
            "is_error": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"role": "user", "content": "Go on."},
    ]


def test_unsigned_thinking_is_readable_only() -> None:
    """We write such blocks for vendors that sign nothing; Anthropic would refuse them."""
    assert hub_messages({"type": "thinking", "thinking": "Hm", "signature": ""}, {"type": "text", "text": "Yes"}, role="assistant") == [
        {"role": "assistant", "content": "Yes", "reasoning_content": "Hm"}
    ]


def test_calls_without_text_have_null_content() -> None:
    assert hub_messages({"type": "tool_use", "id": "t", "name": "f", "input": {}}, role="assistant")[0]["content"] is None


def test_a_result_may_hold_an_image_or_nothing() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
    assert hub_messages(
        {"type": "tool_result", "tool_use_id": "t1", "content": [image]},
        {"type": "tool_result", "tool_use_id": "t2"},
    ) == [
        {"role": "tool", "tool_call_id": "t1", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]},
        {"role": "tool", "tool_call_id": "t2", "content": ""},
    ]


def test_a_system_message_may_stand_between_turns() -> None:
    assert hub_messages({"type": "text", "text": "Now in French."}, role="system") == [{"role": "system", "content": "Now in French."}]


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (
            {"role": "user", "content": "Hi"},
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]},
            {"role": "tool", "tool_call_id": "t", "content": "1", "cache_control": {"type": "ephemeral"}},
        ),
    ],
)
def test_cache_control_of_the_request_marks_the_last_block(last: dict[str, Any], told: dict[str, Any]) -> None:
    assert DOOR.hub(BASE | {"messages": [last], "cache_control": {"type": "ephemeral"}})["messages"] == [told]


def test_what_openai_s_strict_mode_refuses_is_not_asked_for_strictly() -> None:
    optional = {"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": False}
    closed = {"type": "object", "required": ["a"], "additionalProperties": False}
    for schema in (
        optional,
        {"type": "object"},
        {**closed, "properties": {"a": optional}},
        {**closed, "properties": {"a": {"anyOf": [optional]}}},
    ):
        hub = DOOR.hub(BASE | {"tools": [{"name": "a", "input_schema": schema, "strict": True}]})
        assert hub["tools"][0]["function"] == {"name": "a", "parameters": schema}


def test_tools_become_functions() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    sent = BASE | {
        "tools": [
            {
                "name": "a",
                "input_schema": schema,
                "description": "does a",
                "strict": True,
                "cache_control": {"type": "ephemeral", "ttl": "5m"},
            },
            {"type": "custom", "name": "b", "input_schema": schema, "allowed_callers": ["direct"], "eager_input_streaming": True},
        ]
    }
    assert DOOR.hub(sent)["tools"] == [
        {
            "type": "function",
            "function": {"name": "a", "parameters": schema, "description": "does a", "strict": True},
            "cache_control": {"type": "ephemeral", "ttl": "5m"},
        },
        {"type": "function", "function": {"name": "b", "parameters": schema}},
    ]


@pytest.mark.parametrize(
    ("choice", "hub"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any", "disable_parallel_tool_use": False}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "a"}, {"tool_choice": {"type": "function", "function": {"name": "a"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)
def test_tool_choice_has_its_hub_form(choice: dict[str, Any], hub: dict[str, Any]) -> None:
    told = DOOR.hub(BASE | {"tools": [{"name": "a", "input_schema": {}}], "tool_choice": choice})
    assert {name: value for name, value in told.items() if name in ("tool_choice", "parallel_tool_calls")} == hub


@pytest.mark.parametrize(
    ("sent", "param", "message"),
    [
        ({"foo": 1}, "foo", "Extra inputs are not permitted"),
        ({"max_tokens": "many"}, "max_tokens", "Expected int, got str."),
        ({"max_tokens": 0}, "max_tokens", "Expected int >= 1."),
        ({"max_tokens": True}, "max_tokens", "Expected int, got bool."),
        ({"temperature": 1.5}, "temperature", "Expected float <= 1.0."),
        ({"messages": []}, "messages", "Expected array of length >= 1."),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "Field required"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].role", "A value 'tool' is not supported here."),
        ({"messages": [{"role": "my secret words", "content": ""}]}, "messages[0].role", "A value of this kind is not supported here."),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]},
            "messages[0].content[0].x",
            "Extra inputs are not permitted",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "bash_code_execution_tool_result"}]}]},
            "messages[0].content[0].type",
            "A value 'bash_code_execution_tool_result' is not supported here.",
        ),
        ({"tools": [{"name": "a"}]}, "tools[0].input_schema", "Field required"),
        (
            {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
            "tools[0].type",
            "The tool web_fetch_20250910 is Anthropic's own and cannot be passed on to this model.",
        ),
        (
            {"tools": [{"name": "a", "input_schema": {}, "allowed_callers": ["code_execution_20250825"]}]},
            "tools[0].allowed_callers",
            "A tool that only code may call cannot be passed on to this model.",
        ),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name", "Field required"),
        ({"tool_choice": {"type": "any", "name": "a"}}, "tool_choice.name", "Extra inputs are not permitted"),
        ({"container": "c_1"}, "container", "Containers exist at Anthropic only and cannot be passed on to this model."),
        ({"inference_geo": "us"}, "inference_geo", "inference_geo cannot be passed on to this model; use a policy with regions."),
        ({"speed": "fast"}, "speed", "Fast mode cannot be passed on to this model."),
        (
            {"context_management": {"edits": [{"type": "compact_20260112"}]}},
            "context_management.edits[0]",
            "This context edit cannot be passed on to this model.",
        ),
    ],
)
def test_a_misfit_names_its_member(sent: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(BASE | sent)
    assert (caught.value.param, caught.value.message) == (param, message)


@pytest.mark.parametrize(
    ("block", "role", "param"),
    [
        ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, "user", "messages[0].content[0].type"),
        ({"type": "tool_result", "tool_use_id": "t"}, "assistant", "messages[0].content[0].type"),
        ({"type": "image", "source": {"type": "url", "url": "u"}}, "system", "messages[0].content[0].type"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "user", "messages[0].content[0].source.file_id"),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, "user", "messages[0].content[0].source.file_id"),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": ""}, "citations": {"enabled": True}},
            "user",
            "messages[0].content[0].citations",
        ),
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {}, "toolset_name": "browser"},
            "assistant",
            "messages[0].content[0].toolset_name",
        ),
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "code"}},
            "assistant",
            "messages[0].content[0].caller",
        ),
        ({"type": "tool_result", "tool_use_id": "t", "toolset_name": "browser"}, "user", "messages[0].content[0].toolset_name"),
    ],
)
def test_a_block_out_of_place_is_named(block: dict[str, Any], role: str, param: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(with_content(block, role=role))
    assert caught.value.param == param


@pytest.mark.parametrize("missing", ["model", "max_tokens", "messages"])
def test_mandatory_members_are_demanded(missing: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub({name: value for name, value in BASE.items() if name != missing})
    assert (caught.value.param, caught.value.message) == (missing, "Field required")


NAMES = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "source",
        "data",
        "media_type",
        "url",
        "name",
        "input",
        "id",
        "tool_use_id",
        "thinking",
        "signature",
        "system",
        "messages",
        "tools",
        "tool_choice",
        "input_schema",
        "cache_control",
        "ttl",
        "budget_tokens",
        "effort",
        "format",
        "schema",
        "output_config",
        "title",
        "citations",
        "enabled",
        "max_tokens",
        "model",
        "metadata",
        "user_id",
        "edits",
        "context_management",
    ]
)
WORDS = st.sampled_from(
    [
        "text",
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "base64",
        "url",
        "file",
        "content",
        "user",
        "assistant",
        "system",
        "auto",
        "any",
        "tool",
        "none",
        "custom",
        "enabled",
        "adaptive",
        "ephemeral",
        "json_schema",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9000) | st.floats(allow_nan=False) | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES | st.text(max_size=3), JSON, max_size=6), st.booleans())
def test_any_object_is_a_request_or_an_error_that_says_why(body: dict[str, Any], based: bool) -> None:
    sent = BASE | body if based else body
    before = copy.deepcopy(sent)
    try:
        told = DOOR.hub(sent)
    except AdapterError as error:
        told = {"messages": error.message}
    assert told["messages"]
    assert sent == before


def test_the_scope_of_a_cache_mark_is_taken_and_forgotten() -> None:
    """Claude Code sends it (horselock/claude-code-proxy#14)."""
    system = [{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}}]
    told = DOOR.hub(BASE | {"system": system})["messages"][0]["content"]
    assert told == [{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
