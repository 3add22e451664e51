"""The small measurements that CONTRIBUTING names run; what they measure is judged by nobody here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "last"), [("benchmarks.estimates", "account by token_proxy"), ("benchmarks.journey_micro", "a request")]
)
def test_it_runs_and_prints_its_figures(module, last):
    done = subprocess.run([sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    *_, line = done.stdout.splitlines()
    assert line.endswith(last)
    assert float(line.split()[0]) > 0
