"""Efforts as levels and budgets: https://ai.google.dev/gemini-api/docs/openai#thinking, https://ai.google.dev/gemini-api/docs/thinking."""

import pytest

from adapters._base import AdapterError
from adapters.gemini.models import model_of
from adapters.gemini.thinking import thinking_of

EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh"]


def shown(**config):
    return {**config, "includeThoughts": True}


@pytest.mark.parametrize(
    ("name", "budgets"),
    [
        ("gemini-2.5-pro", [128, 1024, 1024, 8192, 24576, 24576]),
        ("gemini-2.5-flash", [0, 1024, 1024, 8192, 24576, 24576]),
        ("gemini-2.5-flash-lite", [0, 1024, 1024, 8192, 24576, 24576]),
    ],
)
def test_gemini_2_5_has_budgets(name, budgets):
    expected = [{"thinkingBudget": budgets[0]}, *(shown(thinkingBudget=budget) for budget in budgets[1:])]
    assert [thinking_of({"reasoning_effort": effort}, model_of(name)) for effort in EFFORTS] == expected


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("gemini-3-pro-preview", ["LOW", "LOW", "LOW", "HIGH", "HIGH", "HIGH"]),
        ("gemini-3.1-pro-preview", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"]),
        ("gemini-3-flash-preview", ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"]),
        ("gemini-3.1-flash-lite", ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"]),
        ("gemini-3.6-flash", ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"]),
        ("gemini-4-argon", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"]),
        ("gemini-4-carbon", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"]),
        ("gemini-4-hydrogen", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "XHIGH"]),
        ("gemini-4-neon-preview", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "XHIGH"]),
        ("gemini-3.8-flash", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"]),
        ("gemini-flash-latest", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"]),
    ],
)
def test_gemini_3_has_levels(name, levels):
    expected = [{"thinkingLevel": levels[0]}, *(shown(thinkingLevel=level) for level in levels[1:])]
    assert [thinking_of({"reasoning_effort": effort}, model_of(name)) for effort in EFFORTS] == expected


@pytest.mark.parametrize(
    ("thinking", "older", "newer"),
    [
        ({"type": "enabled", "budget_tokens": 2000}, shown(thinkingBudget=2000), shown(thinkingLevel="MEDIUM")),
        ({"type": "enabled", "budget_tokens": 99999}, shown(thinkingBudget=24576), shown(thinkingLevel="HIGH")),
        ({"type": "enabled", "budget_tokens": 500, "display": "omitted"}, {"thinkingBudget": 500}, {"thinkingLevel": "LOW"}),
        ({"type": "adaptive"}, shown(), shown()),
        ({"type": "disabled"}, {"thinkingBudget": 0}, {"thinkingLevel": "MINIMAL"}),
    ],
)
def test_anthropics_object_is_understood(thinking, older, newer):
    assert thinking_of({"thinking": thinking}, model_of("gemini-2.5-flash")) == older
    assert thinking_of({"thinking": thinking}, model_of("gemini-3-flash-preview")) == newer


def test_nothing_asked_is_nothing_said():
    assert thinking_of({"reasoning_effort": None}, model_of("gemini-3-flash-preview")) is None


def test_a_model_that_does_not_think_takes_no_effort():
    model = model_of("gemini-2.0-flash")
    assert [thinking_of({"reasoning_effort": effort}, model) for effort in ("none", "minimal")] == [None, None]
    assert thinking_of({"thinking": {"type": "disabled"}}, model) is None
    for chat, param in (({"reasoning_effort": "low"}, "reasoning_effort"), ({"thinking": {"type": "adaptive"}}, "thinking")):
        with pytest.raises(AdapterError) as refused:
            thinking_of(chat, model)
        assert refused.value.param == param


@pytest.mark.parametrize("thinking", [True, {}, {"type": "often"}])
def test_an_unknown_object_is_refused(thinking):
    with pytest.raises(AdapterError):
        thinking_of({"thinking": thinking}, model_of("gemini-2.5-flash"))
