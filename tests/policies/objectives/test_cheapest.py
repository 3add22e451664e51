"""The least price comes first."""

from __future__ import annotations

from policies.objectives.cheapest import Cheapest
from tests.policies.fleets import ASK, at


def test_it_counts_the_expected_price_not_the_worst_case() -> None:
    assert Cheapest().costs([at("a", usd=0.2, usd_high=0.3), at("b", usd=0.0), at("c", usd_high=0.1)], ASK) == [0.2, 0.0, None]
