"""Plain text in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under their headings; numbers to the right, what is unknown as a dash. Ends with a line break."""
    cells = [list(headings), *([shown(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(headings))]
    right = [any(_is_number(row[column]) for row in rows) for column in range(len(headings))]
    lines = (
        "  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(line, widths, right, strict=True))
        for line in cells
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def shown(value: Any) -> str:
    """A value as people read it: three significant digits, no exponent, unknown as a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{float(f'{value:.3g}'):.12f}".rstrip("0").rstrip(".")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    # what comes from elsewhere must not steer the terminal
    return "".join(character if character.isprintable() else "?" for character in str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
