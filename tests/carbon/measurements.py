"""Measured records whose truth is known: requests of many shapes over some days, each with its joules by given terms."""

from __future__ import annotations

import random

from carbon.attributed import FACILITY
from carbon.bands import Band
from carbon.calibration import Evidence, Measured, Terms, machine_of
from carbon.energy import estimator
from carbon.profile import Serving, profile_of
from carbon.roofline import Form

DAY_S = 86400.0
NOW_S = 1_790_000_000.0
PROFILE = profile_of(Serving(upstream_model="llama-3.1-8b", gpu="H100", total_b=8.0, privacy="local"))
PRIOR = estimator(PROFILE)
TRUTH = Terms(request_j=5.0, form=Form(token=0.25, context=2e-5, prefill=0.03))


def shapes(n: int, seed: int = 1):
    """Tokens in, cached and out: half chat, half long documents."""
    chance = random.Random(seed)
    for _ in range(n):
        read, written = (50, 2000), (20, 1500)
        if chance.random() < 0.5:
            read, written = (2000, 20_000), (5, 300)
        asked = chance.randint(*read)
        yield asked, chance.choice((0, 0, asked // 2)), chance.randint(*written)


def measured(n: int = 600, days: float = 4.0, noise: float = 0.05, seed: int = 1, truth: Terms = TRUTH) -> list[Measured]:
    chance = random.Random(seed)
    return [
        Measured(f"gl-{seed}-{k}", NOW_S - days * DAY_S * (1 - (k + 1) / n), *shape, truth.joules(*shape) * chance.lognormvariate(0, noise))
        for k, shape in enumerate(shapes(n, seed))
    ]


def evidence(records: list[Measured], **more: object) -> Evidence:
    facts = {"deployment": "ours", "model": "small", "gpu": "H100", "machine": machine_of(PROFILE), "boundary": "facility"}
    return Evidence(**{**facts, "band": FACILITY, "records": tuple(records), **more})


def exact(band: Band = Band(1.0, 1.0)) -> dict[str, object]:  # noqa: B008 - a frozen value
    """Of measurements that are taken for the truth."""
    return {"band": band}
