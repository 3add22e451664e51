"""Hub chunks as Anthropic's event stream: https://platform.claude.com/docs/en/build-with-claude/streaming"""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from adapters._base import Fault, Usage
from adapters.anthropic.door import DOOR

REQUEST = {"model": "qwen3-32b", "max_tokens": 100, "stop_sequences": ["END"], "messages": [{"role": "user", "content": "Hi"}]}
ACCOUNT = b'{"id":"gl_1","carbon_g":0.00011}'
USAGE = Usage(input_tokens=12, cached_tokens=4, output_tokens=7)
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **choice: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-7f",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, **choice}],
    }


def call(index: int, arguments: str, call_id: str | None = None, name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    head = {} if call_id is None else {"id": call_id, "type": "function"}
    return {"tool_calls": [{"index": index, **head, "function": function}]}


def streamed(*chunks: dict[str, Any], usage: Usage | None = USAGE, account: bytes | None = ACCOUNT) -> bytes:
    writer = DOOR.writer(REQUEST)
    return b"".join([writer.write(one) for one in chunks]) + writer.close(usage, account)


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events' data, after checking the rules every stream keeps."""
    found = []
    open_index, next_index = None, 0
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith(": greenlane "):
            lines.pop(0)
        assert len(lines) == 2
        assert lines[0].startswith("event: ")
        assert lines[1].startswith("data: ")
        data = json.loads(lines[1].removeprefix("data: "))
        assert data["type"] == lines[0].removeprefix("event: ")
        EVENT.validate_json(lines[1].removeprefix("data: "), strict=True)
        if data["type"] == "content_block_start":
            assert (open_index, data["index"]) == (None, next_index)
            open_index, next_index = next_index, next_index + 1
        elif data["type"].startswith("content_block"):
            assert data["index"] == open_index
            open_index = None if data["type"] == "content_block_stop" else open_index
        found.append(data)
    assert open_index is None
    assert [event["type"] for event in found[-2:]] == ["message_delta", "message_stop"]
    return found


def accumulated(stream: bytes) -> Message:
    """What the official client makes of the stream, which must be a valid Message."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=stream, headers={"content-type": "text/event-stream"}))
    with httpx2.Client(transport=transport) as http:
        client = anthropic.Anthropic(api_key="k", base_url="http://t", http_client=http, max_retries=0)
        with client.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]) as live:
            message = live.get_final_message()
    return Message.model_validate(json.loads(message.model_dump_json()), strict=True)


def content(message: Message) -> list[dict[str, Any]]:
    return [block.model_dump(exclude_none=True) for block in message.content]


def test_a_text_stream_has_exactly_these_bytes() -> None:
    stream = streamed(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"))
    assert stream == (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_7f","type":"message","role":"assistant","model":"m",'
        b'"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":null,'
        b'"cache_read_input_tokens":null,"output_tokens":0}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"input_tokens":8,"cache_creation_input_tokens":null,"cache_read_input_tokens":4,"output_tokens":7,'
        b'"greenlane":{"id":"gl_1","carbon_g":0.00011}}}\n\n'
        b': greenlane {"id":"gl_1","carbon_g":0.00011}\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_the_official_client_accumulates_text_usage_and_reason() -> None:
    message = accumulated(streamed(chunk({"role": "assistant"}), chunk({"content": "Hello"}), chunk({}, "length")))
    assert (message.id, message.model, message.stop_reason) == ("msg_7f", "m", "max_tokens")
    assert content(message) == [{"type": "text", "text": "Hello"}]
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (8, 4, 7)


def test_text_is_written_as_it_comes() -> None:
    writer = DOOR.writer(REQUEST)
    assert b"message_start" in writer.write(chunk({"role": "assistant"}))
    assert b'"Hel"' in writer.write(chunk({"content": "Hel"}))
    assert writer.write(chunk({})) == b""


def test_thinking_is_signed_and_closed_before_text() -> None:
    found = events(
        streamed(
            chunk({"role": "assistant", "reasoning_content": "H"}),
            chunk({"reasoning_content": "m"}),
            chunk({"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]}),
            chunk({"thinking_blocks": [{"type": "redacted_thinking", "data": "d"}]}),
            chunk({"content": "A"}),
            chunk({}, "stop"),
        )
    )
    assert [(event["type"], event.get("content_block") or event.get("delta")) for event in found[1:-2]] == [
        ("content_block_start", {"type": "thinking", "thinking": "", "signature": ""}),
        ("content_block_delta", {"type": "thinking_delta", "thinking": "H"}),
        ("content_block_delta", {"type": "thinking_delta", "thinking": "m"}),
        ("content_block_delta", {"type": "signature_delta", "signature": "s"}),
        ("content_block_stop", None),
        ("content_block_start", {"type": "redacted_thinking", "data": "d"}),
        ("content_block_stop", None),
        ("content_block_start", {"type": "text", "text": ""}),
        ("content_block_delta", {"type": "text_delta", "text": "A"}),
        ("content_block_stop", None),
    ]


@pytest.mark.parametrize(
    ("deltas", "blocks"),
    [
        pytest.param(
            [{"reasoning_content": "Hm"}, {"content": "A"}],
            [{"type": "thinking", "thinking": "Hm", "signature": ""}, {"type": "text", "text": "A"}],
            id="unsigned",
        ),
        pytest.param(
            [{"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]}, {"content": "A"}],
            [{"type": "thinking", "thinking": "", "signature": "s"}, {"type": "text", "text": "A"}],
            id="omitted",
        ),
        pytest.param(
            [{"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]}],
            [{"type": "thinking", "thinking": "Hm", "signature": "s"}],
            id="whole block without deltas",
        ),
        pytest.param(
            [
                {"reasoning_content": "a"},
                {"thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "1"}]},
                {"reasoning_content": "b"},
                {"thinking_blocks": [{"type": "thinking", "thinking": "b", "signature": "2"}]},
            ],
            [{"type": "thinking", "thinking": "a", "signature": "1"}, {"type": "thinking", "thinking": "b", "signature": "2"}],
            id="two blocks",
        ),
        pytest.param(
            [{"reasoning_content": "a"}, {"thinking_blocks": [{"type": "thinking", "thinking": "other", "signature": "1"}]}],
            [{"type": "thinking", "thinking": "a", "signature": ""}, {"type": "thinking", "thinking": "other", "signature": "1"}],
            id="a block that is not the open one",
        ),
    ],
)
def test_thinking_reaches_the_client(deltas: list[dict[str, Any]], blocks: list[dict[str, Any]]) -> None:
    stream = streamed(*[chunk(delta) for delta in deltas], chunk({}, "stop"))
    events(stream)
    assert content(accumulated(stream)) == blocks


@pytest.mark.parametrize(
    ("deltas", "blocks"),
    [
        pytest.param(
            [{"content": "So"}, call(0, "", "c1", "f"), call(0, '{"a"'), call(0, ":1}"), call(1, "{}", "c2", "g")],
            [
                {"type": "text", "text": "So"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
            ],
            id="one after the other",
        ),
        pytest.param(
            [call(0, '{"a"', "c1", "f"), call(1, '{"b"', "c2", "g"), call(0, ":1}"), call(1, ":2}")],
            [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "g", "input": {"b": 2}},
            ],
            id="interleaved",
        ),
        pytest.param(
            [call(0, '{"a"', "c1", "f"), {"content": "late"}, call(0, ":1}")],
            [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}, {"type": "text", "text": "late"}],
            id="text inside a call",
        ),
        pytest.param(
            [call(0, "{}", "c1", "f"), call(0, "{}", "c2", "g")],
            [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}, {"type": "tool_use", "id": "c2", "name": "g", "input": {}}],
            id="every call has index 0",
        ),
        pytest.param(
            [call(0, "", "c1"), call(0, "{}", None, "f")],
            [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}],
            id="the name comes late",
        ),
        pytest.param(
            [call(0, "{}", None, "f")],
            [{"type": "tool_use", "id": "toolu_7f_0", "name": "f", "input": {}}],
            id="no id",
        ),
        pytest.param(
            [call(0, "", "c1", "f")],
            [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}],
            id="no arguments",
        ),
    ],
)
def test_tool_calls_reach_the_client(deltas: list[dict[str, Any]], blocks: list[dict[str, Any]]) -> None:
    stream = streamed(*[chunk(delta) for delta in deltas], chunk({}, "tool_calls"))
    assert events(stream)[-2]["delta"]["stop_reason"] == "tool_use"
    assert content(accumulated(stream)) == blocks


def test_a_second_call_streams_live_once_the_first_is_complete() -> None:
    writer = DOOR.writer(REQUEST)
    writer.write(chunk(call(0, '{"a":1}', "c1", "f")))
    assert b'"name":"g"' in writer.write(chunk(call(1, "", "c2", "g")))
    assert b"partial_json" in writer.write(chunk(call(1, "{")))


def test_a_refusal_is_text_and_a_reason() -> None:
    message = accumulated(streamed(chunk({"refusal": "I will"}), chunk({"refusal": " not."}), chunk({}, "stop")))
    assert (content(message), message.stop_reason) == ([{"type": "text", "text": "I will not."}], "refusal")


def test_a_stop_sequence_is_named() -> None:
    delta = events(streamed(chunk({"content": "A"}), chunk({}, "stop", stop_reason="END")))[-2]["delta"]
    assert delta == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_other_choices_and_unknown_counts_are_left_out() -> None:
    second = {**chunk({"content": "B"}), "choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}]}
    found = events(streamed(chunk({"content": "A"}), second, usage=None, account=None))
    assert found[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": None, "stop_sequence": None},
        "usage": {"input_tokens": 0, "cache_creation_input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 0},
    }
    assert "B" not in json.dumps(found)


def test_an_empty_stream_is_an_empty_message() -> None:
    assert content(accumulated(streamed())) == []


def test_a_broken_stream_ends_in_an_error_that_the_client_raises() -> None:
    writer = DOOR.writer(REQUEST)
    start = writer.write(chunk({"content": "A"}))
    end = writer.fail(Fault(message="The upstream broke off.", code="upstream_error", status=529))
    assert end == (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"The upstream broke off.",'
        b'"details":{"error_code":"upstream_error"}},"request_id":null}\n\n'
    )
    with pytest.raises(anthropic.APIStatusError, match="The upstream broke off"):
        accumulated(start + end)


ARGUMENTS = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=4), max_size=2).map(json.dumps)
TEXTS = st.text(min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(ARGUMENTS, max_size=3), st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=2), st.randoms(use_true_random=False))
def test_whatever_the_interleaving_nothing_is_lost(arguments: list[str], texts: list[str], thoughts: list[str], random: Any) -> None:
    """Pieces of several calls, text and reasoning come mixed; each call keeps its arguments, text and reasoning their order."""
    lanes: list[list[dict[str, Any]]] = [[{"content": text} for text in texts], [{"reasoning_content": text} for text in thoughts]]
    for index, whole in enumerate(arguments):
        cut = random.randint(0, len(whole))
        lanes.append([call(index, whole[:cut], f"c{index}", f"f{index}"), call(index, whole[cut:])])
    deltas = []
    while any(lanes):
        deltas.append(random.choice([lane for lane in lanes if lane]).pop(0))
    stream = streamed(*[chunk(delta) for delta in deltas], chunk({}, "stop"))
    events(stream)
    blocks = content(accumulated(stream))
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == "".join(texts)
    assert "".join(block["thinking"] for block in blocks if block["type"] == "thinking") == "".join(thoughts)
    calls = {block["id"]: block["input"] for block in blocks if block["type"] == "tool_use"}
    assert calls == {f"c{index}": json.loads(whole) for index, whole in enumerate(arguments)}
