"""The forms that were tried. Each is a table of columns, one coefficient each, added up; the product's own come from carbon/roofline.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.measurements import BYTES, INPUT_TOKENS, Measurement
from carbon.roofline import Accelerator, form_on

Array = NDArray[np.float64]
NOTHING = {"read_j_per_gb": 0.0, "flop_pj": 0.0, "kv_j_per_gb": 0.0}
START = {"read_j_per_gb": 0.25, "flop_pj": 1.5, "kv_j_per_gb": 0.1, "token_j": 0.03, "gpu_token_j": 0.03, "step_j": 0.05}
"""Where a fit begins, and what a column without influence stays at."""
BASE = ("read_j_per_gb", "flop_pj", "kv_j_per_gb")


class Extra(msgspec.Struct, frozen=True):
    """A column that the product does not have."""

    name: str
    start: float
    of: Callable[[Measurement, float], float]
    """Of a measurement and its input tokens."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    fields: tuple[str, ...]
    """Coefficients of `Accelerator`."""
    extras: tuple[Extra, ...] = ()
    roof: bool = False
    """The larger of reading and arithmetic in place of their sum."""
    scaled_arithmetic: bool = False
    """Arithmetic costs in proportion to the precision."""

    @property
    def start(self) -> Array:
        return np.array([START[field] for field in self.fields] + [extra.start for extra in self.extras])

    def columns(self, rows: Sequence[Measurement], inputs: dict[str, float] = INPUT_TOKENS, batch: float | None = None) -> Array:
        """Joules per output token that a coefficient of one would add."""
        return np.array([self._row(row, inputs[row.task], batch) for row in rows])

    def _row(self, row: Measurement, read: float, batch: float | None) -> list[float]:
        found = []
        for field in self.fields:
            chip = Accelerator(**{**NOTHING, field: 1.0})
            joules = form_on(row.load(batch), chip).joules(read, 0, row.output_tokens) / row.output_tokens
            found.append(joules * BYTES[row.precision] / 2 if self.scaled_arithmetic and field == "flop_pj" else joules)
        return found + [extra.of(row, read) for extra in self.extras]


def _arithmetic(row: Measurement, read: float) -> float:
    return 2e-3 * row.active_b * (1 + read / row.output_tokens)


def _reading(row: Measurement) -> float:
    chip = Accelerator(**{**NOTHING, "read_j_per_gb": 1.0})
    return form_on(row.load(), chip).token


EXPERT_ARITHMETIC = Extra("J per active parameter of a mixture", 1.0, lambda row, read: _arithmetic(row, read) * row.experts)
EXPERT_READING = Extra("J/GB of a mixture in 8 bits", 0.2, lambda row, _: _reading(row) * (row.experts and row.precision == "fp8"))
ROOT = Extra("J per root of the GPUs", 0.03, lambda row, _: math.sqrt(row.gpu_count))
PROMPT_TOO = Extra("J per GPU and token, prompt too", 0.03, lambda row, read: row.gpu_count * (1 + read / row.output_tokens))
WIDTH = Extra("J per GPU and width", 0.02, lambda row, _: row.gpu_count * row.active_b**0.34 / 2)

PRODUCT = Shape(name="a constant per GPU and token (used)", fields=(*BASE, "gpu_token_j"))
REFERENCE = Shape(name="a constant per token (before)", fields=(*BASE, "token_j", "step_j"))
TRIED = (
    REFERENCE,
    PRODUCT,
    Shape(name="used, and a cost per GPU and step", fields=(*BASE, "gpu_token_j", "step_j")),
    Shape(name="used, and a constant per token", fields=(*BASE, "gpu_token_j", "token_j")),
    Shape(name="the constant by the root of the GPUs", fields=BASE, extras=(ROOT,)),
    Shape(name="the constant on prompt tokens too", fields=BASE, extras=(PROMPT_TOO,)),
    Shape(name="the constant by the model's width", fields=BASE, extras=(WIDTH,)),
    Shape(name="used, the larger of reading and arithmetic", fields=(*BASE, "gpu_token_j"), roof=True),
    Shape(name="used, arithmetic cheaper in 8 and 4 bits", fields=(*BASE, "gpu_token_j"), scaled_arithmetic=True),
    Shape(name="used, dearer arithmetic for mixtures", fields=(*BASE, "gpu_token_j"), extras=(EXPERT_ARITHMETIC,)),
    Shape(name="used, dearer reading for mixtures in 8 bits", fields=(*BASE, "gpu_token_j"), extras=(EXPERT_READING,)),
)
