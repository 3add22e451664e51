"""Intensities that were read outlive a restart, each once, until their time is over."""

from __future__ import annotations

import asyncio

import pytest

from carbon.intensity import Intensity
from proxy.store.intensities import IntensityStore
from proxy.store.ledger import Ledger


def sample(g: float, as_of: str = "2026-11-21T10:00:00Z", zone: str = "SWE", **more: object) -> Intensity:
    facts = {"basis": "direct", "source": "test", "licence": "none", "estimated": True, **more}
    return Intensity(zone=zone, g_per_kwh=g, low=g / 2, high=g * 2, as_of=as_of, **facts)


AT_S = 1_795_255_200.0  # 2026-11-21T10:00:00Z


def run(url, steps):
    async def session():
        ledger = await Ledger.open(url)
        try:
            return await steps(IntensityStore(ledger))
        finally:
            await ledger.close()

    return asyncio.run(session())


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/greenlane.db"


async def kept(store):
    await store.keep("a", [sample(1), sample(2, "2026-11-21T10:05:00Z"), sample(900, signal="marginal", forecast=True)])
    await store.keep("a", [sample(77)])
    await store.keep("b", [sample(3)])


def test_the_newest_of_each_source_zone_and_signal_come_back_as_they_were(url):
    run(url, kept)
    found = run(url, lambda store: store.latest(AT_S - 3600))
    assert sorted(found, key=repr) == sorted(
        [("a", sample(2, "2026-11-21T10:05:00Z")), ("a", sample(900, signal="marginal", forecast=True)), ("b", sample(3))], key=repr
    )
    assert run(url, lambda store: store.latest(AT_S + 301)) == []


def test_a_figure_read_twice_is_kept_once_and_as_it_was_first(url):
    run(url, kept)
    found = run(url, lambda store: store.between("SWE", AT_S, AT_S + 1))
    assert sorted((feed, each.g_per_kwh) for feed, each in found) == [("a", 1), ("a", 900), ("b", 3)]


def test_the_past_is_told_in_order_and_of_one_zone_only(url):
    async def steps(store):
        await store.keep("a", [sample(5, zone="DEU"), sample(4, "2026-11-21T09:00:00Z"), sample(6, "2026-11-21T11:00:00+02:00")])
        return await store.between("SWE", AT_S - 7200, AT_S)

    assert [each.g_per_kwh for _, each in run(url, steps)] == [4, 6]


def test_what_is_past_its_time_is_forgotten(url):
    async def steps(store):
        await kept(store)
        await store.forget(AT_S + 1)
        return await store.latest(0)

    assert [each.g_per_kwh for _, each in run(url, steps)] == [2]


def test_the_assumed_world_is_no_reading(url):
    async def steps(store):
        await store.keep("a", [sample(1, assumed=True)])
        return await store.latest(0)

    assert run(url, steps) == []
