"""Where a stack's processor time goes under a scenario, by Python function: py-spy's samples, counted by self and by total."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks import build
from benchmarks.measure import Bench, Settings
from benchmarks.scenarios import Scenario
from benchmarks.stacks import Stack

SECONDS_S = 8
SHOWN = 40


def profile(stack: Stack, scenario: Scenario, settings: Settings) -> str:
    """The functions that cost most. Raises MissingError where py-spy cannot be had."""
    spy = build.py_spy()
    if spy is None:
        raise build.MissingError(f"py-spy {build.PY_SPY} could not be installed")
    with Bench(settings) as bench, tempfile.TemporaryDirectory() as name:
        folder, samples = Path(name), Path(name) / "samples"
        proxy = bench.start(stack, folder)
        try:
            with subprocess.Popen(bench.load_command(stack, scenario, folder, SECONDS_S + 2), stdout=subprocess.DEVNULL):
                time.sleep(1)
                record = [
                    str(spy),
                    "record",
                    "-p",
                    str(proxy.pid),
                    "-d",
                    str(SECONDS_S),
                    "-r",
                    "400",
                    "-f",
                    "raw",
                    "-o",
                    str(samples),
                    "--nonblocking",
                ]
                subprocess.run(record, check=True, capture_output=True)
        finally:
            proxy.stop()
        return counted(samples.read_text())


def counted(samples: str) -> str:
    """Samples in py-spy's raw form (frames by `;`, then a count) as two tables of shares."""
    own, total, all_of_them = Counter[str](), Counter[str](), 0
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        total.update(dict.fromkeys(set(frames), int(count)))
        all_of_them += int(count)
    if not all_of_them:
        return "no samples: the process did not run Python"
    parts = [f"{all_of_them} samples"]
    for title, counts in (("self", own), ("with what it calls", total)):
        parts.append(f"\n{title}")
        parts += [f"{100 * count / all_of_them:6.1f} %  {name}" for name, count in counts.most_common(SHOWN)]
    return "\n".join(parts)
