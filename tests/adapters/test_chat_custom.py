"""Custom tools of chat completions, beyond what the goldens of custom tools say.

https://platform.openai.com/docs/guides/function-calling#custom-tools
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters._base import AdapterError
from adapters._chat import DOOR

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
RUN = {"type": "custom", "custom": {"name": "run"}}
ADD = {"type": "function", "function": {"name": "add"}}
USER = {"role": "user", "content": "Hi"}


def chunk(reason: str | None = None, number: int = 0, **delta: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": number, "delta": delta, "finish_reason": reason}]}


def call(index: int, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    head = {} if name is None else {"id": f"call_{index}", "type": "function"}
    return {"index": index, **head, "function": {**({} if name is None else {"name": name}), "arguments": arguments}}


def deltas(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    writer = DOOR.writer({"tools": [RUN, ADD]})
    told = b"".join(map(writer.write, chunks)) + writer.close(None, None)
    assert told.endswith(b"data: [DONE]\n\n")
    found = [json.loads(line.removeprefix(b"data: ")) for line in told.splitlines() if line.startswith(b"data: {")]
    assert all(each[name] == HEAD[name] for each in found for name in HEAD)
    return [choice["delta"] for each in found for choice in each["choices"]]


def test_the_text_of_a_call_is_told_before_the_next_call_and_at_the_end():
    first = {"index": 0, "id": "call_0", "type": "custom", "custom": {"name": "run", "input": ""}}
    second = {"index": 1, "id": "call_1", "type": "custom", "custom": {"name": "run", "input": ""}}
    assert deltas(
        chunk(role="assistant", tool_calls=[call(0, "run")]),
        chunk(tool_calls=[call(0, arguments='{"input":"1')]),
        chunk(tool_calls=[call(0, arguments='+1"}')]),
        chunk(tool_calls=[call(1, "run", '{"input":"2"}')]),
        chunk(tool_calls=[call(2, "add", "{}")]),
        chunk("tool_calls"),
    ) == [
        {"role": "assistant", "tool_calls": [first]},
        {"tool_calls": [{"index": 0, "custom": {"input": "1+1"}}, second]},
        {"tool_calls": [{"index": 1, "custom": {"input": "2"}}, call(2, "add", "{}")]},
        {},
    ]


def test_choices_do_not_mix():
    assert deltas(
        chunk(tool_calls=[call(0, "run", '{"input":"a"}')]),
        chunk(number=1, tool_calls=[call(0, "run", '{"input":"b"}')]),
        chunk("tool_calls"),
        chunk("tool_calls", number=1),
    )[2:] == [{"tool_calls": [{"index": 0, "custom": {"input": "a"}}]}, {"tool_calls": [{"index": 0, "custom": {"input": "b"}}]}]


def test_a_stream_without_a_reason_tells_what_it_had():
    assert deltas(chunk(tool_calls=[call(0, "run", '{"input":"a"}')]))[1:] == [{"tool_calls": [{"index": 0, "custom": {"input": "a"}}]}]


@pytest.mark.parametrize("arguments", ['{"text":"a"}', '["a"]', '{"input":', "a"])
def test_arguments_of_another_form_are_the_text(arguments):
    assert deltas(chunk("tool_calls", tool_calls=[call(0, "run", arguments)])) == [
        {
            "tool_calls": [
                {"index": 0, "id": "call_0", "type": "custom", "custom": {"name": "run", "input": ""}},
                {"index": 0, "custom": {"input": arguments}},
            ]
        }
    ]


def test_calls_of_functions_are_told_as_before():
    first, last = chunk(role="assistant", tool_calls=[call(0, "add", "{}")]), chunk("tool_calls")
    assert deltas(first, last) == [first["choices"][0]["delta"], {}]


def test_what_gemini_signs_stays_with_the_call():
    told = deltas(chunk("tool_calls", tool_calls=[{**call(0, "run", '{"input":"a"}'), "extra_content": {"google": {}}}]))
    assert told[0]["tool_calls"][0]["extra_content"] == {"google": {}}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"type": "custom"}]}, "tools[0].custom.name"),
        ({"tools": [{"type": "custom", "custom": {"name": ""}}]}, "tools[0].custom.name"),
        ({"tools": [RUN], "tool_choice": {"type": "custom"}}, "tool_choice.custom.name"),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "run"}}]}]},
            "messages[1].tool_calls[0].custom.input",
        ),
    ],
)
def test_what_is_wrong_is_named(members, param):
    with pytest.raises(AdapterError) as caught:
        DOOR.hub({"model": "m", "messages": [USER], **members})
    assert caught.value.param == param


def test_a_request_without_custom_tools_stays_as_it_is():
    request = {"messages": [USER], "tools": [ADD], "tool_choice": {"type": "function", "function": {"name": "add"}}}
    assert DOOR.hub(request) == request


@pytest.mark.parametrize(
    ("param", "place"),
    [
        ("tools[0].function.name", "tools[0].custom.name"),
        ("tools[0].function.parameters.properties", "tools[0].custom"),
        ("tools[1].function.name", "tools[1].function.name"),
        ("tools[7].function.name", "tools[7].function.name"),
        ("messages[0].tool_calls[0].function.arguments", "messages[0].tool_calls[0].custom.input"),
        ("messages[0].tool_calls[0].id", "messages[0].tool_calls[0].id"),
    ],
)
def test_an_error_names_the_place_the_client_knows(param, place):
    calls = [{"id": "c", "type": "custom", "custom": {"name": "run", "input": "1"}}]
    assert DOOR.place(param, {"tools": [RUN, ADD], "messages": [{"role": "assistant", "tool_calls": calls}]}) == place
