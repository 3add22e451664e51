"""Reasoning: the hub's `thinking` and `reasoning_effort` as the model's family takes them.

`thinking` is Anthropic's own object and is preferred; `reasoning_effort` is OpenAI's word. Where a family lacks the way that was
asked for, the nearest of its ways is taken and the member is told as ignored, as the vendor's migration guides advise.
References: https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting, .../build-with-claude/effort
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import AdapterError, Json
from adapters.anthropic.models import Rules

MINIMUM_BUDGET_TOKENS = 1024
_LARGEST_BUDGET_TOKENS = 32_000
"""Beyond it the vendor advises batches; https://platform.claude.com/docs/en/build-with-claude/extended-thinking"""
_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Share of max_tokens that may be thought, as OpenRouter documents it (https://openrouter.ai/docs/use-cases/reasoning-tokens)."""
_RISING = ("low", "medium", "high", "xhigh", "max")
_TYPES = ("enabled", "adaptive", "disabled", "between_tools")
_QUIET = ("disabled", "between_tools")


class Reasoning(msgspec.Struct, frozen=True):
    thinking: Json | None = None
    effort: str | None = None
    ignored: tuple[str, ...] = ()

    @property
    def on(self) -> bool:
        return self.thinking is not None and self.thinking["type"] in ("enabled", "adaptive")


class Circumstances(msgspec.Struct, frozen=True):
    """What else of the request bears on thinking."""

    max_tokens: int
    forced: bool
    """A tool must be called."""
    thought_through: bool
    """The tool loop under way holds its thinking."""
    prefilled: bool


def asked_budget_tokens(chat: Json) -> int:
    """The thinking budget the client named, else 0. Raises AdapterError where `thinking` is malformed."""
    asked = _asked(chat)
    return asked["budget_tokens"] if asked is not None and asked["type"] == "enabled" else 0


def reasoning_of(chat: Json, rules: Rules, now: Circumstances) -> Reasoning:
    asked, effort = _asked(chat), _effort(chat)
    if asked is None and effort is None:
        return Reasoning()
    member = "reasoning_effort" if asked is None else "thinking"
    level = _level(effort)
    off = effort == "none" if asked is None else asked["type"] in _QUIET
    if off:
        return _quiet(rules, level, member)
    if not rules.thinking:
        return Reasoning(ignored=(member,))
    if now.prefilled:
        return _unable("Thinking cannot stand beside an assistant's message to be continued.", asked, member)
    if now.forced and not rules.forced_while_thinking:
        return _unable("This model does not think where it is forced to call a tool.", asked, member)
    shown = {} if asked is None or asked.get("display") is None else {"display": asked["display"]}
    by_budget = asked is not None and asked["type"] == "enabled"
    if "adaptive" in rules.thinking and not (by_budget and "enabled" in rules.thinking):
        ignored = ("thinking.budget_tokens",) if by_budget else ()
        return Reasoning({"type": "adaptive", **shown}, _within(level, rules.efforts), ignored)
    return _manual(asked, effort, rules, now, shown)


def _manual(asked: Json | None, effort: str | None, rules: Rules, now: Circumstances, shown: Json) -> Reasoning:
    member = "reasoning_effort" if asked is None else "thinking"
    beside = None if asked is not None and asked["type"] == "enabled" else _within(_level(effort), rules.efforts)
    if not now.thought_through:
        # the client did not send the thinking back: the API would refuse to go on thinking in this loop
        return Reasoning(effort=beside, ignored=(member,))
    if asked is not None and asked["type"] == "enabled":
        budget = asked["budget_tokens"]
        if budget >= now.max_tokens:
            raise AdapterError("The thinking budget must be smaller than max_tokens.", "thinking.budget_tokens")
    else:
        share = _SHARES[effort if effort in _SHARES else "medium"]
        budget = max(MINIMUM_BUDGET_TOKENS, min(int(now.max_tokens * share), _LARGEST_BUDGET_TOKENS))
        if budget >= now.max_tokens:
            return Reasoning(effort=beside, ignored=(member,))
    return Reasoning({"type": "enabled", "budget_tokens": budget, **shown}, beside)


def _quiet(rules: Rules, level: str | None, member: str) -> Reasoning:
    if not rules.thinks_unasked:
        return Reasoning(effort=_within(level, rules.efforts))
    for kind in _QUIET:
        if kind in rules.thinking:
            return Reasoning({"type": kind}, _within(level, tuple(one for one in rules.efforts if one in rules.quiet_efforts)))
    # this model always thinks; the vendor's advice is to omit the member and ask for less effort
    return Reasoning(effort=_within(level or "low", rules.efforts), ignored=(member,))


def _unable(message: str, asked: Json | None, member: str) -> Reasoning:
    if asked is not None:
        raise AdapterError(message, member, code="unsupported_value")
    return Reasoning(ignored=(member,))


def _within(level: str | None, efforts: tuple[str, ...]) -> str | None:
    """The level, or the highest below it that the family takes."""
    if level is None or not efforts:
        return None
    reachable = [one for one in efforts if _RISING.index(one) <= _RISING.index(level)]
    return reachable[-1] if reachable else efforts[0]


def _level(effort: str | None) -> str | None:
    """Anthropic's word for an effort; None has none: `thinking` alone says what is wanted then."""
    return None if effort == "none" else "low" if effort == "minimal" else effort


def _effort(chat: Json) -> str | None:
    effort = chat.get("reasoning_effort")
    if effort is None or effort in ("none", "minimal", *_RISING):
        return effort
    raise AdapterError("`reasoning_effort` must be none, minimal, low, medium, high, xhigh or max.", "reasoning_effort")


def _asked(chat: Json) -> Json | None:
    asked: Any = chat.get("thinking")
    if asked is None:
        return None
    if not isinstance(asked, dict) or asked.get("type") not in _TYPES:
        raise AdapterError("`thinking.type` must be enabled, adaptive, disabled or between_tools.", "thinking.type")
    budget = asked.get("budget_tokens")
    if asked["type"] == "enabled" and (not isinstance(budget, int) or isinstance(budget, bool) or budget < MINIMUM_BUDGET_TOKENS):
        raise AdapterError(f"`thinking.budget_tokens` must be at least {MINIMUM_BUDGET_TOKENS}.", "thinking.budget_tokens")
    if asked.get("display") not in (None, "summarized", "omitted"):
        raise AdapterError("`thinking.display` must be summarized or omitted.", "thinking.display")
    extra = asked.keys() - {"type", "budget_tokens", "display"}
    if extra:
        raise AdapterError("This member of `thinking` cannot be passed on.", f"thinking.{min(extra)[:64]}")
    return asked
