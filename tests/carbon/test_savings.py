"""A saving is signed, its band is the difference's own, and nothing is called avoided that may not be."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.bands import Band
from carbon.energy import Proportional
from carbon.footprint import Footprint, Workload
from carbon.intensity import Intensity
from carbon.roofline import Form
from carbon.savings import Saving, saving, verdict

J = 3.6e6


def grid(g: float, band: float = 1.2) -> Intensity:
    return Intensity(
        zone="Z", g_per_kwh=g, low=g / band, high=g * band, basis="lifecycle", source="t", as_of="2026-01-01T00:00:00Z", licence="none"
    )  # fmt: skip


def side(kwh: float, g: float, *, band: float = 2.0, grid_band: float = 1.2) -> Footprint:
    fixed = Proportional(method="token_proxy", form=Form(kwh * J, 0.0, 0.0), band=Band(1 / band, band))
    return Footprint.of(Workload(input_tokens=0, output_tokens=1), fixed, grid(g, grid_band))


def test_the_same_energy_on_a_cleaner_grid_is_avoided_however_uncertain_the_energy():
    found = saving(side(1, 400, band=5), side(1, 40, band=5), alike=True)
    assert found.g == pytest.approx(360)
    assert found.low_g > 0
    assert verdict(found) == ("avoided", None)


def test_two_guesses_of_different_models_that_overlap_are_no_robust_saving():
    found = saving(side(1, 400, band=5), side(0.8, 400, band=5), alike=False)
    assert found.g == pytest.approx(80)
    assert found.low_g < 0 < found.high_g
    assert verdict(found) == ("no robust saving", "indistinguishable")


def test_a_dearer_choice_is_a_negative_saving():
    found = saving(side(1, 40), side(1, 400), alike=True)
    assert found.g == pytest.approx(-360)
    assert verdict(found) == ("caused", None)


def test_what_the_proxy_and_failed_attempts_took_is_taken_off():
    assert saving(side(1, 100), side(1, 60), alike=True, extra_g=5).g == pytest.approx(35)


def test_where_average_and_margin_disagree_there_is_no_robust_saving():
    """PJM to Sweden: the average falls by 94 %, the marginal rate rises by 42 %."""
    found = saving(side(1, 400), side(1, 25), (grid(600), grid(850)), alike=True)
    assert found.g > 0 > found.marginal_g
    assert verdict(found) == ("no robust saving", "signs differ")


def test_without_margins_the_margin_is_unknown():
    assert saving(side(1, 400), side(1, 25), alike=True).marginal_g is None
    assert verdict(None) == ("unknown", None)


def test_what_cannot_be_compared_is_no_saving():
    assert saving(Footprint(), side(1, 40), alike=True) is None
    assert saving(side(1, 40), Footprint.of(Workload(input_tokens=0, output_tokens=1), None, grid(3)), alike=True) is None


positive = st.floats(0.01, 100)


@given(positive, positive, st.floats(1, 1000), st.floats(1, 1000), st.floats(1, 6), st.booleans(), st.floats(0, 10))
def test_the_band_holds_the_value_and_the_other_way_round_is_the_negative(kwh_a, kwh_b, g_a, g_b, band, alike, extra):
    a, b = side(kwh_a, g_a, band=band), side(kwh_b, g_b, band=band)
    found = saving(a, b, alike=alike, extra_g=extra)
    assert found.low_g <= found.g <= found.high_g
    back = saving(b, a, alike=alike, extra_g=-extra)
    assert math.isclose(back.g, -found.g, abs_tol=1e-9 * (abs(found.g) + 1))
    assert math.isclose(back.low_g, -found.high_g, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        (side(1, 400), side(1, 40), True),
        (side(1, 400, grid_band=1.4), side(1, 300, grid_band=1.4), True),
        (side(2, 300, band=1.5), side(1, 300, band=1.5), False),
        (side(1, 40), side(1, 400), True),
    ],
)
def test_the_band_holds_about_four_of_five_joint_draws(a, b, alike):
    """Log-normal factors drawn jointly: the energy's once for both where they are alike."""
    drawn = random.Random(1)

    def factor(low: float, value: float) -> float:
        return math.exp(drawn.gauss(0, math.log(value / low) / 1.2815515655446004))

    inside, number = 0, 20_000
    found = saving(a, b, alike=alike)
    for _ in range(number):
        shared = factor(a.energy_low_j, a.energy_j)
        own = (shared, shared) if alike else (shared, factor(b.energy_low_j, b.energy_j))
        sides = [
            each.energy_j / J * energy * each.intensity.g_per_kwh * factor(each.intensity.low, each.intensity.g_per_kwh)
            for each, energy in zip((a, b), own, strict=True)
        ]
        inside += found.low_g <= sides[0] - sides[1] <= found.high_g
    assert 0.74 < inside / number < 0.88


def test_a_sum_is_judged_by_its_band():
    assert verdict(Saving(g=1, low_g=0.1, high_g=2, marginal_g=0.5)) == ("avoided", None)
    assert verdict(Saving(g=-1, low_g=-2, high_g=-0.1)) == ("caused", None)
    assert verdict(Saving(g=1, low_g=-0.1, high_g=2, marginal_g=-0.5)) == ("no robust saving", "signs differ")
    assert verdict(Saving(g=0, low_g=0, high_g=0)) == ("no robust saving", "indistinguishable")


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(10, 900), st.floats(10, 900), st.booleans(), st.floats(1e-9, 1e-3))
def test_a_small_saving_is_a_large_one_made_small(there_kwh, here_kwh, there_g, here_g, alike, factor):
    """One answer saves milligrams: nothing depends on the unit."""
    large = saving(side(there_kwh, there_g), side(here_kwh, here_g), (grid(600), grid(850)), alike=alike, extra_g=1.0)
    small = saving(side(there_kwh * factor, there_g), side(here_kwh * factor, here_g), (grid(600), grid(850)), alike=alike, extra_g=factor)
    for name in ("g", "low_g", "high_g", "marginal_g"):
        assert getattr(small, name) == pytest.approx(getattr(large, name) * factor, rel=1e-6, abs=1e-9 * factor)
