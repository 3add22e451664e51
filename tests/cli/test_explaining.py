"""`greenlane explain-carbon` against a running proxy: what is printed can be redone."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from proxy.cli.command import run
from proxy.cli.explaining import told
from tests.harness import ask

FLEET = """
models: {{m: {{policy: green}}}}
policies: {{green: {{objective: lowest_carbon}}}}
deployments:
  pl: &one {{model: m, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: PL, privacy: local, batch: 32, hardware: {{gpu: H100}}}}
  se: {{<<: *one, zone: SE}}
"""
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def served(proxy, upstream):
    return proxy(FLEET.format(url=upstream().url))


def redone(expression):
    return eval(expression.replace("^", "**"), {"__builtins__": {}}, {"sqrt": math.sqrt, "ln": math.log, "exp": math.exp})


def sums(text):
    """Every `expression = result` in it; a wrapped line is one."""
    joined = re.sub(r"\n {30,}", " ", text)
    return [(found[1], float(found[2])) for found in re.finditer(r"  ((?:[\d.+\-*/^() ]|sqrt|ln|exp)*[\d)]) = ([\d.]+)", joined)]


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_every_printed_line_can_be_redone(served, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    entry_id = ask(served, CHAT).headers["x-greenlane-id"]
    account = served.entry(entry_id)["account"]
    capsys.readouterr()
    assert run(["explain-carbon", entry_id, "--url", served.base]) == 0
    out = capsys.readouterr().out
    found = sums(out)
    assert len(found) > 20
    for expression, result in found:
        assert redone(expression) == pytest.approx(result, rel=5.001e-6), expression
    assert any(result == pytest.approx(account["carbon_g"], rel=1e-4) for _, result in found)
    assert max(map(len, out.splitlines())) <= max(int(columns), 80)
    for word in ("Grid SWE", "Ember", "CC BY 4.0", "pue = 1.15", "Otherwise: m on pl", "avoided", "gpu_active"):
        assert word in " ".join(out.split())


LLAMA = """
deployments:
  vllm-eu: {{model: llama, upstream_model: meta-llama/Llama-3.1-8B-Instruct, base_url: "{url}", zone: aws:eu-north-1, privacy: local,
             batch: 64, hardware: {{gpu: H100, count: 1}}}}
"""


def test_the_pages_example_is_what_is_printed(proxy, upstream, capsys, monkeypatch):
    """But for its id, its time and the age of the grid's figure."""

    def answer(received, handler):
        usage = {"prompt_tokens": 100, "completion_tokens": 400, "total_tokens": 500}
        handler.reply(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "up", "choices": [], "usage": usage})

    monkeypatch.setenv("COLUMNS", "132")
    served = proxy(LLAMA.format(url=upstream(answer).url))
    entry_id = ask(served, CHAT | {"model": "llama"}).headers["x-greenlane-id"]
    capsys.readouterr()
    assert run(["explain-carbon", entry_id, "--url", served.base]) == 0
    page = Path("docs/carbon.md").read_text().partition("$ greenlane explain-carbon")[2].partition("```")[0].splitlines()
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in page[2:] if "as of" not in line] == [line for line in printed[1:] if "as of" not in line]


def test_the_answer_can_be_had_as_it_came(served, capsys):
    entry_id = ask(served, CHAT).headers["x-greenlane-id"]
    capsys.readouterr()
    assert run(["explain-carbon", entry_id, "--url", served.base, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["explanation"]["recomputed"] is True


def test_no_such_entry_ends_with_1(served, capsys):
    assert run(["explain-carbon", "gl-none", "--url", served.base]) == 1
    assert "no such entry" in capsys.readouterr().err


def test_what_is_not_known_is_told_in_words():
    body = {
        "id": "gl-1",
        "tokens": {},
        "account": {f"{name}_{end}{unit}": None for name, unit in (("energy", "j"), ("carbon", "g")) for end in ("", "low_", "high_")}
        | {"method": "none", "confidence": "none"},
        "explanation": {
            **dict.fromkeys(("intensity", "components", "counterfactual")),
            **{name: [] for name in ("methods", "carbon", "assumptions", "warnings", "restatements")},
            "note": "Made by another version.",
        },
    }
    assert told(body, 80).splitlines()[2:] == [
        "energy   not known  none, confidence none",
        "carbon   not known",
        "Made by another version.",
    ]
