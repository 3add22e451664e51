"""A row holds the entry's values, each under its own column."""

from __future__ import annotations

from proxy.records import Carbon, Tokens
from proxy.store.tables import ledger, row


def named(entry, record=b"record"):
    return dict(zip(ledger.columns.keys(), row(entry, record), strict=True))


def test_every_column_has_its_value(entry):
    """1,700,000,000.5 s is 19,675 whole days and a part."""
    assert named(entry(response_id="resp_1", error=None)) == {
        "id": "gl-1",
        "at_s": 1_700_000_000.5,
        "day": 19675,
        "team": "search",
        "key": "search-prod",
        "policy": "green",
        "task": "summarise",
        "api": "chat",
        "stream": True,
        "model_requested": "auto",
        "model": "qwen3-32b",
        "deployment": "vllm-eu",
        "outcome": "completed",
        "status": 200,
        "reason": "lowest-carbon",
        "error": None,
        "input_tokens": 100,
        "cached_tokens": 20,
        "cache_write_tokens": None,
        "output_tokens": 300,
        "reasoning_tokens": None,
        "energy_j": 3600.0,
        "energy_low_j": 1800.0,
        "energy_high_j": 7200.0,
        "carbon_g": 0.03,
        "carbon_low_g": 0.01,
        "carbon_high_g": 0.09,
        "method": "flops",
        "confidence": "low",
        "zone": "SE",
        "intensity_g_per_kwh": 30.0,
        "cost_usd": 0.001,
        "duration_s": 1.5,
        "ttft_s": 0.2,
        "attempts": 2,
        "request_id": "req-1",
        "response_id": "resp_1",
        "config_version": "c1",
        "data_version": "d1",
        "record": b"record",
    }


def test_unknown_is_null_never_zero(entry):
    values = named(entry(tokens=Tokens(cache_write=7, reasoning=9), carbon=Carbon(), cost_usd=None, error="upstream_error"))
    assert {name for name, value in values.items() if value is None} == {
        *("input_tokens", "cached_tokens", "output_tokens", "energy_j", "energy_low_j", "energy_high_j"),
        *("carbon_g", "carbon_low_g", "carbon_high_g", "zone", "intensity_g_per_kwh", "cost_usd", "response_id"),
    }
    assert (values["cache_write_tokens"], values["reasoning_tokens"], values["error"]) == (7, 9, "upstream_error")
