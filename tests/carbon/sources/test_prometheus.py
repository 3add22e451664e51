"""Prometheus: a query a zone or one for all, and what its samples become."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from carbon.intensity import Intensity
from carbon.sources.prometheus import Prometheus
from tests.carbon.sources.asking import NOW_S, World
from tests.imitations.grids.prometheus import PrometheusApi
from tests.imitations.grids.server import page, said

BY_ZONE = 'grid_g_per_kwh{zone="{zone}"}'
ALL = "grid_g_per_kwh"


@pytest.fixture
def api() -> PrometheusApi:
    api = PrometheusApi(NOW_S)
    api.vectors['grid_g_per_kwh{zone="SWE"}'] = [({"zone": "SWE"}, "31.5")]
    api.vectors['grid_g_per_kwh{zone="sweden"}'] = [({"zone": "sweden"}, "32")]
    api.vectors[ALL] = [({"zone": "SE"}, "31.5"), ({"zone": "US-MIDA-PJM"}, "400"), ({"zone": "plant 7"}, "12"), ({}, "1")]
    return api


@pytest.fixture
def world(api: PrometheusApi) -> Iterator[World]:
    with World(api, PROM="prom-key") as world:
        yield world


def source(world: World, query: str = BY_ZONE, **more: object) -> Prometheus:
    return msgspec.convert({"base_url": world.url, "query": query, "basis": "lifecycle", **more}, Prometheus)


def labelled(world: World, **more: object) -> Prometheus:
    return source(world, ALL, zone_label="zone", **more)


def test_a_sample_is_told_whole(world):
    assert world.latest(source(world), "SWE", "DEU") == {
        "SWE": Intensity(
            zone="SWE",
            g_per_kwh=31.5,
            low=28.35,
            high=34.65,
            basis="lifecycle",
            source="Prometheus",
            as_of="2026-11-21T12:10:00Z",
            licence="the operator's own",
        )
    }
    assert sorted(request.one("query") for request in world.requests) == ['grid_g_per_kwh{zone="DEU"}', 'grid_g_per_kwh{zone="SWE"}']


def test_what_the_operator_says_of_the_figures_is_kept(world):
    said_so = {"basis": "direct", "signal": "marginal", "source": "our meter", "licence": "ours", "estimated": True, "forecast": True}
    found = world.latest(source(world, **said_so), "SWE")["SWE~"]
    assert {name: getattr(found, name) for name in said_so} == said_so
    assert found.high == 37.8


def test_zones_have_the_names_they_have_in_the_metrics(world):
    found = world.latest(source(world, zones={"se": "sweden"}), "SWE", "DEU")
    assert found["SWE"].g_per_kwh == 32
    assert len(world.requests) == 1


def test_a_name_cannot_leave_its_string(world):
    world.latest(source(world, zones={"se": 'x"} or vector(1) or a{b="'}), "SWE")
    assert world.requests[0].one("query") == 'grid_g_per_kwh{zone="x\\"} or vector(1) or a{b=\\""}'


def test_one_query_may_tell_all_zones(world):
    found = world.latest(labelled(world, zones={"FR": "plant 7"}), "SWE", "FRA", "DEU", "aws:eu-north-1", "azure:eastus", "US-MIDA-PJM")
    assert {zone: (each.g_per_kwh, each.source) for zone, each in found.items()} == {
        "FRA": (12, "Prometheus"),
        "SWE": (31.5, "Prometheus"),
        "US-MIDA-PJM": (400, "Prometheus"),
        "aws:eu-north-1": (31.5, "Prometheus, SWE"),
        "azure:eastus": (400, "Prometheus, US-MIDA-PJM"),
    }
    assert len(world.requests) == 1


def test_two_series_of_one_zone_are_none(world, api):
    api.vectors[ALL] += [({"zone": "swe"}, "99")]
    assert list(world.latest(labelled(world), "SWE", "US-MIDA-PJM")) == ["US-MIDA-PJM"]
    assert str(world.failure(labelled(world), "SWE")) == "garbled: Prometheus answers 2 series for zone SWE, where one was expected"
    api.vectors['grid_g_per_kwh{zone="SWE"}'] *= 2
    assert world.failure(source(world), "SWE").kind == "garbled"


def test_a_scalar_is_a_figure(world, api):
    found = world.latest(source(world, f"scalar({BY_ZONE})"), "SWE")
    assert found["SWE"].g_per_kwh == 31.5


def test_not_a_number_means_that_it_is_not_known(world, api):
    api.vectors['grid_g_per_kwh{zone="SWE"}'] = [({}, "NaN")]
    assert world.latest(source(world), "SWE") == {}
    assert world.latest(source(world, f"scalar({BY_ZONE})"), "DEU") == {}


@pytest.mark.parametrize("value", ["+Inf", "-Inf", "-1", "5001", "many", ""])
def test_what_is_no_intensity_is_refused(world, api, value):
    api.vectors['grid_g_per_kwh{zone="SWE"}'] = [({}, value)]
    assert world.failure(source(world), "SWE").kind == "garbled"


def test_warnings_make_a_figure_an_estimate(world, api):
    api.warnings = ["PartialResponse"]
    assert world.latest(source(world), "SWE")["SWE"].estimated
    assert world.latest(labelled(world), "SWE")["SWE"].estimated


def test_the_token_is_sent(world, api):
    api.token = "prom-key"
    assert world.failure(source(world), "SWE").kind == "forbidden"
    assert world.latest(source(world, token="env:PROM"), "SWE")


def test_a_wrong_query_and_a_slow_one_are_errors(world, api):
    assert world.failure(source(world, 'grid{zone="{zone}'), "SWE").kind == "status"
    api.slow = True
    assert world.failure(source(world), "SWE").kind == "status"


def test_a_matrix_is_no_figure(world):
    assert "not a vector or scalar" in str(world.failure(source(world, BY_ZONE + "[5m]"), "SWE"))


def test_a_scalar_has_no_labels(world):
    assert world.failure(source(world, "scalar(x)", zone_label="zone"), "SWE").kind == "garbled"


@pytest.mark.parametrize(
    "answer",
    [
        page(200),
        said({"status": "error", "errorType": "execution", "error": "no"}),
        said({"status": "success"}),
        said({"status": "success", "data": {"resultType": "vector", "result": [7]}}),
        said({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": 7}]}}),
        said({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [True, "1"]}]}}),
        said({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, 1]}]}}),
    ],
)
def test_answers_of_another_shape_are_garbled(world, answer):
    world.instead(answer)
    assert world.failure(source(world), "SWE").kind == "garbled"


def test_a_clock_far_ahead_is_an_error(world, api):
    api.now_s += 7200
    assert "one of the two clocks is wrong" in str(world.failure(source(world), "SWE"))


def test_it_foretells_nothing(world):
    assert world.ahead(source(world), "SWE") == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": "x"},
        {"query": ""},
        {"zone_label": "zone"},
        {"basis": "both"},
        {"zones": {"Atlantis": "x"}},
        {"query": "x", "zone_label": "z", "zones": {"SE": "a", "FR": "a"}},
        {"token": "plain"},
        {"source": ""},
    ],
)
def test_wrong_settings_are_refused(world, wrong):
    with pytest.raises(msgspec.ValidationError):
        source(world, **wrong)
