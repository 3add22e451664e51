"""The door and the adapter undo each other: what Anthropic says, translated to the hub and back, says the same."""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from openai.types.responses import Response

from adapters._base import Target
from adapters.anthropic import ADAPTER
from adapters.anthropic.door import DOOR
from adapters.responses import DOOR as RESPONSES

TARGET = Target(upstream_model="claude-sonnet-4-5")
ASKED: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 4096,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Weather?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}, "cache_control": {"type": "ephemeral"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Ask.", "signature": "sig"},
                {"type": "redacted_thinking", "data": "x=="},
                {"type": "text", "text": "One moment."},
                {"type": "thinking", "thinking": "More.", "signature": "sig2"},
                {"type": "text", "text": "Now."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln", "n": 12345678901234567}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": "no net"},
                {"type": "text", "text": "Go on."},
            ],
        },
    ],
    "tools": [
        {"name": "weather", "description": "tells it", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u-1"},
    "stream": True,
}
CONTENT: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    {"type": "text", "text": "Both: \u2028"},
    {"type": "thinking", "thinking": "And then?", "signature": "c2ln"},
    {"type": "text", "text": "\U0001f600 Then."},
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
    {"type": "redacted_thinking", "data": "bW9yZQ=="},
    {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
]
ANSWER: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": CONTENT,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 9},
}


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def upstream() -> bytes:
    """The answer as Anthropic streams it."""
    usage = {**ANSWER["usage"], "output_tokens": 1}
    out = [event("message_start", message={**ANSWER, "content": [], "stop_reason": None, "usage": usage}), event("ping")]
    for index, block in enumerate(CONTENT):
        starts: dict[str, Any] = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}
        out.append(event("content_block_start", index=index, content_block={**block, **starts.get(block["type"], {})}))
        deltas = {
            "thinking": [
                *({"type": "thinking_delta", "thinking": letter} for letter in block.get("thinking", "")),
                {"type": "signature_delta", "signature": block.get("signature")},
            ],
            "text": [{"type": "text_delta", "text": letter} for letter in block.get("text", "")],
            "tool_use": [{"type": "input_json_delta", "partial_json": letter} for letter in ["", *json.dumps(block.get("input"))]],
        }.get(block["type"], [])
        out += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        out.append(event("content_block_stop", index=index))
    out.append(event("message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 9}))
    out.append(event("message_stop"))
    return b"".join(out)


def translated(door: Any, pieces: list[bytes]) -> bytes:
    reader, writer = ADAPTER.reader(TARGET), door.writer({"model": "m"})
    chunks = [chunk for piece in pieces for chunk in reader.feed(piece)] + reader.finish()
    out = b"".join([writer.write(chunk) for chunk in chunks])
    assert reader.ended
    found: bytes = out + writer.close(reader.usage, None)
    return found


def test_a_request_reaches_anthropic_as_it_was_sent() -> None:
    """Only `thinking` says it here; the effort is for others."""
    sent = json.loads(ADAPTER.outbound(DOOR.hub(ASKED), TARGET).body)
    assert {name: sent.get(name) for name in ASKED} == ASKED


def test_a_whole_answer_comes_back_the_same() -> None:
    completion = ADAPTER.completion(json.dumps(ANSWER).encode())
    assert json.loads(DOOR.reply(completion.body, completion.usage, None, ASKED)) == ANSWER


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_comes_back_as_the_same_message(size: int) -> None:
    whole = upstream()
    told = translated(DOOR, [whole[at : at + size] for at in range(0, len(whole), size)])
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=told, headers={"content-type": "text/event-stream"}))
    with httpx2.Client(transport=transport) as http:
        client = anthropic.Anthropic(api_key="k", base_url="http://t", http_client=http, max_retries=0)
        with client.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]) as live:
            message = live.get_final_message()
    assert message.to_dict() == ANSWER | {"stop_details": None}


RESULTS = [{"type": "function_call_output", "call_id": call_id, "output": "1"} for call_id in ("toolu_1", "toolu_2")]
KINDS = ["reasoning", "message", "reasoning", "message", "function_call", "reasoning", "function_call"]


def assert_it_comes_back_through_responses(response: dict[str, Any]) -> None:
    Response.model_validate_json(json.dumps(response), strict=True)
    assert [item["type"] for item in response["output"]] == KINDS
    hub = RESPONSES.hub(
        {"model": "m", "max_output_tokens": 4096, "input": [{"role": "user", "content": "Hi"}, *response["output"], *RESULTS]}
    )
    sent = json.loads(ADAPTER.outbound(hub, TARGET).body)
    assert sent["messages"][1] == {"role": "assistant", "content": CONTENT}


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_reaches_a_responses_client_and_its_thinking_comes_back(size: int) -> None:
    whole = upstream()
    told = translated(RESPONSES, [whole[at : at + size] for at in range(0, len(whole), size)])
    assert_it_comes_back_through_responses(json.loads(told.split(b"\n\n")[-2].split(b"data: ", 1)[1])["response"])


def test_a_whole_answer_reaches_a_responses_client_and_its_thinking_comes_back() -> None:
    completion = ADAPTER.completion(json.dumps(ANSWER).encode())
    assert_it_comes_back_through_responses(json.loads(RESPONSES.reply(completion.body, completion.usage, None, {"model": "m"})))


@pytest.mark.parametrize("lost", [False, True])
def test_a_chat_client_brings_thinking_back_in_its_order_or_first_where_its_place_was_lost(lost: bool) -> None:
    message = ADAPTER.completion(json.dumps(ANSWER).encode()).body["choices"][0]["message"]
    if lost:
        message["thinking_blocks"] = [{name: value for name, value in one.items() if name != "after"} for one in message["thinking_blocks"]]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in message["tool_calls"]]
    sent = json.loads(ADAPTER.outbound({"messages": [{"role": "user", "content": "Hi"}, message, *results]}, TARGET).body)
    first = [block for block in CONTENT if "thinking" in block["type"]] + [{"type": "text", "text": "Both: \u2028\U0001f600 Then."}]
    expected = [*first, *(block for block in CONTENT if block["type"] == "tool_use")] if lost else CONTENT
    assert sent["messages"][1] == {"role": "assistant", "content": expected}
