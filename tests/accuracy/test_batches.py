"""What the batch is worth: rows that follow 1/batch are foreseen with it, and not without."""

from __future__ import annotations

import pytest

from benchmarks.accuracy.batches import FITS, left_out
from benchmarks.accuracy.measurements import Measurement

OUT = (600.0, 7000.0, 650.0, 6500.0, 640.0, 7100.0, 620.0)
BATCHES = (8.0, 8.0, 64.0, 64.0, 256.0, 256.0, 900.0)


def rows():
    """0.05 + 2 / batch + 1e-5 of the context, J per output token."""
    return [
        Measurement(
            model="m", family="m", task="lm-arena-chat", gpu="H100", gpu_count=1, total_b=8, active_b=8, precision="bfloat16",
            batch=batch, output_tokens=out, joules=0.05 + 2 / batch + 1e-5 * (100 + out / 2), itl_s=0.02,
        )
        for out, batch in zip(OUT, BATCHES, strict=True)
    ]  # fmt: skip


def test_what_follows_the_batch_is_foreseen_with_it_alone():
    errors = {name: left_out(rows(), made) for name, made in FITS.items()}
    assert errors["terms and 1/batch"] == pytest.approx(0, abs=1e-3)
    assert min(errors["terms"], errors["a + b·tokens"]) > 0.2
