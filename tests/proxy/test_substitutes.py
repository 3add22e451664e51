"""When another model stands in: where the own one is full or down, or the policy lets it; and never otherwise."""

from __future__ import annotations

import concurrent.futures

import pytest

from tests.harness import ask, chosen, held, until

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}


def place(upstream, settings, model="small"):
    return f'{{model: {model}, upstream_model: Qwen/Qwen3-8B, base_url: "{upstream.url}", {settings}}}'


@pytest.fixture
def stand_in(proxy, upstream):
    """Model `large` with one deployment; `small` may stand in: cleaner and cheaper."""
    own, other = upstream(), upstream()

    def make(policy="{}", own_more="", require=""):
        text = f"""
models: {{large: {{substitutes: [small]}}}}
deployments:
  own: {place(own, "zone: PL, privacy: local, usd_per_request: 2.0" + own_more, "large")}
  other: {place(other, "zone: SE, privacy: vendor, usd_per_request: 1.0")}
policies: {{p: {policy}}}
policy: p
breaker: {{failures: 1, open_s: 30}}
"""
        served = proxy(text)
        served.own, served.other = own, other
        return served

    return make


LARGE = {**CHAT, "model": "large"}


@pytest.mark.parametrize("objective", ["lowest_carbon", "cheapest", "round_robin"])
def test_another_model_never_serves_while_the_own_can(stand_in, objective):
    served = stand_in(f"{{objective: {objective}}}")
    assert {chosen(ask(served, LARGE))[0] for _ in range(3)} == {"own"}
    assert served.other.requests == []


def test_another_model_serves_where_the_own_is_down(stand_in):
    served = stand_in()
    served.own.answer = lambda _, handler: handler.reply(500, {})
    first, second = ask(served, LARGE), ask(served, LARGE)
    assert chosen(first) == ("other", "fallback")
    assert chosen(second) == ("other", "substituted")
    assert second.headers["x-greenlane-model"] == "small"
    assert len(served.own.requests) == 1


def test_another_model_serves_where_the_own_is_full(stand_in):
    served = stand_in(own_more=", concurrency: 1")
    let = held(served.own)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, served, LARGE)
        until(lambda: served.own.requests)
        assert chosen(ask(served, LARGE)) == ("other", "overflow")
        let.set()
        assert chosen(first.result())[0] == "own"


@pytest.mark.parametrize("say", ["policy", "header", "body"])
def test_substitutes_can_be_declined(stand_in, say):
    served = stand_in("{substitute: never}" if say == "policy" else "{}")
    served.own.answer = lambda _, handler: handler.reply(500, {})
    headers = {"x-greenlane-substitute": "never"} if say == "header" else {}
    body = {**LARGE, "greenlane": {"substitute": "never"}} if say == "body" else LARGE
    first, second = ask(served, body, **headers), ask(served, body, **headers)
    assert (first.status_code, second.status_code) == (502, 503)
    assert int(second.headers["retry-after"]) >= 1
    assert served.other.requests == []


@pytest.mark.parametrize("mode", ["greener", "cheaper", "any"])
def test_a_policy_may_let_a_better_model_stand_in(stand_in, mode):
    served = stand_in(f"{{substitute: {mode}, objective: {'cheapest' if mode == 'cheaper' else 'lowest_carbon'}}}")
    answer = ask(served, LARGE)
    assert chosen(answer) == ("other", "substituted")
    assert chosen(ask(served, LARGE, x_greenlane_substitute="never"))[0] == "own"


def test_a_model_whose_own_deployments_a_requirement_excludes_is_refused_not_replaced(stand_in):
    served = stand_in()
    answer = ask(served, LARGE, x_greenlane_max_g_per_kwh="100")
    assert answer.status_code == 422
    assert served.other.requests == served.own.requests == []


def test_a_substitute_meets_the_same_requirements(stand_in):
    served = stand_in()
    served.own.answer = lambda _, handler: handler.reply(500, {})
    assert ask(served, LARGE, x_greenlane_privacy="local").status_code == 502
    assert ask(served, LARGE, x_greenlane_privacy="local").status_code == 503
    assert served.other.requests == []
