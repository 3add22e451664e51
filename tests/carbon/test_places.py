"""Cities and coordinates: which zone stands for them, and which are refused rather than guessed."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon import shipped
from carbon.places import folded, located
from carbon.zones import UnknownZoneError, named_zone, resolve_regions, resolve_zone, zones


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("Paris", "FRA"),
        ("paris, fr", "FRA"),
        ("PARIS,FRA", "FRA"),
        ("London", "GBR"),
        ("London, UK", "GBR"),
        ("London, CA", "CA-ON"),
        ("London, CA-ON", "CA-ON"),
        ("Montréal", "CA-QC"),
        ("montreal", "CA-QC"),
        ("Calgary", "CA-AB"),
        ("Vancouver", "CAN"),
        ("Sydney", "AU-NSW"),
        ("Melbourne", "AU-VIC"),
        ("Perth", "AUS"),
        ("New York", "US-EGRID-NYCW"),
        ("Washington D.C.", "US-EGRID-RFCE"),
        ("Portland, US-OR", "US-EGRID-NWPP"),
        ("Columbus, US-GA", "US-EGRID-SRSO"),
        ("Las Vegas", "USA"),
        ("são paulo", "BRA"),
        ("Sao-Paulo", "BRA"),
        ("Zurich", "CHE"),
        ("Köln", "DEU"),
        ("Cologne", "DEU"),
        ("Lodz", "POL"),
        ("Singapore", "SGP"),
        ("48.86,2.35", "FRA"),
        (" 48.86 , 2.35 ", "FRA"),
        ("59.33,18.06", "SWE"),
        ("-33.87,151.21", "AU-NSW"),
        ("33.44,-112.07", "US-EGRID-AZNM"),
        ("39.04,-77.49", "USA"),
    ],
)
def test_a_place_stands_for_a_zone(written, zone):
    """Ashburn (39.04, -77.49) lies between two eGRID subregions: there the country is taken."""
    assert resolve_zone(written) is zones()[zone.upper()]


@pytest.mark.parametrize(
    ("written", "candidates"),
    [
        ("Valencia", ("Valencia, VE", "Valencia, ES")),
        ("Hyderabad", ("Hyderabad, IN", "Hyderabad, PK")),
        ("Aurora, US", ("Aurora, US-CO", "Aurora, US-IL")),
        ("47.56,7.59", ("Freiburg, DE", "Bern, CH")),
        ("1.35,103.8", ("Singapore, SG", "Johor Bahru, MY")),
    ],
)
def test_what_may_mean_two_places_is_refused_with_both_named(written, candidates):
    with pytest.raises(UnknownZoneError) as caught:
        resolve_zone(written)
    assert caught.value.nearest == candidates
    assert all(candidate in str(caught.value) for candidate in candidates)


@pytest.mark.parametrize(
    "written",
    [
        "Atlantis",
        "Paris, DE",
        "Portland, US-XX",
        "Ulm",
        "Aba",
        "0,0",
        "91,0",
        "0,181",
        "90,0",
        "Reykjavik",
        "Jamaica",
        "Georgia",
        ",",
        "1,2,3",
    ],
)
def test_no_place_is_guessed(written):
    """Of three letters is rather a code with a slip; Jamaica is a country, whatever a part of New York is called."""
    with pytest.raises(UnknownZoneError):
        resolve_zone(written)


def test_a_slip_of_the_pen_leads_to_the_city():
    with pytest.raises(UnknownZoneError) as caught:
        resolve_zone("Stokholm")
    assert "Stockholm, SE" in caught.value.nearest


def test_a_name_of_before_never_means_a_city():
    for name, zone in zones().items():
        assert resolve_zone(name) is zone


def test_cities_are_no_regions_of_a_constraint():
    with pytest.raises(UnknownZoneError):
        resolve_regions(["Paris"])


def test_every_city_is_found_by_its_full_name_or_refused_for_another():
    for city in shipped.cities():
        full = f"{city.name}, {city.country}" + (f"-{city.admin1}" if city.admin1 else "")
        found = located(full)
        assert found is not None, full
        assert found.zone == (city.grid or city.country), full


def test_the_largest_cities_lie_where_they_are():
    """A point at a city is in that city's country, or refused for a city of another country next to it, as at Kinshasa."""
    for city in shipped.cities():
        if city.population > 3_000_000:
            found = located(f"{city.lat},{city.lon}")
            assert found is not None
            assert city.country in ({_country(found.zone)} if found.zone else {each[-2:] for each in found.candidates}), city.name


def _country(zone: str) -> str:
    if zone in shipped.countries():
        return zone
    return next(name for name in zones()[zone].names if name in shipped.countries())


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_any_point_is_a_zone_or_refused(lat, lon):
    found = located(f"{lat:.4f},{lon:.4f}")
    assert found is None or found.zone is None or found.zone in shipped.countries() or named_zone(found.zone) is not None


def test_case_and_marks_make_no_other_name():
    for city in shipped.cities():
        assert folded(city.name) == folded(city.name.upper()) == folded(unicodedata.normalize("NFD", city.name))


def test_the_table_is_not_read_before_it_is_needed():
    code = "import carbon.zones, carbon.shipped as s; carbon.zones.resolve_zone('SE'); print(s.cities.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"
