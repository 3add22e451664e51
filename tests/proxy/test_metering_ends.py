"""The last joules of a deployment, when a reload takes it away, changes its meter, or the proxy ends: all are in the sums of the day."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from proxy.records import Restatement
from proxy.store.ledger import Ledger
from proxy.store.metered_days import MeteredDays
from tests.harness import until
from tests.proxy.counting import Counter, measuring, meters, restated, slowly, stream

FLEET = """
carbon: {{meter_every_s: 0.5}}
deployments:
  here: {{model: small, base_url: "{url}", zone: SE, parameters_b: 8, hardware: {{gpu: H100}}, batch: 4, idle_w: 100,
         meter: {{host: {{root: "{root}", timeout_s: {timeout_s}}}}}}}
  plain: {{model: other, base_url: "{url}", zone: SE, parameters_b: 8}}
"""
BARE = """
deployments:
  plain: {{model: other, base_url: "{url}", zone: SE, parameters_b: 8}}
"""

FIGURES = {
    **dict.fromkeys(("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "carbon_low_g", "carbon_high_g"), 1.0),
    "method": "measured_attributed", "confidence": "high", "inputs": {},
}  # fmt: skip


@pytest.fixture
def counter(tmp_path):
    made = Counter(tmp_path / "powercap")
    yield made
    made.close()


def fleet(url, counter, timeout_s=5):
    return FLEET.format(url=url, root=counter.root, timeout_s=timeout_s)


def ended(served, entry_id):
    """The proxy ends; what the store has then of the deployment's days and of the entry."""
    served.close()

    async def read():
        ledger = await Ledger.open(f"sqlite:///{served.folder}/ledger.db")
        try:
            rows = await MeteredDays(ledger).since(0)
            return {row["deployment"]: row for row in rows}["here"], await ledger.get(entry_id, None)
        finally:
            await ledger.close()

    return asyncio.run(read())


def settled_j(row):
    return row["requests_j"] + row["idle_pool_j"] + row["unattributed_j"]


def test_at_the_end_all_that_was_counted_is_in_the_sums_of_the_day(proxy, upstream, counter):
    served = measuring(proxy, fleet(upstream(slowly(0.2)).url, counter))
    entry_id = stream(served)
    counter.close()
    before_j = meters(served)[0]["measured_j"]
    counter.watts = 40
    counter.step()
    found, _ = ended(served, entry_id)
    assert found["measured_j"] > before_j
    assert settled_j(found) == pytest.approx(found["measured_j"], rel=1e-9)


def test_a_request_that_ends_just_before_the_proxy_does_is_restated(proxy, upstream, counter):
    served = measuring(proxy, fleet(upstream(slowly(0.5)).url, counter))
    _, found = ended(served, stream(served))
    assert [each.method for each in found.restatements] == ["measured_attributed"]


def test_what_is_not_measured_whole_by_then_keeps_its_estimate_and_is_said(proxy, upstream, counter, caplog):
    caplog.set_level("INFO", "greenlane.metering")
    served = measuring(proxy, fleet(upstream(slowly(0.2)).url, counter))
    counter.close()
    counter.root.rename(counter.root.with_name("away"))
    until(lambda: meters(served)[0]["failures"] >= 1)
    row, found = ended(served, stream(served))
    assert found.restatements == ()
    assert [line for line in caplog.messages if "1 requests keep their estimates" in line]
    assert settled_j(row) == pytest.approx(row["measured_j"], rel=1e-9)


def test_one_that_the_store_never_takes_holds_up_no_other(proxy, upstream, counter, caplog):
    served = measuring(proxy, fleet(upstream(slowly(0.2)).url, counter))
    wrong = Restatement(id="never.measured", replaces="never", entry="never", at_s=float("nan"), **FIGURES)
    served.call(lambda runtime: runtime.metering._restater.put([wrong]))
    restated(served, stream(served))
    lines = httpx.get(f"{served.base}/metrics", timeout=10).text.splitlines()
    assert "greenlane_restatements_set_aside_total 1.0" in lines
    assert len([line for line in caplog.messages if "put aside" in line]) == 1


@pytest.mark.parametrize("change", ["gone", "other meter"])
def test_a_reload_loses_no_joule(proxy, upstream, counter, change):
    """`gone`: without a meter from then on. `other meter`: the same counters by another setting, and no joule is counted twice."""
    url = upstream(slowly(0.2)).url
    served = measuring(proxy, fleet(url, counter))
    entry_id = stream(served)
    before_j = meters(served)[0]["measured_j"]
    served.write(BARE.format(url=url) if change == "gone" else fleet(url, counter, timeout_s=4))
    assert served.reload()
    if change == "other meter":
        until(lambda: meters(served)[0]["measured_j"] > 0)
        stream(served)
    found, _ = ended(served, entry_id)
    assert before_j <= found["measured_j"] <= counter.joules - 1000
    assert settled_j(found) == pytest.approx(found["measured_j"], rel=1e-9)
