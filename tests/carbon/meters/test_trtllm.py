"""TensorRT-LLM's /energy_metrics over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from carbon.meters._base import NotSupportedError, OutOfReachError, Reading, UnreadableError
from carbon.meters.trtllm import Trtllm
from carbon.windows import Meterage
from tests.carbon.meters.reaching import reach
from tests.imitations.exporters import TRTLLM_OFF, Exporter, Page, json_page, trtllm


def read(page: Page, clock_s=lambda: 7.0, **settings) -> tuple[Reading, ...]:
    async def once():
        async with Exporter({"/energy_metrics": page}) as exporter, reach(clock_s) as world:
            return await Trtllm(**{"url": exporter.url("/energy_metrics"), **settings}).read(world)

    return asyncio.run(once())


def test_the_engine_is_one_device_of_so_many_gpus():
    assert read(trtllm(18735.12504), gpus=4) == (Reading(device="trtllm", at_s=7.0, energy_j=18735.125, gpus=4),)


def test_windows_follow_its_counter_and_a_new_engine_begins_at_0():
    """It counts from its own start: after 2 s it has been started again."""
    meterage, windows = Meterage(), []
    for at_s, energy_j in ((0.0, 1000.0), (1.0, 3400.0), (2.0, 12.0), (3.0, 1212.0)):
        windows += meterage.closed(read(trtllm(energy_j), lambda now=at_s: now, gpus=4))
    assert [(window.energy_j, window.flags) for window in windows] == [(2400, ()), (None, ("counter_reset",)), (1200, ())]


@pytest.mark.parametrize(
    ("page", "error", "says"),
    [
        (json_page(TRTLLM_OFF, 503), OutOfReachError, "answers 503"),
        (trtllm(None), OutOfReachError, "answers 503"),
        (Page(b"", 404), NotSupportedError, "a version without it"),
        (json_page([]), NotSupportedError, "no `total_energy_j`"),
        (json_page({"query_time": 1}), NotSupportedError, "no `total_energy_j`"),
        (json_page({"total_energy_j": "much"}), UnreadableError, "no number of joules"),
        (json_page({"total_energy_j": True}), UnreadableError, "no number of joules"),
        (json_page({"total_energy_j": -1.0}), UnreadableError, "no number of joules"),
        (json_page({"total_energy_j": float("nan")}), UnreadableError, "no JSON"),
        (Page(b"<html>"), UnreadableError, "no JSON"),
        (Page(b"[" * 100_000), UnreadableError, "no JSON"),
        (Page(b"\xff"), UnreadableError, "no JSON"),
        (Page(b"late", wait_s=30), OutOfReachError, "did not answer within"),
    ],
)
def test_each_failure_says_what_it_is(page, error, says):
    with pytest.raises(error, match=says):
        read(page, timeout_s=0.3 if page.wait_s else 60)
