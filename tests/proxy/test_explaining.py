"""The chain of a figure, from outside: what an entry keeps is enough to come to its figures again."""

from __future__ import annotations

import asyncio
import math
import re
import sqlite3
import threading
import time

import pytest

from carbon.footprint import Footprint, Workload
from proxy.controlplane.explaining import facts_of
from proxy.records import Restatement
from tests.harness import DONE, USAGE, ask, chunk, completion, heard, serving

FLEET = """
models: {{pair: {{policy: green}}, group: {{members: [big, tiny], policy: green, default: big-pl}}, big: {{expected_output_tokens: 700}}}}
policies: {{green: {{objective: lowest_carbon}}}}
deployments:
  stated: {{model: stated, base_url: "{url}", zone: SE, privacy: local, parameters_b: 8, batch: 64, hardware: {{gpu: H100, count: 1}}}}
  open: {{model: open, upstream_model: Qwen/Qwen3-235B-A22B, base_url: "{url}", privacy: vendor}}
  closed: {{model: closed, upstream_model: gpt-4o, base_url: "{url}", zone: aws:eu-north-1}}
  sized: {{model: sized, upstream_model: wonder-70b, base_url: "{url}", zone: SE}}
  mystery: {{model: mystery, base_url: "{url}", zone: SE}}
  pair-pl: {{model: pair, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: PL}}
  pair-se: {{model: pair, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: SE}}
  big-pl: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: PL}}
  tiny-se: {{model: tiny, upstream_model: Qwen/Qwen3-0.6B, base_url: "{url}", zone: SE}}
"""
CACHED = {"prompt_tokens": 900, "completion_tokens": 7, "total_tokens": 907, "prompt_tokens_details": {"cached_tokens": 800}}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("explaining")) as made:
        yield made


def whole(usage, **members):
    def answer(_, handler):
        choices = [{"index": 0, "message": {"role": "assistant", "content": "Hello there, you"}, "finish_reason": "stop"}]
        told = {} if usage is None else {"usage": usage}
        handler.reply(200, {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": choices, **told, **members})

    return answer


def stream(usage, *comments):
    last = chunk({}, "stop") if usage is None else chunk({}, "stop", usage=usage)
    return lambda _, handler: handler.events([chunk({"content": "Hello there, you"}), last, *comments, DONE])


def entry(served, model, answer=completion, **body):
    served.host.answer = answer
    asked = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **body}
    return served.entry(ask(served, asked).headers["x-greenlane-id"])


ENERGY = {"energy_joules": 36.0, "attribution_method": "prorated"}
WORK = {
    "flops_roofline": ("stated", whole(USAGE), {}),
    "flops_roofline of experts, all assumed": ("open", whole(USAGE), {}),
    "flops_roofline from the cache": ("stated", whole(CACHED), {}),
    "flops_roofline of tokens counted here": ("open", whole(None), {}),
    "vendor_prior": ("closed", whole(USAGE), {}),
    "vendor_prior from the cache": ("closed", whole(CACHED), {}),
    "token_proxy": ("sized", whole(USAGE), {}),
    "token_proxy of tokens counted here": ("sized", stream(None), {"stream": True}),
    "provider_reported": ("stated", whole(USAGE, energy=ENERGY), {}),
    "provider_reported of a model nobody knows": ("mystery", whole(USAGE, energy=ENERGY), {}),
    "provider_reported in a stream": ("stated", stream(USAGE, b': energy {"energy_kwh": 0.00001}\n\n'), {"stream": True}),
}


def redone(expression):
    assert re.fullmatch(r"(?:[\d.+\-*/^() ]|sqrt|ln|exp)+", expression), expression
    return eval(expression.replace("^", "**"), {"__builtins__": {}}, {"sqrt": math.sqrt, "ln": math.log, "exp": math.exp})


def agreed(found):
    """The explanation comes to the account, line by line; returns it."""
    explanation, account = found["explanation"], found["account"]
    assert explanation["recomputed"], explanation["note"]
    first = explanation["methods"][0]
    assert (first["method"], first["published"], first["confidence"]) == (account["method"], True, account["confidence"])
    assert first["formula"][-1]["result"] == pytest.approx(account["energy_j"], rel=1e-4)
    assert first["energy_j"] == pytest.approx(account["energy_j"], rel=1e-12)
    assert first["energy_high_j"] == pytest.approx(account["energy_high_j"], rel=1e-12)
    told = [line["result"] for line in explanation["carbon"] if line["unit"] == "g"]
    assert told == pytest.approx([account["carbon_g"], account["carbon_low_g"], account["carbon_high_g"]], rel=1e-4)
    lines = [line for each in explanation["methods"] for part in ("formula", "low_end", "high_end") for line in each[part]]
    for line in [*lines, *explanation["carbon"]]:
        assert redone(line["expression"]) == pytest.approx(line["result"], rel=5.001e-6), line
    parts = explanation["components"]
    total = parts.pop("total_j")
    assert sum(value for value in parts.values() if value is not None) == pytest.approx(total)
    # the proxy's own share is a part of the total, and not of the answer's figure
    assert total == pytest.approx(account["energy_j"] + parts["router_j"])
    return explanation


@pytest.mark.parametrize("work", WORK)
def test_what_an_entry_keeps_is_enough_to_come_to_its_figures(served, work):
    model, answer, body = WORK[work]
    found = entry(served, model, answer, **body)
    assert found["account"]["method"] == work.split()[0]
    agreed(found)


def test_the_pace_of_a_stream_is_kept_where_a_figure_was_made_of_it(served):
    pieces = [chunk({"content": "word "}) for _ in range(20)]
    usage = {"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29}
    held = [*pieces, chunk({}, "stop", usage=usage), DONE]
    read = threading.Event()

    def answer(_, handler):
        begun = iter(held)

        def slowly():
            yield next(begun)
            handler.wfile.flush()
            read.wait(60)
            time.sleep(0.05)  # a pace no machine could have would not count
            yield from begun

        handler.events(slowly())

    served.host.answer = answer
    body = {"model": "stated", "messages": [{"role": "user", "content": "Hi"}]}
    found = served.entry(heard(served, body, read).headers["x-greenlane-id"])
    assert found["account"]["method"] == "runtime_power"
    assert found["decode_s"] >= 0.04
    methods = [each["method"] for each in agreed(found)["methods"]]
    assert methods == ["runtime_power", "flops_roofline", "token_proxy"]
    without = entry(served, "open", answer, stream=True)
    assert (without["decode_s"], without["account"]["method"]) == (None, "flops_roofline")


def test_streamed_and_whole_of_the_same_work_agree(served):
    streamed, other = (entry(served, "open", answer, **body) for answer, body in ((stream(USAGE), {"stream": True}), (whole(USAGE), {})))
    same = ("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "method", "confidence")
    assert [streamed["account"][name] for name in same] == [other["account"][name] for name in same]
    assert agreed(streamed)["methods"] == agreed(other)["methods"]


def test_the_grid_is_told_with_its_age_source_and_licence(served):
    grid = agreed(entry(served, "stated"))["intensity"]
    assert (grid["zone"], grid["basis"], grid["signal"], grid["assumed"]) == ("SWE", "lifecycle", "average", False)
    assert grid["licence"].startswith("CC BY 4.0")
    assert "Ember" in grid["source"]
    assert grid["age_s"] > 86_400


def test_what_was_assumed_and_warned_of_is_told(served):
    found = agreed(entry(served, "open", whole(None)))
    assert [each["name"] for each in found["assumptions"]] == [
        *("bytes_per_parameter", "batch", "gpu", "gpu_count"),
        *("host_factor", "idle_factor", "pue", "tokens", "zone"),
    ]
    assert [each["code"] for each in found["warnings"]] == ["tokens_estimated"]


def test_the_counterfactual_has_its_own_formula(served):
    found = entry(served, "pair")
    compared = agreed(found)["counterfactual"]
    assert compared["deployment"] == "pair-pl"
    assert compared["avoided_g"] == found["avoided_g"]
    assert compared["lines"][-1]["result"] == pytest.approx(found["avoided_g"], rel=1e-4)
    for line in [*compared["formula"], *compared["lines"]]:
        assert redone(line["expression"]) == pytest.approx(line["result"], rel=5.001e-6)


def test_another_model_instead_writes_what_it_is_said_to(served):
    found = entry(served, "group")
    assert found["counterfactual"]["output_tokens"] == 700
    compared = agreed(found)["counterfactual"]
    assert compared["lines"][-1]["result"] == pytest.approx(found["avoided_g"], rel=1e-4)


def test_where_nothing_is_known_or_nothing_was_done_it_says_so(served):
    unknown = entry(served, "mystery")["explanation"]
    assert (unknown["recomputed"], unknown["methods"]) == (False, [])
    assert unknown["note"].startswith("The energy is not known")
    served.host.answer = completion
    refused = ask(served, {"model": "stated", "messages": [{"role": "user", "content": "Hi"}], "greenlane": {"max_g": 1e-9}})
    assert refused.status_code == 422
    nothing = served.entry(refused.headers["x-greenlane-id"])["explanation"]
    assert (nothing["recomputed"], nothing["note"]) == (True, "Nothing was computed for this answer.")


def test_an_entry_is_explained_by_what_it_carries(served):
    """Another city, model or grid figure in the tables since changes no line of it; another formula is told, where its figure differs."""
    found = entry(served, "sized")
    assert found["spec_version"] == found["explanation"]["spec_version"]

    def again(statement):
        with sqlite3.connect(served.folder / "ledger.db", timeout=10) as connection:
            connection.execute(f"UPDATE {statement} = (SELECT context FROM ledger WHERE id = ?)", (found["id"],))
        connection.close()
        return served.entry(found["id"])

    older = again("ledger_contexts SET data_version = 'older' WHERE id")
    assert (older["data_version"], older["explanation"]) == ("older", found["explanation"])
    agreed(older)
    made = again("ledger_contexts SET inputs = json_set(inputs, '$.spec_version', '0') WHERE id")["explanation"]
    assert (made["recomputed"], made["note"]) == (True, None)
    changed = again("ledger SET energy_j = 2 * energy_j, energy_high_j = 2 * energy_high_j WHERE context")
    told = changed["explanation"]
    assert (told["recomputed"], told["methods"], told["carbon"], told["components"]) == (False, [], [], None)
    assert "version 0 of the formulas" in told["note"]


def test_later_figures_stand_in_their_order_each_with_what_it_replaces(served):
    found = entry(served, "stated")
    facts = {"method": "measured_attributed", "confidence": "high", "carbon_g": 1.0, "carbon_low_g": 0.9, "carbon_high_g": 1.1}
    joules = {"energy_j": 100.0, "energy_low_j": 90.0, "energy_high_j": 110.0}
    first, second = (f"{found['id']}.{each}" for each in ("a", "b"))
    later = [
        Restatement(id=second, replaces=first, entry=found["id"], at_s=1.0, inputs={"meter": "nvml"}, **facts, **joules),
        Restatement(id=first, replaces=found["id"], entry=found["id"], at_s=2.0, inputs={}, **facts, **joules),
    ]
    asyncio.run_coroutine_threadsafe(served.runtime.ledger.restate(later), served.loop).result(10)
    again = served.entry(found["id"])
    assert [(each["id"], each["replaces"], each["counts"]) for each in again["explanation"]["restatements"]] == [
        (first, found["id"], False),
        (second, first, True),
    ]
    agreed(again)


def test_the_facts_of_an_entry_are_those_its_account_was_made_of(served):
    """No second computation: what is read back goes through the same function."""
    found = entry(served, "stated", whole(CACHED))
    (kept,) = [each for each in served.entries() if each.id == found["id"]]
    facts = facts_of(kept)
    assert facts.energy_j is not None
    work = Workload(input_tokens=900, output_tokens=7, cached_tokens=800)
    deployment = served.runtime.snapshot().served["stated"]
    assert Footprint.of(work, deployment.estimator, deployment.intensity).energy_j == facts.energy_j.value


ALIKE = """
policies: {{green: {{objective: lowest_carbon}}}}
models: {{m: {{policy: green, default: pl}}}}
deployments:
  pl: &one {{model: m, base_url: "{url}", zone: PL, privacy: local, parameters_b: 8, batch: 32, hardware: {{gpu: H100, count: 1}}}}
  se: {{<<: *one, zone: SE, base_url: "{first}"}}
"""


def test_a_pace_and_a_failed_attempt_are_in_what_was_avoided(proxy, upstream):
    """The same machine elsewhere would have gone at the same pace; what was burnt on the way is a line of its own."""

    read = threading.Event()

    def slowly(_, handler):
        def pieces():
            yield chunk({"content": "word "})
            read.wait(60)
            time.sleep(0.05)
            yield from [*(chunk({"content": "word "}) for _ in range(19)), chunk({}, "stop", usage=usage), DONE]

        handler.events(pieces())

    usage = {"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29}
    first, second = upstream(slowly), upstream()
    served = proxy(ALIKE.format(url=second.url, first=first.url))
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

    def found(**more):
        return served.entry(ask(served, body | more).headers["x-greenlane-id"])

    paced = served.entry(heard(served, body, read).headers["x-greenlane-id"])
    assert (paced["account"]["method"], paced["deployment"]) == ("runtime_power", "se")
    compared = agreed(paced)["counterfactual"]
    assert compared["formula"][0]["name"] == "seconds a token"
    assert compared["lines"][-1]["result"] == pytest.approx(paced["avoided_g"], rel=1e-4)
    first.answer = lambda _, handler: handler.reply(500, {"error": {"message": "no"}})
    refused = found()
    assert [each["deployment"] for each in refused["attempts"]] == ["se", "pl"]
    assert agreed(refused)["counterfactual"]["lines"][-1]["result"] == pytest.approx(-refused["router_g"], rel=1e-4)
    first.answer = lambda _, handler: handler.reply(200, b"{")
    garbled = found()
    assert garbled["deployment"] == "pl"
    assert garbled["avoided_g"] < 0
