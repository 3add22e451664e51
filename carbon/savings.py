"""What a choice saved, against what would have served without it: signed, with a band, on the average grid and on the margin.

Shared uncertainty cancels: where both sides are the same machine class computing the same tokens, an error in the joules moves both alike
and cannot turn a saving into a loss. What is each side's own (its grid, another model's size) can.
"""

from __future__ import annotations

from math import exp, hypot, log, sqrt
from typing import Literal

import msgspec

from carbon.bands import SIGMAS_80
from carbon.footprint import Footprint, grams
from carbon.intensity import Intensity

Verdict = Literal["avoided", "caused", "no robust saving", "unknown"]
"""Of a sum: its 80 % band is above zero; below it; holds it, or average and margin disagree on the sign; nothing was compared."""
Because = Literal["signs differ", "indistinguishable"]
"""Why there is no robust saving: average and margin disagree; the band holds zero."""


class Saving(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Grams of the counterfactual less grams of what happened; negative where the choice cost more."""

    g: float
    low_g: float
    high_g: float
    marginal_g: float | None = None
    """By the marginal rates of both grids; None unless both are known."""


def saving(
    instead: Footprint, actual: Footprint, margins: tuple[Intensity, Intensity] | None = None, *, alike: bool, extra_g: float = 0.0
) -> Saving | None:
    """`instead` less `actual` less `extra_g` (the router, failed attempts), in grams; None where either is unknown.

    margins: the marginal rates of both grids, in that order.
    alike: both figures are of one method for the same tokens on the same model, so that their band is shared.
    The band combines, as independent log-normal factors: each grid's own; the joules', once if alike, else each side's.
    """
    a, b = instead.carbon_g, actual.carbon_g
    energies = (
        _sigma_of(instead.energy_low_j, instead.energy_j, instead.energy_high_j),
        _sigma_of(actual.energy_low_j, actual.energy_j, actual.energy_high_j),
    )
    if a is None or b is None or instead.intensity is None or actual.intensity is None:
        return None
    own_a, own_b = _sigma(instead.intensity), _sigma(actual.intensity)
    if not alike:
        own_a, own_b, energies = hypot(own_a, energies[0]), hypot(own_b, energies[1]), (0.0, 0.0)
    value = a - b - extra_g
    spread = SIGMAS_80 * hypot(a * own_a, b * own_b)
    shared = SIGMAS_80 * max(energies)
    margin = None
    if margins is not None and instead.energy_j is not None and actual.energy_j is not None:
        margin = grams(instead.energy_j, margins[0].g_per_kwh) - grams(actual.energy_j, margins[1].g_per_kwh) - extra_g
    return Saving(g=value, low_g=-_above(-value, spread, shared), high_g=_above(value, spread, shared), marginal_g=margin)


def _above(value: float, spread: float, shared: float) -> float:
    """The upper end of a difference: its own spread, and a factor of both sides that never moves it across zero."""
    end = value + spread
    if value < 0 and end < 0:
        return value * exp(-sqrt(log(value / end) ** 2 + shared**2))
    if value > 0:
        return value * exp(sqrt(log(end / value) ** 2 + shared**2))
    return value + sqrt(spread**2 + (value * (exp(shared) - 1)) ** 2)


def verdict(total: Saving | None) -> tuple[Verdict, Because | None]:
    """What may be said of a saving in a word, and why if that is nothing. Only `avoided` may be called that."""
    if total is None:
        return "unknown", None
    if total.marginal_g is not None and total.g * total.marginal_g < 0:
        return "no robust saving", "signs differ"
    if total.low_g <= 0 <= total.high_g:
        return "no robust saving", "indistinguishable"
    return ("avoided" if total.low_g > 0 else "caused"), None


def _sigma(intensity: Intensity) -> float:
    return _sigma_of(intensity.low, intensity.g_per_kwh, intensity.high)


def _sigma_of(low: float | None, value: float | None, high: float | None) -> float:
    """Of the wider half of an 80 % band, in logarithms; 0 where there is no band."""
    if value is None or low is None or high is None or value <= 0 or low <= 0:
        return 0.0
    return max(log(value / low), log(high / value)) / SIGMAS_80
