"""Hub answers as Message objects and errors: https://platform.claude.com/docs/en/api/messages/create"""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from anthropic.types.shared import ErrorResponse

from adapters._base import Fault, Usage
from adapters.anthropic.door import DOOR

REQUEST = {"model": "qwen3-32b", "max_tokens": 100, "stop_sequences": ["END"], "messages": [{"role": "user", "content": "Hi"}]}
ACCOUNT = b'{"id":"gl_1","carbon_g":0.00011}'


def completion(message: dict[str, Any], finish_reason: str | None = "stop", **choice: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-7f",
        "object": "chat.completion",
        "created": 1,
        "model": "Qwen/Qwen3-32B",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason, **choice}],
    }


def told(answer: dict[str, Any], usage: Usage | None = None, account: bytes | None = None) -> dict[str, Any]:
    body = DOOR.reply(answer, usage, account, REQUEST)
    Message.model_validate_json(body, strict=True)
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_text_answer_is_a_whole_message() -> None:
    """input_tokens leave out what was read from or written to the cache."""
    usage = Usage(input_tokens=100, cached_tokens=60, cache_write_tokens=30, output_tokens=7, reasoning_tokens=2)
    assert told(completion({"content": "Hello."}), usage, ACCOUNT) == {
        "id": "msg_7f",
        "type": "message",
        "role": "assistant",
        "model": "Qwen/Qwen3-32B",
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 60,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
            "greenlane": {"id": "gl_1", "carbon_g": 0.00011},
        },
    }


def test_thinking_comes_first_and_calls_come_last() -> None:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":[1]}'}},
        {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    message = {"content": "So:", "reasoning_content": "Hm", "tool_calls": calls}
    assert told(completion(message, "tool_calls"))["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "So:"},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": [1]}},
        {"type": "tool_use", "id": "call_2", "name": "g", "input": {}},
    ]


def test_signed_thinking_is_kept_verbatim() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    assert told(completion({"content": "A", "reasoning_content": "Hm", "thinking_blocks": blocks}))["content"] == [
        *blocks,
        {"type": "text", "text": "A"},
    ]


@pytest.mark.parametrize("arguments", ['{"a": "cut of', "[1]", "plain"])
def test_arguments_that_are_no_object_are_kept(arguments: str) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    assert told(completion({"content": None, "tool_calls": calls}, "length"))["content"] == [
        {"type": "tool_use", "id": "c", "name": "f", "input": {"unparsed_arguments": arguments}}
    ]


@pytest.mark.parametrize(
    ("finish_reason", "choice", "reason", "sequence"),
    [
        ("stop", {}, "end_turn", None),
        ("length", {}, "max_tokens", None),
        ("tool_calls", {}, "tool_use", None),
        ("content_filter", {}, "refusal", None),
        (None, {}, None, None),
        ("stop", {"stop_reason": "END"}, "stop_sequence", "END"),
        ("stop", {"matched_stop": "END"}, "stop_sequence", "END"),
        ("stop", {"stop_reason": 151645}, "end_turn", None),
        ("stop", {"stop_reason": "not asked for"}, "end_turn", None),
    ],
)
def test_stop_reasons_are_told_and_never_invented(
    finish_reason: str | None, choice: dict[str, Any], reason: str | None, sequence: str | None
) -> None:
    found = told(completion({"content": "A"}, finish_reason, **choice))
    assert (found["stop_reason"], found["stop_sequence"]) == (reason, sequence)


def test_a_refusal_is_text_and_a_reason() -> None:
    found = told(completion({"content": None, "refusal": "I will not."}))
    assert (found["content"], found["stop_reason"]) == ([{"type": "text", "text": "I will not."}], "refusal")


def test_an_empty_answer_is_still_a_message() -> None:
    assert told({"choices": []})["content"] == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_every_status_has_its_error_type(status: int, kind: str) -> None:
    """https://platform.claude.com/docs/en/api/errors"""
    body = json.loads(DOOR.error(Fault(message="No."), status))
    assert body == {"type": "error", "error": {"type": kind, "message": "No."}, "request_id": None}
    ErrorResponse.construct(**body)


@pytest.mark.parametrize(
    ("message", "param", "told"),
    [
        ("Extra inputs are not permitted", "input", "input: Extra inputs are not permitted"),
        ("Extra inputs are not permitted", "n", "n: Extra inputs are not permitted"),
        ("Field required", "tools[0].re", "tools.0.re: Field required"),
        ("`top_k` must be a whole number.", "top_k", "`top_k` must be a whole number."),
        ("Unsupported value: 'messages[0].role' does not do.", "messages[0].role", "Unsupported value: 'messages[0].role' does not do."),
        ("max_tokens is too large: 9", "max_tokens", "max_tokens is too large: 9"),
    ],
)
def test_a_member_is_named_unless_the_message_does_so(message: str, param: str, told: str) -> None:
    body = json.loads(DOOR.error(Fault(message=message, param=param), 400))
    assert body["error"]["message"] == told


def test_a_misfit_is_told_in_anthropics_words_and_the_client_reads_our_code() -> None:
    fault = Fault(message="Extra inputs are not permitted", param="messages[0].content[1].x", code="unknown_parameter")
    body = DOOR.error(fault, 400)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(400, content=body))
    with (
        httpx2.Client(transport=transport) as http,
        pytest.raises(anthropic.BadRequestError) as caught,
    ):
        anthropic.Anthropic(api_key="k", base_url="http://t", http_client=http, max_retries=0).messages.create(
            model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]
        )
    assert caught.value.body == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "messages.0.content.1.x: Extra inputs are not permitted",
            "details": {"error_code": "unknown_parameter"},
        },
        "request_id": None,
    }
