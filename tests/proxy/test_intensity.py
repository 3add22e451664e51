"""GET /v1/greenlane/intensity and the command that shows it, before the shipped table."""

from __future__ import annotations

import httpx
import pytest

from proxy.cli.command import run
from tests.harness import serving

FLEET = """
deployments:
  north: {{model: small, base_url: "{url}", zone: SE}}
  here: {{model: small, base_url: "{url}"}}
keys: {{k: {{team: t, key: "sha256:0b9a6e52ea34bb1ba8ff07f6a1b64d3a0b6e6e0d7a4a2f4a1c0c7ad0a6ee0c55"}}}}
teams: {{t: {{}}}}
"""
OPEN = FLEET.partition("keys:")[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: OPEN.format(url=url), tmp_path_factory.mktemp("intensity")) as made:
        yield made


def read(served, **query):
    return httpx.get(f"{served.base}/v1/greenlane/intensity", params=query, timeout=10)


def test_every_zone_of_the_fleet_is_told_with_the_deployments_in_it(served):
    body = read(served).json()
    assert [(each["zone"], each["deployments"], each["average"]["assumed"]) for each in body["data"]] == [
        ("SWE", ["north"], False),
        ("WORLD", ["here"], True),
    ]
    assert body["sources"] == [{"name": "static", "state": "fresh", "failures": 0, "zones": body["sources"][0]["zones"]}]


def test_a_figure_carries_all_that_defends_it(served):
    body = read(served, zone="se").json()
    assert body["zone"] == "SWE"
    average = body["average"]
    assert {name: average[name] for name in ("g_per_kwh", "basis", "signal", "estimated", "forecast", "as_of")} == {
        "g_per_kwh": 35.9,
        "basis": "lifecycle",
        "signal": "average",
        "estimated": False,
        "forecast": False,
        "as_of": "2024-12-31T23:59:59Z",
    }
    assert average["low"] < 35.9 < average["high"]
    assert average["age_s"] > 50_000_000
    assert "Ember" in average["source"]
    assert "CC BY" in average["licence"]
    assert body["marginal"] is None
    assert body["told"][0]["feed"] == "static"


def test_the_mean_of_a_year_foretells_nothing(served):
    body = read(served, zone="DE", horizon="24h", history="2d").json()
    assert (body["forecast"], body["history"]) == ([], [])


@pytest.mark.parametrize(
    ("query", "param", "told"),
    [
        ({"zone": "Atlantis"}, "zone", "not a zone"),
        ({"zone": "Swedn"}, "zone", "Nearest: SE"),
        ({"zone": "SE", "horizon": "soon"}, "horizon", "90m, 24h or 2d"),
        ({"zone": "SE", "horizon": "97h"}, "horizon", "at most 96h"),
        ({"zone": "SE", "history": "0h"}, "history", "at most 96h"),
        ({"horizon": "24h"}, "horizon", "needs `zone`"),
        ({"history": "24h"}, "history", "needs `zone`"),
        ({"zone": "DK-DK2"}, "zone", "Nearest: DK."),
    ],
)
def test_what_is_asked_wrongly_is_told_with_its_name(served, query, param, told):
    answer = read(served, **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert told in answer.json()["error"]["message"]


def test_it_needs_a_key_where_there_are_keys(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("keyed")) as made:
        assert read(made).status_code == 401


def test_the_command_shows_the_fleet_and_a_zone(served, capsys):
    assert run(["intensity", "--url", served.base]) == 0
    fleet = capsys.readouterr().out
    assert fleet.splitlines()[0].split()[:3] == ["zone", "g/kWh", "low"]
    assert "WORLD (assumed)" in fleet
    assert run(["intensity", "DE", "--url", served.base, "--horizon", "24h"]) == 0
    assert "no source foretells this zone now" in capsys.readouterr().out
    assert run(["intensity", "Atlantis", "--url", served.base]) == 1
    assert "400: `zone`" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["--horizon", "--history"])
def test_the_command_foretells_one_zone_and_not_the_fleet(served, capsys, name):
    assert run(["intensity", "--url", served.base, name, "24h"]) == 1
    assert "name it" in capsys.readouterr().err


def test_the_command_asks_the_sources_itself_where_it_is_given_a_configuration(served, capsys):
    assert run(["intensity", "--config", str(served.path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("SWE")
    assert run(["intensity", "aws:eu-west-1", "--config", str(served.path), "--json"]) == 0
    assert '"zone": "aws:eu-west-1"' in capsys.readouterr().out
    assert run(["intensity", "Atlantis", "--config", str(served.path)]) == 1
    assert run(["intensity", "SE", "--config", str(served.path), "--history", "1h"]) == 1
    assert "needs a running proxy" in capsys.readouterr().err
