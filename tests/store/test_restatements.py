"""A better figure comes as a row of its own; the entry stays as it was written, and sums take the figure that counts."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from sqlalchemy import select

from proxy.records import Restatement
from proxy.store.ledger import Ledger
from proxy.store.tables import quarantine
from proxy.store.usage import UsageQuery
from tests.store.entries import ENTRY, written


def later(number: int, replaces: str, joules: float | None, **more: object) -> Restatement:
    figures = {
        "energy_j": joules, "energy_low_j": joules and joules / 2, "energy_high_j": joules and joules * 2,
        "carbon_g": joules and joules / 1000, "carbon_low_g": joules and joules / 2000, "carbon_high_g": joules and joules / 500,
    }  # fmt: skip
    facts = {"method": "measured_attributed", "confidence": "high", "inputs": {"meter": "nvml", "windows": 3}, **figures, **more}
    return Restatement(id=f"gl-1.{number}", replaces=replaces, entry="gl-1", at_s=1_700_000_100.0 + number, **facts)


def run(url, steps):
    async def session():
        ledger = await Ledger.open(url)
        try:
            await ledger.insert_records(written(ENTRY))
            return await steps(ledger)
        finally:
            await ledger.close()

    return asyncio.run(session())


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/greenlane.db"


def test_the_entry_stays_and_lists_what_was_said_later(url):
    first, second = later(1, "gl-1", 1000.0), later(2, "gl-1.1", 900.0)

    async def steps(ledger):
        await ledger.restate([first, second])
        return await ledger.get("gl-1", None)

    found = run(url, steps)
    assert found.carbon == ENTRY.carbon
    assert found.restatements == (first, second)


def test_sums_take_the_last_that_nothing_replaces(url):
    async def steps(ledger):
        before = await ledger.usage(UsageQuery())
        await ledger.restate([later(1, "gl-1", 1000.0)])
        once = await ledger.usage(UsageQuery())
        await ledger.restate([later(2, "gl-1.1", 720.0)])
        return before, once, await ledger.usage(UsageQuery(group_by="deployment"))

    before, once, twice = run(url, steps)
    assert before[0]["energy_wh"] == 1.0
    assert once[0]["energy_wh"] == pytest.approx(1000 / 3600)
    assert (twice[0]["requests"], twice[0]["energy_wh"], twice[0]["carbon_g"]) == (1, pytest.approx(0.2), 0.72)
    assert twice[0]["energy_low_wh"] == pytest.approx(0.1)


def test_the_same_restatement_twice_is_one_and_nothing_is_replaced_twice(url):
    async def steps(ledger):
        await ledger.restate([later(1, "gl-1", 1000.0)])
        await ledger.restate([later(1, "gl-1", 1000.0), later(3, "gl-1", 5.0)])
        return (await ledger.get("gl-1", None)).restatements, await ledger.usage(UsageQuery())

    found, sums = run(url, steps)
    assert [each.id for each in found] == ["gl-1.1"]
    assert sums[0]["requests"] == 1


def test_a_restatement_to_unknown_makes_the_sum_say_so(url):
    """A measurement that proves an estimate wrong without giving another."""

    async def steps(ledger):
        await ledger.restate([later(1, "gl-1", None)])
        return await ledger.usage(UsageQuery())

    sums = run(url, steps)
    assert (sums[0]["energy_wh"], sums[0]["energy_wh_unknown"]) == (None, 1)


NEVER = {
    "an instant that is none": {"at_s": float("nan")},
    "a method that is none": {"method": None},
    "a text nobody can write down": {"confidence": "\ud800"},
    "an input of no JSON": {"inputs": {"windows": object()}},
}


@pytest.mark.parametrize("wrong", NEVER.values(), ids=NEVER)
def test_one_that_is_never_taken_is_put_aside_and_holds_up_nobody(url, wrong):
    """Between good ones, and in a batch whose halves are tried apart."""
    entries = [msgspec.structs.replace(ENTRY, id=f"gl-{k}") for k in range(1, 6)]

    async def steps(ledger):
        for each in entries[1:]:
            await ledger.insert_records(written(each))
        batch = [msgspec.structs.replace(later(1, f"gl-{k}", 10.0 * k), id=f"gl-{k}.m", entry=f"gl-{k}") for k in range(1, 6)]
        batch[2] = msgspec.structs.replace(batch[2], **wrong)
        refused = await ledger.restate(batch)
        again = await ledger.restate(batch)
        aside = await ledger.rows(select(quarantine.c.record))
        return refused, again, aside, [len((await ledger.get(f"gl-{k}", None)).restatements) for k in range(1, 6)]

    refused, again, aside, kept = run(url, steps)
    assert (len(refused), len(again), len(aside)) == (1, 1, 1)
    assert b"gl-3" in aside[0].record
    assert kept == [1, 1, 0, 1, 1]
