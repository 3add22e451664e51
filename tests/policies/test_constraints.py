"""What each member of `require` admits, and how several combine to the strictest."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._base import Ask, Candidate, Limits, Privacy
from policies.constraints import barrier, checks, nearest, poor, strictest, tighten, unfit
from tests.policies.fleets import ASK, asking, asks, at, briefly, candidates, limits

merged = st.lists(limits, max_size=3).map(lambda several: strictest(*several))


@briefly
@given(merged, merged, merged)
def test_strictest_is_associative_commutative_and_idempotent(a: Limits, b: Limits, c: Limits) -> None:
    assert strictest(a, strictest(b, c)) == strictest(strictest(a, b), c) == strictest(a, b, c)
    assert strictest(a, b) == strictest(b, a)
    assert strictest(a, a) == strictest(a) == a
    assert strictest(a, Limits()) == a


@briefly
@given(limits, limits, candidates, asks)
def test_strictest_admits_exactly_what_all_of_its_parts_admit(a: Limits, b: Limits, candidate: Candidate, ask: Ask) -> None:
    def admits(limit: Limits) -> bool:
        return all(check.met_by([candidate], ask)[0] for check in checks(limit))

    assert admits(strictest(a, b)) == (admits(a) and admits(b))


@briefly
@given(limits, limits, candidates, asks)
def test_a_request_can_tighten_and_never_loosen(base: Limits, request: Limits, candidate: Candidate, ask: Ask) -> None:
    failed = {check.name for check in checks(base) if not check.met_by([candidate], ask)[0]}
    still = {check.name for check in checks(tighten(base, request)) if not check.met_by([candidate], ask)[0]}
    assert failed <= still


@pytest.mark.parametrize(
    ("base", "request_", "together"),
    [
        (Limits(privacy=Privacy.PRIVATE), Limits(privacy=Privacy.VENDOR), Limits(privacy=Privacy.PRIVATE)),
        (Limits(privacy=Privacy.PRIVATE), Limits(privacy=Privacy.LOCAL), Limits(privacy=Privacy.LOCAL)),
        (Limits(zero_retention=True), Limits(zero_retention=False), Limits(zero_retention=True)),
        (Limits(zero_retention=None), Limits(zero_retention=False), Limits(zero_retention=False)),
        (Limits(max_usd=0.02), Limits(max_usd=0.5), Limits(max_usd=0.02)),
        (Limits(max_usd=0.02), Limits(max_usd=0.0), Limits(max_usd=0.0)),
        (Limits(max_g=1.0), Limits(max_g_per_kwh=300.0), Limits(max_g=1.0, max_g_per_kwh=300.0)),
        (Limits(max_ttft_s=1.0), Limits(max_ttft_s=0.5), Limits(max_ttft_s=0.5)),
        (Limits(min_quality=0.6), Limits(min_quality=0.2), Limits(min_quality=0.6)),
        (Limits(regions=frozenset({"EU", "US"})), Limits(regions=frozenset({"EU"})), Limits(regions=frozenset({"EU"}))),
        (Limits(regions=frozenset()), Limits(regions=frozenset({"EU"})), Limits(regions=frozenset())),
    ],
)
def test_a_request_tightens_member_by_member(base: Limits, request_: Limits, together: Limits) -> None:
    assert tighten(base, request_) == together


def test_regions_that_share_no_name_are_both_asked_for() -> None:
    """A request that narrows `EU` down to `DE` gets Germany, not a refusal; and never Sweden."""
    both = tighten(Limits(regions=frozenset({"EU"})), Limits(regions=frozenset({"DE"})))
    german, swedish, abroad = (frozenset({"DE", "EU"}), frozenset({"SE", "EU"}), frozenset({"DE"}))
    assert [barrier(at("x", regions=regions).place, both) for regions in (german, swedish, abroad)] == [None, "regions", "regions"]


def test_a_cap_that_is_not_a_number_admits_nothing_and_cannot_be_lost() -> None:
    for together in (strictest(Limits(max_usd=math.nan), Limits(max_usd=1.0)), strictest(Limits(max_usd=1.0), Limits(max_usd=math.nan))):
        (check,) = checks(together)
        assert check.met_by([at("x", usd_high=0.0)], ASK) == [False]


@pytest.mark.parametrize(
    ("general", "specific", "together"),
    [
        (Limits(max_g_per_kwh=300.0), Limits(), Limits(max_g_per_kwh=300.0)),
        (Limits(max_g_per_kwh=300.0), Limits(max_g_per_kwh=500.0), Limits(max_g_per_kwh=500.0)),
        (Limits(privacy=Privacy.LOCAL), Limits(max_usd=0.1), Limits(privacy=Privacy.LOCAL, max_usd=0.1)),
        (Limits(regions=frozenset({"EU"})), Limits(regions=frozenset({"US"})), Limits(regions=frozenset({"US"}))),
        (Limits(zero_retention=True), Limits(zero_retention=False), Limits(zero_retention=False)),
    ],
)
def test_of_preferences_the_most_specific_counts(general: Limits, specific: Limits, together: Limits) -> None:
    assert nearest(general, specific) == together


def test_preferred_regions_of_several_levels_stay_together() -> None:
    narrowed = strictest(Limits(regions=frozenset({"EU"})), Limits(regions=frozenset({"DE"})))
    assert nearest(Limits(regions=frozenset({"US"})), narrowed) == narrowed
    assert nearest(narrowed, Limits(regions=frozenset({"US"}))) == Limits(regions=frozenset({"US"}))


@pytest.mark.parametrize(
    ("limit", "members", "met"),
    [
        ({"privacy": Privacy.PRIVATE}, {"privacy": Privacy.LOCAL}, True),
        ({"privacy": Privacy.PRIVATE}, {"privacy": Privacy.PRIVATE}, True),
        ({"privacy": Privacy.PRIVATE}, {"privacy": Privacy.VENDOR}, False),
        ({"privacy": Privacy.PRIVATE}, {}, False),
        ({"regions": frozenset({"EU"})}, {"regions": frozenset({"SE", "EU"})}, True),
        ({"regions": frozenset({"EU"})}, {"regions": frozenset({"US"})}, False),
        ({"regions": frozenset({"EU"})}, {}, False),
        ({"regions": frozenset()}, {"regions": frozenset({"US"})}, False),
        ({"zero_retention": True}, {"zero_retention": True}, True),
        ({"zero_retention": True}, {"zero_retention": False}, False),
        ({"zero_retention": True}, {}, False),
        ({"max_g": 1.0}, {"g": 0.1, "g_high": 1.0}, True),
        ({"max_g": 1.0}, {"g": 0.1, "g_high": 1.1}, False),
        ({"max_g": 1.0}, {"g": 0.1}, False),
        ({"max_g": 1.0}, {"g_high": math.nan}, False),
        ({"max_g_per_kwh": 300.0}, {"g_per_kwh": 300.0}, True),
        ({"max_g_per_kwh": 300.0}, {"g_per_kwh": 301.0}, False),
        ({"max_g_per_kwh": 300.0}, {}, False),
        ({"max_usd": 0.02}, {"usd": 0.01, "usd_high": 0.02}, True),
        ({"max_usd": 0.02}, {"usd": 0.01, "usd_high": 0.03}, False),
        ({"max_usd": 0.02}, {"usd": 0.01}, False),
        ({"max_usd": 0.0}, {"usd_high": 0.0}, True),
        ({"max_ttft_s": 0.5}, {"ttft_s": 0.5}, True),
        ({"max_ttft_s": 0.5}, {"ttft_s": 0.6}, False),
        ({"max_ttft_s": 0.5}, {}, True),
        ({"min_quality": 0.6}, {"quality": 0.6}, True),
        ({"min_quality": 0.6}, {"quality": 0.5}, False),
        ({"min_quality": 0.6}, {}, False),
        ({"min_quality": 0.6}, {"quality": 0.9, "quality_by_task": {"code": 0.5}}, False),
        ({"min_quality": 0.6}, {"quality": 0.1, "quality_by_task": {"code": 0.7}}, True),
        ({"min_quality": 0.6}, {"quality": 0.7, "quality_by_task": {"chat": 0.1}}, True),
    ],
)
def test_each_constraint_compares_what_the_contract_says(limit: dict[str, Any], members: dict[str, Any], met: bool) -> None:
    """Caps compare the high end; unknown fails; a latency nobody observed passes; quality is that of the task, here code."""
    (check,) = checks(Limits(**limit))
    candidate = at("x", **members)
    assert (check.name, check.met_by([candidate], asking(task="code"))) == (next(iter(limit)), [met])
    if check.name in {"privacy", "regions", "zero_retention"}:
        assert barrier(candidate.place, Limits(**limit)) == (None if met else check.name)


def test_the_barrier_names_privacy_before_regions_before_retention() -> None:
    all_three = Limits(privacy=Privacy.LOCAL, regions=frozenset({"EU"}), zero_retention=True)
    assert barrier(at("x").place, all_three) == "privacy"
    assert barrier(at("x", privacy=Privacy.LOCAL).place, all_three) == "regions"
    assert barrier(at("x", privacy=Privacy.LOCAL, regions=frozenset({"EU"})).place, all_three) == "zero_retention"
    assert barrier(at("x", privacy=Privacy.LOCAL, regions=frozenset({"EU"}), zero_retention=True).place, all_three) is None


def test_a_quality_that_depends_on_the_task_is_not_settled_before_the_task_is_known() -> None:
    required = Limits(min_quality=0.6)
    assert poor(at("x", quality=0.1).place, required) == "min_quality"
    assert poor(at("x").place, required) == "min_quality"
    assert poor(at("x", quality=0.1, quality_by_task={"code": 0.9}).place, required) is None
    assert poor(at("x").place, Limits()) is None


@pytest.mark.parametrize(
    ("place", "ask", "wanting"),
    [
        ({}, {"needs": frozenset({"image"}), "members": frozenset({"logprobs"})}, None),
        ({"lacks": frozenset({"image"})}, {}, None),
        ({"lacks": frozenset({"image", "audio"})}, {"needs": frozenset({"image", "audio", "tools"})}, "ability:audio"),
        ({"refuses": frozenset({"logprobs"})}, {"members": frozenset({"logprobs", "seed"})}, "member:logprobs"),
        ({"refuses": frozenset({"logprobs"})}, {"members": frozenset({"seed"})}, None),
        ({"admits": frozenset({"seed"})}, {"members": frozenset({"seed"})}, None),
        ({"admits": frozenset({"seed"})}, {"members": frozenset({"seed", "mystery"})}, "member:mystery"),
        ({"admits": frozenset({"seed"}), "refuses": frozenset({"seed"})}, {"members": frozenset({"seed"})}, "member:seed"),
        ({"admits": frozenset()}, {"members": frozenset({"seed"})}, "member:seed"),
        ({"context_tokens": 150}, {}, None),
        ({"context_tokens": 149}, {}, "context"),
        ({"context_tokens": 100}, {"max_output_tokens": None}, None),
        ({"context_tokens": 99}, {"max_output_tokens": None}, "context"),
        ({"context_tokens": 125}, {"max_output_tokens": 50, "choices": 2}, None),
        ({"max_output_tokens": 49}, {}, "max_output_tokens"),
        ({"max_output_tokens": 25}, {"max_output_tokens": 50, "choices": 2}, None),
        ({"max_output_tokens": 1}, {"max_output_tokens": None}, None),
    ],
)
def test_a_place_is_unfit_for_what_it_cannot_do(place: dict[str, Any], ask: dict[str, Any], wanting: str | None) -> None:
    assert unfit(at("x", **place).place, asking(**ask)) == wanting
