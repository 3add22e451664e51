"""The chat door: https://platform.openai.com/docs/api-reference/chat/create."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import adapters
from adapters._base import AdapterError, Fault, Target, Usage
from adapters._chat import DOOR

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
FIRST = {**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}]}
USAGE = Usage(input_tokens=9, cached_tokens=4, output_tokens=3, reasoning_tokens=2)
COUNTS = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def data(event: bytes) -> list[object]:
    return [json.loads(line.removeprefix(b"data: ")) for line in event.splitlines() if line.startswith(b"data: {")]


def test_a_chunk_goes_out_as_it_is_where_no_usage_was_asked_for():
    writer = DOOR.writer({})
    assert data(writer.write(FIRST)) == [FIRST]
    assert writer.close(USAGE, b'{"id":"gl"}') == b': greenlane {"id":"gl"}\ndata: [DONE]\n\n'


def test_usage_that_was_asked_for_is_null_in_every_chunk_but_the_last():
    """stream_options.include_usage: "All other chunks will also include a usage field, but with a null value."""
    writer = DOOR.writer({"stream_options": {"include_usage": True}})
    assert data(writer.write(FIRST)) == [{**FIRST, "usage": None}]
    last = writer.close(USAGE, b'{"id":"gl"}')
    assert data(last) == [{**HEAD, "choices": [], "usage": {**COUNTS, "greenlane": {"id": "gl"}}}]
    assert last.endswith(b': greenlane {"id":"gl"}\ndata: [DONE]\n\n')


def test_usage_that_nobody_knows_is_left_out():
    writer = DOOR.writer({"stream_options": {"include_usage": True}})
    writer.write(FIRST)
    assert writer.close(None, None) == b"data: [DONE]\n\n"


def test_a_broken_stream_ends_in_an_error_without_an_end_marker():
    told = DOOR.writer({}).fail(Fault(message="Broken.", code="upstream_error"))
    assert data(told) == [{"error": {"message": "Broken.", "type": "upstream_error", "param": None, "code": "upstream_error"}}]
    assert b"[DONE]" not in told


def test_a_whole_answer_gets_its_usage_and_the_account():
    answer = {"id": "c1", "object": "chat.completion", "choices": []}
    assert json.loads(DOOR.reply(answer, USAGE, b'{"id":"gl"}', {})) == {**answer, "usage": {**COUNTS, "greenlane": {"id": "gl"}}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "wizard"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        *(
            ({"messages": [{"role": "user", "content": "Hi"}], name: value}, name)
            for name, value in (
                ("tools", {}),
                ("functions", {}),
                ("response_format", "json"),
                ("metadata", []),
                ("prediction", "x"),
                ("store", "yes"),
                ("parallel_tool_calls", "no"),
                ("user", 5),
                ("safety_identifier", 5),
                ("prompt_cache_key", {}),
                ("service_tier", 1),
                ("verbosity", 2),
                ("seed", 1.5),
            )
        ),
    ],
)
def test_a_request_of_the_wrong_shape_is_refused_by_name(body, param):
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(body)
    assert caught.value.param == param


def test_the_hub_form_is_the_request_without_our_own_member():
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "seed": 1, "greenlane": {"max_g": 1}}
    assert DOOR.hub(body) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "seed": 1}


CALLS = [
    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]
LEGACY = {"functions": [{"name": "f"}]}


def test_a_client_of_functions_is_answered_with_a_function_call():
    """https://platform.openai.com/docs/api-reference/chat/object: `function_call` is the deprecated form of one call."""
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": CALLS}, "finish_reason": "tool_calls"}
    told = json.loads(DOOR.reply({"id": "c", "choices": [choice]}, None, None, LEGACY))["choices"][0]
    assert told["message"] == {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    assert told["finish_reason"] == "function_call"
    assert json.loads(DOOR.reply({"id": "c", "choices": [choice]}, None, None, {}))["choices"] == [choice]


def test_a_streamed_function_call_is_one_call_s_deltas():
    writer = DOOR.writer(LEGACY)
    deltas = [
        {"role": "assistant", "content": "", "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}, {"index": 1, "id": "b", "function": {"name": "g"}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
    ]
    told = [data(writer.write({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))[0] for delta in deltas]
    assert [chunk["choices"][0]["delta"] for chunk in told] == [
        {"role": "assistant", "content": "", "function_call": {"name": "f"}},
        {"function_call": {"arguments": '{"a":'}},
        {"function_call": {"arguments": "1}"}},
        {},
    ]
    last = data(writer.write({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}))[0]
    assert last["choices"][0]["finish_reason"] == "function_call"


def test_a_spoken_answer_that_openai_stores_is_refused_by_name():
    """Its words are at OpenAI: left out, the conversation would lose a turn unseen."""
    said = {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}
    with pytest.raises(AdapterError) as caught:
        DOOR.hub({"messages": [{"role": "user", "content": "Hi"}, said]})
    assert caught.value.param == "messages[1].audio"
    assert DOOR.hub({"messages": [{**said, "content": "Hello."}]})


@pytest.mark.parametrize(("role", "told"), [("user", True), ("system", True), ("assistant", True), ("tool", False)])
def test_a_participant_s_name_is_told_as_ignored_where_it_cannot_be_said(role: str, told: bool) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    for message in messages:
        if message["role"] == role:
            message["name"] = "Ada"
    for name, model in (("anthropic", "claude-sonnet-4-6"), ("gemini", "gemini-3-flash-preview")):
        out = adapters()[name].outbound({"model": "m", "messages": messages}, Target(upstream_model=model))
        assert out.ignored == (("messages.name",) if told else ())
        assert b"Ada" not in out.body
