"""Joules of a day add up over processes and restarts, beside the requests of that day."""

from __future__ import annotations

import asyncio

import pytest

from proxy.store.ledger import Ledger
from proxy.store.metered_days import Grown, MeteredDays
from tests.store.entries import ENTRY, written

DAY = int(ENTRY.at_s // 86400)


def grown(joules: float, deployment: str = "vllm-eu", day: int = DAY) -> Grown:
    return Grown(
        deployment=deployment, day=day, measured_j=joules, requests_j=joules / 2, idle_pool_j=joules / 4, unattributed_j=joules / 8
    )


def run(url, steps):
    async def session():
        ledger = await Ledger.open(url)
        try:
            await ledger.insert_records(written(ENTRY))
            return await steps(MeteredDays(ledger))
        finally:
            await ledger.close()

    return asyncio.run(session())


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/greenlane.db"


def test_what_is_added_adds_up_and_idle_capacity_is_shared_by_the_requests_of_the_day(url):
    async def steps(days):
        await days.add([grown(100.0), grown(8.0, "other")])
        await days.add([grown(60.0)])
        return await days.since(DAY)

    assert run(url, steps) == [
        {
            "deployment": "other", "day": "2023-11-14", "measured_j": 8.0, "requests_j": 4.0, "idle_pool_j": 2.0, "unattributed_j": 1.0,
            "requests": 0, "output_tokens": None, "overhead_j_per_request": None,
        },
        {
            "deployment": "vllm-eu", "day": "2023-11-14", "measured_j": 160.0, "requests_j": 80.0, "idle_pool_j": 40.0,
            "unattributed_j": 20.0, "requests": 1, "output_tokens": 300, "overhead_j_per_request": 40.0,
        },
    ]  # fmt: skip


def test_other_days_are_other_rows_and_older_ones_are_left_out(url):
    async def steps(days):
        await days.add([grown(1.0, day=DAY - 2), grown(2.0, day=DAY - 1), grown(3.0)])
        return await days.since(DAY - 1)

    assert [row["measured_j"] for row in run(url, steps)] == [3.0, 2.0]
