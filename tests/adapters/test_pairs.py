"""What the imitations of the vendors stream, for every door: however it is cut, it says what the whole answer says.

The goldens (`test_goldens.py`) have the features one by one.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import adapters
from adapters._base import Adapter, Door, FaultError, Target, Usage
from adapters._chat import DOOR as CHAT
from adapters._translated import TranslatedStream
from adapters.anthropic.door import DOOR as MESSAGES
from adapters.generate import DOOR as GENERATE
from adapters.responses import DOOR as RESPONSES
from tests.adapters import golden_streams
from tests.adapters.golden import PLAIN
from tests.imitations import anthropic_says, gemini_says
from tests.imitations.gemini import stream_bytes
from tests.imitations.gemini_rules import check

Json = dict[str, Any]
TARGETS = {name: Target(upstream_model=model) for name, model in (("openai", "m"), ("anthropic", "claude"), ("gemini", "gemini-3-flash"))}
ACCOUNT = b'{"id":"gl-1","model":"m"}'
WORDS = "Grüße\u2028\U0001f600 from Zürich"


# what the upstreams answer, whole and streamed


def openai_answers() -> dict[str, tuple[bytes, bytes]]:
    answer = PLAIN["answers"]["openai"]
    return {"text": (json.dumps(answer).encode(), golden_streams.wire("openai", golden_streams.events_of("openai", answer)))}


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


def told(answer: Any) -> Any:
    """Without what is empty, and without times; arguments as objects, for their white space is the vendor's."""
    if isinstance(answer, list):
        return [told(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    found = {name: told(value) for name, value in answer.items() if value not in (None, "", []) and name not in ("created", "created_at")}
    if isinstance(found.get("arguments"), str):
        found["arguments"] = json.loads(found["arguments"])
    if "reasoning_content" in found:
        # blocks of thinking are told apart by an empty line in a whole answer
        found["reasoning_content"] = found["reasoning_content"].replace("\n\n", "")
    return found


def generate_told(answer: Json) -> Json:
    return {name: answer[name] for name in ("text", "finish_reason", "usage")}


def generate_streamed(wire: bytes) -> Json:
    events = [event for _, event in golden_streams.blocks(wire)]
    return {**events[-1], "text": "".join(event.get("text", "") for event in events)}


DOORS: dict[str, tuple[Door, Any, Any]] = {
    **{
        name: (door, told, lambda wire, name=name: told(golden_streams.told(name, wire)))
        for name, door in (("chat", CHAT), ("messages", MESSAGES), ("responses", RESPONSES))
    },
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


def test_a_script_s_stream_that_breaks_ends_in_one_error() -> None:
    """The other doors have theirs in the goldens."""
    stream = TranslatedStream(adapters()["openai"].reader(TARGETS["openai"]), GENERATE.writer(REQUEST), capture=False, created_s=7)
    whole_wire = ANSWERS["openai"]["text"][1]
    begun = stream.feed(b"\n\n".join(whole_wire.split(b"\n\n")[:2]) + b"\n\n")
    with pytest.raises(FaultError) as caught:
        stream.feed(b'data: {"error": {"message": "Overloaded", "type": "server_error"}}\n\n')
    [(_, last)] = golden_streams.blocks(stream.fail(caught.value.fault))
    assert last["error"]["message"] == "Overloaded"
    assert b"[DONE]" not in begun
