"""A team's own factors are used in its accounts, and only in its; the record says which."""

from __future__ import annotations

import httpx
import pytest

from proxy.configuration import ConfigurationError, loads
from tests.harness import ask

FLEET = """
policies: {{green: {{objective: lowest_carbon}}}}
models: {{m: {{default: pl}}}}
deployments:
  pl: &one {{model: m, base_url: "{url}", zone: PL, privacy: local, parameters_b: 8, batch: 64, hardware: {{gpu: H100, count: 1}}}}
  se: {{<<: *one, zone: SE}}
teams:
  own: {{policy: green, carbon: {{pue: 1.05, g_per_kwh: {{SE: 12}}, source: "meter of hall 3", as_of: "2025-12-31", band: 0.05}}}}
  one: {{policy: green, carbon: {{g_per_kwh: 100, basis: direct, source: "the grid's operator", as_of: "2026-06-30"}}}}
  sun: {{policy: green, carbon: {{g_per_kwh: {{SE: 0}}, source: "own roof", as_of: "2026-06-30"}}}}
  plain: {{policy: green}}
keys:
  own: {{team: own, key: env:KEY_OWN}}
  one: {{team: one, key: env:KEY_ONE}}
  sun: {{team: sun, key: env:KEY_SUN}}
  plain: {{team: plain, key: env:KEY_PLAIN}}
"""
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
NAMES = ("own", "one", "sun", "plain")


@pytest.fixture
def served(proxy, upstream):
    return proxy(FLEET.format(url=upstream().url), environ={f"KEY_{name.upper()}": f"sk-{name}" for name in NAMES})


def asked(served, name, **body):
    answer = ask(served, CHAT | body, authorization=f"Bearer sk-{name}")
    path = f"{served.url}/greenlane/requests/{answer.headers['x-greenlane-id']}"
    return answer, httpx.get(path, headers={"authorization": f"Bearer sk-{name}"}, timeout=10).json()


@pytest.mark.parametrize("stream", [False, True])
def test_the_account_is_by_the_teams_own_factors_and_says_so(served, stream):
    (fleets, plain), (answer, own) = (asked(served, name, stream=stream) for name in ("plain", "own"))
    assert (plain["deployment"], own["deployment"]) == ("se", "se")
    if not stream:
        assert own["account"]["energy_j"] == pytest.approx(plain["account"]["energy_j"] * 1.05 / 1.15)
    assert own["account"]["carbon_g"] == pytest.approx(own["account"]["energy_j"] / 3.6e6 * 12)
    assert (own["profile"]["pue"], own["profile"]["pue_from"], plain["profile"]["pue_from"]) == (1.05, "team", "assumed")
    grid = own["account"]["intensity"]
    assert (grid["g_per_kwh"], grid["low_g_per_kwh"], grid["high_g_per_kwh"], grid["zone"]) == (
        12,
        pytest.approx(11.4),
        pytest.approx(12.6),
        "SWE",
    )
    assert (grid["source"], grid["as_of"], grid["basis"]) == ("team own: meter of hall 3", "2025-12-31T23:59:59Z", "lifecycle")
    assert (answer.headers["x-carbon-intensity-g-per-kwh"], fleets.headers["x-carbon-intensity-g-per-kwh"]) == ("12", "36")
    assert own["explanation"]["recomputed"]
    assert "the team's own" in [each["why"] for each in own["explanation"]["assumptions"]]


def test_one_figure_is_for_all_zones_and_brought_to_the_fleets_basis(served):
    """32 + 1.09 x 100 = 141."""
    _, found = asked(served, "one")
    grid = found["account"]["intensity"]
    assert (grid["g_per_kwh"], grid["basis"]) == (141, "lifecycle-estimated")
    # both places have the same grid now, so nothing is saved by either, and the proxy's own share is lost
    assert found["avoided_g"] == pytest.approx(-found["router_g"], abs=1e-12)


@pytest.mark.parametrize("stream", [False, True])
def test_power_without_emissions_saves_all_that_the_default_would_have_emitted(served, stream):
    """Nothing is divided by its grams."""
    answer, found = asked(served, "sun", stream=stream)
    assert (answer.status_code, found["deployment"], found["account"]["carbon_g"]) == (200, "se", 0.0)
    assert found["account"]["energy_j"] > 0
    assert found["avoided_g"] == pytest.approx(found["account"]["energy_j"] / 3.6e6 * 615 - found["router_g"])
    assert found["avoided_low_g"] > 0


def test_savings_are_compared_by_the_same_factors(served):
    """The default stands in Poland, of which the team says nothing: 615 g/kWh, in its building."""
    _, found = asked(served, "own")
    assert found["counterfactual"]["profile"]["pue"] == 1.05
    assert found["avoided_g"] == pytest.approx(found["account"]["energy_j"] / 3.6e6 * (615 - 12) - found["router_g"])
    assert found["explanation"]["counterfactual"]["lines"][-1]["result"] == pytest.approx(found["avoided_g"], rel=1e-4)


def test_an_estimate_is_by_them_too(served):
    def estimate(name, **body):
        headers = {"authorization": f"Bearer sk-{name}"}
        return httpx.post(f"{served.base}/estimate", json={"tokens_in": 1, "tokens_out": 9, **body}, headers=headers, timeout=10).json()

    for body in ({"model": "se"}, {"model": "m", "provider": "SE"}, {"model": "qwen3-32b", "provider": "SE"}):
        found = estimate("own", **body)
        assert found["account"]["intensity"]["source"] == "team own: meter of hall 3"
        assert found["explanation"]["methods"][0]["formula"][-1]["expression"].endswith("* 1.05")
    assert estimate("plain", model="se")["account"]["intensity"]["g_per_kwh"] != 12


def test_without_factors_the_fleets_deployments_are_used_as_they_are(served):
    asked(served, "plain")
    asked(served, "own")

    def same(runtime):
        snapshot = runtime.snapshot()
        return {key[2]: all(each is snapshot.served[each.name] for each in plan.served.values()) for key, plan in snapshot.plans.items()}

    assert served.call(same) == {"plain": True, "own": False}


ORGANISED = """
deployments:
  pl: &one {{model: m, base_url: "{url}", zone: PL, privacy: local, parameters_b: 8, batch: 64, hardware: {{gpu: H100, count: 1}}}}
  se: {{<<: *one, model: n, zone: SE}}
organisations:
  acme: {{carbon: {{pue: 1.3, g_per_kwh: {{SE: 20, PL: 700}}, source: "acme's meters", as_of: "2025-12-31"}}}}
  plain: {{}}
teams:
  own: {{organisation: acme, carbon: {{g_per_kwh: {{SE: 12}}, source: "meter of hall 3", as_of: "2025-12-31"}}}}
  one: {{organisation: acme, carbon: {{pue: 1.1}}}}
  plain: {{organisation: plain}}
keys: {{own: {{team: own, key: env:KEY_OWN}}, one: {{team: one, key: env:KEY_ONE}}, plain: {{team: plain, key: env:KEY_PLAIN}}}}
"""


def test_what_a_team_leaves_out_is_its_organisations_and_the_record_says_whose(proxy, upstream):
    served = proxy(ORGANISED.format(url=upstream().url), environ={f"KEY_{name.upper()}": f"sk-{name}" for name in NAMES})
    expected = {
        ("own", "n"): (12, "team own: meter of hall 3", 1.3, "organisation"),
        ("own", "m"): (700, "organisation acme: acme's meters", 1.3, "organisation"),
        ("one", "n"): (20, "organisation acme: acme's meters", 1.1, "team"),
    }
    for (name, model), told in expected.items():
        _, found = asked(served, name, model=model)
        grid, profile = found["account"]["intensity"], found["profile"]
        assert (grid["g_per_kwh"], grid["source"], profile["pue"], profile["pue_from"]) == told
        assert found["explanation"]["recomputed"]
    _, found = asked(served, "plain")
    assert (found["profile"]["pue_from"], found["account"]["intensity"]["g_per_kwh"]) == ("assumed", 615)


def test_an_organisation_that_is_not_there_is_told_with_its_place():
    text = "organisations: {acme: {carbon: {g_per_kwh: 3}}}\nteams: {t: {organisation: acne}}\n"
    with pytest.raises(ConfigurationError) as raised:
        loads("deployments: {a: {model: m, base_url: 'http://127.0.0.1:1'}}\n" + text)
    assert {each.path for each in raised.value.problems} == {
        "organisations.acme.carbon.source",
        "organisations.acme.carbon.as_of",
        "teams.t.organisation",
    }
    assert "acme" in next(each.message for each in raised.value.problems if each.path == "teams.t.organisation")


@pytest.mark.parametrize(
    ("carbon", "path"),
    [
        ("g_per_kwh: 12, as_of: '2025-12-31'", "teams.own.carbon.source"),
        ("g_per_kwh: 12, source: a", "teams.own.carbon.as_of"),
        ("g_per_kwh: 12, source: a, as_of: '2025-13-31'", "teams.own.carbon.as_of"),
        ("g_per_kwh: {Atlantis-9: 12}, source: a, as_of: '2025-12-31'", "teams.own.carbon.g_per_kwh.Atlantis-9"),
        ("pue: 0.9", "teams.own.carbon.pue"),
        ("g_per_kwh: -1, source: a, as_of: '2025-12-31'", "teams.own.carbon.g_per_kwh"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(carbon, path):
    with pytest.raises(ConfigurationError) as raised:
        loads(f"deployments: {{a: {{model: m, base_url: 'http://127.0.0.1:1'}}}}\nteams: {{own: {{carbon: {{{carbon}}}}}}}\n")
    assert [each.path for each in raised.value.problems] == [path]


def test_a_lifecycle_figure_cannot_be_made_a_direct_one():
    text = "carbon: {basis: direct}\ndeployments: {a: {model: m, base_url: 'http://127.0.0.1:1'}}\nteams: {own: {carbon: {%s}}}\n"
    told = "g_per_kwh: 12, source: a, as_of: '2025-12-31'"
    with pytest.raises(ConfigurationError) as raised:
        loads(text % told)
    assert [each.path for each in raised.value.problems] == ["teams.own.carbon.basis"]
    assert loads(text % f"{told}, basis: direct").teams["own"].carbon.basis == "direct"
