"""A ledger entry whose members a test changes by name, and a fresh SQLite URL."""

from __future__ import annotations

import msgspec
import pytest

from proxy.records import Attempt, Carbon, Entry, IntensitySample, Tokens

SE = IntensitySample(zone="SE", g_per_kwh=30.0, low_g_per_kwh=20.0, high_g_per_kwh=40.0, basis="lifecycle", source="static", as_of="2024")
ENTRY = Entry(
    id="gl-1",
    at_s=1_700_000_000.5,
    request_id="req-1",
    api="chat",
    stream=True,
    team="search",
    key="search-prod",
    model_requested="auto",
    model="qwen3-32b",
    deployment="vllm-eu",
    policy="green",
    task="summarise",
    reason="lowest-carbon",
    outcome="completed",
    status=200,
    error=None,
    attempts=(
        Attempt(deployment="vllm-us", status=None, kind="connect", seconds_s=0.1),
        Attempt(deployment="vllm-eu", status=200, kind="ok", seconds_s=1.2),
    ),
    tokens=Tokens(input=100, cached=20, output=300),
    cost_usd=0.001,
    carbon=Carbon(
        energy_j=3600.0,
        energy_low_j=1800.0,
        energy_high_j=7200.0,
        carbon_g=0.03,
        carbon_low_g=0.01,
        carbon_high_g=0.09,
        method="flops",
        confidence="low",
        intensity=SE,
    ),
    forecast=Carbon(energy_j=3000.0, intensity=SE),
    duration_s=1.5,
    ttft_s=0.2,
    overhead_s=0.0001,
    rejected=(("openai", "privacy"),),
    order=("vllm-us", "vllm-eu"),
    ignored=("user",),
    warnings=(),
    upstream_id="up-1",
    response_id=None,
    config_version="c1",
    data_version="d1",
    software_version="0.1.0",
    profile={"active_parameters": 32e9, "gpu": "H100", "batch": None},
    provider_report=None,
)


@pytest.fixture(name="entry")
def entry_with():
    return lambda **changes: msgspec.structs.replace(ENTRY, **changes)


@pytest.fixture(name="url")
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path}/greenlane.db"
