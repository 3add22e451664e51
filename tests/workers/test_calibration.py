"""What is in force is what the store says; fits come once a day, after an hour; drift is told once."""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec
import pytest

from carbon.calibrating import Verdict
from proxy.store.calibrations import CalibrationStore
from proxy.store.ledger import Ledger, StoreUnavailableError
from proxy.workers import calibration as worker
from proxy.workers.calibration import FIRST_S, Calibrator
from tests.carbon.measurements import DAY_S, NOW_S, PROFILE, evidence, measured
from tests.carbon.test_calibration import made


class Store:
    """What was kept, and what was measured."""

    def __init__(self, records=()) -> None:
        self.kept, self.records, self.down = [], list(records), False

    async def latest(self):
        if self.down:
            raise StoreUnavailableError("08006")
        accepted = sorted((each for each in self.kept if each.accepted), key=lambda each: each.fitted_at_s)
        return {each.deployment: each for each in accepted}

    async def keep(self, calibration, instead_of=None):
        self.kept.append(calibration)
        return calibration

    async def of(self, deployment, limit):
        return sorted((each for each in self.kept if each.deployment == deployment), key=lambda each: -each.fitted_at_s)[:limit]

    async def measured(self, name, profile, now_s, since_s=14 * DAY_S, boundary=None):
        return evidence([each for each in self.records if now_s - since_s <= each.at_s <= now_s], deployment=name)


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def calibrator(store, clock, accepted=True, fits=True):
    """One whose fits are given, and the transcript of what it did."""
    done = []

    async def fit(found, profile, incumbent, now_s):
        done.append(("fit", found.deployment, None if incumbent is None else incumbent.id))
        return Verdict(calibration=made(fitted_at_s=now_s, accepted=accepted))

    def publish(calibrations):
        done.append(("in force", *(each.id for each in calibrations.values())))

    return Calibrator(store, lambda: {"ours": PROFILE}, publish, clock, fit if fits else None), done


async def turn(one):
    """One round of its loop."""
    await one.look()
    await one._work()


def test_a_calibration_that_appears_in_the_store_comes_into_force_once(caplog):
    store, clock = Store(), Clock()
    one, done = calibrator(store, clock)
    first = made(fitted_at_s=NOW_S - 5)

    async def script():
        await one.look()
        store.kept.append(first)
        await one.look()
        await one.look()

    with caplog.at_level("INFO"):
        asyncio.run(script())
    assert done == [("in force", first.id)]
    assert dict(one.ages_s()) == {"ours": 5.0}
    assert sum(first.id in each.message for each in caplog.records) == 1


def test_fits_come_after_an_hour_and_then_once_a_day():
    store, clock = Store(measured(1000, days=1)), Clock()
    one, done = calibrator(store, clock)
    first_s = FIRST_S - 1

    async def script():
        for at_s in (0, first_s, FIRST_S, FIRST_S + 60, FIRST_S + DAY_S - 60, FIRST_S + DAY_S):
            clock.now_s = NOW_S + at_s
            store.records = measured(1000, days=1)
            store.records = [msgspec.structs.replace(each, at_s=each.at_s + at_s) for each in store.records]
            await turn(one)

    asyncio.run(script())
    first, second = store.kept
    assert done == [("fit", "ours", None), ("in force", first.id), ("fit", "ours", first.id), ("in force", second.id)]


def test_where_little_is_measured_a_week_passes_between_fits():
    store, clock = Store(measured(300, days=7)), Clock()
    one, done = calibrator(store, clock, accepted=False)

    async def script():
        for days in range(9):
            clock.now_s = NOW_S + FIRST_S + days * DAY_S
            await turn(one)

    asyncio.run(script())
    assert done == [("fit", "ours", None)] * 2


def test_what_another_process_has_just_fitted_is_left_to_it():
    store, clock = Store(measured()), Clock()
    one, done = calibrator(store, clock)
    store.kept.append(made(fitted_at_s=NOW_S, accepted=False))
    clock.now_s = NOW_S + FIRST_S
    asyncio.run(turn(one))
    assert done == []


def test_without_the_extra_nothing_is_fitted_and_what_others_fitted_is_in_force(monkeypatch):
    monkeypatch.setattr(worker, "fits_here", lambda: False)
    store, clock = Store(measured()), Clock()
    one, done = calibrator(store, clock, fits=False)
    store.kept.append(made(fitted_at_s=NOW_S - 5 * DAY_S))
    clock.now_s = NOW_S + 2 * FIRST_S
    asyncio.run(turn(one))
    assert done == [("in force", store.kept[0].id)]


def test_drift_is_a_number_and_one_line_when_it_begins_and_ends(caplog):
    store, clock = Store(), Clock()
    one, _ = calibrator(store, clock, fits=False)
    one._fit = None
    store.kept.append(made())

    async def script():
        for factor in (1.0, 1.5, 1.5, 1.0):
            clock.now_s += 3600.0
            store.records = [msgspec.structs.replace(each, energy_j=factor * each.energy_j) for each in measured(200, days=0.5)]
            await turn(one)
            ratios.append(one.drifts["ours"].ratio)

    ratios = []
    with caplog.at_level("INFO"):
        asyncio.run(script())
    assert ratios == pytest.approx([1.0, 1.5, 1.5, 1.0], rel=0.02)
    told = [each.message for each in caplog.records if "drift" in each.message]
    assert ["has drifted: measured energy is 1.5" in told[0], "no longer drifts" in told[1], len(told)] == [True, True, 2]


def test_a_drift_widens_the_band_in_force_until_it_is_over():
    """Measured at 1.5 times what is foreseen: the upper end by 1.5, the figures as they were, and no other in the store."""
    store, clock = Store(), Clock()
    kept = made()
    store.kept.append(kept)
    bands, transcript = [], []
    one = Calibrator(store, lambda: {"ours": PROFILE}, lambda found: transcript.append(found["ours"].drift), clock, None)
    one._fit = None

    async def script():
        for factor in (1.0, 1.5, 1.5, 0.5, 1.0):
            clock.now_s += 3600.0
            store.records = [msgspec.structs.replace(each, energy_j=factor * each.energy_j) for each in measured(200, days=0.5)]
            await turn(one)
            held = one.in_force["ours"]
            bands.append((held.low / kept.low, held.high / kept.high, held.terms == kept.terms, held.id == kept.id))

    asyncio.run(script())
    assert bands == [(1, 1, True, True), (1, 1.5, True, True), (1, 1.5, True, True), (0.5, 1, True, True), (1, 1, True, True)]
    assert transcript == [None, 1.5, 0.5, None]
    assert store.kept == [kept]


def test_after_a_drift_a_fit_is_made_of_the_last_two_days_and_replaces_it():
    """Of all fourteen days, the twelve before would keep what has drifted in force for a week."""
    before = measured(900, days=10)
    asked = []

    async def fit(found, profile, incumbent, now_s):
        asked.append(len(found.records))
        return worker.fitted(found, profile, incumbent, now_s)

    store, clock = Store(before), Clock()
    one = Calibrator(store, lambda: {"ours": PROFILE}, lambda _: None, clock, fit)
    profile = {"ours": PROFILE}["ours"]

    async def script():
        await one.keep((await one.consider("ours", profile, fit))[1])
        await one.look()
        dearer = [msgspec.structs.replace(each, id=f"later-{k}", at_s=each.at_s + 2 * DAY_S, energy_j=1.6 * each.energy_j)
                  for k, each in enumerate(measured(500, days=2, seed=5))]  # fmt: skip
        clock.now_s += 2 * DAY_S
        store.records = [*before, *dearer]
        return (await one.consider("ours", profile, fit))[1].calibration

    after = asyncio.run(script())
    first, second = asked
    assert (first, second) == (900, 500)
    assert after.accepted
    assert after.terms.joules(1000, 0, 300) == pytest.approx(1.6 * store.kept[0].terms.joules(1000, 0, 300), rel=0.05)


def test_a_store_that_is_down_is_told_once_and_asked_again(caplog, monkeypatch):
    monkeypatch.setattr(worker, "LOOK_S", 0.001)
    store, clock = Store(), Clock()
    one, done = calibrator(store, clock)
    store.down = True

    async def script():
        task = asyncio.create_task(one.run())
        while not any("unavailable (08006)" in each.message for each in caplog.records):  # noqa: ASYNC110 - nor does it here
            await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.sleep(0.001)
        store.down = False
        store.kept.append(made())
        while not done:  # noqa: ASYNC110 - the worker tells nobody
            await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(script())
    assert sum("unavailable (08006)" in each.message for each in caplog.records) == 1


def test_a_fit_in_a_process_is_the_fit_and_holds_up_nobody():
    async def script():
        busiest_s = 0.0
        task = asyncio.create_task(worker.in_process(evidence(measured(300)), PROFILE, None, NOW_S))
        while not task.done():
            used_s = time.thread_time()
            await asyncio.sleep(0.005)
            busiest_s = max(busiest_s, time.thread_time() - used_s)
        return await task, busiest_s

    # what the loop's own thread computed, and not how long a busy machine kept it waiting
    verdict, busiest_s = asyncio.run(script())
    assert verdict == worker.fitted(evidence(measured(300)), PROFILE, None, NOW_S)
    assert busiest_s < 0.5


def test_a_fit_that_is_cancelled_ends_with_its_process():
    async def script():
        task = asyncio.create_task(worker.in_process(evidence(measured(300)), PROFILE, None, NOW_S))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(script())


def test_it_fits_on_a_real_store(url):
    async def script():
        ledger = await Ledger.open(url)
        try:
            one = Calibrator(CalibrationStore(ledger), lambda: {"ours": PROFILE}, lambda _: None, lambda: NOW_S)
            return await one.consider("ours", PROFILE, worker.in_process)
        finally:
            await ledger.close()

    found, verdict = asyncio.run(script())
    assert found.records == ()
    assert verdict.missing == ("nothing was measured",)
