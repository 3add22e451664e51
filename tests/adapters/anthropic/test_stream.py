"""The event stream as hub chunks: https://platform.claude.com/docs/en/build-with-claude/streaming"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._base import Fault, FaultError, GarbledError, Target, Usage
from adapters.anthropic import ADAPTER
from tests.imitations.anthropic_rules import sign
from tests.imitations.anthropic_says import ANSWERING, events, say, whole

Json = dict[str, Any]
TARGET = Target(upstream_model="claude-opus-5-5")
REQUEST: Json = {
    "model": "claude-opus-5-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Wie spät ist es in Zürich?\u2028\x85"}],
    "tools": [{"name": "clock", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}}],
}
SCENARIOS = sorted(ANSWERING - {"overloaded_midstream", "cut"})


def stream_of(scenario: str) -> bytes:
    return b"".join(events(REQUEST, say(REQUEST, scenario, set()), scenario))


def read(*pieces: bytes) -> tuple[list[Json], Any]:
    reader = ADAPTER.reader(TARGET)
    chunks = [chunk for piece in pieces for chunk in reader.feed(piece)]
    return chunks + reader.finish(), reader


def joined(chunks: list[Json]) -> Json:
    """The message that a client puts together of the chunks."""
    text, reasoning, thoughts, calls, reason, refusal = "", "", [], [], None, None
    for chunk in chunks:
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        text += delta.get("content") or ""
        reasoning += delta.get("reasoning_content") or ""
        for thought in delta.get("thinking_blocks") or []:
            assert thought["index"] == len(thoughts)
            thoughts.append({name: value for name, value in thought.items() if name != "index"})
        refusal = delta.get("refusal") or refusal
        reason = choice["finish_reason"] or reason
        for call in delta.get("tool_calls") or []:
            if call["index"] == len(calls):
                calls.append({"id": call["id"], "type": call["type"], "function": dict(call["function"])})
            else:
                assert call.keys() == {"index", "function"}
                calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    return {"text": text, "reasoning": reasoning, "thoughts": thoughts, "calls": calls, "reason": reason, "refusal": refusal}


def event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


START = event("message_start", message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}})
STOP = event("message_stop")


def head(**choice: Any) -> Json:
    base = {"index": 0, "delta": {}, "finish_reason": None}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [{**base, **choice}]}


def test_a_start_told_twice_is_one_start() -> None:
    """Gateways that speak this dialect did so, the fuller one second (BerriAI/litellm#32478, maximhq/bifrost#4556)."""
    usage = {"input_tokens": 7, "output_tokens": 1, "service_tier": "standard"}
    again = event("message_start", message={"id": "msg_1", "model": "m", "usage": usage})
    block = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    word = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"})
    ended = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
    chunks, reader = read(START, again, block, word, event("content_block_stop", index=0), ended, STOP)
    assert (joined(chunks)["text"], joined(chunks)["reason"]) == ("Hi", "stop")
    assert reader.usage == Usage(input_tokens=7, output_tokens=2)
    assert {chunk["service_tier"] for chunk in chunks} == {"default"}
    with pytest.raises(GarbledError):
        read(START, block, word, again)  # a second answer spliced in, not a start told twice


def test_a_text_stream_whole() -> None:
    chunks, reader = read(
        START,
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "lo"}),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 15}),
        STOP,
    )
    assert chunks == [
        head(delta={"role": "assistant", "content": ""}),
        head(delta={"content": "Hel"}),
        head(delta={"content": "lo"}),
        head(finish_reason="stop"),
    ]
    assert (reader.ended, reader.finish_reason, reader.usage) == (True, "stop", Usage(input_tokens=3, output_tokens=15))


def test_a_call_is_told_once_and_its_arguments_piecewise() -> None:
    """The reference's example: an empty first piece, then the arguments."""
    chunks, _ = read(
        START,
        event("content_block_start", index=0, content_block={"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": ""}),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"a":'}),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "1}"}),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 5}),
        STOP,
    )
    assert chunks[1:] == [
        head(delta={"tool_calls": [{"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
        head(delta={"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
        head(delta={"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
        head(finish_reason="tool_calls"),
    ]


def test_a_call_without_arguments_is_an_empty_object() -> None:
    assert joined(read(stream_of("empty_tool"))[0])["calls"][0]["function"] == {"name": "clock", "arguments": "{}"}


def test_thinking_is_readable_as_it_comes_and_kept_when_it_ends() -> None:
    chunks, reader = read(stream_of("thinking"))
    thought = joined(chunks)["reasoning"]
    assert thought
    assert joined(chunks)["thoughts"] == [{"type": "thinking", "thinking": thought, "signature": sign(thought)}]
    order = [next(iter(chunk["choices"][0]["delta"]), "end") for chunk in chunks]
    assert order.index("thinking_blocks") == len(order) - 1 - order[::-1].index("reasoning_content") + 1
    assert reader.usage.reasoning_tokens > 0


def test_thinking_that_is_omitted_keeps_its_signature() -> None:
    chunks, _ = read(
        START,
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s1"}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s2"}),
        event("content_block_stop", index=0),
    )
    assert chunks[1:] == [head(delta={"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "", "signature": "s1s2"}]})]


def test_usage_is_cumulative_and_counts_the_cache_in() -> None:
    """message_delta's counts replace message_start's; input_tokens leave out the cache."""
    usage = {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1}
    start = event("message_start", message={"id": "i", "model": "m", "usage": usage})
    reader = ADAPTER.reader(TARGET)
    reader.feed(start)
    assert reader.usage == Usage(input_tokens=123, cached_tokens=100, cache_write_tokens=20)
    reader.feed(event("message_delta", delta={}, usage={"output_tokens": 5}))
    reader.feed(event("message_delta", delta={"stop_reason": "end_turn"}, usage={"input_tokens": 4, "output_tokens": 9}))
    assert reader.usage == Usage(input_tokens=124, cached_tokens=100, cache_write_tokens=20, output_tokens=9)


def test_a_refusal_tells_why() -> None:
    found = joined(read(stream_of("refusal"))[0])
    assert (found["reason"], found["refusal"]) == ("content_filter", say(REQUEST, "refusal", set()).stop_details["explanation"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_stream_says_what_the_whole_answer_says(scenario: str) -> None:
    chunks, reader = read(stream_of(scenario))
    found = joined(chunks)
    answer = ADAPTER.completion(json.dumps(whole(REQUEST, say(REQUEST, scenario, set()))).encode())
    message = answer.body["choices"][0]["message"]
    assert found["text"] == (message["content"] or "")
    assert found["thoughts"] == message.get("thinking_blocks", [])
    assert found["reasoning"] == message.get("reasoning_content", "").replace("\n\n", "")
    assert [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in found["calls"]] == [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", [])
    ]
    assert (reader.ended, found["reason"]) == (True, answer.finish_reason)
    assert reader.usage == answer.usage
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all("finish_reason" in chunk["choices"][0] for chunk in chunks)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_bytes_one_by_one_give_the_same_chunks(scenario: str) -> None:
    stream = stream_of(scenario)
    expected, whole_reader = read(stream)
    found, reader = read(*(stream[at : at + 1] for at in range(len(stream))))
    assert found == expected
    assert (reader.usage, reader.finish_reason, reader.ended) == (whole_reader.usage, whole_reader.finish_reason, True)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_cuts_give_the_same_chunks(data: st.DataObject) -> None:
    stream = stream_of(data.draw(st.sampled_from(SCENARIOS)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces)[0] == read(stream)[0]


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_and_comments_are_taken(end: bytes) -> None:
    chunks, reader = read(b": hello" + end * 2 + stream_of("tools").replace(b"\n", end))
    assert chunks == read(stream_of("tools"))[0]
    assert reader.comments == [b": hello"]


def test_a_last_event_without_its_blank_line_counts() -> None:
    stream = stream_of("text")
    assert read(stream.rstrip(b"\n"))[1].ended


@pytest.mark.parametrize("at", range(1, 400, 7))
def test_a_stream_cut_before_its_reason_has_not_ended(at: int) -> None:
    stream = stream_of("text")
    before = stream[: stream.index(b"event: message_delta")]
    assert not read(before[: len(before) - at])[1].ended


def test_a_body_that_ends_after_the_reason_is_whole_as_one_without_done_is() -> None:
    stream = stream_of("text")
    chunks, reader = read(stream[: stream.index(b"event: message_stop")])
    assert reader.ended
    assert chunks == read(stream)[0]


def test_a_call_whose_block_does_not_end_has_its_input_all_the_same() -> None:
    chunks, reader = read(
        START,
        event("content_block_start", index=0, content_block={"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 3}),
        STOP,
    )
    told = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls") or ()]
    assert "".join(call["function"].get("arguments", "") for call in told) == '{"a":1}'
    assert (reader.ended, reader.finish_reason) == (True, "tool_calls")


def test_a_cut_before_the_reason_has_none() -> None:
    reader = read(b"".join(events(REQUEST, say(REQUEST, "cut", set()), "cut")))[1]
    assert (reader.ended, reader.finish_reason) == (False, None)


@pytest.mark.parametrize(("kind", "content"), [("text", ""), ("tool_use", None), ("thinking", None)])
def test_the_first_delta_has_a_role_and_text_only_where_text_begins(kind: str, content: str | None) -> None:
    chunks, _ = read(START, event("content_block_start", index=0, content_block={"type": kind, "id": "t1", "name": "f"}))
    assert chunks[0] == head(delta={"role": "assistant", "content": content})


@pytest.mark.parametrize(("reason", "expected"), [("end_turn", "tool_calls"), ("a_reason_of_tomorrow", "tool_calls"), (None, None)])
def test_a_call_that_ends_in_another_reason_is_a_call(reason: str | None, expected: str | None) -> None:
    chunks, reader = read(
        START,
        event("content_block_start", index=0, content_block={"type": "tool_use", "id": "t1", "name": "f", "input": {}}),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": reason}),
        STOP,
    )
    assert (joined(chunks)["reason"], reader.finish_reason) == (expected, expected)


def test_an_error_in_the_stream_is_a_fault_with_its_status() -> None:
    reader = ADAPTER.reader(TARGET)
    said = joined(reader.feed(b"".join(events(REQUEST, say(REQUEST, "text", set()), "overloaded_midstream"))))
    assert (bool(said["text"]), said["reason"]) == (True, None)
    with pytest.raises(FaultError) as caught:
        reader.finish()
    assert caught.value.fault == Fault(message="Overloaded", type="server_error", code="overloaded", status=503)
    assert not reader.ended


def test_an_error_after_a_role_alone_is_raised_at_once() -> None:
    """Nothing has been sent: another deployment may still answer."""
    begun = START + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    with pytest.raises(FaultError):
        ADAPTER.reader(TARGET).feed(begun + event("error", error={"type": "overloaded_error", "message": "Overloaded"}))


def test_an_error_before_the_first_block_comes_before_any_chunk() -> None:
    reader = ADAPTER.reader(TARGET)
    assert reader.feed(START + event("ping")) == []
    with pytest.raises(FaultError):
        reader.feed(event("error", error={"type": "overloaded_error", "message": "Overloaded"}))


def test_an_answer_without_blocks_has_a_role_and_an_end() -> None:
    chunks, _ = read(START, event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1}), STOP)
    assert chunks == [head(delta={"role": "assistant", "content": ""}), head(finish_reason="stop")]


def test_what_follows_the_end_is_not_read() -> None:
    stream = stream_of("text")
    assert read(stream + b"event: error\ndata: rubbish\n\n")[0] == read(stream)[0]


def test_events_and_deltas_of_tomorrow_are_passed_over() -> None:
    chunks, _ = read(
        START,
        event("tomorrow", index=9),
        event("content_block_start", index=0, content_block={"type": "hologram"}),
        event("content_block_delta", index=0, delta={"type": "shape_delta", "shape": 3}),
        event("content_block_stop", index=0),
    )
    assert chunks == [head(delta={"role": "assistant", "content": None})]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: not json\n\n"],
        [b"data: []\n\n"],
        [b"data: \xff\n\n"],
        [STOP],
        [START, event("message_start", message={"id": "msg_2", "model": "m"})],
        [event("message_start")],
        [event("content_block_start", index=0, content_block={"type": "text"})],
        [START, event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x"})],
        [START, event("content_block_stop", index=0)],
        [START, *[event("content_block_start", index=0, content_block={"type": "text", "text": ""})] * 2],
        [START, event("content_block_start", content_block={"type": "text"})],
        [event("message_delta", delta={"stop_reason": "end_turn"})],
        [START, event("content_block_start", index=0, content_block={"type": "web_search_tool_result", "tool_use_id": {}})],
        [
            START,
            event("content_block_start", index=0, content_block={"type": "server_tool_use", "id": [1]}),
            event("content_block_stop", index=0),
        ],
    ],
)
def test_what_the_dialect_does_not_allow_is_garbled(pieces: list[bytes]) -> None:
    with pytest.raises(GarbledError):
        read(*pieces)
