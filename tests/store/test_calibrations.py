"""Calibrations are kept and never changed; what they are made of is read from the ledger: measured, of one machine, bounded."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from carbon.calibration import machine_of
from carbon.profile import Serving, profile_of
from proxy.records import Carbon, Restatement, Tokens
from proxy.store import calibrations
from proxy.store.calibrations import CalibrationStore
from proxy.store.ledger import Ledger
from tests.carbon.measurements import NOW_S, PROFILE
from tests.carbon.test_calibration import made
from tests.store.entries import ENTRY, written

HOUR_S = 3600.0


def entry(number: int, at_s: float, **changes: object):
    facts = {"id": f"gl-{number}", "at_s": at_s, "deployment": "ours", "model": "small", "profile": PROFILE.record()}
    return msgspec.structs.replace(ENTRY, **{**facts, "provider_report": None, **changes})


def restated(number: int, joules: float | None, replaces: str | None = None, **made_of: object) -> Restatement:
    figures = dict.fromkeys(("carbon_g", "carbon_low_g", "carbon_high_g"), 1.0)
    return Restatement(
        id=f"r-{number}-{joules}", replaces=replaces or f"gl-{number}", entry=f"gl-{number}", at_s=NOW_S, method="measured_attributed",
        confidence="high", energy_j=joules, energy_low_j=joules and 0.75 * joules, energy_high_j=joules and 1.35 * joules,
        inputs={"meter": "nvml", **made_of}, **figures,
    )  # fmt: skip


def run(url, steps, entries=(), later=()):
    async def session():
        ledger = await Ledger.open(url)
        try:
            await ledger.insert_records(written(*entries))
            await ledger.restate(later)
            return await steps(CalibrationStore(ledger))
        finally:
            await ledger.close()

    return asyncio.run(session())


def test_the_latest_accepted_of_each_deployment_is_in_force(url):
    old, new = made(fitted_at_s=NOW_S - 9), made(fitted_at_s=NOW_S - 5)
    refused, other = made(fitted_at_s=NOW_S, accepted=False), made(deployment="theirs", fitted_at_s=NOW_S - 99)

    async def steps(store):
        for each, instead_of in ((old, None), (new, old.id), (refused, new.id), (other, None), (new, old.id)):
            await store.keep(each, instead_of)
        return await store.latest(), await store.of("ours"), await store.of("ours", 1)

    latest, every, newest = run(url, steps)
    assert latest == {"ours": new, "theirs": other}
    assert every == [refused, new, old]
    assert newest == [refused]


def test_of_two_fitted_beside_each_other_the_first_comes_into_force(url):
    """The second was compared with what is no longer in force: it is kept as overtaken, and the first stays."""
    before, first, second = made(fitted_at_s=NOW_S - 9), made(fitted_at_s=NOW_S - 5), made(fitted_at_s=NOW_S - 4)

    async def steps(store):
        assert await store.keep(before) == before
        assert await store.keep(first, before.id) == first
        late = await store.keep(second, before.id)
        again = await store.keep(first, before.id)
        return late, again, await store.latest(), await store.of("ours")

    late, again, latest, every = run(url, steps)
    assert (late.accepted, late.overtaken, late.id != second.id) == (False, first.id, True)
    assert late.why == f"overtaken by {first.id}, which came into force meanwhile"
    assert again == first
    assert latest == {"ours": first}
    assert every == [late, first, before]


def test_of_many_that_come_at_once_one_comes_into_force(url):
    """Eight processes have fitted the same: each with a connection of its own."""
    count = 8

    async def steps(_):
        ledgers = [await Ledger.open(url) for _ in range(count)]
        try:
            fits = [made(fitted_at_s=NOW_S + k) for k in range(count)]
            kept = await asyncio.gather(*(CalibrationStore(each).keep(fit) for each, fit in zip(ledgers, fits, strict=True)))
            return kept, await CalibrationStore(ledgers[0]).latest(), await CalibrationStore(ledgers[0]).of("ours")
        finally:
            for each in ledgers:
                await each.close()

    kept, latest, every = run(url, steps)
    (winner,) = [each for each in kept if each.accepted]
    assert latest == {"ours": winner}
    assert {each.overtaken for each in kept if not each.accepted} == {winner.id}
    assert {each.id for each in every} == {each.id for each in kept}


def test_measured_are_those_restated_by_a_meter_with_the_figure_that_counts(url):
    entries = [entry(k, NOW_S - HOUR_S * k) for k in (1, 2, 3, 4)]
    later = [restated(1, 100.0), restated(2, 200.0, batch=7.5), restated(2, 220.0, "r-2-200.0", batch=8), restated(3, None)]
    found = run(url, lambda store: store.measured("ours", PROFILE, NOW_S), entries, later)
    assert {(each.id, each.energy_j, each.batch) for each in found.records} == {("gl-1", 100.0, None), ("gl-2", 220.0, 8.0)}
    assert (found.source, found.model, found.machine) == ("measured_attributed", "small", machine_of(PROFILE))
    assert (found.band.low, found.band.high) == pytest.approx((0.75, 1.35))
    assert {(each.input_tokens, each.cached_tokens, each.output_tokens) for each in found.records} == {(100, 20, 300)}


def test_what_a_provider_reports_is_measured_too_and_never_mixed_with_our_meters(url):
    reported = Carbon(energy_j=50.0, energy_low_j=30.0, energy_high_j=90.0, method="provider_reported", confidence="medium")
    entries = [*(entry(k, NOW_S - k, carbon=reported) for k in (1, 2, 3)), entry(4, NOW_S - 4)]
    found = run(url, lambda store: store.measured("ours", PROFILE, NOW_S), entries, [restated(4, 100.0)])
    assert (found.boundary, found.source, len(found.records)) == ("provider_stated", "provider_reported", 3)
    assert (found.band.low, found.band.high) == pytest.approx((0.6, 1.8))
    by_meter = run(url, lambda store: store.measured("ours", PROFILE, NOW_S, boundary="facility"))
    assert [each.id for each in by_meter.records] == ["gl-4"]


def test_reports_that_end_at_different_places_are_never_mixed(url):
    """Three say what they include, four do not: the four are more, and by themselves."""
    reported = Carbon(energy_j=50.0, energy_low_j=30.0, energy_high_j=90.0, method="provider_reported", confidence="medium")
    stated = [entry(k, NOW_S - k, carbon=reported) for k in (1, 2, 3)]
    unknown = [entry(k, NOW_S - k, carbon=reported, warnings=("boundary_unknown",)) for k in (4, 5, 6, 7)]
    found = run(url, lambda store: store.measured("ours", PROFILE, NOW_S), [*stated, *unknown])
    assert (found.boundary, {each.id for each in found.records}) == ("provider_unknown", {f"gl-{k}" for k in (4, 5, 6, 7)})
    theirs = run(url, lambda store: store.measured("ours", PROFILE, NOW_S, boundary="provider_stated"))
    assert {each.id for each in theirs.records} == {"gl-1", "gl-2", "gl-3"}


def test_one_kept_before_boundaries_were_is_of_an_unknown_one(url):
    before = made(source="provider_reported")

    async def steps(store):
        await store.keep(before)
        return await store.latest()

    assert run(url, steps)["ours"].boundary == "provider_unknown"


def test_failures_count_and_what_has_no_tokens_does_not(url):
    entries = [entry(1, NOW_S - 9, outcome="failed", status=502), entry(2, NOW_S - 8, tokens=Tokens(input=9))]
    found = run(url, lambda store: store.measured("ours", PROFILE, NOW_S), entries, [restated(1, 5.0), restated(2, 6.0)])
    assert [each.id for each in found.records] == ["gl-1"]


def test_another_deployment_machine_or_time_is_not_ours(url):
    moved = profile_of(Serving(upstream_model="llama-3.1-8b", gpu="B200", total_b=8.0, privacy="local"))
    entries = [
        entry(1, NOW_S - 9, deployment="theirs"),
        entry(2, NOW_S - 8, profile=moved.record()),
        entry(3, NOW_S - 15 * 86400),
        entry(4, NOW_S + 9),
        entry(5, NOW_S - 7, profile=None),
    ]
    found = run(url, lambda store: store.measured("ours", PROFILE, NOW_S), entries, [restated(k, 5.0) for k in range(1, 6)])
    assert found.records == ()


def test_of_a_busy_hour_a_bounded_number_is_read(url, monkeypatch):
    monkeypatch.setattr(calibrations, "MOST_OF_SLICE", 2)
    assert calibrations.SINCE_S == 14 * 86400
    entries = [entry(k, NOW_S - k) for k in range(1, 6)] + [entry(9, NOW_S - HOUR_S - 5)]
    found = run(url, lambda store: store.measured("ours", PROFILE, NOW_S), entries, [restated(k, 5.0) for k in (1, 2, 3, 4, 5, 9)])
    assert {each.id for each in found.records} == {"gl-1", "gl-2", "gl-9"}
    assert 148 * 24 * 14 <= 50_000
