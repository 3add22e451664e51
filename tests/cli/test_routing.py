"""`greenlane route`: what is asked of the explanation, and how it is shown."""

from __future__ import annotations

import json
import sys
import types

import pytest

from proxy.cli import routing
from proxy.cli.command import run

EXPLANATION = {
    "model": "auto",
    "policy": "green",
    "reason": "lowest-carbon",
    "order": [
        {"deployment": "vllm-eu", "zone": "aws:eu-north-1", "g_per_kwh": 35.9, "g": 0.0001234, "usd": None, "privacy": "local"},
        {"deployment": "vllm-us", "zone": "aws:us-east-1", "g_per_kwh": 392.0, "g": 0.00135, "usd": None, "privacy": "local"},
    ],
    "rejected": [{"deployment": "openai", "constraint": "privacy"}],
    "unmet": ["max_ttft_s"],
}


@pytest.fixture
def asked(monkeypatch):
    calls = []
    explain = types.ModuleType("proxy.explain")

    def route(config, **question):
        calls.append((list(config.deployments), question))
        return EXPLANATION

    explain.route = route
    monkeypatch.setitem(sys.modules, "proxy.explain", explain)
    monkeypatch.delenv("GREENLANE_CONFIG", raising=False)
    return calls


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("deployments: {a: {model: m, base_url: 'http://h'}}")
    return str(path)


def test_a_decision_is_shown_with_its_reason_and_what_was_left_out(asked, file, capsys):
    assert run(["route", "--config", file, "--model", "auto"]) == 0
    assert capsys.readouterr().out == (
        "model auto, policy green: lowest-carbon\n"
        "\n"
        "deployment  zone            g_per_kwh         g  privacy\n"
        "vllm-eu     aws:eu-north-1       35.9  0.000123  local\n"
        "vllm-us     aws:us-east-1         392   0.00135  local\n"
        "\n"
        "left out  because of\n"
        "openai    privacy\n"
        "\n"
        "preferences nobody meets: max_ttft_s\n"
    )
    assert asked == [(["a"], {"model": "auto", "headers": {}, "input_tokens": 1000, "max_tokens": None, "key": None})]


def test_what_is_asked_for_goes_as_a_client_would_send_it(asked, file):
    options = ["--policy", "green", "--privacy", "local", "--max-g", "0.5", "--header", "Regions=EU,DE", "--header", "X-Tenant=a=b"]
    run(["route", "--config", file, "--model", "auto", "--input-tokens", "7", "--max-tokens", "9", *options])
    headers = {
        "x-greenlane-policy": "green",
        "x-greenlane-privacy": "local",
        "x-greenlane-max-g": "0.5",
        "x-greenlane-regions": "EU,DE",
        "x-tenant": "a=b",
    }
    assert asked[0][1] == {"model": "auto", "headers": headers, "input_tokens": 7, "max_tokens": 9, "key": None}


def test_a_refusal_ends_with_1(asked, file, monkeypatch, capsys):
    refusal = {"model": "auto", "policy": None, "reason": "refused", "order": [], "rejected": [], "message": "no deployment is left"}
    monkeypatch.setattr(sys.modules["proxy.explain"], "route", lambda _config, **_question: refusal)
    assert run(["route", "--config", file, "--model", "auto"]) == 1
    assert capsys.readouterr().out == "model auto, policy none: refused\n\nno deployment is left\n"


def test_the_decision_can_be_had_as_json(asked, file, capsys):
    assert run(["route", "--config", file, "--model", "auto", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == EXPLANATION


def test_without_a_configuration_the_embedded_fleet_is_asked(asked, monkeypatch):
    async def nothing():
        return []

    monkeypatch.setattr(routing, "discover", nothing)
    run(["route", "--model", "auto"])
    assert asked[0][0] == ["simulation-se", "simulation-de", "simulation-pl"]


def test_a_decision_is_explained_without_the_secrets_and_says_which_are_missing(asked, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("UPSTREAM", raising=False)
    path = tmp_path / "s.yaml"
    path.write_text("deployments: {a: {model: m, base_url: 'http://h', api_key: env:UPSTREAM}}")
    assert run(["route", "--config", str(path), "--model", "m"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("model auto, policy green")
    assert shown.err.splitlines() == [
        f"{path}:1: deployments.a.api_key: the environment variable UPSTREAM is not set",
        "greenlane: nothing is sent, so the decision is explained without them",
    ]


def test_a_configuration_that_is_wrong_otherwise_is_not_explained(asked, tmp_path, capsys):
    path = tmp_path / "w.yaml"
    path.write_text("deployments: {a: {model: m, base_url: 'http://h', zone: atlantis}}")
    assert run(["route", "--config", str(path), "--model", "m"]) == 1
    assert "deployments.a.zone" in capsys.readouterr().err
    assert asked == []


KEYED = """
deployments:
  far: {model: m, base_url: "http://h"}
  near: {model: m, base_url: "http://h", privacy: local}
  elsewhere: {model: n, base_url: "http://h"}
policies: {private: {require: {privacy: local}}}
teams: {t: {policy: private}, u: {}}
keys: {mine: {team: t, key: env:ABSENT}, other: {team: u, key: env:ABSENT_TOO, models: [n]}}
"""


@pytest.fixture
def keyed(tmp_path, monkeypatch):
    monkeypatch.delenv("GREENLANE_CONFIG", raising=False)
    path = tmp_path / "k.yaml"
    path.write_text(KEYED)
    return ["route", "--config", str(path), "--model", "m"]


def test_a_decision_is_explained_as_a_key_would_get_it(keyed, capsys):
    """Its team's policy, and the models it may use; nobody of a fleet with keys gets what there is without one."""
    assert run([*keyed, "--key", "mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["policy"], [each["deployment"] for each in told["order"]]) == ("private", ["near"])
    assert told["rejected"] == [{"deployment": "far", "constraint": "privacy"}]
    assert run([*keyed, "--key", "other"]) == 1
    assert "does not exist" in capsys.readouterr().out
    assert run([*keyed, "--json"]) == 0
    assert [each["deployment"] for each in json.loads(capsys.readouterr().out)["order"]] == ["far", "near"]


def test_a_key_that_is_not_configured_is_told(keyed, capsys):
    assert run([*keyed, "--key", "nobody"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "greenlane: no key is called 'nobody'; there are mine, other"
