"""The shipped yearly means as intensities: which basis, which band, which row."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from carbon.intensity import Intensity
from carbon.reach import Reach
from carbon.sources.static import Static

TABLE = Static().table()
DIRECT = Static(basis="direct").table()
NO_REACH = Reach(http=httpx.AsyncClient(), secret=str)


def test_a_lifecycle_row_is_given_as_it_is():
    assert TABLE.latest("SWE") == Intensity(
        zone="SWE",
        g_per_kwh=35.9,
        low=21.54,
        high=50.26,
        basis="lifecycle",
        source="Ember Yearly Electricity Data, via thegreenwebfoundation/co2.js@27cbe83 data/output/average-intensities.json",
        as_of="2024-12-31T23:59:59Z",
        licence="CC BY 4.0 (Ember; ember-energy.org/creative-commons)",
    )


def test_a_direct_row_is_converted_and_says_so():
    """us-east-1: 323.1 direct -> 32 + 1.09 x 323.1 = 384.2, band 20 % of an exact grid."""
    found = TABLE.latest("aws:us-east-1")
    assert found is not None
    assert (found.g_per_kwh, found.low, found.high) == (384.2, 307.36, 461.04)
    assert (found.basis, found.estimated, found.assumed) == ("lifecycle-estimated", True, False)


def test_the_direct_basis_knows_direct_rows_only():
    found = DIRECT.latest("aws:us-east-1")
    assert found is not None
    assert (found.g_per_kwh, found.basis, found.estimated) == (323.1, "direct", False)
    assert DIRECT.latest("SWE") is None
    assert DIRECT.latest("aws:eu-west-1") is None
    assert DIRECT.latest(None) is None


def test_no_basis_is_ever_mixed_with_another():
    assert {each.basis for each in TABLE.samples.values()} == {"lifecycle", "lifecycle-estimated"}
    assert {each.basis for each in DIRECT.samples.values()} == {"direct"}


def test_low_value_and_high_are_in_order_and_positive():
    for each in [*TABLE.samples.values(), *DIRECT.samples.values()]:
        assert 0 < each.low < each.g_per_kwh < each.high


@pytest.mark.parametrize("source", [Static(), Static(basis="direct")], ids=["lifecycle", "direct"])
def test_a_source_leaves_out_what_it_does_not_know(source):
    """The contract of IntensitySource, for every source."""
    found = asyncio.run(source.latest(frozenset({"aws:us-east-1", "Atlantis"}), NO_REACH))
    assert [each.zone for each in found] == ["aws:us-east-1"]
