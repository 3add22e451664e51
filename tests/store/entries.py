"""A ledger entry whose members a test changes by name; an entry taken apart as the data plane writes it; a fresh SQLite URL."""

from __future__ import annotations

import msgspec
import pytest

from proxy.records import Attempt, Carbon, Context, Detail, Entry, Inputs, IntensitySample, Row, Tokens
from proxy.store.codec import encode, identified, text

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
    unmet=("max_g_per_kwh",),
    ignored=("user",),
    warnings=(),
    upstream_id="up-1",
    response_id=None,
    config_version="c1",
    data_version="d1",
    software_version="0.1.0",
    profile={"active_parameters": 32e9, "gpu": "H100", "batch": None},
    provider_report=None,
    cross_check=None,
)


@pytest.fixture(name="entry")
def entry_with():
    return lambda **changes: msgspec.structs.replace(ENTRY, **changes)


@pytest.fixture(name="url")
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path}/greenlane.db"


def parts(entry):
    """Its context and its row."""
    carbon, tokens, intensity = entry.carbon, entry.tokens, entry.carbon.intensity
    decided = {"order": entry.order, "rejected": entry.rejected, "unmet": entry.unmet}
    shared = ("marginal", "counterfactual", "router_j", "router_g", "holdout", "spec_version")
    told = {name: getattr(entry, name) for name in shared}
    inputs = Inputs(intensity=intensity, profile=entry.profile, warnings=entry.warnings, **decided, **told)
    context = Context(
        0,
        *(entry.api, entry.stream, entry.model_requested, entry.model, entry.deployment, entry.policy, entry.reason),
        *(carbon.method, carbon.confidence),
        *((None, None) if intensity is None else (intensity.zone, intensity.g_per_kwh)),
        *(entry.config_version, entry.data_version, entry.software_version, text(inputs)),
    )
    context = identified(context)
    forecast = entry.forecast and msgspec.structs.replace(entry.forecast, intensity=None)
    detail = Detail(
        attempts=entry.attempts or None,
        estimated=tokens.estimated,
        forecast=forecast,
        ignored=entry.ignored,
        provider_report=entry.provider_report,
        cross_check=entry.cross_check,
        decode_s=entry.decode_s,
        paced_by=entry.paced_by,
        batch=entry.batch,
        searches=tokens.searches,
    )
    row = Row(
        *(entry.id, entry.at_s, context.id, entry.team, entry.key, entry.task, entry.outcome, entry.status, entry.error),
        *(tokens.input, tokens.cached, tokens.cache_write, tokens.output, tokens.reasoning),
        *(carbon.energy_j, carbon.energy_low_j, carbon.energy_high_j, carbon.carbon_g, carbon.carbon_low_g, carbon.carbon_high_g),
        *(entry.cost_usd, entry.duration_s, entry.ttft_s, entry.overhead_s, len(entry.attempts)),
        entry.attempts[-1].seconds_s if entry.attempts else None,
        *(None if entry.request_id == entry.id else entry.request_id, entry.upstream_id, entry.response_id),
        None if detail == Detail() else text(detail),
        *(entry.avoided_g, entry.avoided_low_g, entry.avoided_high_g, entry.avoided_marginal_g),
    )
    return context, row


def written(*entries):
    """Their records."""
    return [encode(part) for entry in entries for part in parts(entry)]
