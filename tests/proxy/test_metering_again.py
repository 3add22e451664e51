"""The metering worker begins again after a failure: what it holds is made anew, and what it knew goes on."""

from __future__ import annotations

import pytest

from carbon.reach import client
from proxy.workers import metering
from tests.harness import until
from tests.proxy.counting import Engine, measuring, meters, restated, slowly, stream

FLEET = """
carbon: {{meter_every_s: 0.5}}
deployments:
  here: {{model: small, base_url: "{url}", zone: SE, parameters_b: 8, hardware: {{gpu: H100}}, batch: 4, idle_w: 100,
         meter: {{trtllm: {{url: "{engine}"}}}}}}
"""


@pytest.fixture
def engine():
    made = Engine()
    yield made
    made.close()


def worker(served):
    return {each.name: each for each in served.runtime.supervisor.status()}["metering"]


def test_certificates_that_cannot_be_read_are_tried_again(proxy, upstream, engine, monkeypatch):
    """What meters are read by cannot be made, once."""
    tries = []

    def broken():
        tries.append(None)
        if len(tries) == 1:
            raise FileNotFoundError(2, "No such file or directory")
        return client()

    monkeypatch.setattr(metering, "client", broken)
    served = measuring(proxy, FLEET.format(url=upstream(slowly(0.2)).url, engine=engine.url))
    assert (worker(served).state, worker(served).failures, len(tries)) == ("running", 1, 2)
    assert restated(served, stream(served))["restatements"]


def test_after_a_failure_nothing_that_was_counted_or_held_is_lost(proxy, upstream, engine):
    """The store breaks in a way that nobody foresaw, once: the worker fails with a restatement in its hands."""
    served = measuring(proxy, FLEET.format(url=upstream(slowly(0.2)).url, engine=engine.url))
    ledger = served.runtime.ledger
    whole = ledger.restate

    async def broken(_):
        ledger.restate = whole
        raise RuntimeError("nobody foresaw this")

    ledger.restate = broken
    before_j = meters(served)[0]["measured_j"]
    entry_id = stream(served)
    until(lambda: worker(served).failures == 1)
    assert len(restated(served, entry_id)["restatements"]) == 1
    later_j = meters(served)[0]["measured_j"]
    assert later_j >= before_j
    until(lambda: meters(served)[0]["measured_j"] > later_j)
    assert restated(served, stream(served))["restatements"]
    found = meters(served)[0]
    shares = found["requests_j"] + found["idle_pool_j"] + found["unattributed_j"] + found["pending_j"]
    assert shares == pytest.approx(found["measured_j"], rel=1e-9)
    assert (worker(served).state, worker(served).failures) == ("running", 1)
