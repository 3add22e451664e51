"""Every pair of a client's dialect and an upstream's: a stream, however its bytes are cut, says what the whole answer says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from adapters import adapters
from adapters._base import Adapter, Door, FaultError, Target, Usage
from adapters._chat import DOOR as CHAT
from adapters._translated import TranslatedStream
from adapters.anthropic.door import DOOR as MESSAGES
from adapters.generate import DOOR as GENERATE
from adapters.responses import DOOR as RESPONSES
from tests.imitations import anthropic_says, gemini_says
from tests.imitations.gemini import stream_bytes
from tests.imitations.gemini_rules import check

Json = dict[str, Any]
TARGETS = {name: Target(upstream_model=model) for name, model in (("openai", "m"), ("anthropic", "claude"), ("gemini", "gemini-3-flash"))}
ACCOUNT = b'{"id":"gl-1","model":"m"}'
WORDS = "Grüße\u2028\U0001f600 from Zürich"


# what the upstreams answer, whole and streamed


def openai_answers() -> dict[str, tuple[bytes, bytes]]:
    details = {"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 3}}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, **details}
    first, second = '{"city": "Zürich"}', '{"a": [1, {"b": "}"}]}'
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": first}},
        {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": second}},
    ]

    def begun(number: int) -> Json:
        return {"index": number, **calls[number], "function": {"name": "fg"[number], "arguments": ""}}

    def more(number: int, text: str) -> Json:
        return {"index": number, "function": {"arguments": text}}

    plain = [{"content": WORDS[:5]}, {"content": WORDS[5:]}]
    said: dict[str, tuple[Json, list[Json], str]] = {
        "text": ({"content": WORDS}, plain, "stop"),
        "cut": ({"content": WORDS}, plain, "length"),
        "filtered": ({"content": WORDS}, plain, "content_filter"),
        "refused": ({"content": None, "refusal": "No."}, [{"refusal": "N"}, {"refusal": "o."}], "stop"),
        "reasoned": (
            {"content": WORDS, "reasoning_content": "Hm. So."},
            [{"reasoning_content": "Hm. "}, {"reasoning": "So."}, *plain],
            "stop",
        ),
        "calls": (
            {"content": None, "tool_calls": calls},
            # as vLLM and others do it: the second begins before the first has ended
            [{"tool_calls": [begun(0)]}, {"tool_calls": [more(0, first[:4])]}, {"tool_calls": [begun(1), more(0, first[4:])]}]
            + [{"tool_calls": [more(1, letter)]} for letter in second],
            "tool_calls",
        ),
    }
    return {name: (_openai_whole(*one, usage), _openai_stream(*one, usage)) for name, one in said.items()}


def _openai_whole(message: Json, _: list[Json], reason: str, usage: Json) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": reason}
    return json.dumps({"id": "c", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], "usage": usage}).encode()


def _openai_stream(_: Json, deltas: list[Json], reason: str, usage: Json) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    choices = [({"role": "assistant", "content": ""}, None), *((delta, None) for delta in deltas), ({}, reason)]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": why}]} for delta, why in choices]
    chunks.append({**head, "choices": [], "usage": usage})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def anthropic_answers() -> dict[str, tuple[bytes, bytes]]:
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    body = {"model": "claude", "max_tokens": 900, "messages": [{"role": "user", "content": WORDS}], "tools": [tool]}
    found = {}
    for scenario in (
        "text",
        "parallel_tools",
        "empty_tool",
        "thinking",
        "redacted_thinking",
        "interleaved",
        "refusal",
        "max_tokens",
        "pings",
    ):
        said = anthropic_says.say(body, scenario, set())
        stream = b"".join(anthropic_says.events(body, said, scenario))
        found[scenario] = json.dumps(anthropic_says.whole(body, said)).encode(), stream
    return found


def gemini_answers() -> dict[str, tuple[bytes, bytes]]:
    tool = {
        "functionDeclarations": [
            {"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}
        ]
    }
    found = {}
    for scenario in ("text", "tools", "parallel", "thinking", "cached", "max_tokens", "block_prompt", "late_stop"):
        tools = {"tools": [tool]} if scenario in ("tools", "parallel") else {}
        body = {"contents": [{"role": "user", "parts": [{"text": WORDS}]}], **tools}
        body["generationConfig"] = {"thinkingConfig": {"includeThoughts": True}} if scenario == "thinking" else {}
        said = gemini_says.say(check(body, "gemini-3-flash-preview"), "gemini-3-flash-preview", scenario)
        found[scenario] = json.dumps(gemini_says.whole(said)).encode(), b"".join(stream_bytes(said))
    return found


ANSWERS = {"openai": openai_answers(), "anthropic": anthropic_answers(), "gemini": gemini_answers()}


# what the clients are told, from a whole answer and from a stream, in one form


def events_of(wire: bytes) -> Iterator[Json]:
    for block in wire.split(b"\n\n"):
        for line in block.split(b"\n"):
            if line.startswith(b"data: {"):
                yield json.loads(line.removeprefix(b"data: "))


def chat_told(answer: Json) -> Json:
    [choice] = answer["choices"]
    message = choice["message"]
    return {
        "text": message.get("content") or "",
        "refusal": message.get("refusal") or "",
        "reasoning": (message.get("reasoning_content") or "").replace("\n\n", ""),
        "thoughts": message.get("thinking_blocks") or [],
        "calls": [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls") or ()
        ],
        "reason": choice["finish_reason"],
        "usage": answer["usage"],
    }


def chat_streamed(wire: bytes) -> Json:
    message: Json = {"content": "", "refusal": "", "reasoning_content": "", "thinking_blocks": [], "tool_calls": []}
    reasons, usage = [], None
    for chunk in events_of(wire):
        usage = chunk["usage"] or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for name in ("content", "refusal", "reasoning_content"):
                message[name] += delta.get(name) or ""
            message["thinking_blocks"] += [
                {name: value for name, value in thought.items() if name != "index"} for thought in delta.get("thinking_blocks") or ()
            ]
            for call in delta.get("tool_calls") or ():
                if call["index"] == len(message["tool_calls"]):
                    message["tool_calls"].append({"id": call["id"], "function": {"name": call["function"]["name"], "arguments": ""}})
                message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"].get("arguments") or ""
            reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
    assert wire.endswith(b"data: [DONE]\n\n")
    return chat_told({"choices": [{"message": message, "finish_reason": reasons[-1]}], "usage": usage})


def messages_told(answer: Json) -> Json:
    return {name: answer[name] for name in ("id", "model", "content", "stop_reason", "stop_sequence", "usage")}


def messages_streamed(wire: bytes) -> Json:
    found: Json = {}
    for event in events_of(wire):
        match event["type"]:
            case "message_start":
                found = event["message"]
            case "content_block_start":
                assert event["index"] == len(found["content"])
                found["content"].append(event["content_block"])
            case "content_block_delta":
                block, delta = found["content"][event["index"]], event["delta"]
                for name in ("text", "thinking", "signature"):
                    if name in delta:
                        block[name] += delta[name]
                if "partial_json" in delta:
                    block["json"] = block.get("json", "") + delta["partial_json"]
            case "content_block_stop":
                block = found["content"][event["index"]]
                if block["type"] == "tool_use":
                    block["input"] = json.loads(block.pop("json", "") or "{}")
            case "message_delta":
                found |= {**event["delta"], "usage": event["usage"]}
            case "message_stop":
                return messages_told(found)
    raise AssertionError("the stream has no end")


def responses_told(answer: Json) -> Json:
    output = [{**item, "arguments": json.loads(item["arguments"])} if "arguments" in item else item for item in answer["output"]]
    return {name: answer[name] for name in ("id", "model", "status", "incomplete_details", "usage")} | {"output": output}


def responses_streamed(wire: bytes) -> Json:
    events = list(events_of(wire))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    last = events[-1]["response"]
    assert sorted(done, key=lambda item: item["id"]) == sorted(last["output"], key=lambda item: item["id"])
    return responses_told(last)


def generate_told(answer: Json) -> Json:
    return {name: answer[name] for name in ("text", "finish_reason", "usage")}


def generate_streamed(wire: bytes) -> Json:
    events = list(events_of(wire))
    return {**events[-1], "text": "".join(event.get("text", "") for event in events)}


DOORS: dict[str, tuple[Door, Any, Any]] = {
    "chat": (CHAT, chat_told, chat_streamed),
    "messages": (MESSAGES, messages_told, messages_streamed),
    "responses": (RESPONSES, responses_told, responses_streamed),
    "generate": (GENERATE, generate_told, generate_streamed),
}
REQUEST: Json = {"model": "m", "stream_options": {"include_usage": True}}
CASES = [(dialect, scenario) for dialect, answers in ANSWERS.items() for scenario in answers]


def whole(dialect: str, scenario: str, door: str) -> Json:
    adapter: Adapter = adapters()[dialect]
    completion = adapter.completion(ANSWERS[dialect][scenario][0])
    found: Json = DOORS[door][1](json.loads(DOORS[door][0].reply(completion.body, completion.usage, ACCOUNT, REQUEST)))
    return found


def streamed(dialect: str, scenario: str, door: str, size: int) -> bytes:
    adapter: Adapter = adapters()[dialect]
    stream = TranslatedStream(adapter.reader(TARGETS[dialect]), DOORS[door][0].writer(REQUEST), capture=False, created_s=7)
    wire = ANSWERS[dialect][scenario][1]
    out = b"".join([stream.feed(wire[at : at + size]) for at in range(0, len(wire), size)]) + stream.finish()
    assert stream.ended
    assert isinstance(stream.usage, Usage)
    return out + stream.close(ACCOUNT)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("dialect", "scenario"), CASES)
def test_a_stream_says_what_the_whole_answer_says(dialect: str, scenario: str, door: str) -> None:
    told = streamed(dialect, scenario, door, 10**6)
    assert DOORS[door][2](told) == whole(dialect, scenario, door)
    assert told.count(b": greenlane " + ACCOUNT) == 1
    for size in (1, 2, 5, 64):
        assert streamed(dialect, scenario, door, size) == told


@pytest.mark.parametrize(("dialect", "scenario"), [("openai", "calls"), ("anthropic", "interleaved"), ("gemini", "parallel")])
def test_a_stream_may_be_cut_at_any_byte(dialect: str, scenario: str) -> None:
    wire = ANSWERS[dialect][scenario][1]

    def chunks(*pieces: bytes) -> list[Json]:
        reader = adapters()[dialect].reader(TARGETS[dialect])
        return [chunk for piece in pieces for chunk in reader.feed(piece)] + reader.finish()

    expected = chunks(wire)
    for at in range(1, len(wire)):
        assert chunks(wire[:at], wire[at:]) == expected


ERRORS = {
    "openai": b'data: {"error": {"message": "Overloaded", "type": "server_error", "code": 503}}\n\n',
    "anthropic": b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n',
    "gemini": b'data: {"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}\r\n\r\n',
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("dialect", ERRORS)
def test_an_error_in_the_middle_ends_the_stream_with_one_error_wherever_it_is_cut(dialect: str, door: str) -> None:
    whole_wire = ANSWERS[dialect]["text"][1]
    end = b"\r\n\r\n" if dialect == "gemini" else b"\n\n"
    # after the third event of each there has been text, and before the fourth no reason to stop
    begun = end.join(whole_wire.split(end)[: 1 if dialect == "gemini" else 4]) + end
    wire = begun + ERRORS[dialect]

    def told(*pieces: bytes) -> bytes:
        stream = TranslatedStream(adapters()[dialect].reader(TARGETS[dialect]), DOORS[door][0].writer(REQUEST), capture=False, created_s=7)
        out = b""
        try:
            for piece in pieces:
                out += stream.feed(piece)
            out += stream.finish()
        except FaultError as error:
            assert stream.started
            return out + stream.fail(error.fault)
        raise AssertionError("the error was not seen")

    expected = told(begun, ERRORS[dialect])
    last = list(events_of(expected))[-1]
    assert "Overloaded" in json.dumps(last)
    assert "error" in last
    assert not any(mark in expected for mark in (b"[DONE]", b"message_stop", b"response.completed", b"greenlane"))
    for at in range(len(begun) + 1, len(wire)):
        assert told(wire[:at], wire[at:]) == expected
    for size in (1, 3, 17):
        assert told(*(wire[at : at + size] for at in range(0, len(wire), size))) == expected
