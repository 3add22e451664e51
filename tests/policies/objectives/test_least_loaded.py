"""The least load comes first, and a conversation stays where its prompt is cached."""

from __future__ import annotations

import pytest

from policies._base import Policy
from policies.decide import decide
from policies.objectives.least_loaded import LeastLoaded
from tests.policies.fleets import ASK, at


@pytest.mark.parametrize(
    ("warm", "cold", "first", "reason"),
    [
        (0.0, 0.0, "warm", "least-loaded"),
        (0.5, 0.1, "cold", "least-loaded"),
        (0.5, 0.125, "cold", "least-loaded"),
        (0.5, 0.3, "warm", "affinity"),
        (0.9, 0.5, "warm", "affinity"),
        (1.0, 0.0, "cold", "least-loaded"),
        (3.0, 2.5, "warm", "affinity"),
        (30.0, 24.0, "warm", "affinity"),
        (30.0, 20.0, "cold", "least-loaded"),
        (2.0, 3.0, "warm", "least-loaded"),
    ],
)
def test_a_cached_prefix_is_kept_while_the_loads_differ_little(warm: float, cold: float, first: str, reason: str) -> None:
    group = [at("cold", load=cold), at("warm", load=warm, affinity=True, order=1)]
    decision = decide(ASK, group, Policy(name="p", objective=LeastLoaded()))
    assert (decision.order[0].place.name, decision.reason) == (first, reason)
