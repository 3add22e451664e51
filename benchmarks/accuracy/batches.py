"""`python -m benchmarks.accuracy.batches MEASUREMENTS`: what the batch is worth to a fit of one model on its GPUs.

Each set of five and more published measurements is fitted as carbon/calibrating.py does, without one of them at a time, which is then
foreseen: by `a + b·tokens`, by the terms of a calibration, and by those with output tokens over the batch. Five to seven rows a set, of
batches from 8 to thousands: the one left out is often an extreme. They are means of many requests, so there is no term for a request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.accuracy.measurements import INPUT_TOKENS, Measurement, measurements
from carbon.calibrating import ROUNDS, solver

LEAST_ROWS = 5
Row = Callable[[Measurement], list[float]]


def _plain(row: Measurement) -> list[float]:
    return [1.0, INPUT_TOKENS[row.task] + row.output_tokens]


def _terms(row: Measurement) -> list[float]:
    return [row.output_tokens, row.output_tokens * (INPUT_TOKENS[row.task] + row.output_tokens / 2)]


def _with_batch(row: Measurement) -> list[float]:
    return [*_terms(row), row.output_tokens / row.batch]


FITS: dict[str, Row] = {"a + b·tokens": _plain, "terms": _terms, "terms and 1/batch": _with_batch}


def left_out(rows: list[Measurement], made: Row) -> float:
    """The median error of rows that the fit to the others has not seen."""
    found = []
    for row in rows:
        others = [each for each in rows if each is not row]
        joules = sum(a * b for a, b in zip(made(row), _fitted(others, made), strict=True))
        found.append(abs(joules / (row.joules * row.output_tokens) - 1))
    return median(found)


def _fitted(rows: list[Measurement], made: Row) -> list[float]:
    matrix, measured = [made(each) for each in rows], [each.joules * each.output_tokens for each in rows]
    scales = [sum(column) / len(matrix) for column in zip(*matrix, strict=True)]
    scaled = [[value / scale for value, scale in zip(row, scales, strict=True)] for row in matrix]
    solve, foreseen, found = solver(), measured, [0.0]
    for _ in range(ROUNDS):
        found = [max(0.0, x) for x in solve(scaled, measured, [1 / max(1e-9, each) for each in foreseen], 0.5)]
        foreseen = [sum(a * x for a, x in zip(row, found, strict=True)) for row in scaled]
    return [x / scale for x, scale in zip(found, scales, strict=True)]


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sets: dict[tuple[str, str, int, str], list[Measurement]] = {}
    for row in measurements(Path(sys.argv[1])):
        sets.setdefault((row.model, row.gpu, row.gpu_count, row.precision), []).append(row)
    errors: dict[str, list[float]] = {name: [] for name in FITS}
    for (model, gpu, count, precision), rows in sorted(sets.items()):
        if len(rows) >= LEAST_ROWS:
            for name, made in FITS.items():
                errors[name].append(left_out(rows, made))
            print(
                f"{model} {precision} on {count} {gpu}: " + ", ".join(f"{name} {100 * found[-1]:.0f} %" for name, found in errors.items())
            )
    print(f"{len(errors['terms'])} sets, median: " + ", ".join(f"{name} {100 * median(found):.0f} %" for name, found in errors.items()))


if __name__ == "__main__":
    main()
