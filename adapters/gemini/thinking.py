"""How much a model thinks: OpenAI's effort and Anthropic's budget as Gemini's level or budget.

The mapping of efforts is Google's own: https://ai.google.dev/gemini-api/docs/openai#thinking; budgets and levels per model:
https://ai.google.dev/gemini-api/docs/thinking. Where thinking cannot be turned off, `none` is the least there is.
"""

from __future__ import annotations

from typing import Any

from adapters._base import AdapterError, Json
from adapters.gemini.models import Model

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_RANGES = {"pro": (128, 32768), "flash-lite": (512, 24576)}
_RANGE = (0, 24576)
"""Tokens a 2.5 model may think, by kind, and those of other kinds; 0 turns thinking off where the kind is not pro."""
_WITH_MINIMAL = {((3, 0), "flash"), ((3, 1), "flash-lite"), ((3, 5), "flash"), ((3, 5), "flash-lite"), ((3, 6), "flash")}
_WITH_XHIGH = {((4, 0), "hydrogen"), ((4, 0), "neon")}
_LOW_TOKENS, _MEDIUM_TOKENS = 1024, 8192


def thinking_of(chat: Json, model: Model) -> Json | None:
    """The thinkingConfig; None where nothing was asked. Raises AdapterError where a model that does not think is told to."""
    effort, asked = _effort(chat), _asked(chat)
    if effort is None and asked is None:
        return None
    off = effort == "none" if asked is None or asked["type"] != "disabled" else True
    if not model.thinks:
        if off or (asked is None and effort == "minimal"):
            return None
        raise AdapterError("This Gemini model does not think.", "reasoning_effort" if effort is not None else "thinking")
    config = _levels(effort, asked, model, off=off) if model.levels else _budgets(effort, asked, model, off=off)
    shown = asked is None or asked.get("display") != "omitted"
    if not off and shown:
        config["includeThoughts"] = True
    return config


def _levels(effort: str | None, asked: Json | None, model: Model, *, off: bool) -> Json:
    if off or effort == "minimal":
        return {"thinkingLevel": "MINIMAL" if (model.generation, model.kind) in _WITH_MINIMAL else "LOW"}
    budget = asked.get("budget_tokens") if asked is not None else None
    if effort is None and isinstance(budget, int):
        effort = "low" if budget <= _LOW_TOKENS else "medium" if budget <= _MEDIUM_TOKENS else "high"
    if effort is None:
        return {}
    if effort == "medium" and (model.generation, model.kind) == ((3, 0), "pro"):
        return {"thinkingLevel": "HIGH"}  # it has low and high only
    if effort in ("xhigh", "max") and (model.generation, model.kind) in _WITH_XHIGH:
        return {"thinkingLevel": "XHIGH"}
    return {"thinkingLevel": {"low": "LOW", "medium": "MEDIUM"}.get(effort, "HIGH")}


def _budgets(effort: str | None, asked: Json | None, model: Model, *, off: bool) -> Json:
    least, most = _RANGES.get(model.kind, _RANGE)
    if off:
        return {"thinkingBudget": least if model.kind == "pro" else 0}
    budget = asked.get("budget_tokens") if asked is not None else None
    if isinstance(budget, int) and not isinstance(budget, bool):
        return {"thinkingBudget": min(max(budget, least), most)}
    return {"thinkingBudget": min(_BUDGETS[effort], most)} if effort is not None else {}


def _effort(chat: Json) -> str | None:
    effort: Any = chat.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        raise AdapterError("The effort must be none, minimal, low, medium, high or xhigh.", "reasoning_effort")
    return effort  # type: ignore[no-any-return]  # one of the texts above, or None


def _asked(chat: Json) -> Json | None:
    thinking = chat.get("thinking")
    if thinking is None:
        return None
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "adaptive", "disabled", "between_tools"):
        raise AdapterError("`thinking` must be an object of a known type.", "thinking")
    return thinking
