"""Sums a person can redo: each line is computed from the very digits that are printed before it."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec

DIGITS = 6
"""Significant, of every number in a line; what a chain of them loses stays below a part in ten thousand (tested)."""
MOST_DIGITS = 15


class Number(float):
    """A number as it is printed: a plain decimal, no exponent."""

    __slots__ = ()

    def __str__(self) -> str:
        return format(Decimal(repr(float(self))), "f").removesuffix(".0")

    def __format__(self, format_spec: str) -> str:
        return str(self) if not format_spec else super().__format__(format_spec)


def number(value: float, digits: int = DIGITS) -> Number:
    """The value rounded to significant digits. Finite values only."""
    return Number(f"{value:.{digits - 1}e}")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One step. The expression has + - * / ^ √ ln exp and brackets, and no names."""

    name: str
    expression: str
    result: float
    unit: str


class Sheet:
    """Lines in their order; each result may be used by those below."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: list[Line] = []

    def line(self, name: str, expression: str, value: float, unit: str, digits: int = DIGITS) -> Number:
        """Adds a line whose expression has this value, and returns it as printed."""
        result = number(value, digits)
        self._lines.append(Line(name=name, expression=expression, result=float(result), unit=unit))
        return result

    def lines(self) -> tuple[Line, ...]:
        return tuple(self._lines)


def digits_for(difference: float, *terms: float) -> int:
    """How many digits the terms need for their difference to keep its own."""
    largest = max((abs(term) for term in terms), default=0.0)
    if difference == 0 or largest == 0:
        return MOST_DIGITS if largest else DIGITS
    return min(MOST_DIGITS, DIGITS + max(0, math.ceil(math.log10(largest / abs(difference)))))
