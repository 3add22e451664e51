"""Live figures as people ask for them: any zone, ahead and back, at the endpoint and in the terminal; and on which basis."""

from __future__ import annotations

import itertools
import json

import pytest

from proxy.cli.command import run
from tests.harness import ask, until
from tests.imitations.grids import server as says
from tests.imitations.grids.electricity_maps import ElectricityMapsApi
from tests.imitations.grids.prometheus import PrometheusApi
from tests.imitations.grids.uk_neso import NesoApi
from tests.proxy.live import CHAT, ENVIRON, VERBOSE, again, grams, reads, states, told


@pytest.fixture
def served(live):
    made = live()
    made.maps.provider.grams |= {"FR": 55, "GB": 150}
    told(made, swedish=30)
    return made


def asked(served, what="latest"):
    return [request.one("zone") for request in served.maps.requests if request.path.endswith(what)]


@pytest.mark.parametrize("written", ["FR", "Paris", "48.86,2.35", "aws:eu-west-3"])
def test_a_zone_of_no_deployment_is_asked_about_once_however_it_is_written(served, written):
    first = reads(served, zone=written)
    assert first["average"]["g_per_kwh"] == 55
    assert {**reads(served, zone=written)["average"], "age_s": 0} == {**first["average"], "age_s": 0}
    assert sorted(asked(served)) == ["DE", "FR", "SE"]
    until(lambda: grams(served)["swedish"] == 30)


def test_a_figure_that_may_not_be_passed_on_says_so(served):
    assert "proprietary" in reads(served, zone="SE")["average"]["licence"]
    assert {each["feed"]: "proprietary" in each["licence"] for each in reads(served, zone="SE")["told"]} == {
        "electricity_maps": True,
        "static": False,
    }


def test_a_zone_the_plan_does_not_hold_is_told_by_the_next_and_costs_the_fleet_nothing(served):
    served.maps.provider.plan = {"SE", "DE"}
    assert "Ember" in reads(served, zone="FR")["average"]["source"]
    assert states(served)["electricity_maps"] == "fresh"
    served.maps.provider.grams["SE"] = 44
    again(served)
    told(served, swedish=44)


def test_who_asks_about_a_zone_does_not_wait_long_for_a_source_that_hangs(served, monkeypatch):
    monkeypatch.setattr("proxy.workers.intensity.LOOK_UP_S", 0.1)
    served.maps.instead.append(says.STALL)
    assert "Ember" in reads(served, zone="FR")["average"]["source"]


def test_the_forecast_is_the_sources_and_asked_for_once(served):
    first = reads(served, zone="SE", horizon="6h")["forecast"]
    assert 6 <= len(first) <= 7
    assert {(each["g_per_kwh"], each["forecast"], each["basis"], each["source"]) for each in first} == {
        (30, True, "lifecycle", "Electricity Maps v4, SE")
    }
    assert all(earlier["as_of"] < later["as_of"] for earlier, later in itertools.pairwise(first))
    assert len(reads(served, zone="SE", horizon="24h")["forecast"]) >= 24
    assert asked(served, "forecast") == ["SE"]


def test_a_source_without_forecasts_in_its_plan_leaves_none(served):
    served.maps.provider.forecasts = False
    assert reads(served, zone="SE", horizon="6h")["forecast"] == []
    assert reads(served, zone="SE")["average"]["g_per_kwh"] == 30
    assert states(served)["electricity_maps"] == "fresh"


BRITISH = """
carbon:
  basis: {basis}
  sources:
    - uk_neso: {{base_url: "{neso}"}}
    - electricity_maps: {{token: "env:LIVE_EM_KEY", base_url: "{maps}"}}
policies: {{green: {{objective: lowest_carbon}}}}
models: {{small: {{policy: green}}}}
deployments:
  swedish: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: SE}}
  britain: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: GB}}
"""


@pytest.fixture
def british(proxy, upstream, standing):
    """Direct figures of Great Britain, lifecycle figures of Sweden, and no shipped table behind them."""

    def make(basis):
        maps = standing(ElectricityMapsApi)
        served = proxy(BRITISH.format(basis=basis, neso=standing(NesoApi).url, maps=maps.url, url=upstream().url), environ=ENVIRON)
        until(lambda: set(states(served).values()) == {"fresh"} and "britain" in grams(served))
        return served

    return make


def test_of_two_bases_the_direct_one_is_converted_before_anything_is_compared(british):
    served = british("lifecycle")
    told(served, swedish=30, britain=228.2)
    answer = ask(served, CHAT, **VERBOSE)
    assert (answer.headers["x-greenlane-deployment"], answer.headers["x-carbon-basis"]) == ("swedish", "lifecycle")
    ahead = reads(served, zone="GB", horizon="12h")["forecast"]
    assert {each["basis"] for each in ahead} == {"lifecycle-estimated"}
    until(lambda: reads(served, zone="GB", history="2h")["history"])
    past = reads(served, zone="GB", history="2h")["history"]
    assert {each["basis"] for each in past} == {"lifecycle-estimated"}


MARGINS = """
carbon:
  sources:
    - prometheus: {{base_url: "{prom}", query: swedish, zone_label: zone, basis: lifecycle, signal: marginal}}
    - prometheus: {{base_url: "{prom}", query: polish, zone_label: zone, basis: {basis}, signal: marginal}}
    - static
models: {{small: {{policy: green, default: polish}}}}
policies: {{green: {{objective: lowest_carbon}}}}
deployments:
  swedish: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: SE}}
  polish: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: PL}}
"""


@pytest.mark.parametrize(("basis", "compared"), [("lifecycle", True), ("direct", False)])
def test_marginal_rates_of_two_bases_are_shown_and_not_compared(proxy, upstream, standing, basis, compared):
    prom = standing(PrometheusApi)
    prom.provider.vectors = {"swedish": [({"zone": "SE"}, "500")], "polish": [({"zone": "PL"}, "800")]}
    served = proxy(MARGINS.format(prom=prom.url, basis=basis, url=upstream().url))
    until(lambda: served.call(lambda runtime: all(each.marginal for each in runtime.snapshot().served.values())))
    answer = ask(served, CHAT, **VERBOSE)
    found = served.entry(answer.headers["x-greenlane-id"])
    assert (found["deployment"], found["counterfactual"]["marginal"]["basis"]) == ("swedish", basis)
    assert found["avoided_g"] > 0
    assert (found["avoided_marginal_g"] is not None, "x-carbon-avoided-marginal-g" in answer.headers) == (compared, compared)


def test_where_direct_is_compared_lifecycle_figures_are_unknown_and_never_converted_back(british):
    served = british("direct")
    assert grams(served) == {"britain": 180}
    answer = ask(served, CHAT, **VERBOSE)
    assert (answer.headers["x-greenlane-deployment"], answer.headers["x-carbon-basis"]) == ("britain", "direct")
    rows = reads(served)["data"]
    assert [(each["zone"], each["average"] and each["average"]["basis"]) for each in rows] == [("SWE", None), ("GBR", "direct")]
    refused = ask(served, CHAT, x_greenlane_max_g_per_kwh="100")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "no_eligible_deployment")
    assert reads(served, zone="SE")["told"][0]["basis"] == "lifecycle"
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert entry["account"]["intensity"]["basis"] == "direct"


def test_the_command_shows_the_fleet_a_zone_and_what_is_foretold(served, capsys):
    assert run(["intensity", "--url", served.base]) == 0
    fleet = capsys.readouterr().out.splitlines()
    assert fleet[1].split()[:2] == ["SWE", "30"]
    assert "Electricity Maps v4, SE" in fleet[1]
    assert run(["intensity", "Paris", "--url", served.base, "--horizon", "12h", "--history", "2h"]) == 0
    shown = capsys.readouterr().out
    assert "in use" in shown
    assert "lifecycle, average: " in shown
    assert "forecast by Electricity Maps v4, FR" in shown
    assert "▁" in shown or "█" in shown


def test_the_command_tells_a_source_that_fails(served, capsys):
    served.maps.instead += [says.said({"message": "no"}, 401)] * 4
    again(served)
    until(lambda: states(served)["electricity_maps"] == "forbidden")
    assert run(["intensity", "--url", served.base]) == 0
    assert "source electricity_maps: forbidden, 1 failure in a row" in capsys.readouterr().out


def test_the_command_asks_the_sources_of_a_configuration_once_for_the_whole_fleet(served, capsys):
    before = len(served.maps.requests)
    assert run(["intensity", "--config", str(served.path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {row["zone"]: row["average"]["g_per_kwh"] for row in answer["data"]} == {"SWE": 30, "DEU": 350}
    assert [(each["name"], each["state"]) for each in answer["sources"]] == [("electricity_maps", "fresh"), ("static", "fresh")]
    assert len(served.maps.requests) == before + 2
    assert run(["intensity", "Paris", "--config", str(served.path), "--horizon", "6h"]) == 0
    assert "forecast by Electricity Maps v4, FR" in capsys.readouterr().out
    assert run(["intensity", "SE", "--config", str(served.path), "--horizon", "never"]) == 1
