"""The worker that asks the sources: when, whom, about which zones, and what a failure of one means for the others."""

from __future__ import annotations

import asyncio
import logging

import pytest

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError
from carbon.sources._base import written
from proxy.config import CarbonSettings
from proxy.workers import intensity
from proxy.workers.intensity import Grids

ZONES = frozenset({"SWE", "POL"})


class World:
    """Clocks, and the chain of sources by name; `asked` is what came, in order."""

    def __init__(self, monkeypatch, *sources):
        self.clock_s, self.now_s = 1000.0, 1_795_263_000.0
        self.asked, self.published, self.kept = [], [], []
        self.sources = {source.name: source for source in sources}
        for source in sources:
            source.world = self
        monkeypatch.setattr(intensity, "source_of", lambda name: (name.partition("/")[0], self.sources[name]))
        self.keep_fails = None
        self.grids = Grids(self.published.append, self.keep, lambda _: "", lambda: self.now_s, lambda: self.clock_s)

    def configure(self, *names, zones=ZONES, **settings):
        return self.grids.configure(CarbonSettings(sources=names, **settings), frozenset(zones))

    async def keep(self, name, samples):
        if self.keep_fails:
            raise self.keep_fails
        self.kept.append((name, sorted(sample.zone for sample in samples)))

    async def turn(self, after_s=0.0):
        """Time passes; every source that is due is asked."""
        self.clock_s += after_s
        self.now_s += after_s
        await self.grids.refresh()

    def value(self, zone="SWE"):
        found = self.grids.table().latest(zone)
        return None if found is None else found.g_per_kwh

    def states(self):
        return {each.name: (each.state, each.failures) for each in self.grids.status()}


class Source:
    """Tells `g` of every zone asked for, unless `fails`; `foretells` by zone."""

    def __init__(self, name, g=100.0, every_s=300.0, **sample):
        self.name, self.g, self.every_s, self.sample = name, g, every_s, sample
        self.fails = None
        self.hangs = False
        self.knows = None
        self.foretells = ()

    async def latest(self, zones, reach):
        self.reach = reach
        self.world.asked.append((self.name, sorted(zones)))
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise self.fails
        return tuple(self.figure(zone) for zone in sorted(zones) if self.knows is None or zone in self.knows)

    async def ahead(self, zone, hours, reach):
        self.world.asked.append((self.name, zone, hours))
        if self.fails:
            raise self.fails
        return self.foretells

    def figure(self, zone, after_s=0.0, **more):
        facts = {"basis": "lifecycle", "source": self.name, "licence": "none", **self.sample, **more}
        g = facts.pop("g", self.g)
        return Intensity(zone=zone, g_per_kwh=g, low=g * 0.9, high=g * 1.1, as_of=written(self.world.now_s + after_s), **facts)


@pytest.fixture(autouse=True)
def comparable(monkeypatch):
    """Sources of these tests have no settings: each is the same as itself."""
    monkeypatch.setattr(intensity, "settings_of", id)
    monkeypatch.setattr(intensity, "client", lambda: None)


@pytest.fixture
def world(monkeypatch):
    def make(*sources):
        return World(monkeypatch, *sources)

    return make


async def so(true):
    """Returns once it is so."""
    while not true():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)


def limited(seconds_s):
    return OutOfReachError("limited", "they answer 429", seconds_s)


def test_each_source_is_asked_at_its_own_pace(world):
    made = world(Source("fast", every_s=60), Source("slow", every_s=600))
    made.configure("fast", "slow")

    async def hour():
        for _ in range(11):
            await made.turn(60)

    asyncio.run(hour())
    assert [name for name, _ in made.asked].count("fast") == 11
    assert [name for name, _ in made.asked].count("slow") == 2


def test_one_that_hangs_holds_up_no_other_and_no_new_configuration(world):
    stuck, good, late = Source("stuck"), Source("good", g=30), Source("late", g=40)
    stuck.hangs = True
    made = world(stuck, good, late)
    made.configure("stuck", "good")

    async def main():
        running = asyncio.create_task(made.grids.run())
        await so(lambda: made.published and made.published[-1].latest("SWE") is not None)
        made.configure("stuck", "late", "good")
        await so(lambda: made.published[-1].latest("SWE").g_per_kwh == 40)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert [name for name, *_ in made.asked] == ["stuck", "good", "late"]


def test_a_fleet_without_zones_asks_nobody_and_rests(world):
    made = world(Source("one"))
    made.configure("one", zones=())

    async def main():
        running = asyncio.create_task(made.grids.run())
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert made.asked == []
    assert len(made.published) == 1


@pytest.mark.parametrize("error", [TypeError("key=secret"), KeyError("x"), ExceptionGroup("several", [ValueError("key=secret")])], ids=repr)
def test_whatever_a_source_fails_at_the_others_are_asked_and_no_text_of_it_is_told(world, caplog, error):
    odd, good = Source("odd"), Source("good", g=30)
    odd.fails = error
    made = world(odd, good)
    made.configure("odd", "good")
    asyncio.run(made.turn())
    assert made.value() == 30
    assert made.states()["odd"][1] == 1
    assert "secret" not in caplog.text


def test_a_client_that_cannot_be_made_is_made_again(world, monkeypatch):
    """The authorities' certificates may be being replaced."""
    made = world(Source("one", g=30))
    made.configure("one")
    broken = [FileNotFoundError("ca.pem")]

    def client():
        if broken:
            raise broken.pop()

    monkeypatch.setattr(intensity, "client", client)

    async def story():
        await made.turn()
        first = made.states()
        await made.turn(10)
        return first

    assert asyncio.run(story()) == {"one": ("FileNotFoundError", 1)}
    assert made.value() == 30


def test_it_closes_though_its_client_could_not_be_made(world, monkeypatch):
    def client():
        raise FileNotFoundError("ca.pem")

    monkeypatch.setattr(intensity, "client", client)
    made = world(Source("one"))
    made.configure("one")

    async def story():
        await made.turn()
        await made.grids.close()

    asyncio.run(story())


def test_a_kind_of_failure_is_told_once_until_the_source_answers(world, caplog):
    caplog.set_level(logging.INFO, "greenlane.intensity")
    source = Source("one")
    made = world(source)
    made.configure("one")

    async def story():
        for kind in ("connect", "timeout", "connect", "timeout"):
            source.fails = OutOfReachError(kind, "no")
            await made.turn(1000)
        source.fails = None
        await made.turn(1000)
        source.fails = OutOfReachError("connect", "no")
        await made.turn(1000)

    asyncio.run(story())
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "intensity source one: connect: no",
        "intensity source one: timeout: no",
        "intensity source one answers again",
        "intensity source one: connect: no",
    ]


def test_a_failing_source_is_asked_ever_more_rarely(world):
    source = Source("one")
    source.fails = OutOfReachError("connect", "no")
    made = world(source)
    made.configure("one")

    async def quarter():
        for _ in range(900):
            await made.turn(1)

    asyncio.run(quarter())
    assert len(made.asked) == 8, "after 1, 6, 16, 36, 76, 156, 316, 636 s"


def test_what_a_provider_asks_by_retry_after_is_obeyed(world):
    source = Source("one", every_s=60)
    source.fails = limited(1800.0)
    made = world(source)
    made.configure("one")

    async def story():
        await made.turn()
        source.fails = None
        for _ in range(29):
            await made.turn(60)
            await made.grids.look_up("DEU")
        before = len(made.asked)
        await made.turn(60)
        return before

    assert asyncio.run(story()) == 1
    assert made.asked == [("one", ["POL", "SWE"]), ("one", ["POL", "SWE"])]


def test_so_it_is_when_only_one_of_several_calls_was_answered_so(world):
    source = Source("one", every_s=60)
    made = world(source)
    made.configure("one")

    async def story():
        await made.turn()
        source.reach.not_before_s = made.clock_s + 600
        await made.turn(60)
        for _ in range(10):
            await made.turn(54)

    asyncio.run(story())
    assert len(made.asked) == 3, "at 0, at 60, and at 600"


def test_a_question_about_another_zone_asks_about_that_alone_and_once(world):
    made = world(Source("one", g=50))
    made.configure("one")

    async def story():
        await made.turn()
        await made.grids.look_up("DEU")
        await made.grids.look_up("DEU")
        await made.grids.look_up("SWE")
        await made.turn(1)
        told = made.value("DEU")
        await made.turn(300)
        await made.turn(1)
        return told

    assert asyncio.run(story()) == 50
    assert made.asked == [("one", ["POL", "SWE"]), ("one", ["DEU"]), ("one", ["POL", "SWE"]), ("one", ["DEU"])]


def test_a_zone_nobody_asks_about_any_more_is_let_go(world):
    made = world(Source("one", every_s=1800))
    made.configure("one")

    async def story():
        await made.turn()
        await made.grids.look_up("DEU")
        await made.turn(3700)
        await made.turn(1)

    asyncio.run(story())
    assert made.asked[-1] == ("one", ["POL", "SWE"])
    assert made.grids.told("DEU") == []


def test_a_refusal_of_somebodys_zone_puts_nothing_off(world, caplog):
    """A plan that does not hold Germany: who asks for it must not cost the fleet its figures."""
    source = Source("one", every_s=60)
    made = world(source)
    made.configure("one")

    async def story():
        await made.turn()
        source.fails = OutOfReachError("forbidden", "they answer 401")
        await made.grids.look_up("DEU")
        source.fails = None
        await made.turn(60)

    asyncio.run(story())
    assert made.states() == {"one": ("fresh", 0)}
    assert made.asked == [("one", ["POL", "SWE"]), ("one", ["DEU"]), ("one", ["POL", "SWE"])]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_of_the_zones_asked_about_256_are_kept(world):
    made = world(Source("one"))
    made.configure("one")

    async def story():
        await made.turn()
        for number in range(300):
            await made.grids.look_up(f"Z{number}")
        await made.turn(300)
        await made.turn(1)

    asyncio.run(story())
    assert made.asked[-1] == ("one", sorted(f"Z{number}" for number in range(44, 300)))


def test_a_look_up_at_a_source_that_hangs_ends(world, monkeypatch):
    monkeypatch.setattr(intensity, "LOOK_UP_S", 0.05)
    source = Source("one")
    made = world(source)
    made.configure("one")

    async def story():
        await made.turn()
        source.hangs = True
        await made.grids.look_up("DEU")
        source.hangs = False
        await made.grids.look_up("FRA")

    asyncio.run(asyncio.wait_for(story(), 60))
    assert made.states()["one"] == ("timeout", 1)
    assert made.asked[-1] == ("one", ["DEU"]), "one that is failing waits its time"


def test_what_stays_in_the_configuration_keeps_what_it_told_and_is_not_asked_anew(world):
    made = world(Source("one", g=10), Source("two", g=20), Source("three", g=30))
    made.configure("one", "two")

    async def story():
        await made.turn()
        made.configure("two", "three", zones=ZONES | {"DEU"})
        before = made.value()
        await made.turn(1)
        return before

    assert asyncio.run(story()) == 20
    assert made.asked[2:] == [("two", ["DEU"]), ("three", ["DEU", "POL", "SWE"])]


def test_a_chain_that_does_not_come_into_force_takes_nothing_from_the_one_that_is(world):
    made = world(Source("one", g=10), Source("two", g=20))
    made.configure("one")

    async def story():
        await made.turn()
        other = made.grids.prepared(CarbonSettings(sources=("two",)), ZONES)
        assert made.grids.table(other).latest("SWE") is None
        await made.turn(1)

    asyncio.run(story())
    assert made.value() == 10
    assert [name for name, _ in made.asked] == ["one"]


def test_two_sources_of_a_kind_have_names_of_their_own(world):
    first, second = Source("meter/a", g=10), Source("meter/b", g=20)
    first.knows, second.knows = {"SWE"}, {"POL"}
    made = world(first, second)
    made.configure("meter/a", "meter/b")
    made.grids.recall([("meter-2", second.figure("POL"))])
    assert [each.name for each in made.grids.status()] == ["meter", "meter-2"]
    assert made.grids.told("POL") == [("meter-2", second.figure("POL"))]


def test_what_is_recalled_counts_until_the_source_tells(world):
    source = Source("one", g=10)
    made = world(source)
    made.configure("one")
    made.grids.recall([("one", source.figure("SWE", -60, g=99.0)), ("gone", source.figure("SWE", g=1.0))])
    assert made.value() == 99
    asyncio.run(made.turn())
    assert made.value() == 10
    made.grids.recall([("one", source.figure("SWE", -60, g=99.0))])
    assert made.value() == 10


def test_a_store_that_fails_or_hangs_matters_to_nobody(world, caplog):
    source = Source("one", g=10)
    made = world(source)
    made.configure("one")
    let = None

    async def stuck(name, samples):
        made.kept.append(len(samples))
        await let.wait()

    async def story():
        nonlocal let
        let = asyncio.Event()
        made.keep_fails = LookupError("password=secret")
        await made.turn()
        made.grids._keep = stuck
        running = asyncio.create_task(made.turn(300))
        await so(lambda: made.kept)
        source.g = 20
        await made.turn(300)
        seen = made.value()
        let.set()
        await running
        return seen

    assert asyncio.run(story()) == 20
    assert made.kept == [2, 2], "what came meanwhile goes afterwards, at once"
    assert "secret" not in caplog.text


def test_a_figure_of_tomorrow_is_not_taken_for_one_of_now_when_our_clock_goes_back(world):
    live, year = Source("live", g=10), Source("year", g=40, every_s=float("inf"))
    made = world(live, year)
    made.configure("live")
    asyncio.run(made.turn())
    made.now_s -= 3600
    assert made.value() is None
    live.g = 11
    asyncio.run(made.turn(300))
    assert made.value() == 11, "the next asking, by a clock that never goes back, mends it"
    made.now_s += 7 * 3600
    assert made.value() is None, "and what is older than max_age_s by any clock counts no more"
