"""80 % intervals of positive quantities, as factors of the value: how they combine, and what they are called."""

from __future__ import annotations

import math

import msgspec

SIGMAS_80 = 1.2815515655446004
"""Standard normal quantile at .9: half of an 80 % interval, in sigmas."""
SIGMAS_95 = 1.959963984540054

HIGH, MEDIUM, LOW, VERY_LOW = "high", "medium", "low", "very-low"
HIGH_SPREAD, MEDIUM_SPREAD, LOW_SPREAD = 1.4**2, 2.2**2, 4.0**2
"""Upper bounds of high/low for a label: its square root is at most 1.4, 2.2, 4 (docs/carbon.md)."""


class Band(msgspec.Struct, frozen=True):
    """`value * low` to `value * high` holds 80 %. 0 < low <= 1 <= high."""

    low: float
    high: float

    def combined(self, *others: Band) -> Band:
        """With independent factors: log-normal variances add, each side by itself."""
        bands = (self, *others)
        return Band(
            math.exp(-math.sqrt(sum(math.log(band.low) ** 2 for band in bands))),
            math.exp(math.sqrt(sum(math.log(band.high) ** 2 for band in bands))),
        )


def confidence(low: float, high: float) -> str:
    """The label of an energy band, from the root of high over low; the lowest where there is no ratio."""
    if low <= 0:
        return VERY_LOW
    spread = high / low * (1 - 1e-12)
    if spread <= HIGH_SPREAD:
        return HIGH
    if spread <= MEDIUM_SPREAD:
        return MEDIUM
    return LOW if spread <= LOW_SPREAD else VERY_LOW


def disagree(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    """Whether two (low, value, high) lie further apart than their joint 95 % band allows."""
    if a[1] > b[1]:
        a, b = b, a
    if a[2] >= b[0] or a[1] <= 0:  # 80 % bands that touch are at most 1.81 joint sigmas apart, below the 1.96 of 95 %
        return False
    sigmas = math.hypot(math.log(a[2] / a[1]), math.log(b[1] / b[0])) / SIGMAS_80 if b[0] > 0 else math.inf
    return math.log(b[1] / a[1]) > SIGMAS_95 * sigmas
