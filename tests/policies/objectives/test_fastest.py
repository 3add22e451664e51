"""The quickest to its first token comes first; now and then one nobody has measured."""

from __future__ import annotations

from policies._base import Policy
from policies.decide import decide
from policies.objectives.fastest import Fastest
from tests.policies.fleets import asking, at, names


def test_one_request_in_so_many_goes_to_a_deployment_that_nobody_has_measured() -> None:
    """Else whichever was measured first would keep all the traffic."""
    group = [at("slow", ttft_s=0.9), at("quick", ttft_s=0.1), at("new")]
    policy = Policy(name="p", objective=Fastest(try_every=4))
    chosen = [(decision.order[0].place.name, decision.reason) for decision in (decide(asking(turn=t), group, policy) for t in range(8))]
    assert chosen == [*[("quick", "fastest")] * 3, ("new", "unobserved")] * 2
    assert names(decide(asking(turn=3), group, policy)) == ["new", "quick", "slow"]


def test_it_may_be_told_never_to_try() -> None:
    group = [at("quick", ttft_s=0.1), at("new")]
    assert {decide(asking(turn=t), group, Policy(name="p", objective=Fastest(try_every=0))).reason for t in range(40)} == {"fastest"}


def test_nothing_is_tried_once_all_are_measured() -> None:
    group = [at("slow", ttft_s=0.9), at("quick", ttft_s=0.1)]
    assert names(decide(asking(turn=19), group, Policy(name="p", objective=Fastest()))) == ["quick", "slow"]
