"""What a choice saved, from the outside: in headers, entries, metrics and sums; and the holdout that measures it."""

from __future__ import annotations

import httpx
import pytest

from proxy.configuration import ConfigurationError, loads
from tests.harness import ask, chosen, until

FLEET = """
carbon: {{holdout: {holdout}}}
models: {{auto: {{members: [big, tiny], policy: green, default: big-pl}}, big: {{policy: green}}}}
policies:
  green: {{objective: lowest_carbon}}
  home: {{objective: lowest_carbon, require: {{regions: [SE]}}}}
deployments:
  big-pl: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: PL}}
  big-se: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: SE}}
  tiny-pl: {{model: tiny, upstream_model: Qwen/Qwen3-0.6B, base_url: "{url}", zone: PL}}
"""


PROXY_G = 0.002 / 3.6e6 * 472.9


def body(model):
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def served(proxy, upstream):
    return proxy(FLEET.format(url=upstream().url, holdout=0))


def entry(served, answer):
    return httpx.get(f"{served.base}/v1/greenlane/requests/{answer.headers['x-greenlane-id']}", timeout=10).json()


def savings(served, **query):
    return httpx.get(f"{served.base}/v1/greenlane/savings", params=query, timeout=10).json()


def test_the_same_model_on_a_cleaner_grid_saves_the_difference_of_the_grids(served):
    answer = ask(served, body("big"), x_greenlane_verbose="true")
    assert chosen(answer) == ("big-se", "lowest-carbon")
    found = entry(served, answer)
    # 615 g/kWh in Poland, 35.9 in Sweden
    assert found["avoided_g"] == pytest.approx(found["account"]["carbon_g"] * (615 / 35.9 - 1) - PROXY_G, rel=1e-9)
    assert 0 < found["avoided_low_g"] < found["avoided_g"] < found["avoided_high_g"]
    assert found["avoided_marginal_g"] is None
    assert found["counterfactual"]["deployment"] == "big-pl"
    assert found["counterfactual"]["intensity"]["g_per_kwh"] == 615
    assert float(answer.headers["x-carbon-avoided-g"]) == pytest.approx(found["avoided_g"], rel=0.06)


def test_without_being_asked_no_header_tells_it(served):
    assert "x-carbon-avoided-g" not in ask(served, body("big")).headers


def test_where_the_default_serves_nothing_is_saved(served):
    answer = ask(served, body("tiny"), x_greenlane_verbose="true")
    found = entry(served, answer)
    # but for what the proxy itself took: 2 mJ at the world's mean
    assert found["avoided_g"] == pytest.approx(-PROXY_G)
    assert answer.headers["x-carbon-avoided-g"] == "-0.00000026"
    assert (found["counterfactual"]["deployment"], found["router_j"]) == (found["deployment"], 0.002)
    assert found["explanation"]["counterfactual"]["lines"][-1]["result"] == pytest.approx(-PROXY_G, rel=1e-4)


def test_a_smaller_model_is_measured_against_the_groups_default(served):
    answer = ask(served, body("auto"))
    found = entry(served, answer)
    assert found["counterfactual"]["deployment"] == "big-pl"
    assert found["avoided_g"] > 0


def test_what_the_constraints_forbid_is_never_the_counterfactual(served):
    found = entry(served, ask(served, body("big"), x_greenlane_policy="home"))
    assert (found["deployment"], found["avoided_g"], found["counterfactual"]["deployment"]) == ("big-se", pytest.approx(-PROXY_G), "big-se")


def test_a_dearer_choice_is_shown_as_what_it_is(served):
    answer = ask(served, body("big"), x_greenlane_policy="green", x_greenlane_regions="PL")
    assert entry(served, answer)["avoided_g"] == pytest.approx(-PROXY_G)
    answer = ask(served, body("auto"), x_greenlane_regions="SE")
    assert entry(served, answer)["deployment"] == "big-se"


def test_sums_stand_beside_the_totals_with_a_verdict(served):
    for model in ("big", "big", "tiny"):
        ask(served, body(model))
    body_ = savings(served, group_by="model")
    rows = {row["model"]: row for row in body_["data"]}
    assert (rows["big"]["verdict"], rows["big"]["requests"], rows["big"]["compared"]) == ("avoided", 2, 2)
    assert rows["big"]["avoided_g"] > rows["big"]["carbon_g"] > 0
    assert (rows["tiny"]["verdict"], rows["tiny"]["avoided_g"]) == ("caused", pytest.approx(-PROXY_G))
    assert body_["holdout"] == []
    scraped = httpx.get(f"{served.base}/metrics", timeout=10).text
    line = next(line for line in scraped.splitlines() if line.startswith("greenlane_avoided_co2e_grams{") and "big-se" in line)
    assert float(line.split()[-1]) == pytest.approx(rows["big"]["avoided_g"])


def test_nothing_to_compare_is_unknown_not_zero(proxy, upstream):
    served = proxy(f'deployments: {{a: {{model: m, base_url: "{upstream().url}"}}}}\n')
    answer = ask(served, body("m"), x_greenlane_verbose="true")
    assert "x-carbon-avoided-g" not in answer.headers
    assert entry(served, answer)["avoided_g"] is None
    assert savings(served)["data"][0]["verdict"] == "unknown"


def test_a_holdout_sends_a_share_to_the_default_and_measures_the_difference(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url, holdout=0.5))
    seen = [chosen(ask(served, body("big"))) for _ in range(160)]
    assert set(seen) == {("big-pl", "holdout"), ("big-se", "lowest-carbon")}
    found = savings(served)["holdout"]
    assert [row["model"] for row in found] == ["big"]
    row = found[0]
    assert row["held_out"] + row["others"] == 160
    assert row["held_out"] == seen.count(("big-pl", "holdout"))
    assert 0 < row["avoided_low_g"] <= row["avoided_per_request_g"] <= row["avoided_high_g"]
    # an estimate by the same method says the same of the same requests
    saved = next(each for each in savings(served, group_by="deployment")["data"] if each["deployment"] == "big-se")
    assert row["avoided_per_request_g"] == pytest.approx(saved["avoided_g"] / saved["compared"], rel=0.01)


def test_a_holdout_stays_inside_the_hard_constraints(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url, holdout=0.5))
    assert {chosen(ask(served, body("big"), x_greenlane_policy="home"))[0] for _ in range(60)} == {"big-se"}


def test_too_few_held_out_say_nothing(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url, holdout=0.5))
    until(lambda: chosen(ask(served, body("big")))[1] == "holdout")
    assert savings(served)["holdout"][0]["avoided_per_request_g"] is None


def test_a_default_must_be_one_of_the_models_deployments():
    with pytest.raises(ConfigurationError) as raised:
        loads(FLEET.format(url="http://127.0.0.1:1", holdout=0).replace("default: big-pl", "default: big-p"))
    assert [(each.path, each.suggestion) for each in raised.value.problems] == [("models.auto.default", "big-pl")]


def test_the_proxys_own_share_is_on_its_own_grid(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url, holdout=0), server="{port: 0, zone: SE}")
    assert entry(served, ask(served, body("tiny")))["avoided_g"] == pytest.approx(-0.002 / 3.6e6 * 35.9)


def test_an_attempt_that_failed_after_work_was_done_is_taken_off(proxy, upstream):
    def broken(_, handler):
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"id":')
        handler.wfile.flush()
        handler.close_connection = True

    good = upstream().url
    text = FLEET.format(url=good, holdout=0).replace(f'"{good}", zone: SE', f'"{upstream(broken).url}", zone: SE')
    served = proxy(text)
    answer = ask(served, body("big"))
    assert chosen(answer)[0] == "big-pl"
    found = entry(served, answer)
    # the default served in the end: what the first attempt took, and the proxy, was for nothing
    assert found["avoided_g"] < -10 * PROXY_G
