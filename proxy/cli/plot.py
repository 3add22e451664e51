"""A line of figures over time, drawn with characters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

EIGHTHS = " ▁▂▃▄▅▆▇█"
PLAIN = " ..::==##"
"""The same where a terminal has no blocks."""
LEAST_WIDTH = 8


def fitting(encoding: str) -> str:
    """How full a cell is, in nine characters that the encoding has."""
    try:
        EIGHTHS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return EIGHTHS


def plot(points: Sequence[tuple[float, float]], *, now_s: float, width: int = 64, height: int = 6, blocks: str = EIGHTHS) -> str:
    """Columns of a bar chart from zero, each the mean of its share of the time; below it the hours in UTC and where now is.

    `points`: Unix time and value, in any order. Empty for fewer than two instants. Ends with a line break.
    """
    instants = sorted({at for at, _ in points})
    if len(instants) < 2:
        return ""
    first, last = instants[0], instants[-1]
    width = min(max(width, LEAST_WIDTH), len(instants))
    means = _means(points, first, last, width)
    top = max(value for value in means if value is not None) or 1.0
    margin = max(len(f"{top:.0f}"), 1)
    lines = []
    for row in range(height, 0, -1):
        label = f"{top:.0f}" if row == height else "0" if row == 1 else ""
        cells = "".join(" " if value is None else blocks[_eighths(value / top, row, height)] for value in means)
        lines.append(f"{label:>{margin}} |{cells}".rstrip())
    at = int((now_s - first) / (last - first) * (width - 1)) if first <= now_s <= last else None
    marks = "" if at is None else " " * (margin + 2 + at) + "^ now"
    apart = " " * max(1, width - len(_hour(first)) - len(_hour(last)))
    lines.append(f"{'':>{margin}}  {_hour(first)}{apart}{_hour(last)}")
    return "\n".join([*lines, *([marks] if marks else [])]) + "\n"


def _means(points: Sequence[tuple[float, float]], first: float, last: float, width: int) -> list[float | None]:
    sums, counts = [0.0] * width, [0] * width
    for at, value in points:
        column = min(width - 1, int((at - first) / (last - first) * width))
        sums[column] += value
        counts[column] += 1
    return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


def _eighths(share: float, row: int, height: int) -> int:
    """How full a cell is; the lowest is never empty, so that a value is told from none."""
    full = round(share * height * 8) - (row - 1) * 8
    return max(1 if row == 1 else 0, min(8, full))


def _hour(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%d %H:%M")
