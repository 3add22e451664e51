"""An objective is found by its file's name, and its fields are its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

import policies.objectives
from policies._base import Policy
from policies.decide import decide
from policies.objectives import OBJECTIVES, objective
from tests.policies.fleets import ASK, asking, at


def test_an_objective_is_one_file_and_its_name_is_the_files() -> None:
    files = {path.stem for path in Path(policies.objectives.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(OBJECTIVES) == files
    assert {"lowest_carbon", "cheapest", "fastest", "best_quality", "weighted", "round_robin", "least_loaded"} == files


def test_a_name_that_is_no_objective_is_refused() -> None:
    with pytest.raises(KeyError):
        objective("greenest")


@pytest.mark.parametrize("aim", sorted(OBJECTIVES))
def test_every_objective_gives_one_cost_a_candidate_and_a_reason_that_is_one_token(aim: str) -> None:
    group = [at("a", g=1.0, usd=1.0, ttft_s=1.0, quality=1.0), at("b"), at("c", g=0.5, load=2.0, affinity=True)]
    for turn in range(45):
        assert len(objective(aim).costs(group, asking(turn=turn))) == 3
    reason = decide(ASK, group, Policy(name="p", objective=objective(aim))).reason
    assert reason.replace("-", "").isalpha()
    assert reason.islower()
