"""Everything the page says, computed once, and the goals it is held to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import msgspec
import numpy as np

from benchmarks.accuracy.fitting import LeftOut, fitted, left_out, predicted
from benchmarks.accuracy.measurements import INPUT_TOKENS, Measurement
from benchmarks.accuracy.shapes import PRODUCT, TRIED, Array, Shape
from carbon.energy import ACCELERATOR_BANDS, RUNTIME_BAND
from carbon.profile import BATCH_OWN, tdp_w
from carbon.roofline import ACCELERATORS, Accelerator, Load, form
from carbon.runtime import RuntimePower, power_share

X = "\N{MULTIPLICATION SIGN}"
GPUS = ("H100", "B200")
MEDIAN_GOALS = {"H100": 1.30, "B200": 1.40}
BATCH_UNKNOWN_GOAL = 2.3
LEAST_COVERAGE, MOST_COVERAGE = 0.75, 0.85
AGREES = 0.01
"""How far, as a share, the product's rounded coefficients may be from the fit's."""
ASSUMPTIONS = {
    "as assumed": INPUT_TOKENS,
    "half of it": {task: tokens / 2 for task, tokens in INPUT_TOKENS.items()},
    "twice": {task: tokens * 2 for task, tokens in INPUT_TOKENS.items()},
    "2,000 in code completion": {**INPUT_TOKENS, "sourcegraph-fim": 2000.0},
}
CONFIGURED = "as assumed, cache and width by the model's configuration where we have it"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    shape: Shape
    coefficients: dict[str, Array]
    found: dict[str, LeftOut]


class Study(msgspec.Struct, frozen=True, kw_only=True):
    rows: tuple[Measurement, ...]
    trials: tuple[Trial, ...]
    known: dict[str, LeftOut]
    """The product's form with the deployment known, by GPU."""
    batch_unknown: dict[str, LeftOut]
    by_assumption: dict[str, dict[str, LeftOut]]
    runtime: dict[str, LeftOut]
    """Of runtime_power, which has no coefficient fitted here: `covered` is by the band the product states."""
    in_sample: dict[str, float]
    """Median factor of the coefficients in carbon/roofline.py, no family left out."""


def studied(rows: Sequence[Measurement]) -> Study:
    of = {gpu: tuple(row for row in rows if row.gpu == gpu) for gpu in GPUS}
    trials = tuple(
        Trial(
            shape=shape,
            coefficients={gpu: fitted(shape, shape.columns(of[gpu]), _joules(of[gpu])) for gpu in GPUS},
            found={gpu: left_out(shape, of[gpu]) for gpu in GPUS},
        )
        for shape in TRIED
    )
    return Study(
        rows=tuple(rows),
        trials=trials,
        known=next(trial.found for trial in trials if trial.shape is PRODUCT),
        batch_unknown={gpu: left_out(PRODUCT, of[gpu], batch=BATCH_OWN) for gpu in GPUS},
        by_assumption={name: {gpu: left_out(PRODUCT, of[gpu], inputs) for gpu in GPUS} for name, inputs in ASSUMPTIONS.items()}
        | {CONFIGURED: {gpu: left_out(PRODUCT, [row.configured() for row in of[gpu]]) for gpu in GPUS}},
        runtime={gpu: _paced(of[gpu]) for gpu in GPUS},
        in_sample={gpu: _in_sample(of[gpu], ACCELERATORS[gpu]) for gpu in GPUS},
    )


def _joules(rows: Sequence[Measurement]) -> Array:
    return np.array([row.joules for row in rows])


def _paced(rows: tuple[Measurement, ...]) -> LeftOut:
    """At the accelerators, by the measured pace."""
    errors = []
    for row in rows:
        power = power_share(row.batch) * (tdp_w(row.gpu) or 0.0) * row.gpu_count / row.batch
        paced = RuntimePower(slot_w=power, machine_w=power * row.batch, prompt=form(row.load(), row.gpu), band=RUNTIME_BAND)
        found = paced.figures(INPUT_TOKENS[row.task], 0, row.output_tokens, row.itl_s * (row.output_tokens - 1))
        if found is None:
            raise ValueError(f"no pace: {row.model}")
        errors.append(math.log(row.joules * row.output_tokens / found[1]))
    off = np.array(errors)
    return LeftOut(rows=rows, errors=off, covered=(off >= math.log(RUNTIME_BAND.low)) & (off <= math.log(RUNTIME_BAND.high)))


def _in_sample(rows: Sequence[Measurement], chip: Accelerator) -> float:
    coefficients = np.array([getattr(chip, field) for field in PRODUCT.fields])
    off = np.log(predicted(PRODUCT, PRODUCT.columns(rows), coefficients) / _joules(rows))
    return float(np.exp(np.median(np.abs(off))))


def refitted(study: Study) -> dict[str, Array]:
    return next(trial.coefficients for trial in study.trials if trial.shape is PRODUCT)


def missed(study: Study) -> list[str]:
    """What the figures were meant to be and are not; empty where all goals are met."""
    found = []
    for gpu in GPUS:
        known, unknown = study.known[gpu], study.batch_unknown[gpu]
        if known.median > MEDIAN_GOALS[gpu]:
            found.append(f"{gpu}: median {X}{known.median:.3f}, wanted {X}{MEDIAN_GOALS[gpu]:.2f}")
        if not LEAST_COVERAGE <= known.coverage <= MOST_COVERAGE:
            found.append(f"{gpu}: {known.coverage:.1%} in the 80 % band, wanted {LEAST_COVERAGE:.0%} to {MOST_COVERAGE:.0%}")
        if unknown.median > BATCH_UNKNOWN_GOAL:
            found.append(f"{gpu}: batch unknown, median {X}{unknown.median:.2f}, wanted {X}{BATCH_UNKNOWN_GOAL}")
        for field, value in zip(PRODUCT.fields, refitted(study)[gpu], strict=True):
            if abs(getattr(ACCELERATORS[gpu], field) / value - 1) > AGREES:
                found.append(f"{gpu}: carbon/roofline.py has {field} {getattr(ACCELERATORS[gpu], field)}, the fit {value:.4g}")
        if abs(ACCELERATOR_BANDS[gpu].high / known.band - 1) > AGREES:
            found.append(f"{gpu}: carbon/energy.py has the band {X}{ACCELERATOR_BANDS[gpu].high}, the measurements {X}{known.band:.3f}")
    return found + not_monotone()


def not_monotone() -> list[str]:
    """Where the product's form falls with tokens, active parameters or 1/batch, over a grid far beyond the measurements."""
    found = []
    totals, shares, batches, counts = (
        (0.1, 0.5, 8.0, 70.0, 405.0, 2000.0),
        (0.02, 0.1, 0.5, 1.0),
        (1.0, 8.0, 64.0, 1024.0, 4096.0),
        (1, 8, 64),
    )
    for gpu, total, share, batch, count in itertools.product(ACCELERATORS, totals, shares, batches, counts):
        load = Load(total_b=total, active_b=total * share, bytes_per_parameter=1.0, batch=batch, gpu_count=count)
        base = form(load, gpu)
        busier = form(msgspec.structs.replace(load, active_b=min(total, load.active_b * 1.1)), gpu)
        emptier = form(msgspec.structs.replace(load, batch=batch / 1.1), gpu)
        joules = base.joules(1000, 100, 500)
        more = (base.joules(1001, 100, 500), base.joules(1000, 99, 500), base.joules(1000, 100, 501))
        if min(*more, busier.joules(1000, 100, 500), emptier.joules(1000, 100, 500)) < joules * (1 - 1e-9):
            found.append(f"{gpu}: not monotone at {load}")
    return found
