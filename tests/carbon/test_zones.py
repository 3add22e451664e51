"""Zones as people write them, and which lie in a region."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from carbon import shipped
from carbon.places import located
from carbon.zones import WORLD, UnknownZoneError, named_zone, resolve_regions, resolve_zone, zones


@pytest.mark.parametrize(
    ("written", "id_", "names"),
    [
        ("aws:eu-north-1", "aws:eu-north-1", {"AWS:EU-NORTH-1", "EU-NORTH-1", "SE", "SWE", "EU"}),
        ("AWS:EU-North-1", "aws:eu-north-1", {"AWS:EU-NORTH-1", "EU-NORTH-1", "SE", "SWE", "EU"}),
        ("eu-north-1", "aws:eu-north-1", {"AWS:EU-NORTH-1", "EU-NORTH-1", "SE", "SWE", "EU"}),
        ("westeurope", "azure:westeurope", {"AZURE:WESTEUROPE", "WESTEUROPE", "NL", "NLD", "EU"}),
        ("gcp:us-east4", "gcp:us-east4", {"GCP:US-EAST4", "US-EAST4", "US", "USA", "US-MIDA-PJM"}),
        ("gcp:us-east2", "gcp:us-east2", {"GCP:US-EAST2", "US-EAST2", "US", "USA"}),
        ("SE", "SWE", {"SE", "SWE", "EU"}),
        ("swe", "SWE", {"SE", "SWE", "EU"}),
        (" DE ", "DEU", {"DE", "DEU", "EU"}),
        ("GB", "GBR", {"GB", "GBR"}),
        ("UK", "GBR", {"GB", "GBR"}),
        ("US-MIDA-PJM", "US-MIDA-PJM", {"US-MIDA-PJM", "US", "USA"}),
        ("se-se3", "SE-SE3", {"SE-SE3", "SE", "SWE", "EU"}),
        ("US-EGRID-CAMX", "US-EGRID-CAMX", {"US-EGRID-CAMX", "US", "USA"}),
        ("EU", "EU", {"EU"}),
        ("world", "WORLD", {"WORLD"}),
    ],
)
def test_a_zone_is_found_by_any_of_its_names_and_knows_all(written, id_, names):
    zone = resolve_zone(written)
    assert (zone.id, zone.names) == (id_, frozenset(names))


def test_a_grid_zone_takes_the_figure_measured_for_that_grid():
    """us-east-1, us-east4 and eastus all draw on PJM: the row is Google's own."""
    assert resolve_zone("US-MIDA-PJM").row == "gcp:us-east4"


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("aws:eu-nort-1", "aws:eu-north-1"),
        ("eu-nrth-1", "eu-north-1"),
        ("westeuropa", "westeurope"),
        ("US-MIDA-PJN", "US-MIDA-PJM"),
        ("Sweden", "SE"),
        ("germany", "DE"),
        ("DEE", "DEU"),
        ("DK-DK2", "DK"),
    ],
)
def test_an_unknown_zone_is_an_error_that_names_the_nearest(written, nearest):
    with pytest.raises(UnknownZoneError) as caught:
        resolve_zone(written)
    assert caught.value.written == written
    assert nearest in caught.value.nearest
    assert nearest in str(caught.value)
    with pytest.raises(UnknownZoneError):
        resolve_regions(["EU", written])


def test_a_country_without_an_intensity_is_no_zone_but_a_region():
    with pytest.raises(UnknownZoneError):
        resolve_zone("IS")
    assert resolve_regions(["is"]) == {"IS"}


def test_regions_are_upper_case_and_nothing_else_is_added():
    assert resolve_regions(["eu", "aws:eu-north-1", "Us-Mida-Pjm", "uk", "CHE"]) == {"EU", "AWS:EU-NORTH-1", "US-MIDA-PJM", "GB", "CHE"}
    assert resolve_regions([]) == frozenset()


def test_the_whole_world_is_no_region():
    with pytest.raises(UnknownZoneError):
        resolve_regions(["WORLD"])


def test_every_name_of_every_zone_may_stand_in_a_constraint():
    for zone in zones().values():
        if zone is not WORLD:
            assert resolve_regions(zone.names) == zone.names


def test_every_zone_has_an_intensity_and_every_intensity_a_zone():
    assert {zone.row for zone in zones().values()} == set(shipped.intensities())


def test_no_zone_outside_a_country_answers_to_it():
    """A constraint that names a country or EU may admit only zones that stand there."""
    eu = {country.alpha2 for country in shipped.countries().values() if country.eu == "yes"}
    for zone in zones().values():
        codes = {name for name in zone.names if name in shipped.countries()}
        assert len(codes) <= 1
        if codes:
            assert ("EU" in zone.names) == (codes <= eu)
            assert shipped.countries()[next(iter(codes))].alpha3 in zone.names
    for region in shipped.regions().values():
        assert region.country in resolve_zone(region.zone).names


@given(st.text(max_size=200))
def test_any_other_text_is_a_clear_and_short_error(written):
    assume(named_zone(written) is None and located(written) is None)
    with pytest.raises(UnknownZoneError) as caught:
        resolve_zone(written)
    assert len(str(caught.value)) < 1200
