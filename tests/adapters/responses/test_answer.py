"""Hub answers as Response objects and errors: https://platform.openai.com/docs/api-reference/responses/object"""

import json
from typing import Any

import pytest
from openai.types.responses import Response

from adapters._base import Fault, Usage
from adapters.responses import DOOR

REQUEST: dict[str, Any] = {"model": "qwen3-32b", "input": "Hi"}
ACCOUNT = b'{"id":"gl_1","carbon_g":0.00011}'


def completion(message: dict[str, Any], finish_reason: str | None = "stop", **choice: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-7f",
        "object": "chat.completion",
        "created": 17,
        "model": "Qwen/Qwen3-32B",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason, **choice}],
    }


def told(answer: dict[str, Any], usage: Usage | None = None, account: bytes | None = None, **request: Any) -> dict[str, Any]:
    body = DOOR.reply(answer, usage, account, REQUEST | request)
    Response.model_validate_json(body, strict=True)
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_text_answer_is_a_whole_response() -> None:
    usage = Usage(input_tokens=100, cached_tokens=60, output_tokens=7, reasoning_tokens=2)
    assert told(completion({"content": "Hello."}), usage, ACCOUNT) == {
        "id": "resp_7f",
        "object": "response",
        "created_at": 17,
        "status": "completed",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "Qwen/Qwen3-32B",
        "output": [
            {
                "id": "msg_7f_0",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []}],
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 107,
            "greenlane": {"id": "gl_1", "carbon_g": 0.00011},
        },
        "user": None,
    }


def test_members_of_the_request_are_echoed() -> None:
    echoed = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "temperature": 0.2,
        "top_p": 0.5,
        "max_output_tokens": 9,
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        "parallel_tool_calls": False,
        "user": "u",
    }
    found = told(completion({"content": "A"}), reasoning={"effort": "low", "summary": "auto"}, text={"verbosity": "low"}, **echoed)
    assert {name: found[name] for name in echoed} == echoed
    assert found["reasoning"] == {"effort": "low", "summary": "auto"}
    assert found["text"] == {"format": {"type": "text"}, "verbosity": "low"}


def test_reasoning_text_and_calls_are_items_in_order() -> None:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "call_2", "type": "function", "function": {"name": "sql", "arguments": '{"input":"select 1"}'}},
    ]
    message = {"content": "So:", "refusal": "No.", "reasoning_content": "Hm", "tool_calls": calls}
    assert told(completion(message, "tool_calls"), tools=[{"type": "custom", "name": "sql"}])["output"] == [
        {
            "id": "rs_7f_0",
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "encrypted_content": None,
            "content": [{"type": "reasoning_text", "text": "Hm"}],
        },
        {
            "id": "msg_7f_1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "So:", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "No."},
            ],
        },
        {"id": "fc_7f_2", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'},
        {"id": "ctc_7f_3", "type": "custom_tool_call", "status": "completed", "call_id": "call_2", "name": "sql", "input": "select 1"},
    ]


def test_reasoning_is_a_summary_where_one_was_asked_for() -> None:
    item = told(completion({"content": "A", "reasoning_content": "Hm"}), reasoning={"summary": "auto"})["output"][0]
    assert (item["summary"], "content" in item) == ([{"type": "summary_text", "text": "Hm"}], False)


def test_signed_thinking_comes_back_through_the_client() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    output = told(completion({"content": None, "reasoning_content": "Hm", "thinking_blocks": blocks, "tool_calls": calls}))["output"]
    items = [*output, {"type": "function_call_output", "call_id": "call_1", "output": "1"}]
    assert DOOR.hub(REQUEST | {"input": items})["messages"][0] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm",
        "thinking_blocks": blocks,
        "tool_calls": calls,
    }


@pytest.mark.parametrize(
    ("finish_reason", "status", "details", "item_status"),
    [
        ("stop", "completed", None, "completed"),
        ("tool_calls", "completed", None, "completed"),
        ("length", "incomplete", {"reason": "max_output_tokens"}, "incomplete"),
        ("content_filter", "incomplete", {"reason": "content_filter"}, "incomplete"),
        (None, "incomplete", None, "completed"),
    ],
)
def test_the_status_tells_how_it_ended(finish_reason: str | None, status: str, details: Any, item_status: str) -> None:
    found = told(completion({"content": "A"}, finish_reason))
    assert (found["status"], found["incomplete_details"], found["output"][0]["status"]) == (status, details, item_status)


def test_logprobs_have_bytes_always() -> None:
    entry = {"token": "A", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "A", "logprob": -0.1, "bytes": [65]}]}
    found = told(completion({"content": "A"}, logprobs={"content": [entry], "refusal": None}))
    assert found["output"][0]["content"][0]["logprobs"] == [
        {"token": "A", "bytes": [], "logprob": -0.1, "top_logprobs": [{"token": "A", "bytes": [65], "logprob": -0.1}]}
    ]


def test_usage_that_nobody_counted_is_null() -> None:
    assert told(completion({"content": "A"}), Usage(output_tokens=3), ACCOUNT)["usage"] is None


def test_an_empty_answer_is_still_a_response() -> None:
    assert told({"choices": []})["output"] == []


def test_an_error_is_openais_object() -> None:
    body = DOOR.error(Fault(message="No.", type="invalid_request_error", code="unknown_parameter", param="foo"), 400)
    assert body == b'{"error":{"message":"No.","type":"invalid_request_error","param":"foo","code":"unknown_parameter"}}'
