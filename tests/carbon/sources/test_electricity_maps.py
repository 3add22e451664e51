"""Electricity Maps: which grid is asked for, on which basis, and what its answers become."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError
from carbon.sources._grids import Place
from carbon.sources.electricity_maps import LICENCE, ElectricityMaps
from tests.carbon.sources.asking import NOW_S, World
from tests.imitations.grids.electricity_maps import ElectricityMapsApi
from tests.imitations.grids.server import page, said


@pytest.fixture
def api() -> ElectricityMapsApi:
    return ElectricityMapsApi(NOW_S)


@pytest.fixture
def world(api: ElectricityMapsApi) -> Iterator[World]:
    with World(api, EM="em-key") as world:
        yield world


def source(world: World, **more: object) -> ElectricityMaps:
    return ElectricityMaps(token="env:EM", base_url=world.url, **more)


def test_an_observed_figure_is_told_whole(world):
    found = world.latest(source(world), "aws:us-east-1")
    assert found["aws:us-east-1"] == Intensity(
        zone="aws:us-east-1",
        g_per_kwh=400,
        low=360,
        high=440,
        basis="lifecycle",
        source="Electricity Maps v4, US-MIDA-PJM",
        as_of="2026-11-21T12:10:00Z",
        licence=LICENCE,
    )


def test_zones_on_one_grid_are_asked_for_once_and_each_has_the_figure(world):
    found = world.latest(source(world), "aws:us-east-1", "gcp:us-east4", "azure:eastus", "SWE", "aws:eu-north-1")
    assert {zone: each.g_per_kwh for zone, each in found.items()} == {
        "SWE": 30,
        "aws:eu-north-1": 30,
        "aws:us-east-1": 400,
        "azure:eastus": 400,
        "gcp:us-east4": 400,
    }
    assert sorted(request.one("zone") for request in world.requests) == ["SE", "US-MIDA-PJM"]


def test_no_figure_of_another_zone_is_taken(world):
    """eGRID subregions, EU and WORLD are no zones of theirs; us-east2 is on no known grid; of a part of Sweden there is none here."""
    assert world.latest(source(world), "US-EGRID-CAMX", "EU", "WORLD", "gcp:us-east2", "SE-SE3") == {}
    assert [request.one("zone") for request in world.requests] == ["SE-SE3"]
    assert world.requests[0].one("disableCallerLookup") == "true"


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_no_place_becomes_the_one_of_our_own_address(world, version):
    """Without a word against it both versions answer with the zone of the caller's address where they know none."""
    atlantic = source(world, version=version, zones={"WORLD": Place(lat=45, lon=-30)})
    assert world.latest(atlantic, "FRA", "SWE")["SWE"].g_per_kwh == 30
    with pytest.raises(OutOfReachError):
        world.latest(atlantic, "WORLD")


def test_an_answer_for_another_zone_is_refused(world, api):
    world.instead(said({"zone": "DK-DK2", "carbonIntensity": 75, "datetime": "2026-11-21T12:00:00Z"}))
    failure = world.failure(source(world), "FRA")
    assert (failure.kind, str(failure)) == ("garbled", "garbled: Electricity Maps answers figures of another zone than was asked for")


def test_the_third_version_is_told_alike(world):
    found = world.latest(source(world, version="v3"), "DEU")
    assert (found["DEU"].g_per_kwh, found["DEU"].source) == (350, "Electricity Maps v3, DE")
    assert world.paths == ["/v3/carbon-intensity/latest"]


def test_direct_figures_say_so(world):
    found = world.latest(source(world, emission_factor_type="direct"), "DEU")
    assert (found["DEU"].g_per_kwh, found["DEU"].basis) == (310, "direct")


def test_a_figure_on_another_basis_is_refused(world):
    answer = {
        "zone": "DE",
        "carbonIntensity": 310,
        "datetime": "2026-11-21T12:00:00Z",
        "emissionFactorType": "direct",
        "isEstimated": False,
    }
    world.instead(said(answer))
    assert "another basis" in str(world.failure(source(world), "DEU"))


def test_an_estimate_has_a_wider_band(world, api):
    api.estimated = True
    found = world.latest(source(world), "DEU")["DEU"]
    assert (found.estimated, found.forecast, found.low, found.high) == (True, False, 280, 420)


def test_estimates_can_be_declined(world):
    world.latest(source(world, estimations=False), "DEU")
    assert world.requests[0].one("disableEstimations") == "true"


def test_an_old_figure_is_as_of_its_end(world, api):
    api.late_h = 5
    assert world.latest(source(world), "DEU")["DEU"].as_of == "2026-11-21T08:00:00Z"


def test_a_figure_of_tomorrow_means_that_a_clock_is_wrong(world, api):
    api.late_h = -2
    failure = world.failure(source(world), "DEU")
    assert failure.kind == "garbled"
    assert "one of the two clocks is wrong" in str(failure)


def test_a_provider_a_few_minutes_ahead_is_believed(world, api):
    world.now_s = NOW_S - 12 * 60
    assert world.latest(source(world), "DEU")["DEU"].as_of == "2026-11-21T11:58:00Z"


def test_where_the_latest_is_not_there_yet_history_fills_in(world, api):
    api.hidden = {"DE"}
    found = world.latest(source(world), "DEU")["DEU"]
    assert (found.g_per_kwh, found.as_of) == (350, "2026-11-21T12:00:00Z")
    assert world.paths == ["/v4/carbon-intensity/latest", "/v4/carbon-intensity/history"]


@pytest.mark.parametrize("value", [-1, 5001, "350", True, 1e300])
def test_what_is_no_intensity_is_refused(world, api, value):
    api.grams["DE"] = value
    assert world.failure(source(world), "DEU").kind == "garbled"
    assert list(world.latest(source(world), "DEU", "SWE")) == ["SWE"]


def test_a_zone_unknown_to_the_provider_is_left_out_and_asked_for_again_hours_later(world, api):
    assert list(world.latest(source(world), "FRA", "SWE")) == ["SWE"]
    world.latest(source(world), "FRA")
    assert [request.one("zone") for request in world.requests].count("FR") == 1
    world.now_s += 7 * 3600
    api.now_s = world.now_s
    api.grams["FR"] = 20
    assert world.latest(source(world), "FRA")["FRA"].g_per_kwh == 20


def test_a_zone_outside_the_plan_leaves_the_others(world, api):
    api.plan = {"SE"}
    assert list(world.latest(source(world), "DEU", "SWE")) == ["SWE"]
    assert world.failure(source(world), "DEU").kind == "forbidden"


def test_a_wrong_key_is_forbidden_and_never_shown(world):
    world.secrets["EM"] = "wrong-key"
    failure = world.failure(source(world), "DEU", "SWE")
    assert str(failure) == "forbidden: Electricity Maps answers 401"


def test_a_rate_limit_says_when_to_come_back_and_ends_the_asking(world, api):
    api.left = 0
    failure = world.failure(source(world), "DEU", "SWE", "FRA", "aws:us-east-1", "aws:us-west-1", "aws:ca-central-1", "NOR", "FIN")
    assert (failure.kind, failure.retry_after_s) == ("limited", 1800)
    assert len(world.requests) <= 4
    api.left = 1
    assert len(world.latest(source(world), "DEU", "SWE")) == 1


def test_own_assignments_go_first_in_any_spelling(world):
    named = source(world, zones={"se": "US-CAL-CISO", "US-EGRID-CAMX": "US-CAL-CISO", "Eu": {"lat": 52.5, "lon": 13.4}})
    named = msgspec.convert(msgspec.to_builtins(named), ElectricityMaps)
    found = world.latest(named, "SWE", "US-EGRID-CAMX", "EU")
    assert {zone: (each.g_per_kwh, each.source) for zone, each in found.items()} == {
        "EU": (350, "Electricity Maps v4, DE at 52.5, 13.4"),
        "SWE": (210, "Electricity Maps v4, US-CAL-CISO"),
        "US-EGRID-CAMX": (210, "Electricity Maps v4, US-CAL-CISO"),
    }


def test_a_forecast_begins_now_and_ends_in_time(world):
    found = world.ahead(source(world), "DEU", 6)
    assert [each.as_of for each in found] == [f"2026-11-21T{hour}:00:00Z" for hour in range(12, 19)]
    assert {(each.forecast, each.low, each.high, each.basis) for each in found} == {(True, 280, 420, "lifecycle")}
    assert world.requests[0].one("horizonHours") == "6"


@pytest.mark.parametrize(("hours", "horizon"), [(1, "6"), (7, "24"), (24, "24"), (30, "48"), (49, "72"), (500, "72")])
def test_the_horizon_is_one_they_have(world, hours, horizon):
    assert world.ahead(source(world), "DEU", hours)
    assert world.requests[0].one("horizonHours") == horizon


def test_there_is_no_direct_forecast_and_none_for_what_is_no_grid(world):
    assert world.ahead(source(world, emission_factor_type="direct"), "DEU") == ()
    assert world.ahead(source(world), "WORLD") == ()
    assert world.requests == []


def test_a_forecast_outside_the_plan_is_an_error(world, api):
    api.forecasts = False
    with pytest.raises(OutOfReachError, match="forbidden"):
        world.ahead(source(world), "DEU")


def test_the_hours_gone_by_can_be_asked_for(world):
    found = world.run(source(world).past("DEU", 3, world.reach))
    assert [each.as_of for each in found] == ["2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z"]


def test_five_minutes_are_asked_for_and_told_as_such(world):
    fine = source(world, granularity="5_minutes")
    assert world.latest(fine, "DEU")["DEU"].as_of == "2026-11-21T12:10:00Z"
    assert len(world.ahead(fine, "DEU", 6)) == 72


@pytest.mark.parametrize(
    "answer",
    [
        page(200),
        said([]),
        said({"zone": "DE", "carbonIntensity": 1}),
        said({"zone": "DE", "carbonIntensity": 1, "datetime": "2026-11-21T12:00:00"}),
        said({"carbonIntensity": 1, "datetime": "2026-11-21T12:00:00Z"}),
    ],
)
def test_answers_of_another_shape_are_garbled(world, answer):
    world.instead(answer)
    assert world.failure(source(world), "DEU").kind == "garbled"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"token": "plain-text-key"},
        {"token": "env:EM", "version": "v2"},
        {"token": "env:EM", "zones": {"Atlantis": "XX"}},
        {"token": "env:EM", "zones": {"SE": "SE", "SWE": "SE"}},
        {"token": "env:EM", "zones": {"SE": {"lat": 91, "lon": 0}}},
        {"token": "env:EM", "base_url": "ftp://here"},
        {"token": "env:EM", "base_url": "https://user:word@here"},
        {"token": "env:EM", "every_s": 1},
        {"token": "env:EM", "key": "x"},
    ],
)
def test_wrong_settings_are_refused_without_showing_them(wrong):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(wrong, ElectricityMaps)
    assert "plain-text-key" not in str(caught.value)
