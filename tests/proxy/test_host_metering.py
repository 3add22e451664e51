"""Accelerators and the machine around them, measured together through the running proxy."""

from __future__ import annotations

import httpx
import pytest

from tests.harness import until
from tests.proxy.counting import Counter, Engine, entry, measuring, meters, restated, slowly, stream

FLEET = """
carbon: {{meter_every_s: 0.5}}
deployments:
  here: {{model: small, base_url: "{url}", zone: SE, parameters_b: 8, hardware: {{gpu: H100}}, batch: 4, pue: 1.2, idle_w: 100,
         meter: {{trtllm: {{url: "{engine}"}}, host: {{root: "{root}"}}}}}}
"""
GPU_W, HOST_W = 400.0, 90.0


@pytest.fixture
def machine(tmp_path):
    """Its accelerators, and the processor beside them."""
    engine, host = Engine(GPU_W), Counter(tmp_path / "powercap", HOST_W)
    yield engine, host
    engine.close()
    host.close()


def fleet(upstream, machine, answer):
    engine, host = machine
    return FLEET.format(url=upstream(answer).url, engine=engine.url, root=host.root)


def host_of(served):
    return meters(served)[0]["host"]


def with_host(proxy, text):
    """Serves, and returns once a first window of both was measured."""
    served = measuring(proxy, text)
    until(lambda: host_of(served)["measured_j"] > 0, 30)
    return served


def test_a_request_gets_what_its_host_drew_and_no_factor_stands_in(proxy, upstream, machine):
    served = with_host(proxy, fleet(upstream, machine, slowly(2.0)))
    found = restated(served, stream(served))
    later = found["restatements"][0]
    told = later["inputs"]
    assert (later["method"], told["meter"], told["host_meter"]) == ("measured_attributed", "trtllm", "host")
    assert "host_factor" not in told
    assert "host_assumed" not in told["notes"]
    # alone on the machine, it gets its windows' joules of both: about in the ratio of what both draw
    assert 0.5 < told["host_j"] / told["gpu_j"] / (HOST_W / GPU_W) < 2
    assert later["energy_j"] == pytest.approx((told["gpu_j"] + told["host_j"]) * 1.2)
    parts = told["components"]
    assert sum(parts.values()) == pytest.approx(later["energy_j"])
    assert parts["host_j"] == told["host_j"]
    again = found["explanation"]["restatements"][0]
    assert (again["host"], again["assumptions"]) == ("measured", [])
    assert again["components"]["total_j"] == pytest.approx(later["energy_j"] + again["components"]["router_j"])


def test_the_hosts_joules_go_to_requests_to_nobody_and_nowhere_else(proxy, upstream, machine):
    served = with_host(proxy, fleet(upstream, machine, slowly(0.5)))
    restated(served, stream(served))
    until(lambda: host_of(served)["idle_pool_j"] > 0, 20)
    found = host_of(served)
    assert (found["meter"], found["state"]) == ("host", "measuring")
    shares = found["requests_j"] + found["idle_pool_j"] + found["unattributed_j"] + found["pending_j"]
    assert shares == pytest.approx(found["measured_j"], rel=1e-9)
    lines = httpx.get(f"{served.base}/metrics", timeout=10).text.splitlines()
    told = [line for line in lines if line.startswith("greenlane_measured_host_energy_joules_total{")]
    assert {line.split('share="')[1].split('"')[0] for line in told} == {"requests", "idle", "unattributed"}


def test_a_host_that_may_not_be_read_leaves_the_factor_and_is_told_once(proxy, upstream, machine, caplog):
    engine, host = machine
    away = host.root.with_name("elsewhere")
    text = FLEET.format(url=upstream(slowly(0.2)).url, engine=engine.url, root=away)
    served = measuring(proxy, text)
    found = restated(served, stream(served))
    told = found["restatements"][0]["inputs"]
    assert told["host_factor"] == 1.35
    assert "host_j" not in told
    again = found["explanation"]["restatements"][0]
    assert (again["host"], [each["name"] for each in again["assumptions"]]) == ("assumed", ["host_factor"])
    assert (host_of(served)["state"], meters(served)[0]["state"]) == ("unsupported", "measuring")
    assert len([line for line in caplog.messages if "host_factor stands in" in line]) == 1


def test_accelerators_that_are_away_take_the_host_with_them(proxy, upstream, machine):
    """Nothing is lost: counters go on, and the next window has what both drew meanwhile."""
    engine, _ = machine
    served = with_host(proxy, fleet(upstream, machine, slowly(0.2)))
    engine.status = 503
    until(lambda: meters(served)[0]["failures"] >= 1, 20)
    lost = entry(served, stream(served))
    engine.status = 200
    until(lambda: meters(served)[0]["state"] == "measuring", 20)
    found = restated(served, lost["id"])["restatements"][0]
    assert 0.5 < found["inputs"]["host_j"] / found["inputs"]["gpu_j"] / (HOST_W / GPU_W) < 2
