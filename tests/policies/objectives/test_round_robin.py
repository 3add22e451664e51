"""Each in turn, as often as its weight says, in a steady rhythm."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._base import Candidate, Policy
from policies.decide import decide
from policies.objectives.round_robin import RoundRobin
from tests.policies.fleets import asking, at, briefly, names

POLICY = Policy(name="p", objective=RoundRobin())


def fleet(*weights: float) -> list[Candidate]:
    return [at("abcdefgh"[i], order=i, weight=weight, load=9.0 - i) for i, weight in enumerate(weights)]


def served(group: list[Candidate], turns: int, start: int = 0) -> str:
    return "".join(decide(asking(turn=turn), group, POLICY).order[0].place.name for turn in range(start, start + turns))


@pytest.mark.parametrize(
    ("weights", "turns"),
    [
        ((1.0, 1.0, 1.0), "abcabcabc"),
        ((0.5, 0.5), "abababab"),
        ((3.0, 1.0), "aabaaabaaaba"),
        ((1.0, 2.0, 1.0), "bacbbacbbacb"),
        ((1.0,), "aaaa"),
    ],
)
def test_each_serves_in_its_turn_and_as_often_as_its_weight_says(weights: tuple[float, ...], turns: str) -> None:
    assert served(fleet(*weights), len(turns)) == turns


def test_if_the_first_fails_the_next_in_the_sequence_is_tried() -> None:
    assert names(decide(asking(turn=4), fleet(1.0, 1.0, 1.0), POLICY)) == ["b", "c", "a"]


def test_the_load_does_not_disturb_the_turns() -> None:
    group = fleet(1.0, 1.0)
    group[1].load = 0.0
    assert served(group, 4) == "abab"


@briefly
@given(st.lists(st.floats(0.1, 50.0), min_size=1, max_size=6), st.integers(0, 10**9))
def test_over_any_stretch_each_gets_its_share_to_within_a_few(weights: list[float], start: int) -> None:
    turns = 120
    counts = Counter(served(fleet(*weights), turns, start))
    for name, weight in zip("abcdef", weights, strict=False):
        assert abs(counts[name] - turns * weight / sum(weights)) <= len(weights) / 2 + 2


@briefly
@given(st.lists(st.floats(0.1, 9.0), min_size=2, max_size=5))
def test_a_turn_is_computed_as_if_all_turns_before_it_had_been_taken_one_by_one(weights: list[float]) -> None:
    taken = [0] * len(weights)
    sequence = ""
    for _ in range(60):
        i = min(range(len(weights)), key=lambda i: ((taken[i] + 0.5) / weights[i], i))
        taken[i] += 1
        sequence += "abcde"[i]
    assert served(fleet(*weights), 60) == sequence


def test_nobody_left_has_no_turn() -> None:
    assert RoundRobin().costs([], asking(turn=3)) == []
