"""The fleet without a configuration."""

from __future__ import annotations

import datetime as dt

import pytest

from carbon.models import known
from carbon.zones import resolve_zone
from proxy.configuration import problems_of
from proxy.configuration.discovery import Found
from proxy.configuration.embedded import SIMULATIONS, embedded
from proxy.configuration.vendors import VENDORS, key_variable

VLLM = Found("vllm", "http://127.0.0.1:8000/v1", "Qwen/Qwen3-32B")
OLLAMA = Found("ollama", "http://127.0.0.1:11434/v1", "llama3.2:latest")
KEYS = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x", "GOOGLE_API_KEY": "x", "MISTRAL_API_KEY": "x"}


def test_with_nothing_there_the_simulations_serve_and_auto_is_one_of_them():
    config = embedded([], vendors=False, environ=KEYS)
    assert list(config.deployments) == ["simulation-se", "simulation-de", "simulation-pl"]
    assert {deployment.model for deployment in config.deployments.values()} == {"simulation"}
    assert all(deployment.base_url.startswith("sim://") for deployment in config.deployments.values())
    assert config.models["auto"].members == ("simulation",)
    assert config.server.host == "127.0.0.1"
    assert not config.keys


def test_simulations_stand_in_different_grids():
    assert len({resolve_zone(zone).row for zone, _, _ in SIMULATIONS.values()}) == 3


def test_a_simulation_is_never_a_member_of_auto_where_something_real_is():
    config = embedded([VLLM, OLLAMA], vendors=False, environ={})
    assert config.models["auto"].members == ("Qwen/Qwen3-32B", "llama3.2:latest")
    vllm = config.deployments["vllm-Qwen/Qwen3-32B"]
    assert (vllm.privacy, vllm.upstream_model, vllm.base_url, vllm.zone) == ("local", "Qwen/Qwen3-32B", VLLM.base_url, None)
    assert "simulation-se" in config.deployments


def test_what_a_server_here_sends_to_its_vendor_is_a_vendors():
    cloud = Found("ollama", "http://127.0.0.1:11434/v1", "gpt-oss:120b-cloud", leaves=True)
    assert not any("cloud" in name for name in embedded([OLLAMA, cloud], vendors=False, environ={}).deployments)
    joined = embedded([OLLAMA, cloud], vendors=True, environ={})
    assert joined.deployments["ollama-gpt-oss:120b-cloud"].privacy == "vendor"
    assert joined.models["auto"].members == ("llama3.2:latest", "gpt-oss:120b-cloud")


def test_what_writes_no_text_is_no_member_of_auto_and_serves_under_its_own_name():
    small = Found("ollama", "http://127.0.0.1:11434/v1", "nomic-embed-text:latest", writes=False)
    config = embedded([small, OLLAMA], vendors=False, environ={})
    assert config.models["auto"].members == ("llama3.2:latest",)
    assert config.deployments["ollama-nomic-embed-text:latest"].apis == ("embeddings", "rerank")
    assert "simulation" not in embedded([small], vendors=False, environ={}).models["auto"].members


@pytest.mark.parametrize(("flag", "environ"), [(True, KEYS), (False, KEYS | {"GREENLANE_VENDORS": "1"})])
def test_vendors_join_when_asked_to_with_the_key_that_is_set(flag, environ):
    config = embedded([], vendors=flag, environ=environ)
    assert {name: config.deployments[name].api_key for name in VENDORS} == {
        "openai": "env:OPENAI_API_KEY",
        "anthropic": "env:ANTHROPIC_API_KEY",
        "gemini": "env:GOOGLE_API_KEY",
        "mistral": "env:MISTRAL_API_KEY",
    }
    assert all(config.deployments[name].privacy == "vendor" for name in VENDORS)
    assert "simulation" not in config.models["auto"].members


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_row_says_where_its_figures_are_from_and_they_are_possible(vendor):
    row = VENDORS[vendor]
    prices, deployment = row.deployment.usd_per_mtok, row.deployment
    assert row.keys
    assert row.source.startswith("https://")
    assert dt.date.fromisoformat(row.read_on) <= dt.date(2026, 12, 31)
    assert deployment.base_url.startswith("https://")
    assert deployment.context_tokens is not None
    assert 8_000 <= deployment.context_tokens <= 4_000_000
    assert prices is not None
    assert 0 < prices.input < prices.output < 1_000
    assert (row.search_source or "https://").startswith("https://")
    assert (deployment.usd_per_search is None) == (row.search_source is None)
    assert deployment.usd_per_search is None or 0.001 < deployment.usd_per_search < 0.1
    assert prices.cached is None or 0 <= prices.cached <= prices.input
    assert prices.cache_write is None or prices.input <= prices.cache_write <= 2 * prices.input


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_model_has_an_energy(vendor):
    assert known(VENDORS[vendor].deployment.model) is not None


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}, KEYS | {"GREENLANE_VENDORS": "0"}])
def test_vendors_stay_out_otherwise(environ):
    config = embedded([], vendors=not environ.get("GREENLANE_VENDORS"), environ=environ)
    assert not set(VENDORS) & set(config.deployments)


def test_the_first_variable_that_is_set_counts():
    assert key_variable("gemini", {"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"}) == "GEMINI_API_KEY"
    assert key_variable("gemini", {"GEMINI_API_KEY": "", "GOOGLE_API_KEY": "b"}) == "GOOGLE_API_KEY"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("auto", "vllm-auto"),
        ("simulation", "vllm-simulation"),
        ("/models/tiny q4.gguf", "tiny-q4.gguf"),
        ("mod\u00e8le, grand", "mod-le-grand"),
        ("x" * 300, "x" * 80),
    ],
)
def test_odd_names_are_made_fit(model, name):
    config = embedded([Found("vllm", "http://127.0.0.1:8000/v1", model)], vendors=False, environ={})
    assert config.models["auto"].members == (name,)
    assert config.deployments[f"vllm-{name}"[:90]].upstream_model == model


def test_one_model_twice_is_two_deployments():
    config = embedded([VLLM, VLLM], vendors=False, environ={})
    assert [name for name in config.deployments if name.startswith("vllm")] == ["vllm-Qwen/Qwen3-32B", "vllm-Qwen/Qwen3-32B-2"]


@pytest.mark.parametrize(
    "found",
    [
        [],
        [VLLM],
        [VLLM, OLLAMA, Found("sglang", "http://127.0.0.1:30000/v1", "auto")],
        [VLLM, Found("ollama", OLLAMA.base_url, "e", writes=False)],
    ],
)
@pytest.mark.parametrize("vendors", [True, False])
def test_every_embedded_fleet_is_a_sound_configuration(found, vendors):
    assert problems_of(embedded(found, vendors=vendors, environ=KEYS)) == []
