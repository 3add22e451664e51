"""docs/accuracy.md from a study: the tables; the prose is page.txt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

from benchmarks.accuracy.fitting import LeftOut
from benchmarks.accuracy.measurements import INPUT_TOKENS
from benchmarks.accuracy.shapes import PRODUCT
from benchmarks.accuracy.study import (
    BATCH_UNKNOWN_GOAL,
    GPUS,
    LEAST_COVERAGE,
    MEDIAN_GOALS,
    MOST_COVERAGE,
    Study,
    X,
    not_monotone,
    refitted,
)
from carbon.energy import ACCELERATOR_BANDS, BATCH_UNKNOWN, HOST_AND_IDLE, PUE_ASSUMED, RUNTIME_BAND
from carbon.profile import BATCH_OWN, HOST_FACTOR, IDLE_FACTOR, PUE
from carbon.roofline import ACCELERATORS, REFERENCE, Accelerator, Load, form, form_on, gpus_for

PROSE = Path(__file__).with_name("page.txt")
TO = "\N{EN DASH}"
FARTHER = (
    ("0.5B, bf16, batch 64", 0.5, 0.5, 2.0, 64),
    ("0.5B, bf16, batch 1,024", 0.5, 0.5, 2.0, 1024),
    ("8B, bf16, alone", 8.0, 8.0, 2.0, 1),
    ("8B, bf16, batch 1,024", 8.0, 8.0, 2.0, 1024),
    ("70B, bf16, alone", 70.0, 70.0, 2.0, 1),
    ("1,000B with 32B active, fp8, alone", 1000.0, 32.0, 1.0, 1),
    ("1,000B with 32B active, fp8, batch 64", 1000.0, 32.0, 1.0, 64),
    ("1,000B with 32B active, fp8, batch 1,024", 1000.0, 32.0, 1.0, 1024),
)


def page(study: Study) -> str:
    return Template(PROSE.read_text()).substitute(_tables(study) | _ranges(study) | _examples(study) | _facility() | _mixtures(study))


def _tables(study: Study) -> dict[str, str]:
    return {
        "goals": _goals(study),
        "used": _used(study),
        "families": _families(study),
        "coefficients": _coefficients(study),
        "tried": _tried(study),
        "assumptions": _assumptions(study),
        "unknown": _unknown(study),
        "runtime": _runtime(study),
        "bands": _bands(),
        "farther": _farther(),
    }


def _ranges(study: Study) -> dict[str, str]:
    batches = [row.batch for row in study.rows]
    return {
        "rows": str(len(study.rows)),
        "models": str(len({row.model for row in study.rows})),
        "inputs": ", ".join(f"{count:,.0f} for {task}" for task, count in INPUT_TOKENS.items()),
        "batch": f"{BATCH_OWN:.0f}",
        "least_batch": f"{min(batches):,.0f}",
        "most_batch": f"{max(batches):,.0f}",
        "least_active": f"{min(row.active_b for row in study.rows):.0f}",
        "most_active": f"{max(row.active_b for row in study.rows):.0f}",
        "most_total": f"{max(row.total_b for row in study.rows):.0f}",
    }


def _examples(study: Study) -> dict[str, str]:
    found = {}
    for name, chip in (("now", ACCELERATORS["H100"]), ("before", REFERENCE["H100"])):
        token_j, all_j = _llama(chip)
        wh = all_j * HOST_FACTOR * IDLE_FACTOR * PUE / 3600
        found |= {f"{name}_token": f"{token_j:.3f}", f"{name}_all": f"{all_j:.0f}", f"{name}_wh": f"{wh:.3f}"}
    same = [row.joules for row in study.rows if row.model == "Llama-3.1-8B-Instruct" and row.gpu == "H100" and round(row.batch) == 64]
    in_sample = ", ".join(f"{X}{study.in_sample[gpu]:.3f} on {gpu}" for gpu in GPUS)
    return found | {"measured_token": f"{same[0]:.3f}" if same else "not in this table,", "in_sample": in_sample}


def _llama(chip: Accelerator) -> tuple[float, float]:
    """Joules a token of output at its mean context, and in all: 8B, bf16, batch 64, 100 in, 400 out."""
    found = form_on(Load(total_b=8, active_b=8, bytes_per_parameter=2, batch=64), chip)
    return found.token + found.context * 300, found.joules(100, 0, 400)


def _facility() -> dict[str, str]:
    factor, band = HOST_FACTOR * IDLE_FACTOR * PUE, HOST_AND_IDLE.combined(PUE_ASSUMED)
    return {
        "facility": f"{factor:.2f}",
        "facility_low": f"{factor * band.low:.1f}",
        "facility_high": f"{factor * band.high:.1f}",
        "pue": f"{PUE:.2f}",
        "pue_low": f"{PUE * PUE_ASSUMED.low:.2f}",
        "pue_high": f"{PUE * PUE_ASSUMED.high:.2f}",
    }


def _mixtures(study: Study) -> dict[str, str]:
    ratios: dict[str, list[float]] = {"Qwen3": [], "DeepSeek": [], "Llama-4": []}
    for found in study.known.values():
        for row, error in zip(found.rows, found.errors, strict=True):
            if row.experts and row.precision == "fp8":
                ratios.setdefault(row.family, []).append(math.exp(-float(error)))
    names = {"fp8_qwen": "Qwen3", "fp8_deepseek": "DeepSeek", "fp8_llama": "Llama-4"}
    return {key: f"{np.median(ratios[family]):.0%}" if ratios[family] else "unknown" for key, family in names.items()}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _x(factor: float) -> str:
    return f"{X}{factor:.2f}"


def _goals(study: Study) -> str:
    rows = []
    coverage = f"{LEAST_COVERAGE:.0%}{TO}{MOST_COVERAGE:.0%}"
    for gpu in GPUS:
        known, unknown = study.known[gpu], study.batch_unknown[gpu]
        rows += [
            [f"median error on {gpu}, family left out, deployment known", f"at most {_x(MEDIAN_GOALS[gpu])}", f"**{X}{known.median:.3f}**"],
            [f"measurements inside the 80 % band, {gpu}", coverage, f"**{known.coverage:.1%}**"],
            [f"median error on {gpu}, batch unknown", f"at most {_x(BATCH_UNKNOWN_GOAL)}", f"**{_x(unknown.median)}**"],
        ]
    exceptions = len(not_monotone())
    monotone = "grows with every class of tokens, active parameters and 1/batch, on a grid far beyond the measurements"
    rows.append([monotone, "always", f"**{f'{exceptions} exceptions' if exceptions else 'always'}**"])
    return _table(["what", "goal", "found"], rows)


def _used(study: Study) -> str:
    rows = []
    for gpu in GPUS:
        own = [row for row in study.rows if row.gpu == gpu]
        batches, counts = [row.batch for row in own], sorted({row.gpu_count for row in own})
        rows.append(
            [
                gpu,
                str(len(own)),
                *(_counts(names) for names in zip(*((row.family, row.task, row.precision) for row in own), strict=True)),
                f"{min(batches):,.0f}{TO}{max(batches):,.0f}",
                ", ".join(map(str, counts)),
            ]
        )
    return _table(["GPU", "rows", "families", "tasks", "precision", "batch", "GPUs"], rows)


def _counts(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())


def _families(study: Study) -> str:
    rows = []
    for gpu in GPUS:
        found = study.known[gpu]
        rows += [[gpu, name, *_errors(found.of(name))] for name in sorted({row.family for row in found.rows})]
        rows.append([gpu, "**all**", *_errors(found)])
    return _table(["GPU", "family left out", "rows", "median", "p90", "predicted / measured", "in the band"], rows)


def _errors(found: LeftOut) -> list[str]:
    ratio = math.exp(-float(np.median(found.errors)))
    return [str(len(found.rows)), _x(found.median), _x(found.p90), f"{ratio:.2f}", f"{found.coverage:.0%}"]


def _coefficients(study: Study) -> str:
    rows = [
        [gpu, f"`{field}`", f"{value:.3g}", f"{getattr(ACCELERATORS[gpu], field):g}", f"{getattr(REFERENCE[gpu], field):g}"]
        for gpu in GPUS
        for field, value in zip(PRODUCT.fields, refitted(study)[gpu], strict=True)
    ]
    rows += [[gpu, "`token_j`", "not used", f"{ACCELERATORS[gpu].token_j:g}", f"{REFERENCE[gpu].token_j:g}"] for gpu in GPUS]
    return _table(["GPU", "coefficient", "this fit, all rows", "in `carbon/roofline.py`", "before"], rows)


def _tried(study: Study) -> str:
    rows = [
        [
            trial.shape.name,
            str(len(trial.shape.start)),
            *(_x(factor) for gpu in GPUS for factor in (trial.found[gpu].median, trial.found[gpu].p90)),
        ]
        for trial in study.trials
    ]
    return _table(["form", "coefficients", *(f"{gpu} {what}" for gpu in GPUS for what in ("median", "p90"))], rows)


def _assumptions(study: Study) -> str:
    rows = [
        [name, *(cell for gpu in GPUS for cell in (f"{X}{found[gpu].median:.3f}", f"{found[gpu].coverage:.0%}"))]
        for name, found in study.by_assumption.items()
    ]
    return _table(["input tokens", *(f"{gpu} {what}" for gpu in GPUS for what in ("median", "in the band"))], rows)


def _unknown(study: Study) -> str:
    rows = []
    for gpu in GPUS:
        found = study.batch_unknown[gpu]
        low, high = np.exp(np.quantile(found.errors, [0.1, 0.9]))
        inside = np.mean((found.errors >= math.log(BATCH_UNKNOWN.low)) & (found.errors <= math.log(BATCH_UNKNOWN.high)))
        rows.append([gpu, _x(found.median), _x(found.p90), f"{low:.2f}{TO}{high:.2f}", f"{inside:.0%}"])
    return _table(["GPU", "median", "p90", "measured / predicted, 80 %", f"inside ÷3.5{TO}{X}3.5"], rows)


def _runtime(study: Study) -> str:
    rows = []
    for gpu in GPUS:
        found = study.runtime[gpu]
        low, high = np.exp(np.quantile(found.errors, [0.1, 0.9]))
        rows.append([gpu, _x(found.median), _x(found.p90), f"{low:.2f}{TO}{high:.2f}", f"{found.coverage:.0%}"])
    return _table(["GPU", "median", "p90", "measured / predicted, 80 %", f"inside {X}{RUNTIME_BAND.low}{TO}{RUNTIME_BAND.high}"], rows)


def _bands() -> str:
    rows = []
    for gpu, band in ACCELERATOR_BANDS.items():
        bands = (band, band.combined(HOST_AND_IDLE), band.combined(HOST_AND_IDLE, PUE_ASSUMED))
        rows.append([gpu, *(f"{X}{found.low:.2f}{TO}{found.high:.2f}" for found in bands)])
    return _table(["GPU, batch stated", "at the accelerators", "facility, PUE known", "facility, PUE assumed"], rows)


def _farther() -> str:
    rows = []
    for name, total_b, active_b, bytes_, batch in FARTHER:
        count = gpus_for(total_b, bytes_)
        load = Load(total_b=total_b, active_b=active_b, bytes_per_parameter=bytes_, batch=batch, gpu_count=count)
        rows.append([name, str(count), *(f"{form(load, gpu).joules(200, 0, 500) / 500:.2g}" for gpu in GPUS)])
    return _table(["load", "GPUs", *GPUS], rows)
