"""Bands: how they combine, and the label that follows from them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.bands import SIGMAS_80, Band, confidence, disagree

FACTORS = st.builds(Band, st.floats(0.01, 1), st.floats(1, 100))


def test_variances_add_on_each_side_by_itself():
    """ln 2 = .693 and ln 1.5 = .405: down exp(-.803) = .448; up twice ln 2: exp(.980) = 2.665."""
    both = Band(0.5, 2.0).combined(Band(1 / 1.5, 2.0))
    assert (both.low, both.high) == (pytest.approx(0.4479, abs=1e-4), pytest.approx(2.6651, abs=1e-4))


@given(FACTORS, FACTORS)
def test_a_combined_band_is_wider_than_each_and_narrower_than_their_product(a, b):
    both = a.combined(b)
    assert a.low * b.low * (1 - 1e-9) <= both.low <= min(a.low, b.low) * (1 + 1e-9)
    assert max(a.high, b.high) * (1 - 1e-9) <= both.high <= a.high * b.high * (1 + 1e-9)


@pytest.mark.parametrize(
    ("low", "high", "label"),
    [
        (0.85, 1.15, "high"),
        (1, 1.96, "high"),
        (1, 1.97, "medium"),
        (0.6, 1.8, "medium"),
        (0.5, 2.0, "medium"),
        (1, 4.84, "medium"),
        (1, 4.85, "low"),
        (1 / 3.5, 3.5, "low"),
        (1, 16, "low"),
        (1, 16.1, "very-low"),
        (1 / 3.5, 6.0, "very-low"),
        (0, 0, "very-low"),
    ],
)
def test_the_label_follows_the_root_of_high_over_low(low, high, label):
    """1.4^2 = 1.96, 2.2^2 = 4.84, 4^2 = 16."""
    assert confidence(low, high) == label


@given(st.floats(1, 1e6), st.floats(1, 1e6), FACTORS, FACTORS)
def test_two_methods_disagree_beyond_their_joint_95_percent_band(x, y, band_x, band_y):
    """|ln x/y| > 1.96 sigmas, each sigma = ln(factor towards the other) / 1.2816."""
    a, b = (x * band_x.low, x, x * band_x.high), (y * band_y.low, y, y * band_y.high)
    up, down = (band_x, band_y) if x <= y else (band_y, band_x)
    joint = math.hypot(math.log(up.high), math.log(down.low)) / SIGMAS_80
    apart = abs(math.log(x / y)) - 1.959964 * joint
    if abs(apart) > 1e-6:
        assert disagree(a, b) == disagree(b, a) == (apart > 0)
