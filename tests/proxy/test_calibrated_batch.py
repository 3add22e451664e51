"""The batch an answer was served in is in its figure, its entry, its explanation, and in what its measurement keeps."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from carbon.calibration import machine_of
from carbon.profile import profile_from
from proxy.store.calibrations import CalibrationStore
from proxy.store.ledger import Ledger
from tests.carbon.test_calibration import IN_COMPANY, batched, made
from tests.harness import said
from tests.proxy.counting import Counter, measuring, restated, stream
from tests.proxy.test_calibrate import look, url

FLEET = """
carbon: {{meter_every_s: 0.5}}
deployments:
  ours: {{model: small, base_url: "{url}", zone: SE, parameters_b: 8, hardware: {{gpu: H100}}, idle_w: 100,
         meter: {{host: {{root: "{root}"}}}}}}
"""
TOGETHER = 3
PATIENCE_S = 60.0


@pytest.fixture
def counter(tmp_path):
    found = Counter(tmp_path / "powercap")
    yield found
    found.close()


def all_at_once(together):
    """A host that answers nobody until so many are there, and ends no answer before all have begun."""

    def answer(_, handler):
        if together:
            together.wait(PATIENCE_S)
        handler.events(iter(said(usage=True)))

    return answer


def in_force(served):
    """A calibration that knows the batch."""
    profile = profile_from(served.runtime.snapshot().served["ours"].profile)
    calibration = made(machine=machine_of(profile), batched=batched(IN_COMPANY))

    async def keep():
        ledger = await Ledger.open(url(served))
        try:
            await CalibrationStore(ledger).keep(calibration)
        finally:
            await ledger.close()

    asyncio.run(keep())
    look(served)
    return calibration


def test_requests_that_run_together_are_accounted_by_their_company(proxy, upstream, counter):
    together = threading.Barrier(TOGETHER)
    served = measuring(proxy, FLEET.format(url=upstream(all_at_once(together)).url, root=counter.root))
    calibration = in_force(served)
    with ThreadPoolExecutor(TOGETHER) as clients:
        entries = [served.entry(each) for each in clients.map(lambda _: stream(served), range(TOGETHER))]
    for entry in entries:
        assert 1.0 < entry["batch"] <= TOGETHER + 1e-6
        terms = calibration.batched.terms.at(entry["batch"])
        joules = terms.joules(entry["tokens"]["input"], entry["tokens"]["cached"] or 0, entry["tokens"]["output"])
        account = entry["account"]
        assert account["method"] == "calibrated"
        assert account["energy_j"] == pytest.approx(joules)
        assert account["energy_high_j"] == pytest.approx(joules * calibration.batched.high)
        explained = entry["explanation"]
        assert explained["recomputed"], explained["note"]
        assert explained["methods"][0]["formula"][-1]["result"] == pytest.approx(joules, rel=1e-4)
        assert "one output token in that batch" in [each["name"] for each in explained["methods"][0]["formula"]]
    later = restated(served, entries[0]["id"])["restatements"][0]
    assert later["inputs"]["batch"] == pytest.approx(entries[0]["batch"])


def test_without_a_calibration_the_measurement_keeps_the_batch_and_the_entry_needs_none(proxy, upstream, counter):
    served = measuring(proxy, FLEET.format(url=upstream(all_at_once(None)).url, root=counter.root))
    entry = restated(served, stream(served))
    assert (entry["account"]["method"], entry["batch"]) == ("flops_roofline", None)
    assert entry["restatements"][0]["inputs"]["batch"] == pytest.approx(1.0)
