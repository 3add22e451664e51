"""Each deployment in its turn, as often as its weight says."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace

import msgspec

from policies._base import Ask, Candidate


class RoundRobin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Its place in the sequence from `ask.turn` on: 0 serves this request, 1 would serve if that one fails, and so on.

    The k-th service of a deployment of weight w is due at (k + ½)/w, and requests are served in the order of what is due. So
    equal weights take turns, and of 3 : 1 every four requests are shared 3 : 1. Counted from the turn alone: nothing is kept.
    """

    def costs(self, candidates: Sequence[Candidate], ask: Ask) -> list[float | None]:
        weights = [candidate.place.weight for candidate in candidates]
        seats = sorted(range(len(weights)), key=lambda i: (candidates[i].place.order, candidates[i].place.name))
        if len(set(weights)) <= 1:
            sequence = _rotated(seats, ask.turn)
        else:
            due = _next_due(weights, seats, ask.turn)
            sequence = sorted(seats, key=due.__getitem__)
        costs: list[float | None] = [None] * len(weights)
        for position, i in enumerate(sequence):
            costs[i] = float(position)
        return costs

    def reason(self, leaders: Sequence[Candidate]) -> str:  # noqa: ARG002 (the Protocol's)
        return "round-robin"


def _rotated(seats: list[int], turn: int) -> list[int]:
    start = turn % len(seats) if seats else 0
    return seats[start:] + seats[:start]


def _next_due(weights: list[float], seats: list[int], turn: int) -> list[float]:
    """When each is next due, after `turn` services in the order of what is due.

    Services due by T number floor(w*T + ½) each: within half of w*T. So all but the last few are counted at once, at a T that
    is early enough to have passed no more than `turn`, and only those few one by one.
    """
    early = max(0.0, (turn - len(weights) / 2.0 - 1.0) / sum(weights))
    served = [int(weight * early + 0.5) for weight in weights]
    due = [(count + 0.5) / weight for count, weight in zip(served, weights, strict=True)]
    soonest = [(due[i], seat, i) for seat, i in enumerate(seats)]
    heapify(soonest)
    for _ in range(turn - sum(served)):
        _, seat, i = soonest[0]
        served[i] += 1
        due[i] = (served[i] + 0.5) / weights[i]
        heapreplace(soonest, (due[i], seat, i))
    return due
