"""The intensity of a grid, on either basis, and how old it is."""

from __future__ import annotations

import math

import msgspec
import pytest

from carbon.bands import Band
from carbon.intensity import Intensity, Table, on_basis, widened
from carbon.sources.static import Static

TABLE = Static().table()


def sample(zone: str, g: float, as_of: str, *, assumed: bool = False) -> Intensity:
    return Intensity(
        zone=zone, g_per_kwh=g, low=g * 0.8, high=g * 1.2, basis="lifecycle", source="test", as_of=as_of, licence="none", assumed=assumed
    )


def test_without_a_zone_the_world_is_assumed_and_says_so():
    found = TABLE.latest(None)
    assert found is not None
    assert (found.zone, found.g_per_kwh, found.low, found.high, found.assumed) == ("WORLD", 472.9, 283.74, 756.64, True)
    named = TABLE.latest("WORLD")
    assert named is not None
    assert not named.assumed


def test_an_unknown_zone_is_none_not_the_world():
    assert TABLE.latest("Atlantis") is None


def test_an_empty_table_assumes_nothing():
    assert Table({}).latest(None) is None


def direct(g: float, *, low: float = 0.8, high: float = 1.2) -> Intensity:
    return msgspec.structs.replace(sample("SE", g, "2026-01-01T00:00:00Z"), low=g * low, high=g * high, basis="direct")


def test_a_direct_figure_is_converted_with_the_error_of_the_conversion():
    """32 + 1.09 x 100 = 141, its ends 119.2 and 162.8, each further by 13 % as an independent factor."""
    found = on_basis(direct(100), "lifecycle")
    assert (found.g_per_kwh, found.basis, found.estimated) == (141, "lifecycle-estimated", True)
    assert found.low == pytest.approx(141 * math.exp(-math.hypot(math.log(119.2 / 141), math.log(1.13))))
    assert found.high == pytest.approx(141 * math.exp(math.hypot(math.log(162.8 / 141), math.log(1.13))))


def test_what_is_on_the_basis_stays_and_what_cannot_be_brought_to_it_is_none():
    one, lifecycle = direct(100), sample("SE", 100, "2026-01-01T00:00:00Z")
    estimated = on_basis(one, "lifecycle")
    marginal = msgspec.structs.replace(one, signal="marginal")
    assert on_basis(one, "direct") is one
    assert on_basis(lifecycle, "lifecycle") is lifecycle
    assert on_basis(estimated, "lifecycle") is estimated
    assert (on_basis(lifecycle, "direct"), on_basis(estimated, "direct")) == (None, None)
    assert on_basis(marginal, "lifecycle") is marginal


def test_a_band_is_widened_by_an_independent_factor():
    found = widened(sample("SE", 100, "2026-01-01T00:00:00Z"), Band(0.5, 3.0))
    assert found.g_per_kwh == 100
    assert found.low == pytest.approx(100 * math.exp(-math.hypot(math.log(0.8), math.log(0.5))))
    assert found.high == pytest.approx(100 * math.exp(math.hypot(math.log(1.2), math.log(3.0))))


def test_a_grid_of_nothing_is_not_widened_and_a_band_down_to_nothing_is():
    nothing = sample("SE", 0, "2026-01-01T00:00:00Z")
    assert widened(nothing, Band(0.5, 3.0)) is nothing
    assert widened(direct(100, low=0), Band(0.5, 3.0)).low == pytest.approx(0.1, rel=0.05)
