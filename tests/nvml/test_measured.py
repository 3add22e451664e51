"""From NVIDIA's counters to requests' joules, all parts together: what the counters told is what the books hold."""

from __future__ import annotations

import asyncio
import random

import pynvml
import pytest

from carbon.attributed import Attributed
from carbon.attribution import Weights
from carbon.meters.nvml import Nvml
from carbon.replica import Replica
from carbon.spread import Life
from carbon.windows import Meterage, total
from tests.carbon.meters.reaching import reach
from tests.imitations.nvml import library
from tests.imitations.nvml.library import gpu

IDLE_W, BUSY_W = 90, 640


@pytest.fixture
def state(tmp_path, monkeypatch):
    library.load()
    monkeypatch.setenv("IMITATED_NVML", str(tmp_path / "nvml"))
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    return tmp_path / "nvml"


def lives(seed: int) -> list[Life]:
    """Forty requests over a minute, after half a minute of quiet."""
    chance = random.Random(seed)
    found = []
    for number in range(40):
        arrived_s = 30 + 60 * chance.random()
        first_s = arrived_s + chance.random()
        last_s = first_s + 5 * chance.random()
        one = Life(
            id=f"r{number}", arrived_s=arrived_s, first_s=first_s, last_s=last_s, input_tokens=500, cached_tokens=0, output_tokens=100
        )
        found.append(one)
    return found


def test_what_two_gpus_counted_is_what_requests_pool_and_nobody_got(state):
    """Read every 0.5 s for 110 s; at 70 s one GPU's driver is loaded again, and that window has no figure for it but power's."""
    requests = lives(7)
    meterage, replica = Meterage(), Replica(Weights(prefill_j=0.3, decode_j=3.0, context_j=0.0, source="fitted"))
    counters_mj, told_mj, effects = [5_000_000.0, 9_000_000.0], 0.0, []

    async def play() -> None:
        nonlocal told_mj
        now_s = 0.0
        async with reach(lambda: now_s) as world:
            for step in range(220):
                now_s = 0.5 * step
                running = sum(one.arrived_s <= now_s < one.last_s for one in requests)
                watts = IDLE_W + (BUSY_W - IDLE_W) * min(1, running / 4)
                if now_s == 70:
                    counters_mj[0] = 0.0
                state.write_text("\n".join(gpu(f"GPU-{i}", int(mj), int(1000 * watts)) for i, mj in enumerate(counters_mj)))
                for one in requests:
                    if now_s - 0.5 < one.arrived_s <= now_s:
                        effects.extend(replica.began(one.id, one.arrived_s))
                    if now_s - 0.5 < one.last_s <= now_s:
                        effects.extend(replica.finished(one))
                if windows := meterage.closed(await Nvml().read(world)):
                    effects.extend(replica.window(total(windows)))
                    told_mj += 1000 * sum(window.energy_j or 0 for window in windows)
                for i in range(2):
                    counters_mj[i] += 500 * watts

    asyncio.run(play())
    effects += replica.passed(200.0)
    books = replica.books
    assert books.measured_j == pytest.approx(told_mj / 1000, rel=1e-9)
    assert books.attributed_j + books.pool_idle_j + books.unattributed_j == pytest.approx(books.measured_j, rel=1e-9)
    assert books.pending_j == 0
    assert replica.idle_power_w == pytest.approx(2 * IDLE_W, rel=1e-3)
    figures = {effect.id: effect for effect in effects if isinstance(effect, Attributed)}
    assert set(figures) == {one.id for one in requests}
    assert all(figure.measured and figure.energy_j for figure in figures.values())
    reset = {name for name, figure in figures.items() if "counter_reset" in figure.flags}
    assert reset == {one.id for one in requests if one.arrived_s < 70 and one.last_s >= 69}
    assert all(("power_integrated" in figures[name].notes) == (name in reset) for name in figures)
    assert sum(figure.energy_j or 0 for figure in figures.values()) == pytest.approx(books.attributed_j, rel=1e-9)
