"""What a run found, as it is kept: one Run of Rounds of Windows; and the figures drawn from it, medians over rounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario on one stack. Where `failure` is set, nothing else counts."""

    scenario: str
    failure: str | None = None
    requests: int = 0
    events: int = 0
    seconds_s: float = 0.0
    cpu_us: float = 0.0
    """Processor time of the proxy, all of it: also what it does after the answers (the ledger)."""
    cpu_before_end_us: float = 0.0
    """Of that, until the last answer."""
    latency_p50_us: float = 0.0
    latency_p99_us: float = 0.0
    first_byte_p50_us: float = 0.0
    first_byte_p99_us: float = 0.0
    others_cores: float = 0.0
    """Cores that were busy with other work in the meantime."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Proportional set size without and with open streams."""

    failure: str | None = None
    idle_bytes: int = 0
    open_bytes: int = 0
    streams: int = 0


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One stack, started once."""

    stack: str
    number: int
    windows: tuple[Window, ...] = ()
    memory: Memory | None = None
    failure: str | None = None
    """Why nothing of it counts."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What one figure costs in memory."""

    what: str
    took_us: float
    goal_us: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the report is made of."""

    at: str
    """RFC 3339, UTC."""
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, str]
    titles: dict[str, str]
    """Stack → what the report calls it, in its order."""
    rounds: tuple[Round, ...]
    estimates: tuple[Estimate, ...] = ()
    missing: tuple[str, ...] = ()
    """What could not be measured, a sentence each."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A median and its range over rounds."""

    value: float
    least: float
    most: float
    rounds: int


def save(run: Run, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))


def load(path: Path) -> Run:
    return msgspec.json.decode(path.read_bytes(), type=Run)


def of_windows(run: Run, stack: str, scenario: str, value: Callable[[Window], float]) -> Figure | None:
    """Over the rounds in which it was measured; None if any of them failed: half a result is none."""
    found = [window for each in run.rounds if each.stack == stack for window in each.windows if window.scenario == scenario]
    broken = any(each.failure for each in run.rounds if each.stack == stack)
    if not found or broken or any(window.failure for window in found):
        return None
    return _figure([value(window) for window in found])


def cpu_per_request_us(window: Window) -> float:
    return window.cpu_us / window.requests


def cpu_per_event_us(window: Window) -> float:
    return window.cpu_us / window.events


def added_us(run: Run, stack: str, scenario: str, latency: Callable[[Window], float]) -> Figure | None:
    """Latency beyond that of the same round without a proxy."""
    if of_windows(run, stack, scenario, latency) is None or of_windows(run, "direct", scenario, latency) is None:
        return None
    found: dict[str, dict[int, float]] = {stack: {}, "direct": {}}
    for each in run.rounds:
        for window in each.windows:
            if each.stack in found and window.scenario == scenario:
                found[each.stack][each.number] = latency(window)
    return _figure([value - found["direct"][number] for number, value in found[stack].items() if number in found["direct"]])


def per_stream_bytes(run: Run, stack: str) -> Figure | None:
    """Memory that one open stream adds."""
    found = [each.memory for each in run.rounds if each.stack == stack and each.memory is not None]
    if not found or any(memory.failure for memory in found) or any(each.failure for each in run.rounds if each.stack == stack):
        return None
    return _figure([(memory.open_bytes - memory.idle_bytes) / memory.streams for memory in found])


def idle_bytes(run: Run, stack: str) -> Figure | None:
    """Memory of the process before any stream is open."""
    found = [each.memory for each in run.rounds if each.stack == stack and each.memory is not None]
    return _figure([float(memory.idle_bytes) for memory in found]) if found and not any(memory.failure for memory in found) else None


def failures(run: Run) -> list[str]:
    """Every reason why a figure is absent."""
    told = []
    for each in run.rounds:
        where = f"{each.stack}, round {each.number}"
        if each.failure:
            told.append(f"{where}: {each.failure}")
        told += [f"{where}, {window.scenario}: {window.failure}" for window in each.windows if window.failure]
        if each.memory is not None and each.memory.failure:
            told.append(f"{where}, open streams: {each.memory.failure}")
    return told


def _figure(values: list[float]) -> Figure | None:
    if not values:
        return None
    return Figure(value=median(values), least=min(values), most=max(values), rounds=len(values))
