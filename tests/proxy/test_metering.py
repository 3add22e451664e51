"""Measured energy through the running proxy: a counter is read, its joules go to the requests, entries are restated.

The counter is a RAPL folder whose numbers a thread moves, so that the meter reads real files at a real pace.
"""

from __future__ import annotations

import asyncio
import itertools
import threading

import httpx
import pytest

from carbon.meters import host as host_meter
from carbon.windows import Reading
from proxy.cli.command import run
from proxy.configuration import ConfigurationError, loads
from proxy.configuration.checking import check
from tests.harness import chunk, said, until
from tests.proxy.counting import WATTS, Counter, days, entry, measuring, meters, restated, slowly, stream
from tests.proxy.test_explaining import redone

FLEET = """
carbon: {{meter_every_s: 0.5}}
deployments:
  here: {{model: small, base_url: "{url}", zone: SE, parameters_b: 8, hardware: {{gpu: H100}}, batch: 4, pue: 1.2, idle_w: {idle},
         meter: {{host: {{root: "{root}"}}}}}}
  plain: {{model: other, base_url: "{url}", zone: SE, parameters_b: 8}}
"""


@pytest.fixture
def counter(tmp_path):
    made = Counter(tmp_path / "powercap")
    yield made
    made.close()


def test_a_request_gets_the_joules_that_were_counted_while_it_ran(proxy, upstream, counter, capsys):
    served = measuring(proxy, FLEET.format(url=upstream(slowly(3.0)).url, root=counter.root, idle=100))
    entry_id = stream(served)
    found = restated(served, entry_id)
    later = found["restatements"][0]
    assert (later["replaces"], later["entry"], later["method"]) == (entry_id, entry_id, "measured_attributed")
    # alone on the machine: idle power for as long as it ran, and all the rest of the windows it was in
    gpu_j = later["inputs"]["gpu_j"]
    least_s, most_s = 0.7 * found["duration_s"], found["duration_s"] + 10.0
    assert WATTS * least_s < gpu_j < WATTS * most_s
    assert 100 * least_s < later["inputs"]["idle_j"] < 100 * most_s
    assert later["energy_j"] == pytest.approx(gpu_j * 1.35 * 1.2)
    assert later["energy_low_j"] < later["energy_j"] < later["energy_high_j"]
    assert later["carbon_g"] == pytest.approx(later["energy_j"] / 3.6e6 * 35.9)
    lines = found["explanation"]["restatements"][0]["explanation"]
    assert lines["formula"][-1]["expression"].endswith(" * 1.35 * 1.2")
    assert lines["formula"][-1]["result"] == pytest.approx(later["energy_j"], rel=1e-4)
    assert lines["carbon"][1]["result"] == pytest.approx(later["carbon_g"], rel=1e-4)
    assert run(["explain-carbon", entry_id, "--url", served.base]) == 0
    assert lines["formula"][-1]["expression"] in capsys.readouterr().out
    # the entry itself stays as it was written
    assert found["account"]["method"] != "measured_attributed"
    usage = httpx.get(f"{served.base}/v1/greenlane/usage", timeout=10).json()["data"][0]
    assert usage["energy_wh"] == pytest.approx(later["energy_j"] / 3600)


DEARER = """
  there: {{model: small, base_url: "{url}", zone: PL, parameters_b: 8, hardware: {{gpu: H100}}, batch: 4, pue: 1.5}}
models: {{small: {{default: there, policy: green}}}}
policies: {{green: {{objective: lowest_carbon}}}}
"""


def test_what_was_saved_is_said_again_by_what_was_measured(proxy, upstream, counter):
    """On the same machine in Poland, in a building of 1.5 rather than 1.2, the joules that were counted would have been a quarter more."""
    url = upstream(slowly(0.2)).url
    served = measuring(proxy, FLEET.format(url=url, root=counter.root, idle=100) + DEARER.format(url=url))
    found = restated(served, stream(served))
    later, by_estimate, router_g = found["restatements"][0], found["account"]["energy_j"], found["router_g"]
    grams = 615 * 1.25 - 35.9
    assert found["avoided_g"] == pytest.approx(by_estimate / 3.6e6 * grams - router_g)
    assert later["avoided_g"] == pytest.approx(later["energy_j"] / 3.6e6 * grams - router_g)
    assert later["avoided_low_g"] < later["avoided_g"] < later["avoided_high_g"]
    summed = httpx.get(f"{served.base}/v1/greenlane/savings", timeout=10).json()["data"][0]
    assert (summed["avoided_g"], summed["carbon_g"]) == (pytest.approx(later["avoided_g"]), pytest.approx(later["carbon_g"]))
    told = found["explanation"]["restatements"][0]["counterfactual"]
    for line in [*told["formula"], *told["lines"]]:
        assert redone(line["expression"]) == pytest.approx(line["result"], rel=5.001e-6), line
    assert told["formula"][-1]["result"] == pytest.approx(later["energy_j"] * 1.25, rel=1e-4)
    assert told["lines"][-1]["result"] == pytest.approx(later["avoided_g"], rel=1e-4)


def test_what_broke_off_earns_no_credit_by_being_measured(proxy, upstream, counter):
    def answer(_, handler):
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        handler.wfile.write(said(usage=True)[0] + chunk({"content": "word "}))
        handler.close_connection = True

    url = upstream(answer).url
    served = measuring(proxy, FLEET.format(url=url, root=counter.root, idle=100) + DEARER.format(url=url))
    found = restated(served, stream(served))
    assert (found["outcome"], found["restatements"][0]["avoided_g"]) == ("truncated", None)
    assert found["avoided_g"] < 0


def test_a_team_with_a_building_of_its_own_gets_its_own_figure(proxy, upstream, counter):
    teams = 'keys: {k: {team: t, key: env:METERED_KEY}}\nteams: {t: {carbon: {pue: 1.5, source: "our contract"}}}\n'
    text = FLEET.format(url=upstream(slowly(0.2)).url, root=counter.root, idle=100) + teams
    key = {"authorization": "Bearer sk-metered"}
    served = measuring(proxy, text, key, environ={"METERED_KEY": "sk-metered"})
    body = {"model": "small", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    entry_id = httpx.post(served.url + "/chat/completions", json=body, headers=key, timeout=60).headers["x-greenlane-id"]

    def later():
        return httpx.get(f"{served.base}/v1/greenlane/requests/{entry_id}", headers=key, timeout=10).json().get("restatements")

    until(later)
    assert later()[0]["inputs"]["pue"] == 1.5
    assert later()[0]["energy_j"] == pytest.approx(later()[0]["inputs"]["gpu_j"] * 1.35 * 1.5)


def test_joules_go_to_requests_to_nobody_and_nowhere_else(proxy, upstream, counter):
    served = measuring(proxy, FLEET.format(url=upstream(slowly(1.5)).url, root=counter.root, idle=100))
    threads = [threading.Thread(target=stream, args=(served,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: meters(served)[0]["restated"] == 3)
    until(lambda: meters(served)[0]["idle_pool_j"] > 0)
    found = meters(served)[0]
    shares = found["requests_j"] + found["idle_pool_j"] + found["unattributed_j"] + found["pending_j"]
    assert shares == pytest.approx(found["measured_j"], rel=1e-9)
    assert (found["deployment"], found["meter"], found["state"], found["weights"]) == ("here", "host", "measuring", "roofline")
    assert found["unfitted"] == "not tried yet: the first fit is an hour after the start"
    scraped = httpx.get(f"{served.base}/metrics", timeout=10).text
    lines = [line for line in scraped.splitlines() if line.startswith("greenlane_measured_energy_joules_total{")]
    kinds = {line.split('share="')[1].split('"')[0] for line in lines}
    assert kinds == {"requests", "idle", "unattributed"}
    served.call(lambda runtime: asyncio.get_running_loop().create_task(runtime._add_days()))
    until(lambda: days(served))
    assert days(served)[0]["requests"] == 3
    assert days(served)[0]["overhead_j_per_request"] == pytest.approx(days(served)[0]["idle_pool_j"] / 3)


def test_a_deployment_without_a_meter_is_never_restated(proxy, upstream, counter):
    served = measuring(proxy, FLEET.format(url=upstream(slowly(0.1)).url, root=counter.root, idle=100))
    other, mine = stream(served, "other"), stream(served)
    restated(served, mine)
    assert entry(served, other)["restatements"] == []


def test_a_meter_that_fails_is_told_once_and_holds_nothing_up(proxy, upstream, counter, caplog):
    served = measuring(proxy, FLEET.format(url=upstream(slowly(0.1)).url, root=counter.root, idle=100))
    counter.close()
    away = counter.root.rename(counter.root.with_name("away"))
    until(lambda: meters(served)[0]["failures"] >= 2)
    assert stream(served)
    told = [line for line in caplog.messages if "is not measured" in line]
    assert len(told) == 1
    assert "powercap" in told[0]
    away.rename(counter.root)
    until(lambda: meters(served)[0]["state"] == "measuring")


def test_what_ran_while_nothing_was_measured_keeps_its_estimate(proxy, upstream, counter):
    served = measuring(proxy, FLEET.format(url=upstream(slowly(0.2)).url, root=counter.root, idle=100))
    counter.close()
    away = counter.root.rename(counter.root.with_name("away"))
    until(lambda: meters(served)[0]["failures"] >= 1)
    lost = stream(served)
    away.rename(counter.root)
    until(lambda: meters(served)[0]["state"] == "measuring")
    assert entry(served, lost)["restatements"] == []


def test_a_providers_own_report_stays_above_what_is_measured(proxy, upstream, counter):
    def reporting(_, handler):
        handler.events([*said(usage=True)[:-1], b': energy {"energy_joules": 12.5}\n\n', b"data: [DONE]\n\n"])

    host = upstream(reporting)
    served = measuring(proxy, FLEET.format(url=host.url, root=counter.root, idle=100))
    reported = stream(served)
    host.answer = slowly(0.2)
    restated(served, stream(served))
    found = entry(served, reported)
    assert (found["account"]["method"], found["restatements"]) == ("provider_reported", [])


def test_an_estimate_is_in_no_measured_sum(proxy, upstream, tmp_path, monkeypatch):
    """CodeCarbon stands in for a processor that does not count: its joules are told apart, and restate nothing."""
    told = itertools.count()
    monkeypatch.setattr(
        host_meter, "estimate", lambda clock_s: (Reading(device="codecarbon", at_s=clock_s(), energy_j=10.0 * next(told), measured=False),)
    )
    meter = f'{{host: {{root: "{tmp_path / "absent"}", otherwise: codecarbon}}}}'
    text = FLEET.partition("meter: {{host")[0] + "meter: " + meter.replace("{", "{{").replace("}", "}}") + "}}\n"
    served = proxy(text.format(url=upstream(slowly(0.2)).url, idle=100))
    until(lambda: meters(served)[0]["estimated_j"] > 0, 20)
    before_j = meters(served)[0]["estimated_j"]
    entry_id = stream(served)
    until(lambda: meters(served)[0]["estimated_j"] > before_j + 40, 30)
    found = meters(served)[0]
    assert (found["state"], found["measured_j"], found["requests_j"], found["pending_j"], found["restated"]) == ("estimating", 0, 0, 0, 0)
    assert entry(served, entry_id)["restatements"] == []


@pytest.mark.parametrize(
    ("meter", "told"),
    [
        ("watts", "the meter 'watts' is not known"),
        ("dcgm", "needs settings: {dcgm: {url: ...}}"),
        ("{}", "is one meter with its settings, or one of accelerators and `host` beside it, not 0 of them"),
        ('{nvml: {}, trtllm: {url: "http://h"}}', "one of accelerators and `host` beside it, not 2 of them"),
        ('{nvml: {}, trtllm: {url: "http://h"}, host: {}}', "one of accelerators and `host` beside it, not 3 of them"),
        ("{nvml: {}, host: {otherwise: codecarbon}}", "is an estimate"),
        ("{nvml: {}, host: {domains: [psys]}}", "may be counted in it already"),
        ("{nvml: {device: 3}}", "is not a setting"),
        ("{dcgm: {url: 127.0.0.1:9400/metrics}}", "https?://"),
        ('{trtllm: {url: "http://h", gpus: 0}}', "1"),
        ("{nvml: {timeout_s: 0}}", "0"),
    ],
)
def test_a_wrong_meter_is_told_with_its_place(meter, told):
    with pytest.raises(ConfigurationError) as raised:
        loads(f'deployments: {{a: {{model: m, base_url: "http://127.0.0.1:1/v1", meter: {meter}}}}}\n')
    assert raised.value.problems[0].path.startswith("deployments.a.meter")
    assert told in raised.value.problems[0].message


@pytest.mark.parametrize(
    ("one", "other", "twice"),
    [
        ("nvml", "{nvml: {}}", True),
        ("{nvml: {devices: [0]}}", "{nvml: {devices: [1]}}", False),
        ("{nvml: {devices: [0, 1]}}", "{nvml: {devices: [1]}}", True),
        ("{nvml: {devices: [0]}, host: {}}", "{nvml: {devices: [1]}, host: {}}", True),
        ("host", "nvml", False),
        ('{dcgm: {url: "http://h/metrics", pod: a}}', '{dcgm: {url: "http://h/metrics", pod: b}}', False),
        ('{dcgm: {url: "http://h/metrics"}}', '{dcgm: {url: "http://h/metrics", timeout_s: 2}}', True),
    ],
)
def test_joules_that_two_deployments_would_be_charged_with_are_told(one, other, twice):
    text = "deployments:\n"
    for name, meter in (("a", one), ("b", other)):
        text += f'  {name}: {{model: m, base_url: "http://127.0.0.1:1/v1", meter: {meter}}}\n'
    found = [each for each in check(loads(text)) if "is counted for 'a' too" in each.message]
    assert [each.path for each in found] == ([("deployments", "b", "meter")] if twice else [])
    assert all(each.warning for each in found)
