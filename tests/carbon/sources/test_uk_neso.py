"""NESO: the country by what was generated, its regions by what is foretold."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from carbon.intensity import Intensity
from carbon.sources.uk_neso import LICENCE, UkNeso
from tests.carbon.sources.asking import NOW_S, World
from tests.imitations.grids.server import page, said
from tests.imitations.grids.uk_neso import NesoApi


@pytest.fixture
def api() -> NesoApi:
    return NesoApi(NOW_S)


@pytest.fixture
def world(api: NesoApi) -> Iterator[World]:
    with World(api) as world:
        yield world


def source(world: World, **more: object) -> UkNeso:
    return msgspec.convert({"base_url": world.url, **more}, UkNeso)


def test_the_country_is_told_by_what_was_generated(world):
    assert world.latest(source(world), "GBR", "FRA") == {
        "GBR": Intensity(
            zone="GBR",
            g_per_kwh=180,
            low=162,
            high=198,
            basis="direct",
            source="NESO Carbon Intensity API, Great Britain",
            as_of="2026-11-21T12:10:00Z",
            licence=LICENCE,
        )
    }
    assert world.paths == ["/intensity"]


def test_where_that_is_not_known_yet_the_forecast_stands_in_and_says_so(world, api):
    api.actual = None
    found = world.latest(source(world), "GBR")["GBR"]
    assert (found.g_per_kwh, found.forecast, found.estimated, found.high) == (170, True, True, 204)


def test_cloud_regions_are_told_by_their_region(world):
    found = world.latest(source(world), "aws:eu-west-2", "gcp:europe-west2", "azure:uksouth", "azure:ukwest")
    assert {zone: (each.g_per_kwh, each.source, each.forecast) for zone, each in found.items()} == {
        "aws:eu-west-2": (210, "NESO Carbon Intensity API, region 13 London", True),
        "azure:uksouth": (210, "NESO Carbon Intensity API, region 13 London", True),
        "azure:ukwest": (330, "NESO Carbon Intensity API, region 7 South Wales", True),
        "gcp:europe-west2": (210, "NESO Carbon Intensity API, region 13 London", True),
    }
    assert sorted(world.paths) == ["/regional/regionid/13", "/regional/regionid/7"]


def test_or_by_the_country(world):
    found = world.latest(source(world, regional=False), "aws:eu-west-2", "GBR")
    assert {each.source for each in found.values()} == {"NESO Carbon Intensity API, Great Britain"}
    assert world.paths == ["/intensity"]


def test_own_assignments_go_first(world):
    found = world.latest(source(world, regions={"uk": 1, "azure:UKWEST": 13}), "GBR", "azure:ukwest")
    assert {zone: each.g_per_kwh for zone, each in found.items()} == {"GBR": 0, "azure:ukwest": 210}


def test_nothing_emitted_is_a_figure(world):
    found = world.latest(source(world, regions={"GB": 1}), "GBR")["GBR"]
    assert (found.low, found.g_per_kwh, found.high) == (0, 0, 0)


def test_elsewhere_is_not_asked_for(world):
    assert world.latest(source(world), "DEU", "WORLD", "aws:eu-west-1") == {}
    assert world.ahead(source(world), "IRL") == ()
    assert world.requests == []


def test_the_forecast_of_the_country(world):
    found = world.ahead(source(world), "GBR", 2)
    assert [each.as_of[11:16] for each in found] == ["12:00", "12:30", "13:00", "13:30", "14:00"]
    assert {(each.g_per_kwh, each.forecast) for each in found} == {(170, True)}
    assert world.paths == ["/intensity/2026-11-21T12:10Z/fw24h"]


def test_the_forecast_of_a_region(world):
    found = world.ahead(source(world), "aws:eu-west-2", 36)
    assert len(found) == 73
    assert found[0].source == "NESO Carbon Intensity API, region 13 London"
    assert world.paths == ["/regional/intensity/2026-11-21T12:10Z/fw48h/regionid/13"]


def test_a_region_in_trouble_leaves_the_others(world):
    world.instead(page(502))
    assert len(world.latest(source(world), "GBR", "azure:ukwest")) == 1


def test_a_clock_far_ahead_is_an_error(world, api):
    api.skew_s = 7200
    assert "one of the two clocks is wrong" in str(world.failure(source(world), "GBR"))


def test_an_answer_that_was_not_renewed_is_as_old_as_it_is(world, api):
    api.skew_s = -7200
    assert world.latest(source(world), "GBR")["GBR"].as_of == "2026-11-21T10:30:00Z"


@pytest.mark.parametrize("value", [-1, 6000, "180", True])
def test_what_is_no_intensity_is_refused(world, api, value):
    api.actual = value
    assert world.failure(source(world), "GBR").kind == "garbled"


@pytest.mark.parametrize(
    "answer",
    [
        page(200),
        said({"data": {}}),
        said({"data": [{"intensity": {}}]}),
        said({"data": [{"from": "2026-11-21T12:30Z", "to": "2026-11-21T12:00Z", "intensity": {"forecast": 1}}]}),
        said({"error": {"code": "400 Bad Request", "message": "no"}}, 400),
    ],
)
def test_answers_of_another_shape_are_errors(world, answer):
    world.instead(answer)
    assert world.failure(source(world), "GBR").kind in {"garbled", "status"}


def test_an_answer_for_another_region_is_refused(world):
    world.instead(said({"data": [{"regionid": 12, "shortname": "South England", "data": []}]}))
    assert "another region" in str(world.failure(source(world), "aws:eu-west-2"))


@pytest.mark.parametrize("wrong", [{"regions": {"GB": 0}}, {"regions": {"GB": 18}}, {"regions": {"Atlantis": 1}}, {"token": "env:X"}])
def test_wrong_settings_are_refused(world, wrong):
    with pytest.raises(msgspec.ValidationError):
        source(world, **wrong)
