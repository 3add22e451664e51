"""A second opinion, before an imitation of EcoLogits 0.11.3's answers (recorded from the package itself)."""

from __future__ import annotations

import importlib.metadata
import math
import sys
from types import ModuleType, SimpleNamespace

import pytest

from carbon.energy import estimator
from carbon.meters.ecologits import Opinion, opinion
from carbon.profile import Serving, profile_of

MINI = {"min": 2.6018175633216765e-05, "max": 3.148454894912152e-05}
"""kWh of gpt-4o-mini for 400 tokens in 8 s."""


@pytest.fixture
def asked(monkeypatch):
    """Installs the imitation; what it was asked."""
    calls = []

    def llm_impacts(provider, model_name, output_token_count, request_latency, electricity_mix_zone=None):
        calls.append((provider, model_name, output_token_count, request_latency))
        if model_name == "nobody":
            return SimpleNamespace(usage=None, warnings=None, errors=[SimpleNamespace(code="model-not-registered")])
        value = {
            "gpt-4o-mini": SimpleNamespace(**MINI),
            "plain": 3e-5,
            "zero": 0.0,
            "nan": math.nan,
            "upside-down": SimpleNamespace(min=2.0, max=1.0),
        }[model_name]
        warnings = [SimpleNamespace(code="model-arch-not-released"), SimpleNamespace(code="model-arch-multimodal")]
        return SimpleNamespace(usage=SimpleNamespace(energy=SimpleNamespace(value=value, unit="kWh")), warnings=warnings, errors=None)

    for name in ("ecologits", "ecologits.tracers", "ecologits.tracers.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["ecologits.tracers.utils"].llm_impacts = llm_impacts
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"ecologits": "0.11.3"}[name])
    return calls


def test_its_range_in_joules_with_the_geometric_mean(asked):
    """.026 to .031 Wh: 93.7 to 113.3 J, the mean of which is 103.0."""
    found = opinion("openai", "gpt-4o-mini", 400, 8.0)
    assert found == Opinion(
        energy_low_j=pytest.approx(93.665, abs=0.01),
        energy_j=pytest.approx(103.036, abs=0.01),
        energy_high_j=pytest.approx(113.344, abs=0.01),
        source="ecologits 0.11.3",
        warnings=("model-arch-not-released", "model-arch-multimodal"),
    )
    assert asked == [("openai", "gpt-4o-mini", 400, 8.0)]


def test_it_lies_within_what_we_say_of_the_same_model(asked):
    """Ours: .033 Wh [.008-.143] for 100 in and 400 out."""
    profile = profile_of(Serving(upstream_model="gpt-4o-mini"))
    assert profile is not None
    low, _, high = estimator(profile).figures(100, 0, 400)
    found = opinion("openai", "gpt-4o-mini", 400, 8.0)
    assert found is not None
    assert low < found.energy_low_j < found.energy_high_j < high


def test_vendors_have_its_names_for_them(asked):
    for ours, theirs in (("azure", "openai"), ("gemini", "google_genai"), ("mistral", "mistralai")):
        assert opinion(ours, "plain", 10, None) is not None
        assert asked[-1][0] == theirs


def test_an_unknown_time_does_not_shorten_its_own_estimate(asked):
    opinion("openai", "gpt-4o-mini", 400, None)
    assert asked[-1][3] == math.inf


@pytest.mark.parametrize("model", ["nobody", "zero", "nan", "upside-down"])
def test_what_is_no_range_is_no_opinion(asked, model):
    assert opinion("openai", model, 400, 8.0) is None


def test_nothing_is_asked_of_others_or_of_no_tokens(asked):
    assert opinion("wonder", "gpt-4o-mini", 400, 8.0) is None
    assert opinion("openai", "gpt-4o-mini", 0, 8.0) is None
    assert asked == []


def test_without_the_package_there_is_no_opinion(monkeypatch):
    monkeypatch.setitem(sys.modules, "ecologits.tracers.utils", None)
    assert opinion("openai", "gpt-4o-mini", 400, 8.0) is None
