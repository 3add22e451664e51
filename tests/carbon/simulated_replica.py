"""A replica whose truth is known: continuous batching in steps, each step's joules known per request.

A model of 70e9 parameters in bf16 on four H100s. Energies are the roofline's kinds (carbon/roofline.py) with coefficients of its own: a
step reads all weights once, for whoever is in it; tokens cost arithmetic; a generated token reads its own context. What a step costs
belongs to the requests in it; idle power belongs to those running, equally. It is a model, and proves the arithmetic alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from carbon.attributed import Attributed, Effect
from carbon.attribution import Weighing
from carbon.batch import Company
from carbon.replica import Replica
from carbon.spread import Life
from carbon.windows import Total

IDLE_W = 4 * 110.0
CHUNK_TOKENS = 2048
WINDOW_S = 2.0


class Machine(NamedTuple):
    """What steps take, and cost."""

    idle_w: float = IDLE_W
    step_s: float = 0.014
    read_s_per_token: float = 8.75e-5
    context_s: float = 2.4e-8
    read_weights_j: float = 36.8
    token_j: float = 0.322
    context_j: float = 2.3e-5
    sample_j: float = 0.036
    most_running: int = 64


LARGE = Machine()


class Asked(NamedTuple):
    id: str
    kind: str
    arrived_s: float
    input_tokens: int
    output_tokens: int


class Simulated(NamedTuple):
    lives: list[Life]
    truth_j: dict[str, float]
    windows: list[Total]
    batches: dict[str, float]
    """As a proxy sees them: carbon/batch.py."""


class _Running:
    def __init__(self, asked: Asked) -> None:
        self.asked, self.unread, self.written = asked, asked.input_tokens, 0
        self.first_s: float | None = None


def traffic(per_s: float, seconds: float, seed: int) -> list[Asked]:
    """Half chat (few tokens in, many out), half RAG (many in, few out), at random times."""
    chance, at_s, asked = random.Random(seed), 0.0, []
    while (at_s := at_s + chance.expovariate(per_s)) < seconds:
        if chance.random() < 0.5:
            kind, read, written = "chat", chance.randint(50, 400), chance.randint(100, 500)
        else:
            kind, read, written = "rag", chance.randint(2000, 5000), chance.randint(50, 200)
        asked.append(Asked(f"{kind}-{len(asked)}", kind, at_s, read, written))
    return asked


def steadily(count: int, seed: int) -> list[Asked]:
    """The same kinds, each sent when there is room: the batch stays what it may be at most."""
    return [one._replace(arrived_s=-1.0) for one in traffic(1, 3 * count, seed)[:count]]


def simulate(asked: Sequence[Asked], machine: Machine = LARGE) -> Simulated:
    waiting, running = list(asked), []
    lives, truth_j, spent = [], dict.fromkeys((one.id for one in asked), 0.0), []
    now_s = 0.0
    while waiting or running:
        if not running and waiting[0].arrived_s > now_s:
            spent.append((now_s, waiting[0].arrived_s, 0.0))
            now_s = waiting[0].arrived_s
        while waiting and waiting[0].arrived_s <= now_s and len(running) < machine.most_running:
            one = waiting.pop(0)
            running.append(_Running(one._replace(arrived_s=now_s) if one.arrived_s < 0 else one))
        step_s, step_j = _step(running, truth_j, machine)
        spent.append((now_s, now_s + step_s, step_j))
        for one in running:
            truth_j[one.asked.id] += machine.idle_w * step_s / len(running)
        now_s += step_s
        for one in running:
            if one.first_s is None and one.written:
                one.first_s = now_s
        over = [one for one in running if one.written >= one.asked.output_tokens]
        running = [one for one in running if one not in over]
        lives += [_life(one, now_s) for one in over]
    return Simulated(lives, truth_j, list(_windows(spent, machine)), _batches(lives))


def _batches(lives: list[Life]) -> dict[str, float]:
    company, running, begun, found = Company(), 0, {}, {}
    events = [(life.arrived_s, 1, life) for life in lives] + [(life.last_s, 0, life) for life in lives]
    for at_s, begins, life in sorted(events, key=lambda event: event[:2]):
        running += 1 if begins else -1
        shares_s = company.changed(at_s, running)
        if begins:
            begun[life.id] = shares_s
        else:
            found[life.id] = company.mean(life.arrived_s, begun[life.id], at_s) or 1.0
    return found


def _step(running: list[_Running], truth_j: dict[str, float], machine: Machine) -> tuple[float, float]:
    room, step_s, step_j = CHUNK_TOKENS, machine.step_s, machine.read_weights_j
    active = []
    for one in running:
        used_j = 0.0
        if one.unread:
            if not room:
                continue
            read = min(room, one.unread)
            room -= read
            one.unread -= read
            one.written += not one.unread
            step_s += machine.read_s_per_token * read
            used_j = machine.token_j * read
        else:
            context = one.asked.input_tokens + one.written
            one.written += 1
            step_s += machine.context_s * context
            used_j = machine.token_j + machine.sample_j + machine.context_j * context
        truth_j[one.asked.id] += used_j
        step_j += used_j
        active.append(one.asked.id)
    for request in active:
        truth_j[request] += machine.read_weights_j / len(active)
    return step_s, step_j


def _life(one: _Running, now_s: float) -> Life:
    asked = one.asked
    return Life(
        id=asked.id,
        arrived_s=asked.arrived_s,
        first_s=one.first_s,
        last_s=now_s,
        input_tokens=asked.input_tokens,
        cached_tokens=0,
        output_tokens=asked.output_tokens,
    )


def _windows(spent: list[tuple[float, float, float]], machine: Machine) -> Iterator[Total]:
    """What counters read every WINDOW_S would tell; the time after the last request is part of the last windows."""
    count = int(spent[-1][1] / WINDOW_S) + 1
    energy_j = [machine.idle_w * WINDOW_S] * count
    for start_s, end_s, step_j in spent:
        for k in range(int(start_s / WINDOW_S), min(count, int(end_s / WINDOW_S) + 1)):
            energy_j[k] += step_j * max(0.0, min(end_s, (k + 1) * WINDOW_S) - max(start_s, k * WINDOW_S)) / (end_s - start_s)
    for k, joules in enumerate(energy_j):
        yield Total(start_s=k * WINDOW_S, end_s=(k + 1) * WINDOW_S, energy_j=joules, complete=True, source="counter")


def attributed(simulated: Simulated, weighing: Weighing, idle_w: float | None = IDLE_W) -> tuple[Replica, list[Effect]]:
    """All events in the order of time, as a proxy sees them."""
    replica = Replica(weighing, idle_w)
    events = [(life.arrived_s, 0, "began", life) for life in simulated.lives]
    events += [(life.last_s, 1, "finished", life) for life in simulated.lives]
    events += [(window.end_s, 2, "window", window) for window in simulated.windows]
    effects: list[Effect] = []
    for at_s, _, what, value in sorted(events, key=lambda event: event[:2]):
        if what == "began":
            effects += replica.began(value.id, at_s)
        else:
            effects += getattr(replica, what)(value)
    effects += replica.passed(simulated.windows[-1].end_s + 10)
    return replica, effects


def figures(effects: Sequence[Effect]) -> dict[str, float]:
    return {effect.id: effect.energy_j for effect in effects if isinstance(effect, Attributed) and effect.energy_j is not None}


def worst(figures_j: dict[str, float], truth_j: dict[str, float], kind: str = "", share: float = 0.9) -> float:
    """The 90th percentile of the relative errors."""
    errors = sorted(abs(joules / truth_j[one] - 1) for one, joules in figures_j.items() if one.startswith(kind))
    return errors[int(share * len(errors))]


def least_squares(matrix: list[list[float]], vector: list[float]) -> list[float]:
    """Non-negative, by trying every set of columns: exact, for three of them."""
    width = len(matrix[0])
    best, least = [0.0] * width, sum(value * value for value in vector)
    for size in range(1, width + 1):
        for chosen in combinations(range(width), size):
            found = _normal([[row[i] for i in chosen] for row in matrix], vector)
            if found is None or min(found) < 0:
                continue
            whole = [0.0] * width
            for i, value in zip(chosen, found, strict=True):
                whole[i] = value
            off = sum((sum(a * x for a, x in zip(row, whole, strict=True)) - b) ** 2 for row, b in zip(matrix, vector, strict=True))
            if off < least:
                best, least = whole, off
    return best


def _normal(matrix: list[list[float]], vector: list[float]) -> list[float] | None:
    """The normal equations by elimination; None where they have no single solution."""
    n = len(matrix[0])
    rows = [
        [sum(row[i] * row[j] for row in matrix) for j in range(n)] + [sum(row[i] * b for row, b in zip(matrix, vector, strict=True))]
        for i in range(n)
    ]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        if abs(rows[i][i]) < 1e-12:
            return None
        for k in range(n):
            if k != i:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]
