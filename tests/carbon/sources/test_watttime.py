"""WattTime: tokens, both signals, pounds made grams, and regions by name or by place."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from carbon.intensity import Intensity
from carbon.sources.watttime import LICENCE, WattTime
from tests.carbon.sources.asking import NOW_S, World
from tests.imitations.grids.server import page, said
from tests.imitations.grids.watttime import WattTimeApi


@pytest.fixture
def api() -> WattTimeApi:
    return WattTimeApi(NOW_S)


@pytest.fixture
def world(api: WattTimeApi) -> Iterator[World]:
    with World(api, WT_USER="ann", WT_PASS="pass word") as world:
        yield world


def source(world: World, **more: object) -> WattTime:
    settings = {
        "username": "env:WT_USER",
        "password": "env:WT_PASS",
        "regions": {"US-CAL-CISO": "CAISO_NORTH"},
        "base_url": world.url,
        **more,
    }
    return msgspec.convert(settings, WattTime)


def test_marginal_and_average_are_told_apart_in_grams(world):
    """1000 lb/MWh x 0.45359237 = 453.5924 g/kWh; the average is of 09:00 to 10:00."""
    found = world.latest(source(world), "US-CAL-CISO", "SWE")
    assert found == {
        "US-CAL-CISO": Intensity(
            zone="US-CAL-CISO",
            g_per_kwh=226.7962,
            low=204.1166,
            high=249.4758,
            basis="direct",
            source="WattTime v3 co2_aoer, CAISO_NORTH",
            as_of="2026-11-21T10:00:00Z",
            licence=LICENCE,
        ),
        "US-CAL-CISO~": Intensity(
            zone="US-CAL-CISO",
            g_per_kwh=453.5924,
            low=362.8739,
            high=544.3109,
            basis="direct",
            source="WattTime v3 co2_moer, CAISO_NORTH",
            as_of="2026-11-21T12:10:00Z",
            licence=LICENCE,
            signal="marginal",
            estimated=True,
        ),
    }


def test_one_login_serves_until_its_token_ends(world, api):
    for minutes in (0, 10, 20, 27):
        world.now_s = api.now_s = NOW_S + minutes * 60
        assert world.latest(source(world), "US-CAL-CISO")
    assert api.logins == 1
    world.now_s = api.now_s = NOW_S + 29 * 60
    assert world.latest(source(world), "US-CAL-CISO")
    assert api.logins == 2


def test_a_token_that_is_refused_is_renewed_once(world, api):
    world.latest(source(world), "US-CAL-CISO")
    api.tokens.clear()
    assert len(world.latest(source(world), "US-CAL-CISO")) == 2
    assert api.logins <= 3  # both signals are asked for at once, and each may find it refused
    world.instead(*[said({"error": "UNAUTHORIZED"}, 401)] * 2, said({"token": "t"}), *[said({"error": "UNAUTHORIZED"}, 401)] * 9)
    assert world.failure(source(world), "US-CAL-CISO").kind == "forbidden"


def test_a_wrong_password_is_forbidden_and_not_shown(world):
    world.secrets["WT_PASS"] = "wrong-word"
    failure = world.failure(source(world), "US-CAL-CISO")
    assert str(failure) == "forbidden: WattTime answers 403"
    assert world.paths == ["/login"]


@pytest.mark.parametrize(("denied", "left"), [("co2_aoer", "US-CAL-CISO~"), ("co2_moer", "US-CAL-CISO")])
def test_a_signal_outside_the_plan_leaves_the_other(world, api, denied, left):
    api.denied = {(denied, "CAISO_NORTH")}
    assert list(world.latest(source(world), "US-CAL-CISO")) == [left]


def test_no_signal_in_the_plan_is_forbidden(world, api):
    api.denied = {("co2_aoer", "CAISO_NORTH"), ("co2_moer", "CAISO_NORTH")}
    assert world.failure(source(world), "US-CAL-CISO").kind == "forbidden"


def test_one_signal_may_be_enough(world):
    assert list(world.latest(source(world, signals=["co2_moer"]), "US-CAL-CISO")) == ["US-CAL-CISO~"]


def test_a_place_is_looked_up_and_remembered(world):
    named = source(world, regions={"aws:eu-north-1": {"lat": 59.3, "lon": 18.1}, "se": "SE"})
    found = world.latest(named, "aws:eu-north-1", "SWE")
    assert {zone: each.source for zone, each in found.items()} == {
        "SWE": "WattTime v3 co2_aoer, SE",
        "SWE~": "WattTime v3 co2_moer, SE",
        "aws:eu-north-1": "WattTime v3 co2_aoer, SE",
        "aws:eu-north-1~": "WattTime v3 co2_moer, SE",
    }
    world.latest(named, "aws:eu-north-1")
    assert world.paths.count("/v3/region-from-loc") == 2  # one a signal: regions differ between them


def test_a_place_without_a_region_is_left_out_and_not_asked_for_again(world):
    named = source(world, regions={"NZ": {"lat": -41.3, "lon": -174.8}})
    assert world.latest(named, "NZL") == {}
    asked = len(world.requests)
    assert world.latest(named, "NZL") == {}
    assert len(world.requests) == asked


def test_zones_without_a_region_are_not_told_and_nothing_is_asked(world):
    assert world.latest(source(world), "SWE", "WORLD", "aws:us-west-1") == {}
    assert world.requests == []


def test_another_unit_is_refused(world, api):
    api.units = "percentile"
    failure = world.failure(source(world), "US-CAL-CISO")
    assert str(failure) == "garbled: WattTime answers figures in another unit than lbs_co2_per_mwh"


def test_an_answer_for_another_region_is_refused(world, api):
    api.rates["co2_moer", "SE"] = 80
    meta = {"region": "SE", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh", "data_point_period_seconds": 300}
    point = {"point_time": "2026-11-21T12:10:00+00:00", "value": 80}
    world.instead(said({"token": "t"}), said({"data": [point], "meta": meta}))
    assert "another region" in str(world.failure(source(world, signals=["co2_moer"]), "US-CAL-CISO"))


@pytest.mark.parametrize("value", [-1, 12_000, "80", True, None])
def test_what_is_no_rate_is_refused(world, api, value):
    api.rates["co2_moer", "CAISO_NORTH"] = value
    assert list(world.latest(source(world), "US-CAL-CISO")) == ["US-CAL-CISO"]
    assert world.failure(source(world, signals=["co2_moer"]), "US-CAL-CISO").kind == "garbled"


def test_imputed_averages_have_a_wider_band(world, api):
    api.imputed = True
    found = world.latest(source(world), "US-CAL-CISO")["US-CAL-CISO"]
    assert (found.estimated, found.high) == (True, 272.1554)


def test_a_forecast_that_was_not_renewed_is_as_old_as_it_is(world, api):
    api.late_s = 3600
    assert world.latest(source(world), "US-CAL-CISO")["US-CAL-CISO~"].as_of == "2026-11-21T11:15:00Z"


def test_a_clock_far_ahead_is_an_error(world, api):
    api.late_s = -3600
    failure = world.failure(source(world, signals=["co2_moer"]), "US-CAL-CISO")
    assert "one of the two clocks is wrong" in str(failure)


def test_the_forecast_is_marginal(world):
    found = world.ahead(source(world), "US-CAL-CISO", 2)
    assert [each.as_of for each in found[:3]] == ["2026-11-21T12:10:00Z", "2026-11-21T12:15:00Z", "2026-11-21T12:20:00Z"]
    assert len(found) == 24
    assert {(each.signal, each.forecast, each.g_per_kwh) for each in found} == {("marginal", True, 453.5924)}
    assert world.requests[-1].one("horizon_hours") == "2"
    assert len(world.ahead(source(world), "US-CAL-CISO", 500)) == 865


def test_there_is_no_forecast_of_averages_nor_of_other_zones(world):
    assert world.ahead(source(world, signals=["co2_aoer"]), "US-CAL-CISO") == ()
    assert world.ahead(source(world), "SWE") == ()
    assert world.requests == []


@pytest.mark.parametrize("answer", [page(200), said([]), said({}), said({"token": 7}), said({"token": "a\nb"})])
def test_a_login_without_a_token_is_garbled(world, answer):
    world.instead(answer)
    assert world.failure(source(world), "US-CAL-CISO").kind == "garbled"


def test_too_many_calls_end_the_asking(world):
    world.instead(said({"token": "t"}), *[said({"error": "TOO_MANY"}, 429)] * 9)
    assert world.failure(source(world), "US-CAL-CISO").kind == "limited"


@pytest.mark.parametrize(
    "wrong",
    [
        {"regions": {}},
        {"regions": {"Atlantis": "X"}},
        {"regions": {"SE": {"lat": 1}}},
        {"signals": []},
        {"signals": ["health_damage"]},
        {"username": "ann"},
        {"password": "plain"},
        {"region": "SE"},
    ],
)
def test_wrong_settings_are_refused(world, wrong):
    with pytest.raises(msgspec.ValidationError) as caught:
        source(world, **wrong)
    assert "plain" not in str(caught.value)
