"""Whole answers and errors: https://platform.claude.com/docs/en/api/messages/create and .../api/errors"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters._base import Fault, FaultError, GarbledError, Usage
from adapters.anthropic import ADAPTER

Json = dict[str, Any]
COUNTS = {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 7}


def message(*content: Json, stop_reason: str | None = "end_turn", **more: Any) -> bytes:
    head = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": list(content)}
    return json.dumps({**head, "stop_reason": stop_reason, "stop_sequence": None, "usage": COUNTS, **more}).encode()


def choice(*content: Json, **more: Any) -> Json:
    found: Json = ADAPTER.completion(message(*content, **more)).body["choices"][0]
    return found


TEXT = {"type": "text", "text": "Hello."}
CALL = {"type": "tool_use", "id": "toolu_01", "name": "f", "input": {"a": "ü", "n": 1}}


def test_a_text_answer_whole() -> None:
    found = ADAPTER.completion(message(TEXT))
    assert found.body == {
        "id": "chatcmpl-01",
        "object": "chat.completion",
        "created": 0,
        "model": "claude-opus-5-5",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello.", "refusal": None}, "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": {
            "prompt_tokens": 18,
            "completion_tokens": 7,
            "total_tokens": 25,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
        },
    }
    assert found.usage == Usage(input_tokens=18, cached_tokens=5, cache_write_tokens=3, output_tokens=7)
    assert found.finish_reason == "stop"


def test_calls_come_with_null_content_and_arguments_as_text() -> None:
    empty = {"type": "tool_use", "id": "toolu_02", "name": "g", "input": {}}
    assert choice(CALL, empty, stop_reason="tool_use") == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [
                {"id": "toolu_01", "type": "function", "function": {"name": "f", "arguments": '{"a":"ü","n":1}'}},
                {"id": "toolu_02", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        "logprobs": None,
        "finish_reason": "tool_calls",
    }


def test_thinking_is_kept_verbatim_and_readable() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    hidden = {"type": "redacted_thinking", "data": "abc"}
    said = choice(thought, hidden, TEXT)["message"]
    assert (said["reasoning_content"], said["thinking_blocks"], said["content"]) == ("Hm.", [thought, hidden], "Hello.")


def test_thinking_that_is_omitted_has_no_readable_text() -> None:
    said = choice({"type": "thinking", "thinking": "", "signature": "sig"}, TEXT)["message"]
    assert "reasoning_content" not in said
    assert said["thinking_blocks"] == [{"type": "thinking", "thinking": "", "signature": "sig"}]


def test_blocks_of_the_vendor_s_own_tools_are_passed_over() -> None:
    server = {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": "x"}}
    cited = {**TEXT, "citations": [{"type": "web_search_result_location", "url": "https://e.org"}]}
    assert choice(server, {"type": "web_search_tool_result", "content": []}, TEXT, cited)["message"]["content"] == "Hello.Hello."


def test_citations_of_the_web_are_annotations_of_the_words_they_support() -> None:
    cited = {"type": "web_search_result_location", "url": "https://e.org", "title": None, "cited_text": "x", "encrypted_index": "eA=="}
    own = {"type": "char_location", "cited_text": "x", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
    said = choice(TEXT, {"type": "text", "text": "Grüß", "citations": [cited, own, 5, {**cited, "url": None}]}, TEXT)["message"]
    place = {"start_index": 6, "end_index": 10, "url": "https://e.org", "title": "https://e.org"}
    assert said["annotations"] == [{"type": "url_citation", "url_citation": place}]
    assert "annotations" not in choice(TEXT)["message"]


def test_a_turn_of_searches_that_was_paused_is_not_whole() -> None:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools"""
    used = {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": "x"}}
    found = ADAPTER.completion(json.dumps({**json.loads(message(TEXT, stop_reason="pause_turn")), "content": [TEXT, used]}).encode())
    assert found.finish_reason == "length"


@pytest.mark.parametrize(
    ("stop_reason", "content", "expected"),
    [
        ("end_turn", TEXT, "stop"),
        ("stop_sequence", TEXT, "stop"),
        ("pause_turn", TEXT, "stop"),
        ("max_tokens", TEXT, "length"),
        ("model_context_window_exceeded", TEXT, "length"),
        ("refusal", TEXT, "content_filter"),
        ("tool_use", CALL, "tool_calls"),
        ("tool_use", TEXT, "stop"),
        ("max_tokens", CALL, "length"),
        ("end_turn", CALL, "tool_calls"),
        ("pause_turn", CALL, "stop"),
        ("a_reason_of_tomorrow", TEXT, "stop"),
        ("a_reason_of_tomorrow", CALL, "tool_calls"),
        (None, TEXT, "stop"),
        (None, CALL, "tool_calls"),
    ],
)
def test_reasons_to_stop(stop_reason: str | None, content: Json, expected: str) -> None:
    """https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons"""
    found = ADAPTER.completion(message(content, stop_reason=stop_reason))
    assert (found.finish_reason, found.body["choices"][0]["finish_reason"]) == (expected, expected)


def test_a_refusal_tells_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    assert choice(stop_reason="refusal", stop_details=details)["message"] == {"role": "assistant", "content": "", "refusal": "Not this."}


def test_what_was_not_counted_stays_unknown() -> None:
    found = ADAPTER.completion(message(TEXT, usage=None))
    assert found.usage is None
    assert "usage" not in found.body
    spare = ADAPTER.completion(
        message(TEXT, usage={"input_tokens": 4, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}})
    )
    assert spare.usage == Usage(input_tokens=4, output_tokens=2, reasoning_tokens=1)
    assert spare.body["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "total_tokens": 6,
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


def test_the_tier_is_told_in_openai_s_words() -> None:
    assert ADAPTER.completion(message(TEXT, usage={**COUNTS, "service_tier": "standard"})).body["service_tier"] == "default"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"type":"message"}', b'{"type":"message","content":[1]}', b"\xff", b"[" * 9999]
)
def test_rubbish_is_garbled(body: bytes) -> None:
    with pytest.raises(GarbledError):
        ADAPTER.completion(body)


@pytest.mark.parametrize(
    "block", [{"type": "server_tool_use", "id": [1]}, {"type": "web_search_tool_result", "tool_use_id": {}}, {"type": "tool_use", "id": 7}]
)
def test_a_block_whose_id_is_no_text_is_garbled(block: dict[str, Any]) -> None:
    with pytest.raises(GarbledError):
        ADAPTER.completion(message(TEXT, block))


def test_an_error_in_a_200_is_a_fault() -> None:
    with pytest.raises(FaultError) as caught:
        ADAPTER.completion(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert caught.value.fault == Fault(message="Overloaded", type="server_error", code="overloaded", status=503)


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", ("invalid_request_error", None, 400)),
        (401, "authentication_error", ("authentication_error", "invalid_api_key", 401)),
        (402, "billing_error", ("insufficient_quota", "insufficient_quota", 402)),
        (403, "permission_error", ("permission_error", "forbidden", 403)),
        (404, "not_found_error", ("invalid_request_error", "model_not_found", 404)),
        (409, "conflict_error", ("invalid_request_error", "conflict", 409)),
        (413, "request_too_large", ("invalid_request_error", "too_large", 413)),
        (429, "rate_limit_error", ("rate_limit_error", "rate_limit_exceeded", 429)),
        (500, "api_error", ("server_error", None, 500)),
        (529, "overloaded_error", ("server_error", "overloaded", 503)),
        (504, "timeout_error", ("server_error", "timeout", 504)),
        (422, "an_error_of_tomorrow", ("invalid_request_error", None, 422)),
        (422, "api_error", ("invalid_request_error", None, 422)),
        (422, "invalid_request_error", ("invalid_request_error", None, 422)),
        (429, "invalid_request_error", ("rate_limit_error", None, 429)),
        (500, "invalid_request_error", ("server_error", None, 500)),
        (503, "rate_limit_error", ("server_error", None, 503)),
    ],
)
def test_error_answers(status: int, kind: str, expected: tuple[str, str | None, int]) -> None:
    """https://platform.claude.com/docs/en/api/errors#http-errors"""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "It failed."}, "request_id": "req_01"}).encode()
    found = ADAPTER.fault(status, body)
    assert (found.message, (found.type, found.code, found.status)) == ("It failed.", expected)


def test_a_code_of_the_vendor_is_kept() -> None:
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"x","details":{"error_code":"tool_name_conflict"}}}'
    assert ADAPTER.fault(400, body).code == "tool_name_conflict"


def test_a_prompt_too_long_has_openai_s_code() -> None:
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 214315 tokens > 200000 maximum"}}'
    assert ADAPTER.fault(400, body).code == "context_length_exceeded"


@pytest.mark.parametrize("secret", ["sk-ant-api03-AbC_dEf-123456", "Bearer abcdef0123456789", "x-api-key: topsecret"])
def test_keys_do_not_leave(secret: str) -> None:
    body = json.dumps({"type": "error", "error": {"type": "authentication_error", "message": f"bad key {secret}."}}).encode()
    message = ADAPTER.fault(401, body).message
    assert secret.rpartition(" ")[2] not in message
    assert "***" in message


@pytest.mark.parametrize(
    "body", [b"", b"<html>key</html>", b"[]", b'{"error":"no"}', b'{"error":{"message":"no type"}}', b"\xff\xfe", b"[" * 9999]
)
def test_a_body_that_cannot_be_read_gives_the_status_alone(body: bytes) -> None:
    expected = Fault(message="The upstream answered with status 502.", type="server_error", status=502)
    assert ADAPTER.fault(502, body) == expected


def test_a_long_message_is_cut() -> None:
    body = json.dumps({"error": {"type": "api_error", "message": "x" * 9000}}).encode()
    assert len(ADAPTER.fault(500, body).message) == 2000
