"""`reasoning_effort` and `thinking` for each family of models.

https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting and .../build-with-claude/effort
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters._base import AdapterError, Target
from adapters.anthropic import ADAPTER
from tests.imitations.anthropic_rules import check, sign

Json = dict[str, Any]
HI = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
ENABLED = {"type": "enabled", "budget_tokens": 2000}


def sent(model: str, **chat: Any) -> tuple[Any, Any, tuple[str, ...]]:
    """What became of thinking and effort, and what was left out."""
    made = ADAPTER.outbound({"messages": [HI], "max_tokens": 8000, **chat}, Target(upstream_model=model))
    body = json.loads(made.body)
    check(body, dict(made.headers)[b"anthropic-version"].decode())
    return body.get("thinking"), body.get("output_config", {}).get("effort"), made.ignored


def refused(model: str, **chat: Any) -> str | None:
    with pytest.raises(AdapterError) as caught:
        ADAPTER.outbound({"messages": [HI], "max_tokens": 8000, **chat}, Target(upstream_model=model))
    return caught.value.param


ADAPTIVE = {"type": "adaptive"}
DISABLED = {"type": "disabled"}


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "level", "left_out"),
    [
        ("claude-opus-5-5", "none", None, "low", ("reasoning_effort",)),
        ("claude-opus-5-5", "minimal", ADAPTIVE, "low", ()),
        ("claude-opus-5-5", "xhigh", ADAPTIVE, "xhigh", ()),
        ("claude-fable-5-1", "max", ADAPTIVE, "max", ()),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None, ()),
        ("claude-haiku-5-5", "none", DISABLED, None, ()),
        ("claude-opus-5", "medium", ADAPTIVE, "medium", ()),
        ("claude-sonnet-5", "none", DISABLED, None, ()),
        ("claude-opus-4-8", "none", None, None, ()),
        ("claude-opus-4-7", "high", ADAPTIVE, "high", ()),
        ("claude-sonnet-4-6", "xhigh", ADAPTIVE, "high", ()),
        ("claude-sonnet-4-6", "max", ADAPTIVE, "max", ()),
        ("claude-opus-4-5", "xhigh", {"type": "enabled", "budget_tokens": 7600}, "high", ()),
        ("claude-haiku-4-5", "minimal", {"type": "enabled", "budget_tokens": 1024}, None, ()),
        ("claude-haiku-4-5", "medium", {"type": "enabled", "budget_tokens": 4000}, None, ()),
        ("claude-haiku-4-5", "none", None, None, ()),
        ("claude-3-5-haiku-20241022", "high", None, None, ("reasoning_effort",)),
    ],
)
def test_reasoning_effort(model: str, effort: str, thinking: Any, level: Any, left_out: Any) -> None:
    assert sent(model, reasoning_effort=effort) == (thinking, level, left_out)


@pytest.mark.parametrize(
    ("model", "asked", "thinking", "left_out"),
    [
        ("claude-opus-5-5", ENABLED, ADAPTIVE, ("thinking.budget_tokens",)),
        ("claude-opus-5-5", DISABLED, None, ("thinking",)),
        ("claude-opus-5-5", {**ADAPTIVE, "display": "summarized"}, {**ADAPTIVE, "display": "summarized"}, ()),
        ("claude-sonnet-5-5", DISABLED, {"type": "between_tools"}, ()),
        ("claude-opus-5", {"type": "between_tools"}, DISABLED, ()),
        ("claude-sonnet-4-6", {**ENABLED, "display": "omitted"}, {**ENABLED, "display": "omitted"}, ()),
        ("claude-haiku-4-5", ENABLED, ENABLED, ()),
        ("claude-haiku-4-5", ADAPTIVE, {"type": "enabled", "budget_tokens": 4000}, ()),
    ],
)
def test_thinking_as_anthropic_words_it(model: str, asked: Json, thinking: Any, left_out: Any) -> None:
    found = sent(model, thinking=asked)
    assert (found[0], found[2]) == (thinking, left_out)


def test_thinking_is_preferred_and_effort_kept_beside_it() -> None:
    assert sent("claude-opus-5-5", thinking=ADAPTIVE, reasoning_effort="high") == (ADAPTIVE, "high", ())
    assert sent("claude-sonnet-4-6", thinking=ENABLED, reasoning_effort="low") == (ENABLED, None, ())
    assert sent("claude-opus-5", thinking=DISABLED, reasoning_effort="xhigh") == (DISABLED, "high", ())


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"type": "enabled"}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": 1000}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": 8000}, "thinking.budget_tokens"),
        ({"type": "wild"}, "thinking.type"),
        ("on", "thinking.type"),
        ({**ADAPTIVE, "display": "loud"}, "thinking.display"),
        ({**ADAPTIVE, "block_binding": {}}, "thinking.block_binding"),
    ],
)
def test_malformed_thinking_is_refused(asked: Any, param: str) -> None:
    assert refused("claude-haiku-4-5", thinking=asked) == param


def test_a_budget_finds_room_in_the_default_max_tokens() -> None:
    made = ADAPTER.outbound(
        {"messages": [HI], "thinking": {"type": "enabled", "budget_tokens": 20_000}}, Target(upstream_model="claude-haiku-4-5")
    )
    assert json.loads(made.body)["max_tokens"] == 36_000


def test_where_there_is_no_room_to_think_effort_is_left_out() -> None:
    assert sent("claude-haiku-4-5", reasoning_effort="high", max_tokens=1000) == (None, None, ("reasoning_effort",))


class TestForcedTools:
    """`tool_choice` any or tool: https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility"""

    def test_the_hint_yields_to_the_demand(self) -> None:
        found = sent("claude-sonnet-4-6", reasoning_effort="high", tools=[TOOL], tool_choice="required")
        assert found == (None, None, ("reasoning_effort",))

    def test_explicit_thinking_beside_the_demand_is_refused(self) -> None:
        assert refused("claude-sonnet-4-6", thinking=ADAPTIVE, tools=[TOOL], tool_choice="required") == "thinking"

    def test_newer_models_do_both(self) -> None:
        assert sent("claude-opus-5", reasoning_effort="high", tools=[TOOL], tool_choice="required") == (ADAPTIVE, "high", ())

    def test_the_newest_cannot_be_forced(self) -> None:
        assert refused("claude-opus-5-5", tools=[TOOL], tool_choice="required") == "tool_choice"


class TestToolLoops:
    """https://platform.claude.com/docs/en/build-with-claude/thinking-tool-workflows"""

    def loop(self, *blocks: Json) -> list[Json]:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        said = {"role": "assistant", "content": None, "tool_calls": [call], "thinking_blocks": list(blocks)}
        return [HI, said, {"role": "tool", "tool_call_id": "c1", "content": "42"}]

    def test_manual_thinking_goes_on_where_its_blocks_came_back(self) -> None:
        kept = self.loop({"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")})
        assert sent("claude-haiku-4-5", messages=kept, thinking=ENABLED) == (ENABLED, None, ())

    def test_manual_thinking_stops_where_the_client_dropped_them(self) -> None:
        assert sent("claude-haiku-4-5", messages=self.loop(), reasoning_effort="low") == (None, None, ("reasoning_effort",))
        assert sent("claude-haiku-4-5", messages=self.loop(), thinking=ENABLED) == (None, None, ("thinking",))

    def test_a_new_question_begins_anew(self) -> None:
        messages = [*self.loop(), {"role": "assistant", "content": "42."}, HI]
        assert sent("claude-haiku-4-5", messages=messages, thinking=ENABLED) == (ENABLED, None, ())

    def test_adaptive_thinking_does_not_mind(self) -> None:
        assert sent("claude-opus-5", messages=self.loop(), reasoning_effort="low") == (ADAPTIVE, "low", ())


def test_nothing_is_said_where_nothing_was_asked() -> None:
    assert sent("claude-opus-5-5") == (None, None, ())
