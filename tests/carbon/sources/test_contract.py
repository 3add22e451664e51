"""What holds for every source of intensities, whichever provider it asks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from carbon.intensity import Intensity
from carbon.sources._base import IntensitySource, instant_s
from carbon.sources.carbon_aware_sdk import CarbonAwareSdk
from carbon.sources.electricity_maps import ElectricityMaps
from carbon.sources.energy_charts import EnergyCharts
from carbon.sources.prometheus import Prometheus
from carbon.sources.static import Static
from carbon.sources.uk_neso import UkNeso
from carbon.sources.watttime import WattTime
from proxy.configuration.schema import descriptions
from tests.carbon.sources.asking import NOW_S, World
from tests.imitations.grids.carbon_aware_sdk import CarbonAwareApi
from tests.imitations.grids.electricity_maps import ElectricityMapsApi
from tests.imitations.grids.energy_charts import EnergyChartsApi
from tests.imitations.grids.prometheus import PrometheusApi
from tests.imitations.grids.server import page, said
from tests.imitations.grids.uk_neso import NesoApi
from tests.imitations.grids.watttime import WattTimeApi

SECRETS = {"USER": "secret-name", "WORD": "secret-word"}
ZONE = "aws:eu-west-2"
"""One that each of them knows, in London."""


class Case(NamedTuple):
    source: type[Any]
    provider: Any
    settings: dict[str, Any]


def _prometheus(now_s: float) -> PrometheusApi:
    api = PrometheusApi(now_s)
    api.token = "secret-word"
    api.vectors["grid"] = [({"zone": "eu-west-2"}, "120")]
    return api


def _electricity_maps(now_s: float) -> ElectricityMapsApi:
    api = ElectricityMapsApi(now_s, token="secret-word")
    api.grams["GB"] = 150
    return api


def _watttime(now_s: float) -> WattTimeApi:
    api = WattTimeApi(now_s, "secret-name", "secret-word")
    api.rates |= {("co2_moer", "UK"): 800, ("co2_aoer", "UK"): 300}
    return api


def _carbon_aware(now_s: float) -> CarbonAwareApi:
    api = CarbonAwareApi(now_s)
    api.behind["eu-west-2"] = "GB"
    api.guard = ("authorization", "secret-word")
    return api


SDK = {"basis": "lifecycle", "signal": "average", "key": "env:WORD"}
PROM = {"query": "grid", "zone_label": "zone", "basis": "direct", "token": "env:WORD"}
WATT = {"username": "env:USER", "password": "env:WORD", "regions": {ZONE: "UK"}}
CASES = {
    "electricity_maps": Case(ElectricityMaps, _electricity_maps, {"token": "env:WORD"}),
    "watttime": Case(WattTime, _watttime, WATT),
    "uk_neso": Case(UkNeso, NesoApi, {}),
    "energy_charts": Case(EnergyCharts, EnergyChartsApi, {}),
    "carbon_aware_sdk": Case(CarbonAwareSdk, _carbon_aware, SDK),
    "prometheus": Case(Prometheus, _prometheus, PROM),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def world(case: Case) -> Iterator[World]:
    with World(case.provider(NOW_S), **SECRETS) as world:
        yield world


@pytest.fixture
def source(case: Case, world: World) -> IntensitySource:
    made: IntensitySource = msgspec.convert({**case.settings, "base_url": world.url}, case.source)
    return made


def check(sample: Intensity) -> None:
    assert 0 <= sample.low <= sample.g_per_kwh <= sample.high
    assert sample.basis in {"lifecycle", "direct"}
    assert sample.as_of.endswith("Z")
    assert sample.source
    assert sample.licence
    assert not sample.assumed
    assert msgspec.json.decode(msgspec.json.encode(sample), type=Intensity) == sample


def test_a_zone_is_told_as_of_now_at_the_latest_and_others_are_left_out(source, world):
    found = world.latest(source, ZONE, "Atlantis", "WORLD")
    assert {each.zone for each in found.values()} == {ZONE}
    for sample in found.values():
        check(sample)
        assert NOW_S - 6 * 3600 <= instant_s(sample.as_of) <= NOW_S


def test_no_zone_is_no_question(source, world):
    assert world.latest(source) == {}


def test_a_forecast_goes_forward_and_says_what_it_is(source, world):
    found = world.ahead(source, ZONE, 6)
    at_s = [instant_s(sample.as_of) for sample in found]
    assert at_s == sorted(set(at_s))
    assert all(NOW_S - 3600 <= each < NOW_S + 6 * 3600 for each in at_s)
    for sample in found:
        check(sample)
        assert sample.forecast
        assert sample.zone == ZONE
    assert world.ahead(source, "Atlantis", 6) == ()


def test_no_secret_is_shown_whatever_goes_wrong(source, world, caplog):
    caplog.set_level(logging.DEBUG)
    shown = [repr(source), str(msgspec.to_builtins(source))]
    for answer in (page(500), page(401), page(200, "secret-word secret-name"), said({"error": "secret-word"}, 403), said(7)):
        world.server.instead[:] = [answer] * 5
        error = world.failure(source, ZONE)
        shown += [str(error), repr(error), error.kind]
    world.server.instead.clear()
    world.secrets["WORD"] = "secret-word\x00"
    try:
        world.latest(source, ZONE)
    except OSError as error:
        shown.append(str(error))
    assert "secret-" not in " ".join([*shown, *(record.getMessage() for record in caplog.records)])


def test_the_same_asking_twice_tells_the_same(source, world):
    assert world.latest(source, ZONE) == world.latest(source, ZONE)


def test_settings_are_frozen_closed_and_told(case):
    config = case.source.__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields
    texts = descriptions(case.source)
    assert [field for field in case.source.__struct_fields__ if not texts.get(field)] == []
    assert case.source.__doc__


def test_how_often_it_is_asked_is_a_setting_within_bounds(case, world):
    settings = {**case.settings, "base_url": world.url}
    assert 30 <= msgspec.convert(settings, case.source).every_s <= 86400
    assert msgspec.convert({**settings, "every_s": 3600}, case.source).every_s == 3600
    for wrong in (29, 86401, "often"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**settings, "every_s": wrong}, case.source)


def test_the_table_that_ships_keeps_to_it_too(world):
    for sample in world.latest(Static(), ZONE, "Atlantis").values():
        assert sample.zone == ZONE
        assert sample.low <= sample.g_per_kwh <= sample.high
    assert world.ahead(Static(), ZONE) == ()
