"""Energy-Charts: whole countries, observed where that is not too late, else foretold."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from carbon.intensity import Intensity
from carbon.sources.energy_charts import LICENCE, EnergyCharts
from tests.carbon.sources.asking import NOW_S, World
from tests.imitations.grids.energy_charts import EnergyChartsApi
from tests.imitations.grids.server import page, said


@pytest.fixture
def api() -> EnergyChartsApi:
    return EnergyChartsApi(NOW_S)


@pytest.fixture
def world(api: EnergyChartsApi) -> Iterator[World]:
    with World(api) as world:
        yield world


def source(world: World, **more: object) -> EnergyCharts:
    return msgspec.convert({"base_url": world.url, **more}, EnergyCharts)


def test_an_observed_figure_is_told_whole(world, api):
    api.late_s = 1200
    assert world.latest(source(world), "DEU") == {
        "DEU": Intensity(
            zone="DEU",
            g_per_kwh=351.25,
            low=316.125,
            high=386.375,
            basis="lifecycle",
            source="Energy-Charts, de",
            as_of="2026-11-21T11:45:00Z",
            licence=LICENCE,
        )
    }


def test_where_that_comes_late_the_forecast_for_now_is_taken(world, api):
    api.late_s = 7200
    found = world.latest(source(world), "DEU")["DEU"]
    assert (found.g_per_kwh, found.forecast, found.estimated, found.as_of) == (361.25, True, True, "2026-11-21T12:10:00Z")


def test_without_a_forecast_the_late_figure_is_told_as_old_as_it_is(world, api):
    api.late_s, api.forecasts = 7200, False
    found = world.latest(source(world), "DEU")["DEU"]
    assert (found.g_per_kwh, found.forecast, found.as_of) == (351.25, False, "2026-11-21T10:00:00Z")


def test_a_country_without_figures_today_is_left_out(world, api):
    api.late_s, api.forecasts = 86400, False
    assert world.latest(source(world), "DEU") == {}


def test_zones_that_are_a_whole_country_and_no_parts(world):
    """Stockholm is on SE-SE3 at Google and on SE at AWS; Milan is a part of Italy."""
    found = world.latest(
        source(world), "DEU", "aws:eu-central-1", "gcp:europe-west10", "azure:uksouth", "gcp:europe-north2", "gcp:europe-west8"
    )
    assert {zone: each.source for zone, each in found.items()} == {
        "DEU": "Energy-Charts, de",
        "aws:eu-central-1": "Energy-Charts, de",
        "azure:uksouth": "Energy-Charts, uk",
        "gcp:europe-west10": "Energy-Charts, de",
    }
    assert sorted(request.one("country") for request in world.requests) == ["de", "uk"]


def test_outside_europe_nothing_is_asked_for(world):
    assert world.latest(source(world), "USA", "WORLD", "aws:us-east-1", "EU", "JPN") == {}
    assert world.ahead(source(world), "USA") == ()
    assert world.requests == []


def test_own_assignments_go_first(world):
    assert world.latest(source(world, countries={"eu": "eu"}), "EU")["EU"].source == "Energy-Charts, eu"


def test_a_country_unknown_to_the_provider_is_left_out_and_remembered(world):
    assert list(world.latest(source(world), "SWE", "DEU")) == ["DEU"]
    world.latest(source(world), "SWE")
    assert len(world.requests) == 2


def test_an_address_with_another_path_is_an_error(world):
    assert str(world.failure(source(world, base_url=f"{world.url}/v9"), "DEU")) == "status: Energy-Charts answers 404"


def test_the_basis_is_as_the_operator_says(world):
    assert world.latest(source(world, basis="direct"), "DEU")["DEU"].basis == "direct"


def test_the_forecast_reaches_into_tomorrow(world):
    found = world.ahead(source(world), "DEU", 24)
    assert (found[0].as_of, found[-1].as_of, len(found)) == ("2026-11-21T12:00:00Z", "2026-11-22T12:00:00Z", 97)
    assert {(each.g_per_kwh, each.forecast) for each in found} == {(361.25, True)}


def test_a_rate_limit_ends_the_asking(world, api):
    api.left = 0
    assert world.failure(source(world), "DEU", "FRA").kind == "limited"


def test_a_clock_far_ahead_is_an_error(world, api):
    api.now_s, api.late_s = NOW_S + 7200, 0
    assert "one of the two clocks is wrong" in str(world.failure(source(world), "DEU"))


@pytest.mark.parametrize("value", [-1.0, 6000.0])
def test_what_is_no_intensity_is_refused(world, api, value):
    api.grams["de"], api.forecasts = value, False
    assert world.failure(source(world), "DEU").kind == "garbled"


@pytest.mark.parametrize(
    "answer",
    [
        page(200),
        said([]),
        said({"unix_seconds": [1, 2], "co2eq": [1.0], "co2eq_forecast": [None, 1.0]}),
        said({"unix_seconds": [2, 1], "co2eq": [1.0, 1.0], "co2eq_forecast": [None, None]}),
        said({"unix_seconds": [1], "co2eq": ["1"], "co2eq_forecast": [None]}),
        said({"unix_seconds": [True], "co2eq": [1.0], "co2eq_forecast": [None]}),
    ],
)
def test_answers_of_another_shape_are_garbled(world, answer):
    world.instead(answer)
    assert world.failure(source(world), "DEU").kind == "garbled"


@pytest.mark.parametrize("wrong", [{"basis": "lifecycle-estimated"}, {"countries": {"Atlantis": "xx"}}, {"every_s": 0}])
def test_wrong_settings_are_refused(world, wrong):
    with pytest.raises(msgspec.ValidationError):
        source(world, **wrong)
