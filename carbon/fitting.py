"""Weights fitted to measured windows: non-negative least squares of active joules on what was done in them.

On prompt tokens, tokens, tokens times context, and steps (tokens over the batch). Without the last, a fit over windows of different
batches takes the reading of the model's weights for a cost of tokens; and windows are put together first, because streams tell only
roughly in which second a prompt was read (docs/measuring.md has the figures). Needs the extra `calibration`; asked for once a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import fsum, sqrt

import msgspec

from carbon.attributed import Settled
from carbon.attribution import Weights

GROUP_S = 20.0
"""Of windows put together: the 90th percentile of a simulated fleet's errors went from 41 to 15 %."""
LEAST_GROUPS = 30
"""Ten minutes: fewer say nothing of four weights."""
SPLIT = 5
"""Every fifth group is kept out, and the fit has to foresee it."""

Solve = Callable[[list[list[float]], list[float]], Sequence[float]]
"""The non-negative x that makes a matrix times x closest to a vector."""


class MissingExtraError(ImportError):
    pass


class UnfitError(ValueError):
    """The windows do not say what the weights are; the message says why."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    weights: Weights
    groups: int
    error: float
    """Of the energy of groups kept out, root mean square, as a share of their mean."""


class _Group(msgspec.Struct, frozen=True):
    work: tuple[float, ...]
    """Prompt tokens, tokens, tokens times context, steps."""
    active_j: float


def fit_weights(windows: Sequence[Settled], solve: Solve | None = None) -> Fit:
    """Of windows in the order of time. Raises UnfitError, and MissingExtraError without scipy."""
    groups = [group for group in _groups(windows) if group.active_j > 0 and group.work[0] + group.work[1] > 0]
    if len(groups) < LEAST_GROUPS:
        raise UnfitError(
            f"{len(groups)} stretches of {GROUP_S:g} s of usable windows in which somebody was served; {LEAST_GROUPS} are needed"
        )
    solve = solve or _scipy()
    kept = groups[::SPLIT]
    held_out = _solved([group for i, group in enumerate(groups) if i % SPLIT], solve)
    mean_j = fsum(group.active_j for group in kept) / len(kept)
    error = sqrt(fsum((_foreseen(held_out, group) - group.active_j) ** 2 for group in kept) / len(kept)) / mean_j
    return Fit(weights=_solved(groups, solve), groups=len(groups), error=error)


def _groups(windows: Sequence[Settled]) -> Iterator[_Group]:
    """Stretches without a hole; what is left of one that breaks off is let go."""
    stretch: list[Settled] = []
    for window in windows:
        if not window.usable or (stretch and window.start_s != stretch[-1].end_s):
            stretch = []
        if not window.usable:
            continue
        stretch.append(window)
        if window.end_s - stretch[0].start_s >= GROUP_S:
            work = tuple(fsum(column) for column in zip(*(_work(one) for one in stretch), strict=True))
            yield _Group(work, fsum(one.active_j for one in stretch))
            stretch = []


def _work(window: Settled) -> tuple[float, ...]:
    steps = window.decode_tokens / max(1.0, window.batch)
    return window.prefill_tokens, window.decode_tokens, window.decode_context, steps


def _solved(groups: Sequence[_Group], solve: Solve) -> Weights:
    """Columns are scaled to a mean of 1: tokens in context are a thousand times as many as tokens."""
    scales = [fsum(column) / len(groups) for column in zip(*(group.work for group in groups), strict=True)]
    if not scales[0] or not scales[1]:
        raise UnfitError("the windows do not hold both prompts read and tokens generated")
    matrix = [[value / (scale or 1.0) for value, scale in zip(group.work, scales, strict=True)] for group in groups]
    found = solve(matrix, [group.active_j for group in groups])
    prefill_j, decode_j, context_j, step_j = (float(value) / (scale or 1.0) for value, scale in zip(found, scales, strict=True))
    if not (prefill_j or decode_j or context_j or step_j):
        raise UnfitError("the energy of the windows does not follow their tokens")
    return Weights(prefill_j=prefill_j, decode_j=decode_j, context_j=context_j, step_j=step_j, source="fitted")


def _foreseen(weights: Weights, group: _Group) -> float:
    joules = (weights.prefill_j, weights.decode_j, weights.context_j, weights.step_j)
    return fsum(joule * value for joule, value in zip(joules, group.work, strict=True))


def _scipy() -> Solve:
    try:
        from scipy.optimize import nnls
    except ImportError as error:
        raise MissingExtraError("weights are fitted with scipy: install the extra `calibration`") from error

    def solve(matrix: list[list[float]], vector: list[float]) -> Sequence[float]:
        found: Sequence[float] = nnls(matrix, vector)[0].tolist()
        return found

    return solve
