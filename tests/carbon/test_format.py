"""Figures as headers show them: plain decimals of two digits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.format import plain


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.00011, "0.00011"),
        (12, "12"),
        (1300, "1300"),
        (1290, "1300"),
        (0, "0"),
        (-0.0, "0"),
        (1, "1.0"),
        (9.96, "10"),
        (0.0996, "0.10"),
        (99.6, "100"),
        (-0.00011, "-0.00011"),
        (-1290, "-1300"),
        (1e-9, "0.0000000010"),
        (472.9, "470"),
        (1.5e21, "1500000000000000000000"),
    ],
)
def test_two_significant_digits_and_never_an_exponent(x, text):
    assert plain(x) == text


@pytest.mark.parametrize("x", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused(x):
    with pytest.raises(ValueError, match="finite"):
        plain(x)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_reads_back_within_half_a_digit(x):
    text = plain(x)
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", text)
    assert float(text) == float(f"{x:.1e}")
