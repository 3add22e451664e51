"""docs/accuracy.md is about the coefficients and bands in use, and its goals are met."""

from __future__ import annotations

import re

import pytest

from carbon.bands import Band
from carbon.energy import ACCELERATOR_BANDS, HOST_AND_IDLE, PUE_ASSUMED
from carbon.profile import HOST_FACTOR, IDLE_FACTOR, PUE
from carbon.roofline import ACCELERATORS
from tests.docs.pages import rows, text

PAGE = text("docs/accuracy.md")
GPUS = ("H100", "B200")


def factors(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)]


def test_its_coefficients_are_those_in_use_and_within_a_hundredth_of_the_fit():
    found = rows(PAGE.partition("## Coefficients")[2], "GPU")
    fitted = [(gpu, field.strip("`"), fit, used) for gpu, field, fit, used, _ in found]
    assert {(gpu, field) for gpu, field, _, _ in fitted} >= {(gpu, field) for gpu in GPUS for field in ("read_j_per_gb", "gpu_token_j")}
    for gpu, field, fit, used in fitted:
        assert getattr(ACCELERATORS[gpu], field) == float(used)
        if fit != "not used":
            assert float(fit) == pytest.approx(float(used), rel=0.01)


def test_its_bands_are_those_in_use():
    shown = {row[0]: row[1:] for row in rows(PAGE, "GPU, batch stated")}
    assert set(shown) == set(ACCELERATOR_BANDS)
    for gpu, cells in shown.items():
        band = ACCELERATOR_BANDS[gpu]
        bands = (band, band.combined(HOST_AND_IDLE), band.combined(HOST_AND_IDLE, PUE_ASSUMED))
        assert [factors(cell) for cell in cells] == [[round(each.low, 2), round(each.high, 2)] for each in bands]


def test_its_goals_are_met():
    for what, goal, found in rows(PAGE, "what"):
        (value, *_) = factors(found) or [0.0]
        if goal.startswith("at most"):
            assert value <= factors(goal)[0], what
        elif goal == "always":
            assert found == "**always**", what
        else:
            least, most = factors(goal)
            assert least <= value <= most, what


def test_the_way_from_accelerators_to_the_facility_is_the_usual_one():
    """1.785 [1.3-3]."""
    factor, band = HOST_FACTOR * IDLE_FACTOR * PUE, HOST_AND_IDLE.combined(PUE_ASSUMED)
    assert (factor * band.low, factor * band.high) == pytest.approx((1.3, 3.0), rel=0.005)
    assert Band(1.07 / 1.15, 1.45 / 1.15) == PUE_ASSUMED
