"""The Carbon Aware SDK: locations, what its operator must say of the provider behind, and its answers."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from carbon.intensity import Intensity
from carbon.sources.carbon_aware_sdk import LICENCE, CarbonAwareSdk
from tests.carbon.sources.asking import NOW_S, World
from tests.imitations.grids.carbon_aware_sdk import CarbonAwareApi
from tests.imitations.grids.server import page, said


@pytest.fixture
def api() -> CarbonAwareApi:
    return CarbonAwareApi(NOW_S)


@pytest.fixture
def world(api: CarbonAwareApi) -> Iterator[World]:
    with World(api, SDK="Bearer sdk-key") as world:
        yield world


def source(world: World, **more: object) -> CarbonAwareSdk:
    return msgspec.convert({"base_url": world.url, "basis": "lifecycle", "signal": "average", **more}, CarbonAwareSdk)


def test_a_cloud_region_is_a_location_by_its_own_name(world):
    assert world.latest(source(world), "azure:eastus", "SWE", "WORLD") == {
        "azure:eastus": Intensity(
            zone="azure:eastus",
            g_per_kwh=70.5,
            low=56.4,
            high=84.6,
            basis="lifecycle",
            source="Carbon Aware SDK, US-MIDA-PJM",
            as_of="2026-11-21T12:10:00Z",
            licence=LICENCE,
            estimated=True,
        )
    }
    (request,) = world.requests
    assert request.params == {"location": ["eastus"], "time": ["2026-11-20T12:10:00Z"], "toTime": ["2026-11-21T12:10:00Z"]}


def test_own_locations_go_first(world):
    found = world.latest(source(world, locations={"se": "stockholm", "aws:eu-north-1": "swedencentral"}), "SWE", "aws:eu-north-1")
    assert {zone: each.source[18:] for zone, each in found.items()} == {"SWE": "SE-SE3", "aws:eu-north-1": "SE"}


def test_basis_and_signal_are_as_the_operator_says(world):
    found = world.latest(source(world, basis="direct", signal="marginal"), "azure:eastus")
    assert (found["azure:eastus~"].basis, found["azure:eastus~"].signal) == ("direct", "marginal")


def test_a_location_it_does_not_know_is_left_out_and_remembered(world):
    assert list(world.latest(source(world), "azure:eastus", "aws:us-east-1")) == ["azure:eastus"]
    world.latest(source(world), "aws:us-east-1")
    assert len(world.requests) == 2


def test_an_address_with_another_path_is_an_error(world):
    assert str(world.failure(source(world, base_url=f"{world.url}/api"), "azure:eastus")) == "status: Carbon Aware SDK answers 404"


def test_nothing_of_that_time_is_nothing(world, api):
    api.empty = True
    assert world.latest(source(world), "azure:eastus") == {}


@pytest.mark.parametrize(("duration", "as_of"), [("00:05:00", "12:05"), ("1.00:00:00", "12:10"), ("soon", "12:00")])
def test_a_figure_is_as_of_the_end_of_its_time(world, api, duration, as_of):
    api.duration = duration
    assert world.latest(source(world), "azure:eastus")["azure:eastus"].as_of == f"2026-11-21T{as_of}:00Z"


def test_the_key_stands_in_the_header_named(world, api):
    api.guard = ("x-api-key", "Bearer sdk-key")
    assert world.failure(source(world), "azure:eastus").kind == "forbidden"
    assert world.latest(source(world, header="x-api-key", key="env:SDK"), "azure:eastus")


def test_the_forecast(world):
    found = world.ahead(source(world), "azure:eastus", 3)
    assert [(each.as_of[11:16], each.g_per_kwh) for each in found] == [
        ("12:00", 50.25),
        ("13:00", 51.25),
        ("14:00", 52.25),
        ("15:00", 53.25),
    ]
    assert {(each.source, each.forecast) for each in found} == {("Carbon Aware SDK, US-MIDA-PJM", True)}


def test_a_provider_without_forecasts_has_none(world, api):
    api.forecasts = False
    assert world.ahead(source(world), "azure:eastus") == ()
    assert world.ahead(source(world), "WORLD") == ()


@pytest.mark.parametrize("value", [-1, 9000, "70", True, None])
def test_what_is_no_intensity_is_passed_over(world, api, value):
    """The hour before stands in, as old as it is."""
    api.rating = value
    found = world.latest(source(world), "azure:eastus")["azure:eastus"]
    assert (found.g_per_kwh, found.as_of) == (100, "2026-11-21T12:00:00Z")


@pytest.mark.parametrize("answer", [page(200), said({}), said([{"location": "x"}]), said([7])])
def test_answers_of_another_shape_are_garbled(world, answer):
    world.instead(answer)
    assert world.failure(source(world), "azure:eastus").kind == "garbled"


def test_a_clock_far_ahead_is_an_error(world, api):
    api.now_s += 7200
    assert "one of the two clocks is wrong" in str(world.failure(source(world), "azure:eastus"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"basis": "lifecycle-estimated"},
        {"signal": "both"},
        {"key": "plain"},
        {"header": "a: b"},
        {"locations": {"Atlantis": "x"}},
        {"url": "x"},
    ],
)
def test_wrong_settings_are_refused(world, wrong):
    with pytest.raises(msgspec.ValidationError):
        source(world, **wrong)


@pytest.mark.parametrize("missing", ["basis", "signal", "base_url"])
def test_what_only_the_operator_knows_must_be_said(missing):
    settings = {"base_url": "http://here", "basis": "direct", "signal": "marginal"}
    del settings[missing]
    with pytest.raises(msgspec.ValidationError, match=missing):
        msgspec.convert(settings, CarbonAwareSdk)
