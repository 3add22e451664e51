"""`python -m benchmarks.accuracy MEASUREMENTS [--write]`: fits, checks the goals and prints the page, or writes docs/accuracy.md.

Exit status 1 if a goal is missed, or if the page in docs/ is another than this run's and is not to be written.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks.accuracy.measurements import measurements
from benchmarks.accuracy.page import page
from benchmarks.accuracy.study import X, missed, studied

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
NEARLY, LEAST = 0.03, 0.012
"""Two machines' arithmetic ends a fit in slightly different places: the last digit of a figure may differ."""


def alike(one: str, other: str) -> bool:
    """Whether two pages say the same: their words are equal, and their figures nearly."""
    figures = [[float(figure.replace(",", "")) for figure in NUMBER.findall(page)] for page in (one, other)]
    words = [NUMBER.sub("#", page) for page in (one, other)]
    return words[0] == words[1] and all(abs(a - b) <= max(LEAST, NEARLY * abs(a)) for a, b in zip(*figures, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("measurements", type=Path, help="the table of measurements (CSV)")
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.md; without it, the page there is compared")
    arguments = parser.parse_args()
    study = studied(measurements(arguments.measurements))
    text = page(study)
    failures = missed(study)
    if arguments.write:
        PAGE.write_text(text)
    elif not PAGE.exists() or not alike(PAGE.read_text(), text):
        failures.append(f"{PAGE.name} is not what these measurements give: run with --write")
    for gpu, found in study.known.items():
        print(f"{gpu}: median {X}{found.median:.3f}, p90 {X}{found.p90:.2f}, {found.coverage:.1%} in the 80 % band")
        print(f"{gpu}, batch unknown: median {X}{study.batch_unknown[gpu].median:.2f}")
    for failure in failures:
        print(f"missed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
