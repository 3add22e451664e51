"""What /v1/responses takes, and the hub request it becomes: https://platform.openai.com/docs/api-reference/responses/create"""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._base import AdapterError
from adapters.responses import DOOR

BASE = {"model": "qwen3-32b", "input": "Hi"}
HUB = {"model": "qwen3-32b", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("sent", "hub"),
    [
        ({}, {}),
        ({"temperature": None, "tools": None, "reasoning": None, "text": None, "metadata": None, "conversation": None}, {}),
        ({"temperature": 0.5, "top_p": 0.9, "max_output_tokens": 9}, {"temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 9}),
        ({"metadata": {"a": "b"}, "user": "u", "safety_identifier": "s"}, {"metadata": {"a": "b"}, "user": "u", "safety_identifier": "s"}),
        (
            {"prompt_cache_key": "k", "service_tier": "flex", "store": False},
            {"prompt_cache_key": "k", "service_tier": "flex", "store": False},
        ),
        ({"stream": True, "stream_options": {"include_obfuscation": False}}, {"stream": True}),
        (
            {"truncation": "auto", "max_tool_calls": 3, "background": False, "context_management": []},
            {"greenlane": {"ignored": ["max_tool_calls", "truncation"]}},
        ),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"top_logprobs": 0}, {}),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning_effort": "high"}),
        ({"reasoning": {"effort": "max", "mode": "standard"}}, {"reasoning_effort": "max"}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}},
        ),
        ({"greenlane": {"max_g": 1}}, {}),
        ({"parallel_tool_calls": False}, {}),
    ],
)
def test_top_level_members_have_their_hub_form(sent: dict[str, Any], hub: dict[str, Any]) -> None:
    assert DOOR.hub(BASE | sent) == HUB | hub


def test_instructions_are_the_first_message() -> None:
    assert DOOR.hub(BASE | {"instructions": "Be brief."})["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        pytest.param(
            [{"role": "developer", "content": "D"}, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
            [{"role": "developer", "content": "D"}, {"role": "user", "content": "Hi"}],
            id="texts",
        ),
        pytest.param(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "Look", "prompt_cache_breakpoint": {"mode": "explicit"}},
                        {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"},
                        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"},
                        {"type": "input_file", "file_url": "https://a.example/b.pdf"},
                        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                    ],
                }
            ],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look", "prompt_cache_breakpoint": {"mode": "explicit"}},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
                        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
                        {"type": "file", "file": {"file_url": "https://a.example/b.pdf"}},
                        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                    ],
                }
            ],
            id="media",
        ),
        pytest.param(
            [
                {"role": "user", "content": "Weather?"},
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Ask."}]},
                {
                    "type": "message",
                    "id": "msg_1",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "One moment.", "annotations": [], "logprobs": []}],
                },
                {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}', "status": "completed"},
                {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "rain"},
                {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "wind"}]},
                {"role": "user", "content": "So?"},
            ],
            [
                {"role": "user", "content": "Weather?"},
                {
                    "role": "assistant",
                    "content": "One moment.",
                    "reasoning_content": "Ask.",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "rain"},
                {"role": "tool", "tool_call_id": "c2", "content": "wind"},
                {"role": "user", "content": "So?"},
            ],
            id="tool loop",
        ),
        pytest.param(
            [
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "1"},
                {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Now"}], "encrypted_content": None},
                {"role": "assistant", "content": "Done."},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            ],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
                {"role": "assistant", "content": "Done.", "reasoning_content": "Now"},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            ],
            id="turns stay apart",
        ),
        pytest.param(
            [
                {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "select 1"},
                {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
            ],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "sql", "arguments": '{"input":"select 1"}'}}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
            ],
            id="custom tool",
        ),
        pytest.param(
            [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAAA-sealed-elsewhere"}, {"role": "user", "content": "Hi"}],
            [{"role": "user", "content": "Hi"}],
            id="reasoning sealed by another service",
        ),
        pytest.param(
            [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}, {"role": "user", "content": "Hi"}],
            [{"role": "assistant", "content": "", "reasoning_content": "Hm"}, {"role": "user", "content": "Hi"}],
            id="reasoning alone",
        ),
    ],
)
def test_items_become_messages(items: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
    assert DOOR.hub({"model": "m", "input": items})["messages"] == messages


def test_function_tools_keep_their_members_and_custom_tools_become_functions() -> None:
    schema = {"type": "object", "properties": {}}
    tools = [
        {"type": "function", "name": "f", "description": "does f", "parameters": schema, "strict": True},
        {"type": "function", "name": "g", "parameters": None, "strict": None},
        {"type": "custom", "name": "sql", "description": "runs SQL", "format": {"type": "text"}},
    ]
    told = DOOR.hub(BASE | {"tools": tools, "parallel_tool_calls": False})
    assert told["parallel_tool_calls"] is False
    assert told["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "does f", "parameters": schema, "strict": True}},
        {"type": "function", "function": {"name": "g"}},
        {
            "type": "function",
            "function": {
                "name": "sql",
                "parameters": {
                    "type": "object",
                    "properties": {"input": {"type": "string"}},
                    "required": ["input"],
                    "additionalProperties": False,
                },
                "description": "runs SQL",
            },
        },
    ]


@pytest.mark.parametrize(
    ("choice", "hub"),
    [
        ("none", "none"),
        ("auto", "auto"),
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "custom", "name": "sql"}, {"type": "function", "function": {"name": "sql"}}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}},
        ),
    ],
)
def test_tool_choice_has_its_hub_form(choice: Any, hub: Any) -> None:
    assert DOOR.hub(BASE | {"tool_choice": choice})["tool_choice"] == hub


@pytest.mark.parametrize(
    ("sent", "param", "code"),
    [
        ({"foo": 1}, "foo", "unknown_parameter"),
        ({"input": 3}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": ["Hi"]}, "input[0]", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"metadata": {"a": 1}}, "metadata[...]", "invalid_value"),
        ({"reasoning": {"effort": "some"}}, "reasoning.effort", "invalid_value"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "unsupported_value"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "missing_required_parameter"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type", "invalid_value"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_value"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_value"),
        ({"background": True}, "background", "unsupported_value"),
        ({"moderation": {"model": "m"}}, "moderation", "unsupported_value"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "unsupported_value"),
        ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm", "unsupported_value"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "web_search", "external_web_access": False}]}, "tools[0].external_web_access", "unsupported_value"),
        ({"tools": [{"type": "web_search", "search_context_size": "all"}]}, "tools[0].search_context_size", "invalid_value"),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        (
            {"tools": [{"type": "function", "name": "f", "allowed_callers": ["programmatic"]}]},
            "tools[0].allowed_callers",
            "unsupported_value",
        ),
        ({"tools": [{"type": "custom", "name": "p", "format": {"type": "grammar"}}]}, "tools[0].format", "unsupported_value"),
        ({"tool_choice": "any"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type", "unsupported_value"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}},
            "tool_choice.tools[0]",
            "invalid_value",
        ),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name", "missing_required_parameter"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}}, "tool_choice.tools[0].type", "unsupported_value"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", "unsupported_value"),
        ({"input": [{"type": "file_search_call", "id": "fs_1"}]}, "input[0].type", "unsupported_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "robot", "content": ""}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user", "content": [{"text": "Hi"}]}]}, "input[0].content[0].type", "missing_required_parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
            "unsupported_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
            "unsupported_value",
        ),
        ({"input": [{"role": "user", "content": [{"type": "computer_screenshot"}]}]}, "input[0].content[0].type", "unsupported_value"),
        ({"input": [{"type": "function_call_output", "output": ""}]}, "input[0].call_id", "missing_required_parameter"),
        (
            {"input": [{"type": "reasoning", "encrypted_content": "greenlane-thinking-1.%%%"}]},
            "input[0].encrypted_content",
            "invalid_value",
        ),
        (
            {"input": [{"type": "reasoning", "encrypted_content": "greenlane-thinking-1.W3sidHlwZSI6InRleHQifV0="}]},
            "input[0].encrypted_content",
            "invalid_value",
        ),
    ],
)
def test_a_misfit_names_its_member(sent: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(BASE | sent)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize("missing", ["model", "input"])
def test_mandatory_members_are_demanded(missing: str) -> None:
    with pytest.raises(AdapterError) as caught:
        DOOR.hub({name: value for name, value in BASE.items() if name != missing})
    assert caught.value.message == f"Missing required parameter: '{missing}'."


NAMES = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "input",
        "name",
        "call_id",
        "arguments",
        "output",
        "summary",
        "encrypted_content",
        "tools",
        "tool_choice",
        "format",
        "effort",
        "reasoning",
        "model",
        "image_url",
        "file_data",
        "input_audio",
        "mode",
        "schema",
        "detail",
    ]
)
WORDS = st.sampled_from(
    [
        "message",
        "user",
        "assistant",
        "input_text",
        "output_text",
        "input_image",
        "input_file",
        "input_audio",
        "refusal",
        "function",
        "function_call",
        "function_call_output",
        "reasoning",
        "custom",
        "custom_tool_call",
        "allowed_tools",
        "json_schema",
        "auto",
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
