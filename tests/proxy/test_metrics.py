"""What a scrape tells: the names, labels and counts that dashboards are built on, and nothing that a caller wrote."""

from __future__ import annotations

import threading

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import ask, completion, serving, until

FLEET = """
deployments:
  north: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", privacy: local, zone: SE, usd_per_mtok: {{input: 1, output: 2}}}}
  south: {{model: other, base_url: "{url}", zone: PL}}
policies: {{green: {{objective: lowest_carbon}}}}
breaker: {{failures: 2}}
"""
NAMES = {
    "greenlane_requests_total": {"model", "deployment", "policy", "code"},
    "greenlane_request_duration_seconds_count": {"model", "deployment"},
    "greenlane_time_to_first_token_seconds_count": {"model", "deployment"},
    "greenlane_overhead_seconds_count": {"model", "deployment"},
    "greenlane_tokens_total": {"model", "deployment", "kind"},
    "greenlane_energy_joules_total": {"model", "deployment", "method"},
    "greenlane_co2e_grams_total": {"model", "deployment", "method"},
    "greenlane_cost_usd_total": {"model", "deployment"},
    "greenlane_grid_intensity_g_per_kwh": {"zone", "source"},
    "greenlane_grid_intensity_age_seconds": {"zone"},
    "greenlane_inflight": {"model", "deployment"},
    "greenlane_upstream_errors_total": {"deployment", "model", "kind"},
    "greenlane_policy_rejections_total": {"constraint"},
    "greenlane_ledger_pending": set(),
    "greenlane_deployment_up": {"model", "deployment"},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("metrics")) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.answer = completion
    shared.host.requests.clear()
    return shared


def scrape(served):
    """Value by name and labels."""
    answer = httpx.get(f"{served.base}/metrics", timeout=10, verify=False)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


class Grown:
    """What was added since it was made."""

    def __init__(self, served):
        self.served, self.before = served, scrape(served)

    def by(self, name, **labels):
        """The growth of all samples of that name that have these labels."""
        now = scrape(self.served)
        wanted = set(labels.items())
        return sum(value - self.before.get(key, 0.0) for key, value in now.items() if key[0] == name and wanted <= key[1])


SMALL = {"model": "small", "deployment": "north"}


def test_every_instrument_is_there_with_its_labels(served):
    ask(served)
    ask(served, {"model": "small", "messages": [], "stream": True})
    ask(served, x_greenlane_max_g_per_kwh="1")
    served.host.answer = lambda _, handler: handler.reply(500, {})
    ask(served)
    served.host.answer = completion
    ask(served)
    found = scrape(served)
    labels = {}
    for name, pairs in found:
        labels.setdefault(name, set()).update(label for label, _ in pairs)
    assert {name: labels.get(name) for name in NAMES} == NAMES
    families = [
        family.name for family in text_string_to_metric_families(httpx.get(f"{served.base}/metrics", verify=False, timeout=60).text)
    ]
    assert "greenlane_avoided_co2e_grams" in families
    assert len(families) == len(set(families))


def test_an_answer_is_counted_once_with_its_tokens_energy_grams_and_price(served):
    grown = Grown(served)
    headers = ask(served, x_greenlane_policy="green").headers
    assert grown.by("greenlane_requests_total") == 1
    assert grown.by("greenlane_requests_total", **SMALL, policy="green", code="200") == 1
    assert grown.by("greenlane_tokens_total", **SMALL, kind="input") == 9
    assert grown.by("greenlane_tokens_total", **SMALL, kind="output") == 3
    assert grown.by("greenlane_tokens_total", **SMALL) == 12
    assert grown.by("greenlane_co2e_grams_total", **SMALL, method=headers["x-carbon-method"]) == pytest.approx(
        float(headers["x-carbon-g"]), rel=0.06
    )
    assert grown.by("greenlane_energy_joules_total", **SMALL) == pytest.approx(float(headers["x-energy-wh"]) * 3600, rel=0.06)
    assert grown.by("greenlane_cost_usd_total", **SMALL) == pytest.approx(15e-6)
    assert grown.by("greenlane_request_duration_seconds_count", **SMALL) == 1
    assert grown.by("greenlane_overhead_seconds_count", **SMALL) == 1


def test_a_stream_is_counted_with_its_time_to_the_first_token(served):
    grown = Grown(served)
    ask(served, {"model": "small", "messages": [], "stream": True})
    assert grown.by("greenlane_requests_total", **SMALL, code="200") == 1
    assert grown.by("greenlane_time_to_first_token_seconds_count", **SMALL) == 1
    assert grown.by("greenlane_tokens_total", **SMALL, kind="output") == 3


def test_tokens_are_counted_by_their_kind(served):
    """Cached ones are among the input, reasoning ones among the output."""
    usage = {"prompt_tokens": 90, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 64}}
    usage["completion_tokens_details"] = {"reasoning_tokens": 20}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
    served.host.answer = lambda _, handler: handler.reply(
        200, {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice], "usage": usage}
    )
    grown = Grown(served)
    ask(served)
    counted = {kind: grown.by("greenlane_tokens_total", **SMALL, kind=kind) for kind in ("input", "cached", "output", "reasoning")}
    assert counted == {"input": 90, "cached": 64, "output": 30, "reasoning": 20}


@pytest.mark.parametrize("model", ["nonesuch", 'x"} 1\ninjected_total 5', "a" * 200, "small/nope"])
def test_a_model_that_is_not_known_is_no_label(served, model):
    grown = Grown(served)
    assert ask(served, {"model": model, "messages": []}).status_code == 404
    assert grown.by("greenlane_requests_total", model="", deployment="", code="404") == 1
    assert not any(model in str(key) or "injected" in str(key) for key in scrape(served))


def test_refusals_are_counted_by_status_and_constraint(served):
    grown = Grown(served)
    ask(served, x_greenlane_max_g_per_kwh="1")
    ask(served, {"model": "small"})
    httpx.get(f"{served.url}/chat/completions", verify=False, timeout=60)
    assert grown.by("greenlane_policy_rejections_total", constraint="max_g_per_kwh") == 1
    assert grown.by("greenlane_requests_total", model="small", deployment="", code="422") == 1
    assert grown.by("greenlane_requests_total", code="400") == 1
    assert grown.by("greenlane_requests_total", code="405") == 1


@pytest.mark.parametrize("objective", ["lowest_carbon", "cheapest", "least_loaded"])
def test_what_is_excluded_counts_with_every_request_though_its_decision_is_kept(proxy, upstream, objective):
    host = upstream()
    place = f'model: small, base_url: "{host.url}"'
    served = proxy(
        f"policies: {{near: {{objective: {objective}, require: {{privacy: local}}}}}}\npolicy: near\n"
        f"deployments:\n  a: {{{place}, privacy: local}}\n  b: {{{place}}}\n"
        f"  c: {{{place}, privacy: private}}\n  d: {{{place}, privacy: local}}\n"
    )
    grown = Grown(served)
    for _ in range(5):
        assert ask(served).status_code == 200
    assert grown.by("greenlane_policy_rejections_total", constraint="privacy") == 10


def test_failures_are_counted_by_kind_and_take_a_deployment_down(served):
    other = {"model": "other", "messages": []}
    grown = Grown(served)
    served.host.answer = lambda _, handler: handler.reply(503, {})
    assert scrape(served)["greenlane_deployment_up", frozenset({("model", "other"), ("deployment", "south")})] == 1
    for _ in range(2):
        ask(served, other)
    assert grown.by("greenlane_upstream_errors_total", deployment="south", model="other", kind="status_503") == 2
    assert grown.by("greenlane_requests_total", model="other", deployment="south", code="502") == 2
    assert scrape(served)["greenlane_deployment_up", frozenset({("model", "other"), ("deployment", "south")})] == 0
    assert scrape(served)["greenlane_deployment_up", frozenset(SMALL.items())] == 1


def test_what_is_under_way_is_a_gauge_that_comes_back_to_zero(served):
    let = threading.Event()

    def waits(received, handler):
        let.wait(60)
        completion(received, handler)

    served.host.answer = waits
    askers = [threading.Thread(target=ask, args=(served,)) for _ in range(3)]
    for asker in askers:
        asker.start()
    until(lambda: len(served.host.requests) >= 3)
    key = ("greenlane_inflight", frozenset(SMALL.items()))
    assert scrape(served)[key] == 3
    let.set()
    for asker in askers:
        asker.join()
    assert scrape(served)[key] == 0


def test_the_grid_is_told_by_zone(served):
    found = scrape(served)
    zones = {dict(labels)["zone"]: value for (name, labels), value in found.items() if name == "greenlane_grid_intensity_g_per_kwh"}
    assert set(zones) == {"SWE", "POL"}
    assert zones["SWE"] == pytest.approx(35.9)
    ages = [value for (name, _), value in found.items() if name == "greenlane_grid_intensity_age_seconds"]
    assert len(ages) == 2
    assert min(ages) > 0


def test_nothing_is_pending_once_entries_are_written(served):
    ask(served)
    served.entries()
    assert scrape(served)["greenlane_ledger_pending", frozenset()] == 0
