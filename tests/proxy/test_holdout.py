"""The holdout is an experiment: who was drawn is compared with who could have been, and with nobody else."""

from __future__ import annotations

from itertools import pairwise

import httpx
import pytest

from tests.harness import ask, chosen, until

FLEET = """
carbon: {{holdout: 0.5}}
models: {{big: {{policy: green, default: big-pl}}}}
policies:
  green: {{objective: lowest_carbon}}
  home: {{objective: lowest_carbon, require: {{regions: [SE]}}}}
  capped: {{objective: lowest_carbon, require: {{max_g: 0.1}}}}
deployments:
  big-pl: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{default}", zone: PL}}
  big-se: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: SE}}
"""


def body(**more):
    return {"model": "big", "messages": [{"role": "user", "content": "Hi"}], **more}


def measured(served):
    return httpx.get(f"{served.base}/v1/greenlane/savings", timeout=10).json()["holdout"]


@pytest.fixture
def served(proxy, upstream):
    url = upstream().url
    return proxy(FLEET.format(url=url, default=url))


def test_who_could_not_have_been_held_out_is_compared_with_nobody(served):
    """The default is outside of the region, or above the cap on grams: such requests differ from the others in more than the draw."""
    seen = [chosen(ask(served, body()))[1] for _ in range(40)]
    held = seen.count("holdout")
    for _ in range(10):
        assert chosen(ask(served, body(), x_greenlane_policy="home"))[1] != "holdout"
        assert chosen(ask(served, body(), x_greenlane_policy="capped"))[1] != "holdout"
    assert [(row["model"], row["held_out"], row["others"]) for row in measured(served)] == [("big", held, 40 - held)]


def test_who_was_drawn_is_among_the_drawn_also_where_the_default_fails(proxy, upstream):
    """By what was meant to happen and not by what did: else only those that went well would be compared."""
    served = proxy(FLEET.format(url=upstream().url, default=upstream(lambda _, handler: handler.reply(500, {})).url))
    until(lambda: "fallback" in chosen(ask(served, body())))
    found = measured(served)
    assert [(row["model"], row["held_out"]) for row in found] == [("big", 1)]


def test_the_entry_says_whether_it_was_drawn(served):
    def told(answer):
        return httpx.get(f"{served.base}/v1/greenlane/requests/{answer.headers['x-greenlane-id']}", timeout=10).json()["holdout"]

    seen = {}

    def both():
        answer = ask(served, body())
        seen[chosen(answer)[1]] = told(answer)
        return len(seen) == 2

    until(both)
    assert seen == {"holdout": "held", "lowest-carbon": "free"}
    assert told(ask(served, body(), x_greenlane_policy="home")) is None


def test_the_band_of_what_was_measured_holds_the_figures_own_error(served):
    """All requests are alike, so the sample has no spread; the grids and the joules are still estimates."""
    for _ in range(160):
        ask(served, body())
    (row,) = measured(served)
    assert row["held_out_low_g"] < row["held_out_mean_g"] < row["held_out_high_g"]
    assert row["others_low_g"] < row["others_mean_g"] < row["others_high_g"]
    value, low, high = (row[name] for name in ("avoided_per_request_g", "avoided_low_g", "avoided_high_g"))
    assert value == pytest.approx(row["held_out_mean_g"] - row["others_mean_g"])
    down = ((row["held_out_mean_g"] - row["held_out_low_g"]) ** 2 + (row["others_high_g"] - row["others_mean_g"]) ** 2) ** 0.5
    assert low == pytest.approx(value - down, rel=1e-6)
    assert low < value < high
    assert row["verdict"] == "avoided"


def test_half_of_them_are_drawn_and_in_no_order(served):
    """200 draws of a half: fewer than 60 or more than 140 would happen once in a billion; so many changes only of what is random."""
    seen = [chosen(ask(served, body()))[1] == "holdout" for _ in range(200)]
    assert 60 < sum(seen) < 140
    assert 60 < sum(a != b for a, b in pairwise(seen)) < 140
