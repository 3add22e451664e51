"""What sources foretell: asked once for all who ask, kept, on the basis that is compared."""

from __future__ import annotations

import asyncio

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError
from carbon.sources._base import written
from proxy.workers.forecasts import Forecasts

HOUR_S = 3600.0


class World:
    def __init__(self):
        self.clock_s, self.now_s = 1000.0, 1_795_263_000.0
        self.forecasts = Forecasts(lambda: self.now_s, lambda: self.clock_s)
        self.calls = []
        self.fails = set()

    def source(self, name, *, hours=48, **more):
        """Foretells 100, 101, ... g/kWh, one figure an hour from this hour on."""
        world = self

        class Source:
            async def ahead(self, zone, wanted, reach):
                world.calls.append((name, wanted))
                await asyncio.sleep(0)
                if name in world.fails:
                    raise OutOfReachError("status", "they answer 500")
                facts = {"basis": "lifecycle", "source": name, "licence": "none", "forecast": True, **more}
                first_s = world.now_s // HOUR_S * HOUR_S
                return tuple(
                    Intensity(zone=zone, g_per_kwh=100.0 + n, low=90, high=120, as_of=written(first_s + n * HOUR_S), **facts)
                    for n in range(hours)
                )

        return (name, Source(), object())

    async def ahead(self, hours, *sources, basis="lifecycle"):
        return await self.forecasts.ahead("SWE", hours, sources, basis)


def told(points):
    return [(point.source, point.g_per_kwh) for point in points]


def test_who_asks_at_once_or_soon_after_shares_one_asking_of_whole_days():
    world = World()
    one = world.source("one")

    async def story():
        first, second = await asyncio.gather(world.ahead(2, one), world.ahead(3.5, one))
        third = await world.ahead(24, one)
        return len(first), len(second), len(third)

    assert asyncio.run(story()) == (3, 4, 25)
    assert world.calls == [("one", 24.0)]


def test_what_is_kept_goes_on_with_the_time_and_is_asked_anew_after_a_quarter_of_an_hour():
    world = World()
    one = world.source("one")

    async def story():
        first = await world.ahead(2, one)
        world.now_s += HOUR_S
        later = await world.ahead(2, one)
        world.clock_s += 900
        await world.ahead(2, one)
        return first[0], later[0]

    first, later = asyncio.run(story())
    assert (first.g_per_kwh, later.g_per_kwh) == (100, 101)
    assert world.calls == [("one", 24.0)] * 2


def test_a_failure_leaves_what_was_foretold_before_and_is_asked_again_soon():
    world = World()
    one = world.source("one")

    async def story():
        await world.ahead(2, one)
        world.clock_s += 900
        world.fails.add("one")
        kept = await world.ahead(2, one)
        world.clock_s += 30
        await world.ahead(2, one)
        world.clock_s += 31
        await world.ahead(2, one)
        return kept

    assert len(asyncio.run(story())) == 3
    assert len(world.calls) == 3


def test_a_source_that_is_failing_is_not_asked_and_its_forecast_stays():
    world = World()
    one = world.source("one")

    async def story():
        await world.ahead(2, one)
        world.clock_s += 900
        kept = await world.ahead(2, (*one[:2], None))
        world.clock_s += 61
        await world.ahead(2, one)
        return kept

    assert len(asyncio.run(story())) == 3
    assert len(world.calls) == 2


def test_averages_go_before_marginal_rates_and_a_source_that_fails_before_none():
    world = World()
    world.fails.add("broken")
    chain = [world.source("broken"), world.source("margin", signal="marginal"), world.source("mean")]
    assert told(asyncio.run(world.ahead(1, *chain)))[0] == ("mean", 100)
    other = World()
    assert told(asyncio.run(other.ahead(1, other.source("margin", signal="marginal"))))[0] == ("margin", 100)


def test_every_figure_is_on_the_basis_that_is_compared():
    world = World()
    direct = world.source("direct", basis="direct")
    points = asyncio.run(world.ahead(1, direct))
    assert {(point.basis, point.estimated) for point in points} == {("lifecycle-estimated", True)}
    assert points[0].g_per_kwh == 141
    other = World()
    chain = [other.source("whole"), other.source("direct", basis="direct")]
    assert told(asyncio.run(other.ahead(1, *chain, basis="direct")))[0] == ("direct", 100)


def test_who_leaves_takes_the_forecast_from_nobody():
    world = World()
    one = world.source("one")

    async def story():
        impatient = asyncio.create_task(world.ahead(2, one))
        patient = asyncio.create_task(world.ahead(2, one))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert len(asyncio.run(story())) == 3
    assert world.calls == [("one", 24.0)]
