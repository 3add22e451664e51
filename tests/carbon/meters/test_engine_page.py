"""An engine's metrics over real sockets, on a page that a real engine wrote."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from carbon.engine import NAMES, EngineSignals
from carbon.meters._base import NotSupportedError, OutOfReachError, UnreadableError
from carbon.meters._engine import read_engine
from tests.carbon.meters.reaching import reach
from tests.imitations.exporters import Exporter, Page

BUSY = (Path(__file__).parents[1] / "pages" / "vllm_0.32_busy.txt").read_bytes()


def read(page: Page, model="tiny", timeout_s=60.0) -> EngineSignals:
    async def once():
        async with Exporter({"/metrics": page}) as exporter, reach() as world:
            return await read_engine(world, exporter.url(), model, timeout_s)

    return asyncio.run(once())


def test_a_models_signals_are_read():
    signals = read(Page(BUSY))
    assert (signals.running, signals.waiting, signals.prompt_tokens, signals.cached_tokens, signals.missing) == (2, 0, 480, 256, ())


def test_a_page_of_something_else_tells_nothing():
    assert read(Page(b"[]")).missing == tuple(NAMES)


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (Page(b'vllm:num_requests_running{model_name="tiny" 1\n'), UnreadableError),
        (Page(b"no", 404), NotSupportedError),
        (Page(b"late", wait_s=60), OutOfReachError),
    ],
)
def test_a_page_that_cannot_be_read_is_a_meters_error(page, error):
    with pytest.raises(error):
        read(page, timeout_s=0.2 if page.wait_s else 60)
