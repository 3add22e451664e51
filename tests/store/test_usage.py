"""Sums are over what is known, and what is not known is counted, never taken for zero."""

from __future__ import annotations

import asyncio

import pytest

from proxy.records import Carbon, Tokens
from proxy.store.ledger import Ledger
from proxy.store.usage import UsageQuery
from tests.store.entries import written

DAY_S = 86400.0


def asked(url, entries, *queries):
    async def session():
        ledger = await Ledger.open(url)
        try:
            await ledger.insert_records(written(*entries))
            return [await ledger.usage(query) for query in queries]
        finally:
            await ledger.close()

    return asyncio.run(session())


def test_a_group_shows_every_sum_and_every_unknown(url, entry):
    """Two known entries of 3,600 J (1 Wh; low 0.5, high 2), one truncated without usage, one refused that used nothing."""
    entries = [
        entry(),
        entry(id="gl-2", tokens=Tokens(input=1, output=2, cached=0, reasoning=5, cache_write=4), cost_usd=0.5),
        entry(id="gl-3", outcome="truncated", tokens=Tokens(), carbon=Carbon(), cost_usd=None),
        entry(id="gl-4", outcome="refused", status=422, tokens=Tokens(), carbon=Carbon(), cost_usd=None),
    ]
    [[found]] = asked(url, entries, UsageQuery(group_by="model"))
    assert found == {
        "model": "qwen3-32b",
        "requests": 4,
        "errors": 2,
        "input_tokens": 101,
        "input_tokens_unknown": 1,
        "cached_tokens": 20,
        "cached_tokens_unknown": 1,
        "cache_write_tokens": 4,
        "cache_write_tokens_unknown": 2,
        "output_tokens": 302,
        "output_tokens_unknown": 1,
        "reasoning_tokens": 5,
        "reasoning_tokens_unknown": 2,
        "energy_wh": 2.0,
        "energy_low_wh": 1.0,
        "energy_high_wh": 4.0,
        "energy_wh_unknown": 1,
        "carbon_g": pytest.approx(0.06),
        "carbon_low_g": pytest.approx(0.02),
        "carbon_high_g": pytest.approx(0.18),
        "carbon_g_unknown": 1,
        "cost_usd": pytest.approx(0.501),
        "cost_usd_unknown": 1,
    }


def test_a_sum_of_nothing_known_is_unknown(url, entry):
    [[found]] = asked(url, [entry(tokens=Tokens(), carbon=Carbon(), cost_usd=None)], UsageQuery(group_by="team"))
    unknown = ("input_tokens", "output_tokens", "energy_wh", "energy_low_wh", "energy_high_wh", "carbon_g", "carbon_low_g", "cost_usd")
    assert [found[name] for name in unknown] == [None] * 8


@pytest.mark.parametrize("group_by", ["model", "deployment", "policy", "team", "key", "task"])
def test_every_group_is_by_its_own_column(url, entry, group_by):
    entries = [
        entry(id="1", **{group_by: "b"}),
        entry(id="2", **{group_by: "a"}),
        entry(id="3", **{group_by: "a"}),
        entry(id="4", **{group_by: None}),
    ]
    [found] = asked(url, entries, UsageQuery(group_by=group_by))
    assert [(group[group_by], group["requests"]) for group in found] == [(None, 1), ("a", 2), ("b", 1)]


def test_days_are_utc_and_in_order(url, entry):
    """Day 19,675 of Unix time is 14 November 2023."""
    entries = [entry(id=str(at_s), at_s=at_s) for at_s in (19675 * DAY_S, 19676 * DAY_S - 0.001, 19676 * DAY_S, 0.0)]
    [found] = asked(url, entries, UsageQuery(group_by="day"))
    assert [(group["day"], group["requests"]) for group in found] == [("1970-01-01", 1), ("2023-11-14", 2), ("2023-11-15", 1)]


def test_from_is_in_and_to_is_out(url, entry):
    entries = [entry(id=str(at_s), at_s=float(at_s)) for at_s in range(10)]
    queries = [UsageQuery(from_s=3.0, to_s=5.0), UsageQuery(from_s=8.0), UsageQuery(to_s=1.0), UsageQuery()]
    assert [found["requests"] for [found] in asked(url, entries, *queries)] == [2, 2, 1, 10]


def test_a_team_sees_its_own(url, entry):
    entries = [entry(id="1"), entry(id="2", team="ads"), entry(id="3", team=None)]
    queries = [UsageQuery(team="ads"), UsageQuery(team="search", group_by="key"), UsageQuery(team="nobody", group_by="key"), UsageQuery()]
    assert [[group["requests"] for group in found] for found in asked(url, entries, *queries)] == [[1], [1], [], [3]]


def test_whose_client_left_is_no_error_of_ours(url, entry):
    outcomes = ("completed", "cached", "client_gone", "truncated", "failed", "refused")
    [found] = asked(
        url, [entry(id=outcome, deployment=outcome, outcome=outcome) for outcome in outcomes], UsageQuery(group_by="deployment")
    )
    assert [(group["deployment"], group["errors"]) for group in found] == [
        ("cached", 0),
        ("client_gone", 0),
        ("completed", 0),
        ("failed", 1),
        ("refused", 1),
        ("truncated", 1),
    ]
