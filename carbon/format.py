"""Figures as people read them in headers and bodies."""

from __future__ import annotations

import math


def plain(x: float) -> str:
    """Two significant digits as a plain decimal, never an exponent: `0.00011`, `0.50`, `12`, `1300`. `0` for 0. Finite x only."""
    if not math.isfinite(x):
        raise ValueError("not a finite number")
    if x == 0:
        return "0"
    text = f"{x:.1e}"
    sign, text = ("-", text[1:]) if text[0] == "-" else ("", text)
    digits, exponent = text[0] + text[2], int(text[4:])
    if exponent >= 1:
        return sign + digits + "0" * (exponent - 1)
    if exponent == 0:
        return f"{sign}{digits[0]}.{digits[1]}"
    return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
