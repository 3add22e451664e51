"""EcoLogits' figure stands beside ours in a closed model's entry, where it is installed, and nowhere else."""

from __future__ import annotations

import importlib.metadata
import sys
from types import ModuleType, SimpleNamespace

import pytest

from tests.harness import ask

FLEET = """
deployments:
  closed: {{model: gpt-4o-mini, base_url: "{url}"}}
  open: {{model: open, upstream_model: Qwen/Qwen3-8B, base_url: "{url}"}}
"""


@pytest.fixture
def served(proxy, upstream):
    return proxy(FLEET.format(url=upstream().url))


def entry(served, model):
    answer = ask(served, {"model": model, "messages": [{"role": "user", "content": "Hi"}]})
    return served.entry(answer.headers["x-greenlane-id"])


@pytest.fixture
def installed(monkeypatch):
    """An imitation of EcoLogits 0.11.3, as in tests/carbon/test_ecologits.py."""
    for name in ("ecologits", "ecologits.tracers", "ecologits.tracers.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    energy = SimpleNamespace(value=SimpleNamespace(min=2e-5, max=4.5e-5), unit="kWh")
    found = SimpleNamespace(usage=SimpleNamespace(energy=energy), warnings=None, errors=None)
    sys.modules["ecologits.tracers.utils"].llm_impacts = lambda **_: found
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.11.3" if name == "ecologits" else version(name))


def test_a_closed_models_entry_has_it_and_its_figure_stays_ours(served, installed):
    found = entry(served, "gpt-4o-mini")
    assert found["second_opinion"]["energy_j"] == pytest.approx(3e-5 * 3.6e6)
    assert found["second_opinion"]["source"] == "ecologits 0.11.3"
    assert found["account"]["method"] == "vendor_prior"
    assert entry(served, "open")["second_opinion"] is None


def test_without_the_extra_it_is_unknown(served, monkeypatch):
    monkeypatch.setitem(sys.modules, "ecologits.tracers.utils", None)
    assert entry(served, "gpt-4o-mini")["second_opinion"] is None
