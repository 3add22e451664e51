"""Fits and their honest errors: least absolute deviation of the logarithm, families left out one by one, bands of what was left out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.optimize import minimize

from benchmarks.accuracy.measurements import INPUT_TOKENS, Measurement
from benchmarks.accuracy.shapes import Array, Shape

SMOOTHINGS = (0.2, 0.02)
"""The corner of |x| is rounded over this width of the logarithm, first wide, then narrow."""
RESTARTS = 3
RIDGE = 1e-4
"""Per squared logarithm from the start: keeps a coefficient without influence where it is."""
LEAST, MOST = -12.0, 4.0
"""Logarithms of the smallest and largest coefficient."""
COVERED = 0.8


def predicted(shape: Shape, columns: Array, coefficients: Array) -> Array:
    parts = columns * coefficients
    if shape.roof:
        return np.asarray(np.maximum(parts[:, 0], parts[:, 1]) + parts[:, 2:].sum(axis=1))
    return np.asarray(parts.sum(axis=1))


def fitted(shape: Shape, columns: Array, joules: Array) -> Array:
    """Positive coefficients with the least mean |log(predicted / measured)|."""
    start, wanted = np.log(shape.start), np.log(joules)

    def loss(logs: Array, width: float) -> tuple[float, Array]:
        parts = columns * np.exp(logs)
        if shape.roof:
            reads = parts[:, 0] >= parts[:, 1]
            parts[:, 0] *= reads
            parts[:, 1] *= ~reads
        value = parts.sum(axis=1)
        off = np.log(value) - wanted
        rounded = np.sqrt(off**2 + width**2)
        slope = (off / rounded / value / len(wanted)) @ parts + 2 * RIDGE * (logs - start)
        return float(rounded.mean() + RIDGE * ((logs - start) ** 2).sum()), slope

    best = None
    for seed in range(RESTARTS):
        at = start + (0.4 * np.random.default_rng(seed).standard_normal(len(start)) if seed else 0.0)
        for width in SMOOTHINGS:
            found = minimize(loss, at, args=(width,), jac=True, method="L-BFGS-B", bounds=[(LEAST, MOST)] * len(start))
            at = found.x
        if best is None or found.fun < best.fun:
            best = found
    assert best is not None
    return np.asarray(np.exp(best.x))


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Of one GPU: log(measured / predicted) of every row, by a fit that has not seen the row's family."""

    rows: tuple[Measurement, ...]
    errors: Array
    covered: Array
    """Whether it lies in a band made without its family too: the 80 % quantile of |error| over the families left out of the rest."""

    @property
    def median(self) -> float:
        return float(np.exp(np.median(np.abs(self.errors))))

    @property
    def p90(self) -> float:
        return float(np.exp(np.quantile(np.abs(self.errors), 0.9)))

    @property
    def band(self) -> float:
        """The factor that holds 80 % of all errors either way: what the product states."""
        return float(np.exp(np.quantile(np.abs(self.errors), COVERED)))

    @property
    def coverage(self) -> float:
        return float(self.covered.mean())

    def of(self, family: str) -> LeftOut:
        mask = np.array([row.family == family for row in self.rows])
        rows = tuple(row for row in self.rows if row.family == family)
        return LeftOut(rows=rows, errors=self.errors[mask], covered=self.covered[mask])


def left_out(shape: Shape, rows: Sequence[Measurement], inputs: dict[str, float] = INPUT_TOKENS, batch: float | None = None) -> LeftOut:
    """`batch`: the one assumed where predictions are made; fits always know theirs."""
    columns, joules = shape.columns(rows, inputs), np.array([row.joules for row in rows])
    asked = columns if batch is None else shape.columns(rows, inputs, batch)
    family = np.array([row.family for row in rows])
    names = list(dict.fromkeys(row.family for row in rows))

    def errors(of: str, without: set[str]) -> Array:
        train = ~np.isin(family, list(without))
        held = family == of
        return np.asarray(np.log(joules[held] / predicted(shape, asked[held], fitted(shape, columns[train], joules[train]))))

    found, covered = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    for name in names:
        others = np.concatenate([errors(other, {name, other}) for other in names if other != name])
        found[family == name] = errors(name, {name})
        covered[family == name] = np.abs(found[family == name]) <= np.quantile(np.abs(others), COVERED)
    return LeftOut(rows=tuple(rows), errors=found, covered=covered)
