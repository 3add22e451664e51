"""The intensity of a grid, on either basis, and how old it is."""

from __future__ import annotations

from carbon.intensity import Intensity, Table
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
