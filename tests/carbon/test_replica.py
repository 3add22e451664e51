"""A replica's ledger: whatever comes in whatever order, joules are neither lost nor made, and a request is told once and completely."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.attributed import FACILITY, GPU, Attributed, Settled, band_of
from carbon.attribution import RooflineWeights, Weights
from carbon.bands import HIGH, confidence
from carbon.engine import EngineSignals
from carbon.replica import Bounds, Replica
from carbon.roofline import Load
from carbon.spread import Life
from carbon.windows import Total

FITTED = Weights(prefill_j=0.1, decode_j=1.0, context_j=0.0, source="fitted")


def life(name="a", arrived_s=0.0, first_s=1.0, last_s=2.0, **more):
    return Life(
        id=name,
        arrived_s=arrived_s,
        first_s=first_s,
        last_s=last_s,
        **{"input_tokens": 100, "cached_tokens": 0, "output_tokens": 10, **more},
    )


def window(start_s, end_s, energy_j=100.0, **more):
    return Total(start_s=start_s, end_s=end_s, energy_j=energy_j, **{"complete": True, "source": "counter", **more})


def balanced(replica):
    for books in (replica.books, replica.host_books or replica.books):
        out_j = books.attributed_j + books.pool_idle_j + books.unattributed_j + books.pending_j
        assert out_j == pytest.approx(books.measured_j, rel=1e-9, abs=1e-9)
    return replica.books


def told(effects):
    return {effect.id: effect for effect in effects if isinstance(effect, Attributed)}


def test_by_hand():
    """Two windows of 100 J at 40 W idle: 60 J active and 40 idle each second. A is in both, B in the second.

    First: A alone: 100. Second: idle by seconds run 1 : .5; A writes 5 tokens, B reads 50 (5) and writes 10: 5 against 15.
    A: 15 + 26.67, B: 45 + 13.33.
    """
    replica = Replica(FITTED, idle_w=40)
    effects = replica.began("a", 0.0) + replica.window(window(0, 1)) + replica.began("b", 1.25) + replica.window(window(1, 2))
    assert effects == ()
    effects = replica.finished(life("b", 1.25, 1.5, 1.75, input_tokens=50))
    effects += replica.finished(life("a", 0.0, 0.5, 1.75, output_tokens=12.5)) + replica.window(window(2, 3))
    assert told(effects) == {}
    effects += replica.passed(4.0)
    found = told(effects)
    assert found["a"].energy_j == pytest.approx(100 + 60 * 7.5 / 22.5 + 40 * 0.75 / 1.25)
    assert found["b"].energy_j == pytest.approx(60 * 15 / 22.5 + 40 * 0.5 / 1.25)
    assert found["a"].windows == 2
    assert found["a"].measured
    assert (found["a"].low_j, found["a"].high_j) == (pytest.approx(0.85 * found["a"].energy_j), pytest.approx(1.15 * found["a"].energy_j))
    assert confidence(found["a"].low_j, found["a"].high_j) == HIGH
    assert [(e.start_s, e.energy_j, e.active_j, e.requests) for e in effects if isinstance(e, Settled)] == [
        (0, 100, 60, 1),
        (1, 100, 60, 2),
    ]
    assert balanced(replica).pending_j == 100


def test_a_window_waits_for_who_still_runs_in_it():
    replica = Replica(FITTED, idle_w=0)
    replica.began("a", 0.5)
    assert [replica.window(window(k, k + 1)) for k in range(20)] == [()] * 20
    assert replica.books.pending_j == 2000
    effects = replica.finished(life("a", 0.5, 1.0, 20.0))
    assert len([effect for effect in effects if isinstance(effect, Settled)]) == 18  # the last two wait for those told late
    effects += replica.window(window(20, 21)) + replica.passed(24.0)
    assert told(effects)["a"].energy_j == pytest.approx(2000)
    assert balanced(replica).pending_j == 0


def test_requests_told_late_within_the_bound_are_in_their_windows():
    """Nobody said that it began; it is told 1.9 s after its window's end."""
    replica = Replica(FITTED, idle_w=0)
    replica.window(window(0, 1))
    replica.passed(2.9)
    replica.finished(life("a", 0.1, 0.2, 0.9))
    assert told(replica.passed(3.1))["a"].energy_j == 100


def test_a_request_told_later_still_gets_what_is_left_and_says_so():
    replica = Replica(FITTED, idle_w=0)
    effects = replica.window(window(0, 1)) + replica.window(window(1, 2)) + replica.passed(3.5)
    assert [effect.unattributed_j for effect in effects] == [100]
    effects = replica.finished(life("a", 0.0, 0.5, 1.5)) + replica.passed(10)
    assert (told(effects)["a"].energy_j, told(effects)["a"].notes, told(effects)["a"].measured) == (100, ("late", "partly_measured"), False)
    balanced(replica)


def test_empty_windows_teach_idle_power_and_are_the_pools():
    """Five of 80 J a second, then one of 200 with nobody there: 80 are idle, 120 are work of nobody known."""
    replica = Replica(FITTED)
    for k in range(5):
        replica.window(window(k, k + 1, 80))
    replica.window(window(5, 6, 200))
    replica.passed(9)
    assert replica.idle_power_w == 80
    books = balanced(replica)
    assert (books.pool_idle_j, books.unattributed_j) == (480, 120)


def test_without_idle_power_all_is_active_and_said_so():
    replica = Replica(FITTED)
    replica.finished(life("a", 0.0, 0.5, 1.0))
    found = told(replica.window(window(0, 2)) + replica.passed(5))["a"]
    assert (found.active_j, found.idle_j, found.notes) == (100, 0, ("idle_unknown",))


@pytest.mark.parametrize(
    ("total", "notes", "measured"),
    [
        (window(0, 2), (), True),
        (window(0, 2, None, complete=False, source=None, flags=("counter_reset",)), ("not_measured",), False),
        (window(0, 2, 50.0, complete=False, flags=("missing",)), ("partly_measured",), False),
        (window(0, 2, measured=False), ("partly_measured",), False),
        (window(0, 2, flags=("mig_whole_gpu",)), (), False),
        (window(0, 2, flags=("shared",)), (), False),
        (window(0, 2, source="power"), ("power_integrated",), True),
        (window(0.5, 2), ("partly_measured",), False),
    ],
)
def test_a_figure_is_called_measured_only_where_all_of_it_was(total, notes, measured):
    replica = Replica(FITTED, idle_w=0)
    replica.finished(life("a", 0.0, 0.5, 1.0))
    found = told(replica.window(total) + replica.passed(5))["a"]
    assert (found.notes, found.measured, found.flags) == (notes, measured, total.flags)
    assert (found.energy_j is None) == (total.energy_j is None)
    balanced(replica)


def test_of_a_long_window_the_idle_energy_goes_by_the_time_somebody_ran():
    """30 s of an exporter that samples twice a minute: 3,600 J, of which 100 W idle; A runs from 10 to 12 s and B from 11 to 13 s.

    Somebody ran for 3 s: 300 J of idle energy for the two, the other 2,700 J nobody's. The 600 J of work are theirs.
    """
    replica = Replica(FITTED, idle_w=100)
    for name, arrived_s in (("a", 10.0), ("b", 11.0)):
        replica.finished(life(name, arrived_s, arrived_s + 0.5, arrived_s + 2))
    found = told(replica.window(window(0, 30, 3600.0)) + replica.passed(40))
    assert [found[name].idle_j for name in "ab"] == [pytest.approx(150), pytest.approx(150)]
    assert [found[name].active_j for name in "ab"] == [pytest.approx(300), pytest.approx(300)]
    assert balanced(replica).pool_idle_j == pytest.approx(2700)


def test_of_a_short_window_the_idle_energy_is_all_theirs_who_ran_in_it():
    replica = Replica(FITTED, idle_w=100)
    replica.finished(life("a", 1.0, 1.5, 2.0))
    found = told(replica.window(window(0, 5, 600.0)) + replica.passed(10))
    assert (found["a"].idle_j, found["a"].active_j) == (pytest.approx(500), pytest.approx(100))


def test_bands_are_wider_where_less_is_known():
    """A roofline's weights, power integrated, no first token: each by itself, as independent factors."""
    replica = Replica(RooflineWeights(Load(total_b=8, active_b=8, bytes_per_parameter=2, batch=1), "H100"), idle_w=0)
    replica.finished(life("a", 0.0, None, 1.0))
    found = told(replica.window(window(0, 2, source="power")) + replica.passed(5))["a"]
    assert found.notes == ("first_token_unknown", "power_integrated", "weights_unfitted")
    assert found.band == band_of(GPU, found.notes)
    assert found.band.low < band_of(GPU, ("weights_unfitted",)).low < GPU.low
    assert found.band.high > band_of(GPU, ("weights_unfitted",)).high > GPU.high
    assert band_of(FACILITY, ()).low == pytest.approx(0.75)


def test_at_the_facility_the_machine_and_the_building_come_on_top_and_no_idle_factor():
    """100 J, 1.35 for the machine and PUE 1.1: 148.5 J [111.4-200.5]."""
    replica = Replica(FITTED, idle_w=40)
    replica.finished(life("a", 0.0, 0.5, 1.0))
    found = told(replica.window(window(0, 2)) + replica.passed(5))["a"]
    assert found.at_facility(1.35, 1.1) == pytest.approx((148.5 * 0.75, 148.5, 148.5 * 1.35))
    replica.finished(life("b", 10.0, 10.5, 11.0))
    assert told(replica.passed(2000))["b"].at_facility(1.5, 1.0) is None


def test_a_request_that_fails_is_charged_for_what_was_run():
    replica = Replica(FITTED, idle_w=0)
    replica.finished(life("a", 0.0, None, 1.0, output_tokens=0))
    assert told(replica.window(window(0, 2)) + replica.passed(5))["a"].energy_j == 100


def test_a_meter_that_is_silent_leaves_requests_unmeasured_and_not_waiting_for_ever():
    replica = Replica(FITTED, idle_w=0, bounds=Bounds(held_s=60))
    replica.finished(life("a", 0.0, 0.5, 1.0))
    assert replica.passed(60) == ()
    found = told(replica.passed(62))["a"]
    assert (found.energy_j, found.low_j, found.notes, found.measured) == (None, None, ("not_measured",), False)


def test_a_window_that_comes_after_its_requests_were_let_go_is_nobodys():
    """The meter was away for two minutes and its counter went on: those who are still held must not pay for all."""
    replica = Replica(FITTED, idle_w=0, bounds=Bounds(held_s=60))
    replica.finished(life("a", 0.0, 0.5, 1.0))
    replica.passed(119.0)
    replica.finished(life("b", 118.0, 118.5, 119.0))
    found = told(replica.window(window(0, 120, 12_000.0, flags=("gap",))) + replica.window(window(120, 121)) + replica.passed(130))
    assert (found["b"].energy_j, found["b"].notes) == (None, ("dropped", "not_measured"))
    assert balanced(replica).unattributed_j == 12_100


def test_a_request_that_never_ends_holds_up_the_others_only_so_long():
    """Its part goes to nobody: half of the time, so half of all."""
    replica = Replica(FITTED, idle_w=50, bounds=Bounds(held_s=60, forgotten_s=600))
    replica.began("stuck", 0.0)
    replica.finished(life("a", 0.0, 1.0, 2.0))
    replica.window(window(0, 2, 200.0))
    assert replica.passed(61) == ()
    found = told(replica.passed(63) + replica.window(window(63, 64)) + replica.passed(200))
    assert found["a"].energy_j == pytest.approx(100)
    assert replica.books.unattributed_j == pytest.approx(200)
    assert "stuck" not in found
    late = told(replica.finished(life("stuck", 0.0, 1.0, 190.0)) + replica.window(window(190, 191)) + replica.passed(300))
    assert "dropped" in late["stuck"].notes
    balanced(replica)


def test_a_request_that_was_forgotten_holds_up_nobody():
    replica = Replica(FITTED, idle_w=0, bounds=Bounds(held_s=60, forgotten_s=600))
    replica.began("stuck", 0.0)
    replica.passed(601)
    replica.finished(life("a", 601.0, 602.0, 603.0))
    assert told(replica.window(window(601, 604)) + replica.passed(610))["a"].energy_j == 100


@pytest.mark.parametrize("bounds", [Bounds(windows=10), Bounds(requests=10)], ids=["windows", "requests"])
def test_what_is_held_is_bounded_and_nothing_is_lost(bounds):
    replica = Replica(FITTED, idle_w=10, bounds=bounds)
    replica.began("stuck", 0.0)
    seen = {}
    for k in range(200):
        replica.began(f"r{k}", k)
        seen |= told(replica.finished(life(f"r{k}", k, k + 0.5, k + 1)))
        seen |= told(replica.window(window(k, k + 1)))
        balanced(replica)
        assert len(replica._windows) <= bounds.windows + 1
        assert len(replica._held) <= bounds.requests + 1
    seen |= told(replica.passed(2000))
    assert set(seen) == {f"r{k}" for k in range(200)}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0])
def test_what_is_no_number_is_refused_at_the_door_and_spoils_nothing(wrong):
    replica = Replica(FITTED, idle_w=0)
    for one in (life("a", output_tokens=wrong), life("a", input_tokens=wrong), life("a", cached_tokens=wrong)):
        with pytest.raises(ValueError, match="request a has"):
            replica.finished(one)
    with pytest.raises(ValueError, match="a window of"):
        replica.window(window(0, 1, wrong))
    if not math.isfinite(wrong):
        with pytest.raises(ValueError, match="request a has"):
            replica.finished(life("a", last_s=wrong))
        with pytest.raises(ValueError, match="request a has"):
            replica.finished(life("a", first_s=wrong))
        with pytest.raises(ValueError, match="a window of"):
            replica.window(window(0, wrong))
    replica.finished(life("a", 0.0, 0.5, 1.0))
    assert told(replica.window(window(0, 2)) + replica.passed(5))["a"].energy_j == 100
    balanced(replica)


def test_windows_that_overlap_are_nobodys():
    replica = Replica(FITTED, idle_w=0)
    replica.finished(life("a", 0.0, 0.5, 1.0))
    effects = replica.window(window(0, 2)) + replica.window(window(1, 3)) + replica.window(window(4, 4)) + replica.passed(10)
    assert told(effects)["a"].energy_j == 100
    assert balanced(replica).unattributed_j == 200


def test_at_the_end_all_is_told_at_once():
    """A is measured whole, B ended after the last window, C was never told to be over: its part of the second window is nobody's."""
    replica = Replica(FITTED, idle_w=0)
    for name in "abc":
        replica.began(name, 0.5 if name != "c" else 1.5)
    replica.finished(life("a", 0.5, 0.6, 1.5))
    replica.finished(life("b", 0.5, 0.6, 2.5))
    assert replica.window(window(0, 1)) + replica.window(window(1, 2)) == ()
    assert replica.running == 1
    found = told(replica.ended())
    assert (found["a"].measured, found["b"].measured) == (True, False)
    assert found["b"].notes == ("partly_measured",)
    books = balanced(replica)
    assert (books.pending_j, books.unattributed_j > 0) == (0, True)
    assert replica.ended() == ()


# the engine's own metrics


def signals(running=0.0, waiting=0.0, prompt=0.0, cached=0.0, generated=0.0):
    return EngineSignals(running=running, waiting=waiting, prompt_tokens=prompt, cached_tokens=cached, generation_tokens=generated)


def test_a_ledger_says_how_much_it_holds_and_no_more():
    replica = Replica(FITTED)
    replica.began("secret-id", 0.0)
    assert repr(replica) == "Replica(0 windows, 1 running, 0 held)"


# whatever comes, in whatever order

names = st.integers(0, 30).map(lambda number: f"r{number}")
seconds = st.floats(0, 60, allow_nan=False)
events = st.lists(
    st.one_of(
        st.tuples(st.just("began"), names, seconds),
        st.tuples(st.just("finished"), names, seconds, seconds, seconds, st.booleans(), st.integers(0, 5000), st.integers(0, 500)),
        st.tuples(st.just("window"), st.floats(0, 3), st.floats(0, 5), st.floats(0, 1e4) | st.none(), st.floats(0, 1e3) | st.none()),
        st.tuples(st.just("engine"), seconds, st.integers(0, 9), st.integers(0, 9), st.integers(0, 10**6)),
        st.tuples(st.just("passed"), seconds),
    ),
    max_size=60,
)


@given(
    events=events,
    idle_w=st.none() | st.floats(0, 500),
    at_once=st.booleans(),
    bounds=st.sampled_from([Bounds(), Bounds(late_s=0, held_s=5, forgotten_s=20, windows=3, requests=3, samples=3)]),
)
@settings(max_examples=200)
def test_joules_are_neither_lost_nor_made(events, idle_w, at_once, bounds):
    replica, end_s, effects, finished, fed_j = Replica(FITTED, idle_w, bounds), 0.0, [], set(), 0.0
    for event in events:
        match event:
            case "began", name, at_s:
                effects += replica.began(name, at_s)
            case "finished", name, *times, whole, read, written if name not in finished:
                finished.add(name)
                arrived_s, first_s, last_s = sorted(times)
                one = life(
                    name, arrived_s, None if whole else first_s, last_s, input_tokens=read, cached_tokens=None, output_tokens=written
                )
                effects += replica.finished(one)
            case "window", hole_s, length_s, energy_j, host_j:
                start_s, end_s = end_s + (hole_s if hole_s > 2 else 0), end_s + (hole_s if hole_s > 2 else 0) + length_s
                around = None if host_j is None else window(start_s, end_s, host_j)
                effects += replica.window(window(start_s, end_s, energy_j, complete=energy_j is not None, around=around))
                fed_j += energy_j or 0.0
            case "engine", at_s, running, waiting, count:
                effects += replica.engine(at_s, signals(running, waiting, count, count / 2, count / 3))
            case "passed", at_s:
                effects += replica.passed(at_s)
        # against what the meter told, too: books that agree with themselves may have missed a window, or counted one twice
        assert balanced(replica).measured_j == pytest.approx(fed_j, rel=1e-9, abs=1e-9)
    effects += replica.ended() if at_once else replica.passed(1e6)
    books = balanced(replica)
    assert books.pending_j == 0
    ours = [effect for effect in effects if isinstance(effect, Attributed)]
    assert sorted(one.id for one in ours) == sorted(finished)
    assert math.fsum(one.energy_j or 0 for one in ours) == pytest.approx(books.attributed_j, rel=1e-9, abs=1e-9)
    if replica.host_books is not None:
        assert replica.host_books.pending_j == 0
        assert math.fsum(one.host_j or 0 for one in ours) <= replica.host_books.attributed_j * (1 + 1e-9) + 1e-9
    for one in ours:
        assert one.active_j >= 0
        assert one.idle_j >= 0
        assert one.energy_j is None or one.low_j <= one.energy_j <= one.high_j
    for row in effects:
        if isinstance(row, Settled):
            assert min(row.energy_j, row.active_j, row.pool_idle_j, row.unattributed_j, row.batch) >= 0


shares = st.floats(0, 1)


@given(
    windows=st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0, 6.0, 30.0]), st.floats(1, 1000)), min_size=2, max_size=12),
    asked=st.lists(st.tuples(shares, shares, shares, st.integers(0, 5000), st.integers(0, 500)), min_size=1, max_size=12),
    idle_w=st.none() | st.floats(0, 500),
)
def test_of_windows_without_a_hole_every_request_is_told_once_and_the_joules_are_those_that_were_fed(windows, asked, idle_w):
    """Whatever the windows' lengths and powers, and whenever requests come and go within them: all of it in the order of time."""
    end_s = math.fsum(length_s for length_s, _ in windows)
    lives = []
    for number, (*times, read, written) in enumerate(asked):
        arrived_s, first_s, last_s = sorted(0.999 * end_s * share for share in times)
        lives.append(life(f"r{number}", arrived_s, first_s, last_s, input_tokens=read, output_tokens=written))
    replica, effects, at_s = Replica(FITTED, idle_w), [], 0.0
    happens = [(one.arrived_s, 0, one) for one in lives] + [(one.last_s, 1, one) for one in lives]
    for length_s, watts in windows:
        happens.append((at_s + length_s, 2, window(at_s, at_s + length_s, watts * length_s)))
        at_s += length_s
    for when_s, what, one in sorted(happens, key=lambda each: each[:2]):
        effects += replica.began(one.id, when_s) if what == 0 else replica.finished(one) if what == 1 else replica.window(one)
    effects += replica.passed(end_s + 10) + replica.window(window(end_s, end_s + 1, 50.0)) + replica.passed(end_s + 20)
    books, ours = balanced(replica), [effect for effect in effects if isinstance(effect, Attributed)]
    assert books.measured_j == pytest.approx(math.fsum(length_s * watts for length_s, watts in windows) + 50)
    assert books.pending_j == 0
    assert sorted(one.id for one in ours) == sorted(one.id for one in lives)
    assert all(one.measured for one in ours)
    assert math.fsum(one.energy_j for one in ours) == pytest.approx(books.attributed_j, rel=1e-9, abs=1e-9)


@given(cuts=st.lists(st.floats(0.5, 9.5), max_size=8), tokens=st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_where_windows_are_cut_changes_nothing_while_the_same_is_done_throughout(cuts, tokens):
    """Requests that all generate evenly over ten seconds of 500 W: each gets by its tokens, and an equal part of the idle energy."""
    replica, edges = Replica(FITTED, idle_w=100), sorted({0.0, *cuts, 10.0})
    for number, count in enumerate(tokens):
        replica.finished(life(f"r{number}", 0.0, 0.0, 10 - 1e-7, output_tokens=count, input_tokens=0))
    effects = [effect for start_s, end_s in pairwise(edges) for effect in replica.window(window(start_s, end_s, 500 * (end_s - start_s)))]
    found = told(effects + list(replica.passed(20)))
    for number, count in enumerate(tokens):
        assert found[f"r{number}"].active_j == pytest.approx(4000 * count / sum(tokens), rel=1e-6)
        assert found[f"r{number}"].idle_j == pytest.approx(1000 / len(tokens), rel=1e-6)


@given(order=st.permutations(list(range(8))))
def test_requests_may_be_told_in_any_order(order):
    """Eight requests end within the bound of lateness: who is told first changes nobody's figure."""
    known = Replica(FITTED, idle_w=30)
    shuffled = Replica(FITTED, idle_w=30)
    ends = [life(f"r{k}", 0.1 * k, 0.5 + 0.1 * k, 1.0 + 0.1 * k, output_tokens=10 + k) for k in range(8)]
    results = []
    for replica, sequence in ((known, range(8)), (shuffled, order)):
        for one in ends:
            replica.began(one.id, one.arrived_s)
        effects = [effect for k in sequence for effect in replica.finished(ends[k])]
        effects += [*replica.window(window(0, 1)), *replica.window(window(1, 2)), *replica.passed(10)]
        results.append({name: one.energy_j for name, one in told(effects).items()})
    assert results[0] == pytest.approx(results[1], rel=1e-12)
    assert sum(results[0].values()) == pytest.approx(200)
