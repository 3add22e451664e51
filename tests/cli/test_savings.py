"""`greenlane savings` against a running proxy."""

from __future__ import annotations

import json
import re

from proxy.cli.command import run
from tests.harness import ask

FLEET = """
carbon: {{holdout: {holdout}}}
models: {{big: {{policy: green, default: big-pl}}}}
policies: {{green: {{objective: lowest_carbon}}}}
deployments:
  big-pl: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: PL}}
  big-se: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: SE}}
"""
CHAT = {"model": "big", "messages": [{"role": "user", "content": "Hi"}]}


def test_what_was_avoided_stands_beside_what_was_emitted(proxy, upstream, capsys):
    served = proxy(FLEET.format(url=upstream().url, holdout=0))
    assert run(["savings", "--url", served.base]) == 0
    assert capsys.readouterr().out.endswith("nothing was asked\n")
    for _ in range(2):
        ask(served, CHAT)
    capsys.readouterr()
    assert run(["savings", "--url", served.base, "--group-by", "model"]) == 0
    heading, row = (re.split(r"  +", line.strip()) for line in capsys.readouterr().out.splitlines())
    told = dict(zip(heading, row, strict=True))
    assert (told["model"], told["requests"], told["avoided_marginal_g"], told["verdict"]) == ("big", "2", "-", "avoided")
    assert float(told["avoided_g"]) > float(told["carbon_g"]) > 0
    assert run(["savings", "--url", served.base, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"][0]["policy"] == "green"


def test_what_a_holdout_measured_is_told(proxy, upstream, capsys):
    served = proxy(FLEET.format(url=upstream().url, holdout=0.5))
    for _ in range(20):
        ask(served, CHAT)
    capsys.readouterr()
    assert run(["savings", "--url", served.base]) == 0
    *_, title, heading, row = capsys.readouterr().out.splitlines()
    assert title == "measured by a holdout, grams of a request"
    assert (row.split()[0], row.split()[-1]) == ("big", "unknown")  # too few
    assert heading.split()[:2] == ["model", "held_out"]


def test_a_refusal_is_told(proxy, upstream, capsys):
    served = proxy(FLEET.format(url=upstream().url, holdout=0))
    assert run(["savings", "--url", served.base, "--from", "yesterday"]) == 1
    assert "must be a date" in capsys.readouterr().err
    for command in ("savings", "usage"):
        assert run([command, "--url", served.base, "--from", "2026-11-02", "--to", "2026-11-01"]) == 1
        assert capsys.readouterr() == ("", "greenlane: 400: `to` must not be before `from`.\n")
