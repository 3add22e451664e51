"""Measured energy through the running proxy: a counter is read, its joules go to the requests, entries are restated.

The counter is a RAPL folder whose numbers a thread moves, so that the meter reads real files at a real pace.
"""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import pytest

from proxy.configuration import ConfigurationError, loads
from tests.harness import chunk, said, until
from tests.proxy.test_explaining import redone

FLEET = """
carbon: {{meter_every_s: 0.5}}
deployments:
  here: {{model: small, base_url: "{url}", zone: SE, parameters_b: 8, hardware: {{gpu: H100}}, batch: 4, pue: 1.2, idle_w: {idle},
         meter: {{host: {{root: "{root}"}}}}}}
  plain: {{model: other, base_url: "{url}", zone: SE, parameters_b: 8}}
"""
WATTS = 400.0


class Counter:
    """A processor that draws a steady power and counts it."""

    def __init__(self, root):
        self.root, self.watts = root, WATTS
        zone = root / "intel-rapl:0"
        zone.mkdir(parents=True)
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
        self.file = zone / "energy_uj"
        self._joules, self._at_s = 1000.0, time.monotonic()
        self._write()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _write(self):
        now_s = time.monotonic()
        self._joules += self.watts * (now_s - self._at_s)
        self._at_s = now_s
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{self._joules * 1e6:.0f}\n")
        fresh.replace(self.file)

    def _run(self):
        while not self._stop.wait(0.02):
            self._write()

    def close(self):
        self._stop.set()
        self._thread.join()


@pytest.fixture
def counter(tmp_path):
    made = Counter(tmp_path / "powercap")
    yield made
    made.close()


def slowly(seconds):
    """A stream that takes its time."""

    def answer(_, handler):
        pieces = said(usage=True)

        def paced():
            yield pieces[0]
            for _ in range(10):
                time.sleep(seconds / 10)
                yield chunk({"content": "word "})
            yield from pieces[1:]

        handler.events(paced())

    return answer


def stream(served, model="small"):
    """Asks, reads all, and returns the entry's id."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with httpx.stream("POST", served.url + "/chat/completions", json=body, timeout=20) as answer:
        answer.read()
        return answer.headers["x-greenlane-id"]


def entry(served, entry_id):
    return httpx.get(f"{served.base}/v1/greenlane/requests/{entry_id}", timeout=10).json()


def meters(served, headers=None):
    return httpx.get(f"{served.base}/v1/greenlane/meters", headers=headers, timeout=10).json()["data"]


def days(served):
    return httpx.get(f"{served.base}/v1/greenlane/meters", timeout=10).json()["days"]


def measuring(proxy, fleet, headers=None, **more):
    """Serves, and returns once a first window was measured: what was sent before is not measured whole, and never restated."""
    served = proxy(fleet, **more)
    until(lambda: meters(served, headers)[0]["measured_j"] > 0, 30)
    return served


def restated(served, entry_id):
    until(lambda: entry(served, entry_id)["restatements"], 20)
    return entry(served, entry_id)


def test_a_request_gets_the_joules_that_were_counted_while_it_ran(proxy, upstream, counter):
    served = measuring(proxy, FLEET.format(url=upstream(slowly(3.0)).url, root=counter.root, idle=100))
    entry_id = stream(served)
    found = restated(served, entry_id)
    later = found["restatements"][0]
    assert (later["replaces"], later["entry"], later["method"]) == (entry_id, entry_id, "measured_attributed")
    # alone on the machine: idle power for as long as it ran, and all the rest of the windows it was in
    gpu_j = later["inputs"]["gpu_j"]
    least_s, most_s = 0.9 * found["duration_s"], found["duration_s"] + 4.0
    assert WATTS * least_s < gpu_j < WATTS * most_s
    assert 100 * least_s < later["inputs"]["idle_j"] < 100 * most_s
    assert later["energy_j"] == pytest.approx(gpu_j * 1.35 * 1.2)
    assert later["energy_low_j"] < later["energy_j"] < later["energy_high_j"]
    assert later["carbon_g"] == pytest.approx(later["energy_j"] / 3.6e6 * 35.9)
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


def test_a_team_with_a_building_of_its_own_gets_its_own_figure(proxy, upstream, counter):
    teams = 'keys: {k: {team: t, key: env:METERED_KEY}}\nteams: {t: {carbon: {pue: 1.5, source: "our contract"}}}\n'
    text = FLEET.format(url=upstream(slowly(0.2)).url, root=counter.root, idle=100) + teams
    key = {"authorization": "Bearer sk-metered"}
    served = measuring(proxy, text, key, environ={"METERED_KEY": "sk-metered"})
    body = {"model": "small", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    entry_id = httpx.post(served.url + "/chat/completions", json=body, headers=key, timeout=20).headers["x-greenlane-id"]

    def later():
        return httpx.get(f"{served.base}/v1/greenlane/requests/{entry_id}", headers=key, timeout=10).json()["restatements"]

    until(later, 20)
    assert later()[0]["inputs"]["pue"] == 1.5
    assert later()[0]["energy_j"] == pytest.approx(later()[0]["inputs"]["gpu_j"] * 1.35 * 1.5)


def test_joules_go_to_requests_to_nobody_and_nowhere_else(proxy, upstream, counter):
    served = measuring(proxy, FLEET.format(url=upstream(slowly(1.5)).url, root=counter.root, idle=100))
    threads = [threading.Thread(target=stream, args=(served,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: meters(served)[0]["restated"] == 3, 20)
    until(lambda: meters(served)[0]["idle_pool_j"] > 0, 20)
    found = meters(served)[0]
    shares = found["requests_j"] + found["idle_pool_j"] + found["unattributed_j"] + found["pending_j"]
    assert shares == pytest.approx(found["measured_j"], rel=1e-9)
    assert (found["deployment"], found["meter"], found["state"], found["weights"]) == ("here", "host", "measuring", "roofline")
    scraped = httpx.get(f"{served.base}/metrics", timeout=10).text
    lines = [line for line in scraped.splitlines() if line.startswith("greenlane_measured_energy_joules_total{")]
    kinds = {line.split('share="')[1].split('"')[0] for line in lines}
    assert kinds == {"requests", "idle", "unattributed"}
    served.call(lambda runtime: asyncio.get_running_loop().create_task(runtime._add_days()))
    until(lambda: days(served), 10)
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
    until(lambda: meters(served)[0]["failures"] >= 2, 20)
    assert stream(served)
    told = [line for line in caplog.messages if "is not measured" in line]
    assert len(told) == 1
    assert "powercap" in told[0]
    away.rename(counter.root)
    until(lambda: meters(served)[0]["state"] == "measuring", 20)


def test_what_ran_while_nothing_was_measured_keeps_its_estimate(proxy, upstream, counter):
    served = measuring(proxy, FLEET.format(url=upstream(slowly(0.2)).url, root=counter.root, idle=100))
    counter.close()
    away = counter.root.rename(counter.root.with_name("away"))
    until(lambda: meters(served)[0]["failures"] >= 1, 20)
    lost = stream(served)
    away.rename(counter.root)
    until(lambda: meters(served)[0]["state"] == "measuring", 20)
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


@pytest.mark.parametrize(
    ("meter", "told"),
    [
        ("watts", "the meter 'watts' is not known"),
        ("dcgm", "needs settings: {dcgm: {url: ...}}"),
        ("{}", "is one meter with its settings, not 0"),
        ("{nvml: {}, host: {}}", "is one meter with its settings, not 2"),
        ("{nvml: {device: 3}}", "is not a setting"),
    ],
)
def test_a_wrong_meter_is_told_with_its_place(meter, told):
    with pytest.raises(ConfigurationError) as raised:
        loads(f'deployments: {{a: {{model: m, base_url: "http://127.0.0.1:1/v1", meter: {meter}}}}}\n')
    assert raised.value.problems[0].path.startswith("deployments.a.meter")
    assert told in raised.value.problems[0].message
