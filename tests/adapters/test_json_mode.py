"""Answers in words cut to the JSON object in them: whole, and streamed in pieces of every size."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters._base import FaultError, Target, Usage
from adapters._changed import ChangedReader
from adapters._json_mode import HELD_CHARACTERS, ObjectOnly, ObjectsOnly, only_object
from adapters.anthropic import ADAPTER
from tests.imitations.anthropic_says import events, say

Json = dict[str, Any]
TEXTS = {
    "plain": ('{"a": 1}', '{"a": 1}'),
    "empty": ("{}", "{}"),
    "space around": ('\n {"a": 1}\n', '{"a": 1}'),
    "fence": ('```json\n{"a": 1}\n```', '{"a": 1}'),
    "sentences": ('Here it is:\n{ "a": {"b": [1, {"c": 2}]} }\nAnything {else}?', '{ "a": {"b": [1, {"c": 2}]} }'),
    "brackets in strings": ('{"a": "}{]\\" \\\\"} done', '{"a": "}{]\\" \\\\"}'),
    "braces before": ('With {name} filled in: {"name": "x"}', '{"name": "x"}'),
    "list": ('```\n[{"a": 1}, 2]\n```', '[{"a": 1}, 2]'),
    "cut off": ('{"a": "unfini', '{"a": "unfini'),
    "no object": ("I cannot do that.", "I cannot do that."),
    "long prose": ("word " * HELD_CHARACTERS, "word " * HELD_CHARACTERS),
    "other letters": ('Voilà\u2028{"é": "\U0001f600\u2028"}ende', '{"é": "\U0001f600\u2028"}'),
}


@pytest.mark.parametrize(("text", "cut"), TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10**6])
def test_a_text_in_pieces_is_cut_to_its_object(text: str, cut: str, size: int) -> None:
    within = ObjectOnly()
    told = "".join(within.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert told + within.rest() == cut


def test_every_choice_of_a_whole_answer_is_cut_and_nothing_else_is_touched() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    choices = [
        {"index": 0, "message": {"role": "assistant", "content": 'So: {"a": 1}.', "reasoning_content": "hm {"}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"},
    ]
    assert only_object({"id": "x", "choices": choices, "usage": {}}) == {
        "id": "x",
        "choices": [{**choices[0], "message": {**choices[0]["message"], "content": '{"a": 1}'}}, choices[1]],
        "usage": {},
    }


BODY: Json = {"model": "m", "max_tokens": 99, "system": "one valid JSON object", "messages": [{"role": "user", "content": "Give JSON"}]}


@pytest.mark.parametrize("scenario", ["text", "fenced_json", "prefaced_json_tools", "refusal"])
def test_a_stream_cut_at_every_byte_says_what_it_says_whole(scenario: str) -> None:
    wire = b"".join(events(BODY, say(BODY, scenario, set()), scenario))
    expected = _deltas([wire])
    assert (
        expected[1] == {"text": "stop", "fenced_json": "stop", "prefaced_json_tools": "tool_calls", "refusal": "content_filter"}[scenario]
    )
    for at in range(1, len(wire)):
        assert _deltas([wire[:at], wire[at:]]) == expected
    if scenario in ("text", "fenced_json"):
        assert json.loads(expected[0]) == {"ended": {"with": "JSON"}, "quote": '"} \\'}
    elif scenario == "prefaced_json_tools":
        assert expected == ("I look up JSON.", "tool_calls", ["content", "tool_calls"])


def _deltas(pieces: list[bytes]) -> tuple[str, str | None, list[str]]:
    """The text, the finish reason, and which members came in which order."""
    reader = ChangedReader(ADAPTER.reader(Target(upstream_model="m")), ObjectsOnly())
    chunks = [chunk for piece in pieces for chunk in reader.feed(piece)] + reader.finish()
    assert reader.ended
    assert isinstance(reader.usage, Usage)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"][0]["finish_reason"]] == [reader.finish_reason]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    order = [name for delta in deltas for name, value in delta.items() if value and name != "role"]
    return "".join(delta.get("content") or "" for delta in deltas), reader.finish_reason, list(dict.fromkeys(order))


def test_an_error_in_the_stream_is_raised_as_it_is() -> None:
    wire = b"".join(events(BODY, say(BODY, "overloaded_midstream", set()), "overloaded_midstream"))
    reader = ChangedReader(ADAPTER.reader(Target(upstream_model="m")), ObjectsOnly())
    end = wire.index(b"event: error")
    assert reader.feed(wire[:end])
    with pytest.raises(FaultError):
        reader.feed(wire[end:])
    assert reader.comments == []
