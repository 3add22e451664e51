"""A preference steers wherever it is written, and the more specific one counts."""

from __future__ import annotations

import pytest

from tests.harness import ask

FLEET = """
deployments:
  far: {{model: small, base_url: "{url}", zone: PL, quality: 0.9}}
  near: {{model: small, base_url: "{url}", zone: SE, privacy: local}}
  leased: {{model: small, base_url: "{url}", zone: FR, privacy: private, quality: 0.5}}
"""
WRITTEN = {
    "everybody": "prefer: {privacy: %s}\n",
    "team": "teams: {t: {prefer: {privacy: %s}}}\n",
    "key": "keys: {k: {team: t, key: env:PREFERENCES_KEY, prefer: {privacy: %s}}}\n",
    "policy": "policies: {p: {prefer: {privacy: %s}}}\npolicy: p\n",
}
"""From the most general to the most specific."""
OTHERWISE = {"team": "teams: {t: {}}\n", "key": "keys: {k: {team: t, key: env:PREFERENCES_KEY}}\n"}


@pytest.fixture
def fleet(proxy, upstream, monkeypatch):
    monkeypatch.setenv("PREFERENCES_KEY", "sk-preferences")
    url = upstream().url

    def make(**privacy):
        text = "".join(WRITTEN[where] % privacy[where] if where in privacy else OTHERWISE.get(where, "") for where in WRITTEN)
        return proxy(FLEET.format(url=url) + text)

    return make


def where(served, **headers):
    answer = ask(served, authorization="Bearer sk-preferences", **headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-greenlane-deployment"]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_preference_counts_wherever_it_is_written(fleet, written):
    assert where(fleet(**{written: "local"})) == "near"


@pytest.mark.parametrize(("general", "specific"), [("everybody", "team"), ("team", "key"), ("key", "policy")])
def test_of_two_the_more_specific_counts(fleet, general, specific):
    assert where(fleet(**{general: "private", specific: "local"})) == "near"
    assert where(fleet(**{general: "vendor", specific: "local"})) == "near"


def test_a_request_s_own_comes_before_the_key_s(fleet):
    assert where(fleet(key="local"), x_greenlane_prefer="privacy=vendor") == "far"
