"""`/.well-known/sustainability-data` tells last month's sums, where somebody answers for them, and nothing that is not so."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import httpx
import msgspec
import pytest

from proxy.controlplane.sustainability import Months, last_month, measurement_method
from proxy.errors import Refusal
from proxy.records import Carbon
from proxy.store.by_method import OfMethod
from tests.store.entries import ENTRY, SE, written

FLEET = """
carbon: {sustainability_data: {provider: "Example, sustainability@example.com", methodology_uri: "https://example.com/method"}}
deployments: {vllm-eu: {model: m, base_url: "http://127.0.0.1:9/v1"}, pretended: {model: n, base_url: "sim://n"}}
"""
PATH = "/.well-known/sustainability-data"
MEASURED = Carbon(
    energy_j=1.8e6,
    energy_low_j=1.2e6,
    energy_high_j=2.4e6,
    carbon_g=15.0,
    carbon_low_g=10.0,
    carbon_high_g=24.0,
    method="measured_attributed",
    confidence="high",
    intensity=SE,
)


def entries(*changes):
    """Entries of the last month and, in case one ends while the test runs, of this one."""
    month = last_month(time.time())
    for at_s in (month.from_s, month.to_s):
        for number, each in enumerate(changes):
            yield msgspec.structs.replace(ENTRY, **{"id": f"gl-{at_s:.0f}-{number}", "at_s": at_s + number, "carbon": MEASURED, **each})


def insert(served, *changes):
    records = written(*entries(*changes))
    asyncio.run_coroutine_threadsafe(served.runtime.ledger.insert_records(records), served.loop).result(60)


def test_the_month_is_told_with_its_band_and_the_drafts_words(proxy):
    """Two of 1.8 MJ are 1 kWh and 30 g: 30 g/kWh. What did no work, was simulated, or lies a month back is in nothing."""
    served = proxy(FLEET)
    before = last_month(last_month(time.time()).from_s)
    insert(
        served,
        {},
        {},
        {"carbon": Carbon(method="none"), "outcome": "failed"},
        {"carbon": Carbon(method="none"), "outcome": "refused"},
        {"deployment": "pretended"},
        {"id": "old", "at_s": before.to_s - 1},
    )
    answer = httpx.get(served.base + PATH, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/sustainability-data+json")
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("public, max-age=3600", "nosniff")
    found = answer.json()
    period, updated = found.pop("reporting-period"), found.pop("updated")
    assert period in {last_month(time.time()).name, before.name}
    assert abs(datetime.fromisoformat(updated).timestamp() - time.time()) < 600
    assert found == {
        "version": "2.0",
        "capabilities": "basic",
        "provider": "Example, sustainability@example.com",
        "measurement-method": "hardware-metered",
        "methodology-uri": "https://example.com/method",
        "target": "greenlane",
        "target-type": "service",
        "energy-consumption": 1.0,
        "energy-unit": "kWh",
        "carbon-footprint": 30.0,
        "carbon-unit": "gCO2e",
        "carbon-accounting": "location-based",
        "carbon-intensity-gCO2e-per-kWh": 30.0,
        "greenlane.energy-consumption-low": 0.66667,
        "greenlane.energy-consumption-high": 1.3333,
        "greenlane.carbon-footprint-low": 20.0,
        "greenlane.carbon-footprint-high": 48.0,
        "greenlane.requests": 3,
        "greenlane.requests-without-energy": 1,
        "greenlane.requests-without-carbon": 1,
    }


def test_it_is_read_by_everybody_and_changed_by_nobody(proxy):
    """Keys are for inference; HEAD is GET without its body; query members of the draft's extended service are passed over."""
    keys = "teams: {t: {}}\nkeys: {k: {team: t, key: env:GL_SUSTAINABILITY}}\n"
    served = proxy(FLEET + keys, environ={"GL_SUSTAINABILITY": "sk-" + "x" * 24})
    insert(served, {})
    got = httpx.get(served.base + PATH, params={"period": "2020"}, timeout=60)
    headed = httpx.head(served.base + PATH, timeout=60)
    assert (got.status_code, headed.status_code, headed.content) == (200, 200, b"")
    assert headed.headers["content-length"] == got.headers["content-length"]
    refused = httpx.post(served.base + PATH, timeout=60)
    assert (refused.status_code, sorted(refused.headers["allow"].split(", "))) == (405, ["GET", "HEAD", "OPTIONS"])


def test_a_month_without_figures_has_no_document(proxy):
    answer = httpx.get(proxy(FLEET).base + PATH, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_nothing_is_published_that_nobody_asked_to_publish(proxy):
    served = proxy(FLEET[FLEET.index("deployments") :])
    insert(served, {})
    assert httpx.get(served.base + PATH, timeout=60).status_code == 404


def row(method, energy_j):
    return OfMethod(**dict.fromkeys(OfMethod.__struct_fields__, 0) | {"method": method, "energy_j": energy_j})


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([row("flops_roofline", 1.0), row("runtime_power", 2.0), row("none", 0.0)], "hardware-estimated"),
        ([row("vendor_prior", 1.0)], "third-party-modeled"),
        ([row("provider_reported", 1.0)], "reported by the inference provider"),
        (
            [row("flops_roofline", 1.0), row("measured_attributed", 3.0), row(None, None)],
            "hardware-metered (75.0% of the energy), hardware-estimated (25.0% of the energy)",
        ),
    ],
)
def test_a_fleet_that_is_measured_in_part_does_not_say_that_it_is_measured(rows, told):
    assert measurement_method(rows) == told


@pytest.mark.parametrize(("now", "name"), [("2026-01-01T00:00:00Z", "2025-12"), ("2024-03-31T23:59:59Z", "2024-02")])
def test_the_last_whole_month_is_a_calendars_in_utc(now, name):
    now_s = datetime.fromisoformat(now).timestamp()
    month = last_month(now_s)
    assert month.name == name
    assert month.to_s <= now_s
    assert datetime.fromisoformat(f"{name}-01T00:00:00Z").timestamp() == month.from_s


class Slow:
    """A ledger that answers when it is let."""

    def __init__(self):
        self.asked = 0
        self.begun, self.let = asyncio.Event(), asyncio.Event()

    async def rows(self, statement):
        self.asked += 1
        self.begun.set()
        await self.let.wait()
        return []


def test_the_store_is_asked_once_an_hour_by_one_request_at_a_time():
    async def session():
        ledger, now_s = Slow(), [1e9]
        months = Months(ledger, lambda: now_s[0])
        first = asyncio.create_task(months.last(()))
        await ledger.begun.wait()
        with pytest.raises(Refusal) as refused:
            await months.last(())
        ledger.let.set()
        told = await first
        assert (refused.value.status, await months.last(()) is told, ledger.asked) == (503, True, 1)
        now_s[0] += 3600
        assert (await months.last(()) is told, ledger.asked) == (False, 2)

    asyncio.run(session())
