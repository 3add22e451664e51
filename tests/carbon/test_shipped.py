"""The shipped tables are complete, consistent, and say where each fact is from."""

from __future__ import annotations

import re

import pytest

from carbon import models, shipped
from carbon.zones import zones

PROFILES = shipped.profiles()
EVERY_ROW = [
    *shipped.intensities().values(),
    *shipped.countries().values(),
    *shipped.regions().values(),
    *shipped.cities(),
    *PROFILES.open,
    *PROFILES.closed,
    *PROFILES.pue,
    *PROFILES.wue,
    *PROFILES.accelerators,
]
COUNTS_EXPERTS = re.compile(r"mixtral|-\d+e$")
"""Eight times 7B, 17B with 16 experts: neither number is the total."""
LICENCES_THAT_MAY_SHIP = {"CC BY 4.0 (Ember; ember-energy.org/creative-commons)", "Apache-2.0", "US public domain", "MIT"}


def test_every_row_has_source_licence_and_year():
    assert [row for row in EVERY_ROW if not row.source or not row.licence or not 2019 <= row.year <= 2026] == []


def test_intensities_come_only_under_licences_that_may_ship():
    assert {row.licence for row in shipped.intensities().values()} == LICENCES_THAT_MAY_SHIP


def test_there_are_as_many_intensities_as_the_documentation_says():
    kinds = [row.kind for row in shipped.intensities().values()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"country": 93, "aggregate": 2, "subregion": 27, "cloud-region": 119}


def test_the_lifecycle_column_is_the_value_or_its_conversion():
    """Lifecycle = value; direct = 32 + 1.09 x direct, rounded: 323.1 -> 384.2."""
    for row in shipped.intensities().values():
        expected = row.gco2_per_kwh if row.basis.startswith("lifecycle") else 32 + 1.09 * row.gco2_per_kwh
        assert row.gco2_per_kwh_lifecycle_est == pytest.approx(expected, abs=0.11), row.zone


@pytest.mark.parametrize(
    ("zone", "low", "high"),
    [
        ("gcp:europe-north1", 0.8, 1.2),
        ("aws:eu-central-1", 0.8, 1.2),
        ("SWE", 0.6, 1.4),
        ("aws:eu-west-1", 0.6, 1.4),
        ("azure:westus2", 0.6, 1.4),
        ("US-EGRID-CAMX", 0.6, 1.4),
        ("WORLD", 0.6, 1.6),
        ("aws:us-west-2", 0.8, 2.93),
    ],
)
def test_bands_are_those_of_the_kind_of_figure(zone, low, high):
    """Exact grid 20 %, country or eGRID 40 %, world -40/+60 %; us-west-2 up to eGRID's 346 g, because its grid is contested."""
    row = shipped.intensities()[zone]
    assert (row.band_low, row.band_high) == (low, high)


def test_every_region_stands_in_a_known_country_and_has_an_intensity():
    for region in shipped.regions().values():
        assert region.country in shipped.countries()
        assert region.intensity_zone in shipped.intensities()
        assert region.zone == f"{region.provider}:{region.region}"


def test_a_region_placed_on_another_ones_grid_or_on_its_country_has_that_ones_figure():
    rows = shipped.intensities()
    for row in rows.values():
        if row.name.startswith("same grid as "):
            other = rows[row.name.removeprefix("same grid as ")]
            assert (row.gco2_per_kwh, row.basis, row.year) == (other.gco2_per_kwh, other.basis, other.year)
        elif row.name.startswith("mapped to country "):
            country = shipped.countries()[shipped.regions()[row.zone].country]
            assert row.gco2_per_kwh == rows[country.alpha3].gco2_per_kwh


def test_every_cloud_row_has_a_region():
    assert {row.zone for row in shipped.intensities().values() if row.kind == "cloud-region"} == set(shipped.regions())


def test_cities_lie_on_the_map_in_known_countries_and_on_known_grids():
    for city in shipped.cities():
        assert city.country in shipped.countries(), city.name
        assert -90 <= city.lat <= 90, city.name
        assert -180 <= city.lon <= 180, city.name
        assert city.population >= 0, city.name
        assert not city.grid or city.country in zones()[city.grid].names, city.name
    assert {city.country for city in shipped.cities() if city.admin1} == {"AU", "CA", "US"}


def test_the_european_union_has_its_27_members():
    members = {country.alpha2 for country in shipped.countries().values() if country.eu == "yes"}
    assert members == set(re.findall("..", "ATBEBGHRCYCZDKEEFIFRDEGRHUIEITLVLTLUMTNLPLPTROSKSIESSE"))


def test_country_codes_are_one_to_one():
    countries = shipped.countries().values()
    assert len({country.alpha3 for country in countries}) == len(countries) == 250
    assert all(re.fullmatch("[A-Z]{2}", country.alpha2) and re.fullmatch("[A-Z]{3}", country.alpha3) for country in countries)


def test_parameters_are_possible():
    for row in PROFILES.open:
        assert 0 < row.active_b <= row.total_b
    for row in PROFILES.closed:
        assert 0 < row.active_low_b < row.active_high_b <= row.total_b


def test_every_source_can_be_looked_up():
    """An address, a repository and its commit, or a publication with its year."""
    place = re.compile(
        r"https?://\S|\.\w+/|@[0-9a-f]{7}\b|\.com\b|ISO 3166-1|eGRID2023|environmental report|fiscal year \d{4}|published region list"
    )
    assert sorted({row.source for row in EVERY_ROW if not place.search(row.source)}) == []


def test_dimensions_are_those_of_a_transformer():
    """d_model is a multiple of 64; the cache holds at least a key and a value of 64 numbers of a byte in one layer."""
    for row in PROFILES.open:
        assert row.d_model is None or (row.d_model % 64 == 0 and 256 <= row.d_model <= 32_768), row.name
        assert row.kv_bytes is None or 128 <= row.kv_bytes <= 1_048_576, row.name
        assert row.bytes_per_parameter is None or 0.5 <= row.bytes_per_parameter <= 2, row.name


def test_sizes_agree_with_the_names():
    """Names round: 1B may be 1.24B. `-32b` is the total, `-a3b` the active parameters."""
    for row in PROFILES.open:
        for name in (row.name, *row.aliases):
            size = models.size_of(name)
            if size is None or COUNTS_EXPERTS.search(name):
                continue
            assert size.total_b == pytest.approx(row.total_b, rel=0.3), name
            if size.active_b < size.total_b:
                assert size.active_b == pytest.approx(row.active_b, rel=0.15), name


def test_intensities_are_those_of_electricity():
    """From nothing but hydropower to nothing but lignite, in a known year."""
    for row in shipped.intensities().values():
        assert 1 <= row.gco2_per_kwh <= 1_200, row.zone
        assert 0 < row.band_low < 1 < row.band_high <= 3, row.zone
        assert 2022 <= row.year <= 2025, row.zone


def test_no_two_models_share_a_name():
    rows = [*PROFILES.open, *PROFILES.closed]
    names = [key for row in rows for key in {models._bare(name).replace("-", "") for name in (row.name, *row.aliases)}]
    assert sorted(names) == sorted(set(names))


def test_pue_scopes_are_regions_or_providers_of_the_table():
    for row in PROFILES.pue:
        assert row.scope in shipped.regions() or row.scope in {"aws", "azure", "gcp"}
        assert 1 <= row.value < 2


def test_versions_are_short_and_stable():
    assert re.fullmatch("[0-9a-f]{12}", shipped.DATA_VERSION)
    assert shipped._version() == shipped.DATA_VERSION
