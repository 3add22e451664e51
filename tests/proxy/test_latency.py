"""What is observed of a deployment's latency is its own, and is forgotten when nobody has looked for a while."""

from __future__ import annotations

import time

import pytest

from proxy.dataplane.peer import OBSERVED_S
from tests.harness import ask, completion

TWO = """
policies: {{p: {{objective: cheapest}}, quick: {{require: {{max_ttft_s: 0.3}}}}, fast: {{objective: fastest}}}}
policy: p
deployments:
  first: {{model: small, base_url: "{first}", usd_per_mtok: {{input: 1}}, timeouts: {{first_byte_s: 0.5}}}}
  second: {{model: small, base_url: "{second}", usd_per_mtok: {{input: 2}}}}
"""
STREAMED = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def ttft_s(served, name):
    return served.call(lambda runtime: runtime.plane.peers[name].ttft_s)


def looked_long_ago(runtime):
    for peer in runtime.plane.peers.values():
        peer.observed_at_s -= OBSERVED_S


@pytest.fixture
def slow(proxy, upstream):
    """The second is slow, once."""
    state = {"slow": True}

    def host(received, handler):
        if state.pop("slow", False):
            time.sleep(0.5)
        completion(received, handler)

    text = TWO.format(first=upstream().url, second=upstream(host).url)
    served = proxy(text.replace("  first:", "  other:").replace("model: small", "model: other", 1))
    assert ask(served, STREAMED).status_code == 200
    assert ttft_s(served, "second") >= 0.5
    return served


def test_a_deployment_is_not_charged_with_the_time_another_took(proxy, upstream):
    def silent(received, handler):
        time.sleep(2)

    served = proxy(TWO.format(first=upstream(silent).url, second=upstream().url))
    answer = ask(served, STREAMED)
    assert answer.headers["x-greenlane-deployment"] == "second"
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert entry["attempts"][0]["kind"] == "timeout_first_byte"
    assert ttft_s(served, "second") <= entry["ttft_s"] - entry["attempts"][0]["seconds_s"] + 1e-6


def test_one_slow_answer_excludes_a_deployment_for_a_while_and_not_for_ever(slow):
    quick = {"x_greenlane_policy": "quick"}
    assert ask(slow, **quick).json()["error"]["code"] == "no_eligible_deployment"
    slow.call(looked_long_ago)
    assert ask(slow, **quick).status_code == 200
    assert ttft_s(slow, "second") is None


def test_a_deployment_that_nobody_looked_at_for_a_while_is_tried_again_by_the_fastest(proxy, upstream):
    served = proxy(TWO.format(first=upstream().url, second=upstream().url).replace("policy: p\n", "policy: fast\n"))
    for name in ("first", "second"):
        served.call(lambda runtime, name=name: runtime.plane.peers[name].observe_ttft(0.0 if name == "first" else 9.0))
    assert {ask(served).headers["x-greenlane-deployment"] for _ in range(20)} == {"first"}
    served.call(lambda runtime: setattr(runtime.plane.peers["second"], "observed_at_s", -OBSERVED_S))
    found = [
        (answer.headers["x-greenlane-deployment"], answer.headers["x-greenlane-reason"]) for answer in (ask(served) for _ in range(20))
    ]
    assert found.count(("second", "unobserved")) == 1
