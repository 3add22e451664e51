"""The least gCO2e comes first."""

from __future__ import annotations

from policies.objectives.lowest_carbon import LowestCarbon
from tests.policies.fleets import ASK, at


def test_it_counts_the_forecast_of_this_request_not_the_grid_and_not_the_high_end() -> None:
    group = [at("a", g=0.2, g_high=0.3, g_per_kwh=30.0), at("b", g=0.1, g_high=0.9, g_per_kwh=700.0), at("c", g_high=0.1)]
    assert LowestCarbon().costs(group, ASK) == [0.2, 0.1, None]
