"""Weights and bounds: what counts as 1, and where bounds come from."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._base import Candidate, Policy
from policies.decide import decide
from policies.objectives import objective
from policies.objectives.weighted import Weighted, Weights
from tests.policies.fleets import ASK, asking, at, briefly, candidates, names

KNOWN = {"g": 0.5, "usd": 0.25, "ttft_s": 2.0, "quality": 0.75}


@pytest.mark.parametrize(
    ("settings", "members", "cost"),
    [
        ({"weights": {"carbon": 1.0}}, KNOWN, 0.5),
        ({"weights": {"carbon": 1.0}, "bounds": {"carbon_g": 0.25}}, KNOWN, 2.0),
        ({"weights": {"carbon": 2.0, "cost": 4.0}, "bounds": {"carbon_g": 1.0, "usd": 0.5}}, KNOWN, 3.0),
        ({"weights": {"quality": 2.0}}, KNOWN, 0.5),
        ({"weights": {"latency": 3.0}, "bounds": {"ttft_s": 4.0}}, KNOWN, 1.5),
        ({}, KNOWN, 0.5 + 0.25 + 2.0 + 0.25),
        ({"weights": {}}, KNOWN, 0.0),
        # Unknown is unknown as far as it is weighed.
        ({"weights": {"carbon": 1.0}}, {}, None),
        ({"weights": {"carbon": 1.0}}, {"g": 0.5}, 0.5),
        ({"weights": {"cost": 1.0}}, {"g": 0.5}, None),
        ({"weights": {"quality": 1.0}}, {"g": 0.5}, None),
        # A latency that nobody observed passes: it counts as the bound.
        ({"weights": {"latency": 3.0}, "bounds": {"ttft_s": 4.0}}, {}, 3.0),
    ],
)
def test_a_weight_counts_a_quantity_against_its_bound(settings: dict[str, Any], members: dict[str, Any], cost: float | None) -> None:
    assert objective("weighted", settings).costs([at("x", **members)], ASK) == [cost]


def test_quality_is_that_of_the_task() -> None:
    aim = Weighted(weights=Weights(quality=1.0))
    assert aim.costs([at("x", quality=0.5, quality_by_task={"code": 0.75})], asking(task="code")) == [0.25]


@briefly
@given(
    st.lists(candidates, max_size=5),
    candidates,
    st.fixed_dictionaries(dict.fromkeys(("carbon", "cost", "latency", "quality"), st.floats(0, 9))),
)
def test_an_irrelevant_deployment_never_reorders_the_others(fleet: list[Candidate], extra: Candidate, weights: dict[str, float]) -> None:
    policy = Policy(name="p", objective=objective("weighted", {"weights": weights}))

    def named(group: list[Candidate]) -> list[Candidate]:
        kept = ("g", "usd", "ttft_s", "load")
        return [
            at(str(i), order=i, quality=each.place.quality, **{field: getattr(each, field) for field in kept})
            for i, each in enumerate(group)
        ]

    assert [name for name in names(decide(ASK, named([*fleet, extra]), policy)) if name != str(len(fleet))] == names(
        decide(ASK, named(fleet), policy)
    )


@pytest.mark.parametrize("settings", [{"weights": {"carbon": -1}}, {"weights": {"price": 1}}, {"bounds": {"usd": 0}}, {"weigths": {}}])
def test_a_wrong_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        objective("weighted", settings)
