"""Preferences, objectives and load as one sort key."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._base import Limits
from policies._score import UNKNOWN, missed, pull, rounded
from policies.constraints import Check, checks
from tests.policies.fleets import ASK, at, briefly


@pytest.mark.parametrize(
    ("costs", "single"),
    [
        ([], []),
        ([0.0, 1.0, -1.0], [0.0, 1.0, -1.0]),
        ([None, 0.5], [UNKNOWN, 0.5]),
        ([math.nan, 0.5, math.inf, -math.inf], [UNKNOWN, 0.5, UNKNOWN, UNKNOWN]),
        ([None, math.nan], [UNKNOWN, UNKNOWN]),
        ([1e300, 0.5], [UNKNOWN, 0.5]),
    ],
)
def test_a_cost_that_is_not_a_finite_number_is_unknown(costs: list[float | None], single: list[float]) -> None:
    assert rounded(costs) == single


@briefly
@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=6))
def test_rounding_keeps_the_order_and_moves_nothing_by_more_than_six_in_a_hundred_million(costs: list[float]) -> None:
    single = rounded(costs)
    assert all(abs(after - before) <= 6e-8 * before for before, after in zip(costs, single, strict=True))
    assert [single[i] for i in sorted(range(len(costs)), key=costs.__getitem__)] == sorted(single)


@pytest.mark.parametrize(
    ("members", "pulled"),
    [
        ({"load": 4.0}, 4.0),
        ({"load": 4.0, "affinity": True}, 2.75),
        ({"load": 0.0, "affinity": True}, -0.25),
        ({"load": 1.0, "affinity": True}, 0.5),
    ],
)
def test_a_cached_prefix_is_worth_a_quarter_of_the_load_and_a_quarter(members: dict[str, float], pulled: float) -> None:
    assert pull(at("x", **members)) == pulled


def test_misses_count_only_preferences_that_somebody_meets() -> None:
    group = [at("a", g_high=1.0), at("b", g_high=3.0), at("c")]
    wishes: tuple[Check, ...] = checks(Limits(max_g=2.0, max_usd=1.0, max_ttft_s=1.0))
    assert missed(wishes, group, ASK) == ([False, True, True], ("max_usd",))
    assert missed((), group, ASK) == ([0, 0, 0], ())
    assert missed((*wishes, *wishes), group, ASK) == ([0, 2, 2], ("max_usd", "max_usd"))
