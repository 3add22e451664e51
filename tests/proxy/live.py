"""A fleet whose grids are told by imitated providers: its configuration, and what can be read of it from outside."""

from __future__ import annotations

import math

import httpx

from tests.harness import until

ENVIRON = {"LIVE_EM_KEY": "em-key", "LIVE_WT_USER": "ann", "LIVE_WT_WORD": "pass word"}
DEPLOYMENTS = """
policies: {{green: {{objective: lowest_carbon}}}}
models: {{small: {{policy: green}}}}
deployments:
  swedish: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: SE}}
  german: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: DE}}
"""
ONE = """
carbon:
  sources:
    - electricity_maps: {{token: "env:LIVE_EM_KEY", base_url: "{maps}"{more}}}
    - static
"""
CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
VERBOSE = {"x_greenlane_verbose": "true"}


def again(served):
    """Every source is asked now, whatever its time."""

    def hurry(runtime):
        for feed in runtime.grids.chain.feeds:
            if feed.reach is not None:
                feed.reach.not_before_s = -math.inf
            if feed.live:
                feed.due_s = -math.inf
        runtime.grids._woken.set()

    served.call(hurry)


def reads(served, **query):
    return httpx.get(f"{served.base}/v1/greenlane/intensity", params=query, timeout=20).json()


def states(served):
    return {each["name"]: each["state"] for each in reads(served)["sources"]}


def gauge(served, name):
    lines = httpx.get(f"{served.base}/metrics", timeout=10).text.splitlines()
    return {line.partition("{")[2].rpartition("}")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{")}


def grams(served):
    """What counts for each deployment's requests, as the next answer would say it."""
    return {
        name: each.intensity.g_per_kwh for name, each in served.call(lambda runtime: runtime.snapshot().served).items() if each.intensity
    }


def told(served, **wanted):
    until(lambda: wanted.items() <= grams(served).items())
