"""No more than one call, where the model cannot be kept from several."""

from __future__ import annotations

from typing import Any

from adapters import adapters
from adapters._base import Parallel
from adapters._one_call import first_call, first_calls

HEAD = {"id": "c", "created": 1, "model": "m"}


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def call(index: int, **more: Any) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": "{}"}, **more}


def test_only_gemini_needs_it() -> None:
    needing = [name for name, adapter in adapters().items() if isinstance(adapter, Parallel)]
    assert needing == ["gemini"]
    adapter = adapters()["gemini"]
    assert isinstance(adapter, Parallel)
    assert adapter.one_call({"parallel_tool_calls": False})
    assert not adapter.one_call({"parallel_tool_calls": True})
    assert not adapter.one_call({})


def test_later_calls_leave_a_stream_and_all_else_stays() -> None:
    begun, first, both = chunk({"role": "assistant"}), chunk({"tool_calls": [call(0)]}), chunk({"tool_calls": [call(0), call(1)]})
    spoken, ended, usage = (
        chunk({"content": "Hm", "tool_calls": [call(1)]}),
        chunk({"tool_calls": [call(1)]}, "tool_calls"),
        {**HEAD, "choices": []},
    )
    assert first_calls([begun, first, chunk({"tool_calls": [call(1)]}), both, spoken, ended, usage]) == [
        begun,
        first,
        first,
        chunk({"content": "Hm"}),
        chunk({}, "tool_calls"),
        usage,
    ]


def test_each_choice_of_a_whole_answer_keeps_its_first() -> None:
    said = {"choices": [{"message": {"tool_calls": [{"id": "1"}, {"id": "2"}]}}, {"message": {"content": "Hm"}}]}
    assert first_call(said) == {"choices": [{"message": {"tool_calls": [{"id": "1"}]}}, {"message": {"content": "Hm"}}]}
