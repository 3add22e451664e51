"""Turns are counted among those who compete: what other requests may use disturbs nobody's."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.harness import ask

FLEET = """
policies: {{turns: {{objective: round_robin}}}}
policy: turns
deployments:
  near: {{model: small, base_url: "{url}", privacy: local, abilities: [tools, image, json_object, json_schema, n, logprobs]}}
  leased: {{model: small, base_url: "{url}", privacy: private, abilities: [tools, image, json_object, json_schema, n, logprobs]}}
  third: {{model: small, base_url: "{url}", abilities: [tools, json_object, json_schema, n, logprobs]}}
  fourth: {{model: small, base_url: "{url}", abilities: [tools, json_object, json_schema, n, logprobs]}}
"""
PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]


@pytest.fixture
def fleet(proxy, upstream):
    return proxy(FLEET.format(url=upstream().url))


def where(served, body=None, **headers):
    answer = ask(served, body, **headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-greenlane-deployment"]


@pytest.mark.parametrize(
    ("narrow", "among"),
    [({"x_greenlane_privacy": "local"}, ["near"]), ({"x_greenlane_privacy": "private"}, ["near", "leased"])],
)
def test_a_request_that_may_use_fewer_takes_no_turn_of_the_others(fleet, narrow, among):
    """One that may use all and one that may not, by turns: counted together, the first would always meet the same few."""
    wide, few = Counter(), Counter()
    for _ in range(8):
        wide[where(fleet)] += 1
        few[where(fleet, **narrow)] += 1
    assert wide == dict.fromkeys(["near", "leased", "third", "fourth"], 2)
    assert few == dict.fromkeys(among, 8 // len(among))


def test_what_a_request_needs_counts_apart_as_well(fleet):
    """Abilities are looked at in the decision itself."""
    seeing = {"model": "small", "messages": [{"role": "user", "content": PICTURE}]}
    wide, few = Counter(), Counter()
    for _ in range(8):
        wide[where(fleet)] += 1
        few[where(fleet, seeing)] += 1
    assert wide == dict.fromkeys(["near", "leased", "third", "fourth"], 2)
    assert few == {"near": 4, "leased": 4}
