"""Translated requests for hosts of OpenAI's dialect: https://platform.openai.com/docs/api-reference/chat/create."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters._base import GarbledError, Quirks, Target
from adapters._json import view
from adapters.anthropic.door import DOOR as MESSAGES
from adapters.azure import ADAPTER as AZURE
from adapters.openai import ADAPTER, BESIDE, HOSTS
from adapters.responses import DOOR as RESPONSES
from adapters.responses.items import sealed

Json = dict[str, Any]
TARGET = Target(upstream_model="up")
PIXEL = "data:image/png;base64,iVBORw0KGgo="
IMAGE = {"type": "image_url", "image_url": {"url": PIXEL}}


def sent(chat: Json, **quirks: Any) -> Json:
    body: Json = json.loads(ADAPTER.outbound(chat, Target(upstream_model="up", quirks=Quirks(**quirks))).body)
    return body


def messages_request() -> Json:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    calls = [{"type": "tool_use", "id": name, "name": "look", "input": {}} for name in ("a", "b")]
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "Seen."}, {"type": "image", "source": source}]},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "image", "source": source}]},
    ]
    turns = [{"role": "user", "content": "Look"}, {"role": "assistant", "content": calls}]
    return {"model": "m", "max_tokens": 9, "messages": [*turns, {"role": "user", "content": [*results, {"type": "text", "text": "And?"}]}]}


def responses_request() -> Json:
    image = {"type": "input_image", "image_url": PIXEL}
    calls = [{"type": "function_call", "call_id": name, "name": "look", "arguments": "{}"} for name in ("a", "b")]
    results = [
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "Seen."}, image]},
        {"type": "function_call_output", "call_id": "b", "output": [image]},
    ]
    return {"model": "m", "input": [{"role": "user", "content": "Look"}, *calls, *results, {"role": "user", "content": "And?"}]}


@pytest.mark.parametrize(
    ("door", "request_"), [(MESSAGES, messages_request()), (RESPONSES, responses_request())], ids=["messages", "responses"]
)
def test_images_in_results_follow_as_a_user_s_message(door: Any, request_: Json) -> None:
    """A tool's message may hold texts alone: its content is "string or array of text parts"."""
    told = sent(door.hub(request_))["messages"][2:]
    beside = {"type": "text", "text": BESIDE}
    assert told == [
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "Seen."}, beside]},
        {"role": "tool", "tool_call_id": "b", "content": [beside]},
        {"role": "user", "content": [IMAGE, IMAGE]},
        {"role": "user", "content": "And?"},
    ]


def test_what_only_other_dialects_know_is_left_out() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"google": {}}}
    chat = {
        "model": "m",
        "thinking": {"type": "adaptive"},
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be kind.", **mark}]},
            {"role": "assistant", "content": None, "reasoning_content": "Hm.", "thinking_blocks": [{"type": "x"}], "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "1", "is_error": True, **mark},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}, **mark}],
        "stream": True,
        "max_completion_tokens": 5,
    }
    plain = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    expected = {
        "model": "up",
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [plain]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 5,
    }
    assert sent(chat) == expected
    assert ADAPTER.outbound(chat, TARGET).ignored == ("thinking",)
    odd = sent(chat, stream_options=False, max_completion_tokens=False, developer_role=False, reasoning_content=False)
    assert odd["messages"][0]["role"] == "system"
    assert "reasoning_content" not in odd["messages"][1]
    assert (odd["max_tokens"], "stream_options" in odd, "max_completion_tokens" in odd) == (5, False, False)


def through(adapter: Any, api: str, body: Json, quirks: Quirks) -> Json:
    raw = json.dumps(body).encode()
    out: Json = json.loads(adapter.identity(api, raw, view(raw), Target(upstream_model="up", api_version="1", quirks=quirks)).body)
    return out


def test_what_other_vendors_left_in_a_history_is_kept_from_hosts_that_refuse_it() -> None:
    """Of a group one turn may be Anthropic's or Gemini's and the next OpenAI's: `unknown_parameter` for members it does not know."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain = {"role": "assistant", "content": None, "tool_calls": [call], "x": 1}
    thought = {**plain, "thinking_blocks": [{"type": "thinking"}], "tool_calls": [{**call, "extra_content": {"google": {}}}]}
    said = {**thought, "reasoning_content": "Hm"}
    result = {"role": "tool", "tool_call_id": "a", "content": '"thinking_blocks"'}
    body = {"model": "m", "messages": [said, result]}
    assert through(ADAPTER, "chat", body, HOSTS["api.openai.com"])["messages"] == [plain, result]
    assert through(ADAPTER, "chat", body, HOSTS["api.mistral.ai"])["messages"][0].keys() == plain.keys()
    assert through(ADAPTER, "chat", body, Quirks())["messages"] == body["messages"]
    assert through(AZURE, "chat", body, Quirks())["messages"] == [{**plain, "reasoning_content": "Hm"}, result]


def test_reasoning_of_other_vendors_is_kept_from_openai_s_responses() -> None:
    own = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "reasoning_text"}]},
    ]
    others = [
        {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": sealed([{"type": "redacted_thinking", "data": "x"}])},
        {"type": "reasoning", "id": "rs_r1_0", "summary": [{"type": "summary_text", "text": "Hm"}]},
        {
            "type": "reasoning",
            "id": "rs_4",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}],
            "encrypted_content": None,
        },
    ]
    body = {"model": "m", "input": [*own, *others, {"role": "user", "content": "Hi"}]}
    for adapter, quirks in ((ADAPTER, HOSTS["api.openai.com"]), (AZURE, Quirks())):
        assert through(adapter, "responses", body, quirks)["input"] == [*own, body["input"][-1]]
    assert through(ADAPTER, "responses", body, Quirks())["input"] == body["input"]
    alone = {"model": "m", "input": [*own, others[1]]}
    assert through(ADAPTER, "responses", alone, HOSTS["api.openai.com"])["input"] == own


def test_a_user_that_is_too_long_for_the_host_is_a_digest() -> None:
    """Claude Code's has 150 characters, and OpenAI takes 64."""
    turns = [{"role": "user", "content": "Hi"}]
    long = {"model": "m", "max_tokens": 9, "messages": turns, "metadata": {"user_id": '{"device_id":"' + "a" * 140 + '"}'}}
    told = [sent(MESSAGES.hub(long))["user"] for _ in range(2)]
    assert told[0] == told[1]
    assert len(told[0]) == 64
    assert sent(MESSAGES.hub({**long, "metadata": {"user_id": "u-1"}}))["user"] == "u-1"


@pytest.mark.parametrize(
    ("content", "text", "thought"),
    [
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}], None, "Hm"),
        ([{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Yes"}], "Yes", "Hm"),
        ([{"type": "thinking", "thinking": []}], None, None),
        ([{"type": "thinking", "thinking": [None, {"type": "reference"}]}, {"type": "text", "text": None}], None, None),
        ([], None, None),
    ],
)
def test_content_in_parts_is_read_as_text_and_thought(content: list[Any], text: str | None, thought: str | None) -> None:
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
    said = ADAPTER.completion(json.dumps(whole).encode()).body["choices"][0]["message"]
    chunk = {"choices": [{"index": 0, "delta": {"content": content}}]}
    (told,) = ADAPTER.reader(TARGET).feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    for found in (said, told["choices"][0]["delta"]):
        assert (found["content"], found.get("reasoning_content")) == (text, thought)


@pytest.mark.parametrize(
    "said",
    [
        '"content": [], "tool_calls": 1',
        '"content": [], "tool_calls": [',
        '"content": [], "refusal": []',
        '"content": ["x"]',
        '"content": [{}]',
    ],
)
def test_what_is_wrong_in_or_beside_content_in_parts_is_an_unreadable_answer(said: str) -> None:
    chunk = f'data: {{"choices": [{{"delta": {{{said}}}}}]}}\n\n'
    with pytest.raises(GarbledError):
        ADAPTER.reader(TARGET).feed(chunk.encode())


def test_mistral_gets_no_thoughts_in_a_history() -> None:
    said = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm."}
    target = Target(upstream_model="up", quirks=HOSTS["api.mistral.ai"])
    body = json.loads(ADAPTER.outbound({"model": "m", "messages": [said, {"role": "user", "content": "Go on"}]}, target).body)
    assert body["messages"][0] == {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize("told", [{}, {"id": ""}, {"id": None}])
def test_answers_whose_host_gives_no_id_get_one_of_their_own(told: Json) -> None:
    """Google's host of this dialect leaves it out: not every answer may be called the same by clients that tell answers by it."""

    def ids(text: str) -> set[str]:
        head = {**told, "created": 1, "model": "m"}
        whole = {**head, "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}
        found = {ADAPTER.completion(json.dumps(whole).encode()).body["id"]}
        pieces = [{**head, "choices": [{"index": 0, "delta": {"content": part}}]} for part in (text, "!")]
        reader = ADAPTER.reader(TARGET)
        streamed = {chunk["id"] for piece in pieces for chunk in reader.feed(b"data: " + json.dumps(piece).encode() + b"\n\n")}
        assert len(streamed) == 1
        return found | streamed

    assert all(name.startswith("chatcmpl-") for name in ids("a"))
    assert not ids("a") & ids("b")


@pytest.mark.parametrize("body", [b'{"error": {"message": "No.", "code": 503}}', b'{"object": "error", "message": "No.", "code": 500}'])
def test_a_refusal_stays_one_though_its_body_names_another_status(body: bytes) -> None:
    fault = ADAPTER.fault(400, body)
    assert (fault.message, fault.type, fault.status) == ("No.", "invalid_request_error", 400)


def test_a_wrong_key_told_as_a_bad_request_is_a_wrong_key() -> None:
    assert ADAPTER.fault(400, b'{"error": {"message": "No.", "code": 401}}').status == 401


def test_a_number_beyond_all_numbers_is_the_upstreams_fault() -> None:
    body = b'{"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}], "x": 1e999}'
    with pytest.raises(GarbledError):
        ADAPTER.completion(body)
