"""Estimates are kept as they were made, listed newest first, and read by their own team."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from proxy.records import Estimate, EstimateInputs, Taken
from proxy.store.estimates import EstimateStore
from proxy.store.ledger import Ledger
from tests.store.entries import SE

FIRST = Estimate(
    id="est-1",
    at_s=1000.5,
    team="search",
    key="a",
    mode="simulate",
    model="m",
    provider="SE",
    deployment="d",
    entry=None,
    note="\u2028 note",
    input_tokens=10,
    cached_tokens=None,
    output_tokens=20,
    tokens_estimated=True,
    inference_ms=1.5,
    method="flops_roofline",
    confidence="low",
    energy_j=1.0,
    energy_low_j=0.5,
    energy_high_j=2.0,
    carbon_g=0.1,
    carbon_low_g=0.05,
    carbon_high_g=0.2,
    zone="SWE",
    intensity_g_per_kwh=30.0,
    config_version="c",
    data_version="d",
    software_version="1",
    inputs=EstimateInputs(
        profile={"gpu": "H100"}, intensity=SE, decode_s=1.5, warnings=("w",), taken=(Taken(name="a", value=1.0, why="b"),)
    ),
)
SECOND = msgspec.structs.replace(FIRST, id="est-2", team=None, carbon_g=None, provider=None, inputs=EstimateInputs())
THIRD = msgspec.structs.replace(FIRST, id="est-3", at_s=2000.0, team="chat", tokens_estimated=False)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/greenlane.db"


def run(url, steps):
    async def session():
        ledger = await Ledger.open(url)
        try:
            store = EstimateStore(ledger)
            for each in (FIRST, SECOND, THIRD):
                await store.keep(each)
            return await steps(store)
        finally:
            await ledger.close()

    return asyncio.run(session())


def test_they_come_back_as_they_were(url):
    async def steps(store):
        await store.reachable()
        return [await store.get(each, None) for each in ("est-1", "est-2", "est-3", "est-4")]

    assert run(url, steps) == [FIRST, SECOND, THIRD, None]


def test_they_are_listed_newest_first_also_those_of_one_instant(url):
    async def steps(store):
        return [await store.latest(*how) for how in ((2, None, None), (5, SECOND, None), (5, None, "search"), (5, FIRST, None))]

    assert run(url, steps) == [[THIRD, SECOND], [FIRST], [FIRST], []]


def test_another_teams_is_not_there(url):
    async def steps(store):
        return [await store.get("est-1", team) for team in ("search", "chat")]

    assert run(url, steps) == [FIRST, None]
