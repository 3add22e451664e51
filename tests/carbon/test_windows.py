"""Readings of counters become windows: by the counter first, by power where there is none, and with no figure where neither will do."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.windows import FORGET_S, MOST_DEVICES, IdlePower, Meterage, Reading, Total, Window, total


def gpu(at_s, energy_j=None, power_w=None, device="GPU-0", **more):
    return Reading(device=device, at_s=at_s, energy_j=energy_j, power_w=power_w, **more)


def windows(*readings, **bounds):
    meterage = Meterage(**bounds)
    return [window for reading in readings for window in meterage.closed([reading])]


def short(found):
    return [(window.start_s, window.end_s, window.energy_j, window.source, window.flags) for window in found]


def test_a_counters_difference_is_the_windows_energy():
    """1,000 J, then 1,300 and 1,500: 300 and 200 J, whatever the power says."""
    found = windows(gpu(10, 1000, 999), gpu(11, 1300, 999), gpu(12, 1500, 999))
    assert found == [
        Window(device="GPU-0", start_s=10, end_s=11, energy_j=300, source="counter"),
        Window(device="GPU-0", start_s=11, end_s=12, energy_j=200, source="counter"),
    ]


def test_power_is_integrated_by_trapezoids_where_there_is_no_counter():
    """100 W to 300 W over 2 s: 400 J."""
    assert short(windows(gpu(0, None, 100), gpu(2, None, 300))) == [(0, 2, 400, "power", ())]


def test_readings_closer_than_a_second_are_one_window():
    found = windows(gpu(0, 0, 0), gpu(0.4, 10, 20), gpu(0.8, 20, 20), gpu(1.2, 40, 20))
    assert short(found) == [(0, 1.2, 40, "counter", ())]


def test_a_batch_that_is_not_later_is_let_go():
    found = windows(gpu(5, 100), gpu(5, 101), gpu(4, 90), gpu(6, 200))
    assert short(found) == [(5, 6, 100, "counter", ())]


@pytest.mark.parametrize(
    ("power_w", "energy_j", "source"), [(None, None, None), (200, 200, "power")], ids=["nothing to go by", "power steps in"]
)
def test_a_counter_that_went_back_is_not_believed(power_w, energy_j, source):
    """The driver was loaded again. The window after it counts as ever."""
    found = windows(gpu(0, 5000, power_w), gpu(1, 30, power_w), gpu(2, 80, power_w))
    assert short(found) == [(0, 1, energy_j, source, ("counter_reset",)), (1, 2, 50, "counter", ())]


def test_a_reset_inside_a_merged_window_is_seen_though_the_counter_ends_higher():
    found = windows(gpu(0, 100), gpu(0.5, 10), gpu(1, 400))
    assert short(found) == [(0, 1, None, None, ("counter_reset",))]


def test_a_counter_that_is_due_to_begin_again_is_followed_around():
    """RAPL: 262,143 J, then 0. From 262,100 to 57: 100 J."""
    assert short(windows(gpu(0, 262100, range_j=262143), gpu(1, 57, range_j=262143))) == [(0, 1, 100, "counter", ())]


def test_a_counter_that_would_have_to_race_around_was_reset():
    """From 10 to 5 within 262,143 J: a quarter of a megawatt."""
    assert short(windows(gpu(0, 10, range_j=262143), gpu(1, 5, range_j=262143))) == [(0, 1, None, None, ("counter_reset",))]


def test_more_than_a_gpu_can_draw_is_no_measurement():
    assert short(windows(gpu(0, 0), gpu(1, 1501))) == [(0, 1, None, None, ("implausible",))]
    assert short(windows(gpu(0, 0, 400), gpu(1, 1501, 400))) == [(0, 1, 400, "power", ("implausible",))]
    assert short(windows(gpu(0, None, 1e6), gpu(1, None, 1e6))) == [(0, 1, None, None, ("implausible",))]
    assert short(windows(gpu(0, 0, gpus=4), gpu(1, 5900, gpus=4))) == [(0, 1, 5900, "counter", ())]


def test_a_counter_bridges_a_gap_and_power_does_not():
    assert short(windows(gpu(0, 0, 100), gpu(40, 8000, 100))) == [(0, 40, 8000, "counter", ("gap",))]
    assert short(windows(gpu(0, None, 100), gpu(40, None, 100))) == [(0, 40, None, None, ("gap",))]


def test_an_exporter_that_samples_every_30_seconds_makes_windows_of_30_seconds():
    """Read every 5 s; its counter moves at 10, 40 and 70 s by 9,000 J each. The joules before the first step are of unknown age."""
    counter = {t: 1000 + 9000 * ((t + 20) // 30) for t in range(0, 75, 5)}
    found = windows(*(gpu(t, energy_j) for t, energy_j in counter.items()))
    assert short(found) == [(10, 40, 9000, "counter", ()), (40, 70, 9000, "counter", ())]


def test_a_counter_that_never_moves_is_not_zero_joules():
    assert short(windows(gpu(0, 7), gpu(30, 7), gpu(60, 7), gpu(90, 7)))[0] == (0, 60, None, None, ("counter_still",))
    assert short(windows(gpu(0, 7, 50), gpu(30, 7, 50), gpu(60, 7, 50)))[0] == (0, 60, 3000, "power", ("counter_still",))


def test_a_device_that_is_away_leaves_its_windows_without_a_figure():
    """GPU-1 is lost at 2 s and back at 4: what it counted meanwhile belongs to no window, and the other goes on."""
    meterage = Meterage()
    found = []
    for t in range(6):
        batch = [gpu(t, 100 * t)] + ([gpu(t, 50 * t, device="GPU-1")] if t not in (2, 3) else [])
        found += meterage.closed(batch)
    assert [w.energy_j for w in found if w.device == "GPU-0"] == [100] * 5
    assert [(w.energy_j, w.flags) for w in found if w.device == "GPU-1"] == [
        (50, ()),
        (None, ("missing",)),
        (None, ("missing",)),
        (None, ("missing",)),
        (50, ()),
    ]


def test_a_device_that_is_new_counts_from_the_next_window_on():
    meterage = Meterage()
    batches = [[gpu(0, 0)], [gpu(1, 10), gpu(1, 900, device="GPU-1")], [gpu(2, 20), gpu(2, 990, device="GPU-1")]]
    found = [window for batch in batches for window in meterage.closed(batch)]
    assert [(w.device, w.energy_j, w.flags) for w in found] == [
        ("GPU-0", 10, ()),
        ("GPU-1", None, ("appeared",)),
        ("GPU-0", 10, ()),
        ("GPU-1", 90, ()),
    ]


def test_a_device_that_stays_away_is_forgotten():
    meterage = Meterage()
    meterage.closed([gpu(0, 0), gpu(0, 0, device="GPU-1")])
    devices = [{w.device for w in meterage.closed([gpu(t, 10 * t)])} for t in range(1, int(FORGET_S) + 3)]
    assert devices[0] == {"GPU-0", "GPU-1"}
    assert devices[-1] == {"GPU-0"}


def test_no_more_devices_are_held_than_a_replica_can_have():
    with pytest.raises(ValueError, match="at most 256"):
        Meterage().closed([gpu(0, 0, device=f"GPU-{i}") for i in range(MOST_DEVICES + 1)])


def test_what_a_reading_says_of_itself_stays_with_its_window():
    found = windows(gpu(0, 0, flags=("mig_whole_gpu",)), gpu(1, 10, flags=("mig_whole_gpu",), measured=False))
    assert (found[0].flags, found[0].measured) == (("mig_whole_gpu",), False)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_what_is_no_number_is_no_reading(wrong):
    assert short(windows(gpu(0, 0, 100), gpu(1, wrong, 100))) == [(0, 1, 100, "power", ())]


def test_the_last_window_is_as_short_as_it_must_be():
    """By what the last batch tells; without one, by what was told before it."""
    read, away, unread, still = Meterage(), Meterage(), Meterage(), Meterage()
    for meterage in (read, away):
        assert meterage.closed([gpu(0, 0)]) + meterage.closed([gpu(0.4, 40)]) == ()
    assert short(read.last([gpu(0.6, 70)])) == [(0, 0.6, 70, "counter", ())]
    assert short(away.last([])) == [(0, 0.4, 40, "counter", ())]
    assert unread.last([]) == unread.last([gpu(0, 5)]) == ()
    # an exporter's sample of before the first reading: since when it counts is not known
    assert still.closed([gpu(0, 0)]) + still.closed([gpu(5, 0)]) + still.last([gpu(6, 900)]) == ()


def test_the_total_of_a_replica_says_what_is_missing():
    whole = [Window(device=d, start_s=0, end_s=1, energy_j=10, source="counter") for d in "ab"]
    assert total(whole) == Total(start_s=0, end_s=1, energy_j=20, complete=True, source="counter")
    part = [whole[0], Window(device="b", start_s=0, end_s=1, energy_j=None, source=None, flags=("missing",))]
    assert total(part) == Total(start_s=0, end_s=1, energy_j=10, complete=False, source="counter", flags=("missing",))
    assert total(part[1:]).energy_j is None
    assert total([whole[0], Window(device="b", start_s=0, end_s=1, energy_j=1, source="power")]).source == "mixed"


@given(
    steps=st.lists(st.tuples(st.floats(0.01, 20), st.floats(0, 1)), min_size=1, max_size=60),
    devices=st.integers(1, 3),
)
def test_windows_tile_time_and_their_joules_add_up_to_the_counters(steps, devices):
    """Each step: seconds since the last reading, and the share of the most power a GPU draws."""
    meterage, found, at_s, counters, first = Meterage(), [], 0.0, [0.0] * devices, {}
    for passed_s, load in [(1.0, 0.5), *steps]:
        at_s += passed_s
        counters = [c + 1400 * max(load, 0.01) * passed_s for c in counters]
        first[at_s] = counters[0]
        found += meterage.closed([gpu(at_s, c, device=f"GPU-{i}") for i, c in enumerate(counters)])
    mine = [w for w in found if w.device == "GPU-0"]
    assert all(w.energy_j is not None and w.energy_j >= 0 and w.end_s - w.start_s >= 1 for w in found)
    assert all(a.end_s == b.start_s for a, b in pairwise(mine))
    if mine:
        assert sum(w.energy_j for w in mine) == pytest.approx(first[mine[-1].end_s] - first[mine[0].start_s], rel=1e-9)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(-1e3, 1e12) | st.none(), st.floats(-1e3, 1e9) | st.none()), max_size=40))
def test_whatever_is_read_no_window_is_negative_or_beyond_what_a_gpu_draws(steps):
    at_s, found, meterage = 0.0, [], Meterage()
    for passed_s, energy_j, power_w in steps:
        at_s += passed_s
        found += meterage.closed([gpu(at_s, energy_j, power_w)])
    for window in found:
        assert window.energy_j is None or 0 <= window.energy_j <= 1500 * (window.end_s - window.start_s) * (1 + 1e-9)
        assert (window.energy_j is None) == (window.source is None)


def test_idle_power_is_the_5th_percentile_of_empty_windows():
    """100 windows of 70, 71, ... 169 W: the fifth of them from below is 75 W."""
    idle = IdlePower()
    for watts in range(70, 170):
        idle.saw(Total(start_s=0, end_s=2, energy_j=2 * watts, complete=True, source="counter"))
    assert idle.power_w == 75


def test_idle_power_is_unknown_until_five_windows_were_empty_unless_it_is_stated():
    idle, stated = IdlePower(), IdlePower(60)
    for _ in range(4):
        idle.saw(Total(start_s=0, end_s=1, energy_j=80, complete=True, source="counter"))
    idle.saw(Total(start_s=0, end_s=1, energy_j=1, complete=False, source="counter"))
    assert idle.power_w is None
    assert stated.power_w == 60
    idle.saw(Total(start_s=0, end_s=1, energy_j=80, complete=True, source="counter"))
    assert idle.power_w == 80
