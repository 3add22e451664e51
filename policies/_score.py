"""Who comes before whom: preferences missed, then cost, then load, then the order of the configuration. Total and deterministic."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from operator import add
from typing import Any

from policies._base import Ask, Candidate, Place
from policies.constraints import Check

UNKNOWN = inf

Key = tuple[int, float, float, int, int]
"""Preferences missed, cost, pull, rank in the configuration, index among the candidates."""


def pull(candidate: Candidate) -> float:
    """Load, and less than the load where a prefix cache probably holds the prompt: three quarters of it, less a quarter.

    So a prefix is kept until its deployment has a third more to do than another, and a third of a unit; and in any case while both
    are idle. Relative and absolute, because a load is a fraction where a concurrency is set and a number of requests where not.
    """
    return 0.75 * candidate.load - 0.25 if candidate.affinity else candidate.load


def rounded(costs: Sequence[float | None]) -> list[float]:
    """Costs in single precision, unknown as infinite: what agrees to 6e-8 of itself is equal, in whatever order it was added up.

    Each is rounded by itself, not compared pair by pair: "nearly equal" is not transitive, and would let a third reorder two.
    """
    given: Any = costs  # may hold None, which is the TypeError below: rare, and so not looked for here
    try:
        single: list[float] = array("f", given).tolist()
    except TypeError:
        single = array("f", [UNKNOWN if cost is None else cost for cost in costs]).tolist()
    if isfinite(sum(single)):
        return single
    return [cost if isfinite(cost) else UNKNOWN for cost in single]


def missed(wishes: Sequence[Check], group: Sequence[Candidate], ask: Ask) -> tuple[Sequence[int], tuple[str, ...]]:
    """How many preferences each misses of those that somebody meets, and the preferences that nobody meets."""
    misses: Sequence[int] = ()
    unmet = []
    for name, met_by in wishes:
        met = met_by(group, ask)
        if not any(met):
            unmet.append(name)
        elif not all(met):
            missing = [not hit for hit in met]
            misses = list(map(add, misses, missing)) if misses else missing
    return misses or [0] * len(group), tuple(unmet)


def ranked(group: Sequence[Candidate], misses: Sequence[int], costs: Sequence[float], rank: Mapping[Place, int]) -> list[Key]:
    """Best first; `costs` as `rounded` gives them. Raises KeyError for a candidate whose place is not in `rank`."""
    pulls = [0.75 * each.load - 0.25 if each.affinity else each.load for each in group]  # `pull`, without a call each
    return sorted(zip(misses, costs, pulls, [rank[each.place] for each in group], range(len(group)), strict=True))
