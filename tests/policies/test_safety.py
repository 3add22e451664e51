"""A privacy, region or retention `require` is never relaxed by anything; and this file would notice if it were."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from policies import constraints
from policies._base import Ask, Candidate, Limits, Place, Policy, Privacy
from policies.decide import decide, prepare
from policies.objectives import objective
from tests.policies.fleets import ASK, asks, at, barriers, fleets, healthy_fleets, limits, mild_limits, names, policies

Case = tuple[Ask, list[Candidate], Policy, Limits, Limits, str | None]
substitutions = st.none() | st.sampled_from(("never", "down", "greener", "cheaper", "any"))
cases = st.tuples(asks, fleets, policies, mild_limits, limits, substitutions)
bare = st.builds(Policy, name=st.just("p"), objective=st.just(objective("lowest_carbon")), require=barriers)
healthy_cases = st.tuples(st.just(ASK), healthy_fleets, bare, barriers, limits, substitutions)


def forbidden(candidate: Candidate, required: Sequence[Limits]) -> bool:
    """The rule, told again without the code under test."""
    place = candidate.place
    return any(
        (each.privacy is not None and int(place.privacy) > int(each.privacy))
        or (each.regions is not None and not any(name in each.regions for name in place.regions))
        or (each.zero_retention is True and place.zero_retention is not True)
        for each in required
    )


def leaks(case: Case) -> bool:
    """Whether a request, with limits and preferences of its own, may be tried where policy or request forbid it."""
    ask, fleet, policy, require, prefer, substitute = case
    prepared = prepare(policy, [candidate.place for candidate in fleet]).with_request(require, prefer, substitute)
    decision = prepared.decide(ask, [candidate for candidate in fleet if candidate.place in prepared.places])
    plain = decide(ask, fleet, policy)
    return any(forbidden(each, (policy.require, require)) for each in decision.order) or any(
        forbidden(each, (policy.require,)) for each in plain.order
    )


def search(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate], derandomize=True)


@search(200)
@given(cases | healthy_cases)
def test_no_load_fault_weight_preference_substitution_or_request_lets_a_prompt_past_the_barrier(case: Case) -> None:
    assert not leaks(case)


@pytest.mark.parametrize("part", ["privacy", "regions", "zero_retention"])
def test_a_mutant_that_skips_one_part_of_the_barrier_is_found(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    real = constraints.barrier

    def skipping(place: Place, limit: Limits) -> str | None:
        failed = real(place, limit)
        return None if failed == part else failed

    monkeypatch.setattr(constraints, "barrier", skipping)
    assert find(healthy_cases, leaks, settings=search(1000))


def test_a_mutant_that_lets_a_request_loosen_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constraints, "tighten", constraints.nearest)
    assert find(healthy_cases, leaks, settings=search(1000))


@pytest.mark.parametrize("weight", [0.0, 1.0, 1e12])
def test_no_weight_buys_off_a_requirement(weight: float) -> None:
    """The vendor is better by every measure, and is not chosen at any price."""
    local = at("local", privacy=Privacy.LOCAL, g=9.0, usd=9.0, ttft_s=9.0, quality=0.01)
    vendor = at("vendor", g=0.0, usd=0.0, ttft_s=0.0, quality=1.0)
    weighted = objective("weighted", {"weights": dict.fromkeys(("carbon", "cost", "latency", "quality"), weight)})
    private = Policy(name="p", objective=weighted, require=Limits(privacy=Privacy.LOCAL), substitute="any")
    assert names(decide(ASK, [vendor, local], private)) == ["local"]
    local.full = True
    assert names(decide(ASK, [vendor, local], private)) == []
