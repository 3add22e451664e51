"""Accelerators and the machine around them, measured together: one set of bounds, the same shares, and a figure without a host factor."""

from __future__ import annotations

import pytest

from carbon.attributed import FACILITY, HOST_COUNTED, Attributed
from carbon.attribution import Weights
from carbon.replica import Replica
from carbon.spread import Life
from carbon.windows import Meterage, Reading, Total, total

FITTED = Weights(prefill_j=0.1, decode_j=1.0, context_j=0.0, source="fitted")


def life(name, arrived_s, first_s, last_s, output_tokens=10.0):
    return Life(id=name, arrived_s=arrived_s, first_s=first_s, last_s=last_s, input_tokens=0, cached_tokens=0, output_tokens=output_tokens)


def both(start_s, end_s, gpu_j, host_j, **more):
    """A window of accelerators, and of the machine around them."""
    around = Total(start_s=start_s, end_s=end_s, energy_j=host_j, **{"complete": host_j is not None, "source": "counter", **more})
    return Total(start_s=start_s, end_s=end_s, energy_j=gpu_j, complete=True, source="counter", around=around)


def told(effects):
    return {effect.id: effect for effect in effects if isinstance(effect, Attributed)}


def quiet(replica, seconds):
    """Nobody is served: 100 J a second at the accelerators, 60 around them."""
    for second in range(seconds):
        replica.window(both(second, second + 1, 100.0, 60.0))
    replica.passed(seconds + 2.0)


def test_the_hosts_joules_are_shared_as_the_accelerators_are():
    """One window of 300 and 100 J, of which 100 and 60 are idle. A writes 30 of 40 tokens and both run all of it.

    A: 200 * 3/4 + 100/2 = 200, and 40 * 3/4 + 60/2 = 60. B: 100, and 40.
    """
    replica = Replica(FITTED)
    quiet(replica, 5)
    for name, tokens in (("a", 30.0), ("b", 10.0)):
        replica.finished(life(name, 10.0, 10.0, 10.999, tokens))
    found = told(replica.window(both(10, 11, 300.0, 100.0)) + replica.passed(20))
    assert (found["a"].energy_j, found["a"].host_j) == (pytest.approx(200), pytest.approx(60))
    assert (found["b"].energy_j, found["b"].host_j) == (pytest.approx(100), pytest.approx(40))
    assert replica.host_idle_power_w == 60
    books = replica.host_books
    assert (books.measured_j, books.attributed_j, books.pool_idle_j) == (pytest.approx(400), pytest.approx(100), pytest.approx(300))


def test_at_the_facility_what_was_counted_takes_the_place_of_the_factor():
    """(200 + 60) * 1.2 = 312, not 200 * 1.35 * 1.2; and the band is narrower below alone."""
    replica = Replica(FITTED)
    quiet(replica, 5)
    replica.finished(life("a", 10.0, 10.0, 10.999))
    found = told(replica.window(both(10, 11, 200.0, 60.0)) + replica.passed(20))["a"]
    assert found.notes == ()
    assert found.at_facility(1.35, 1.2) == pytest.approx((312 * HOST_COUNTED.low, 312, 312 * HOST_COUNTED.high))
    parts = found.parts(1.35, 1.2)
    assert (parts.gpu_active_j, parts.gpu_idle_j) == (pytest.approx(100), pytest.approx(100))
    assert (parts.host_j, parts.facility_j, parts.total_j) == (pytest.approx(60), pytest.approx(52), pytest.approx(312))
    assert HOST_COUNTED.low > FACILITY.low
    assert HOST_COUNTED.high == FACILITY.high


@pytest.mark.parametrize(
    "host",
    [{"host_j": None}, {"host_j": 60.0, "complete": False}, {"host_j": 60.0, "measured": False}],
    ids=["away", "in part", "modelled"],
)
def test_a_host_that_was_not_measured_throughout_leaves_the_factor_and_says_so(host):
    replica = Replica(FITTED)
    quiet(replica, 5)
    replica.finished(life("a", 10.0, 10.0, 11.999))
    effects = replica.window(both(10, 11, 200.0, 60.0)) + replica.window(both(11, 12, gpu_j=200.0, **host)) + replica.passed(20)
    found = told(effects)["a"]
    assert found.measured
    assert found.host_j is None
    assert found.notes == ("host_assumed",)
    assert found.at_facility(1.35, 1.0)[1] == pytest.approx(400 * 1.35)
    books = replica.host_books
    assert books.attributed_j + books.pool_idle_j + books.unattributed_j == pytest.approx(books.measured_j)


def test_without_a_host_nothing_is_said_of_it():
    replica = Replica(FITTED, idle_w=0)
    replica.finished(life("a", 0.0, 0.0, 0.999))
    window = Total(start_s=0, end_s=1, energy_j=10.0, complete=True, source="counter")
    assert told(replica.window(window) + replica.passed(9))["a"].notes == ()
    assert replica.host_books is None


def read(at_s, gpu_j, host_j):
    gpu = Reading(device="GPU-0", at_s=at_s, energy_j=gpu_j)
    return [gpu] if host_j is None else [gpu, Reading(device="package-0", at_s=at_s, energy_j=host_j, around=True)]


def totals(*batches):
    meterage = Meterage()
    closed = [meterage.closed(read(*batch)) for batch in batches]
    found = [total(windows) for windows in closed if windows]
    return [(one.start_s, one.end_s, one.energy_j, None if one.around is None else one.around.energy_j) for one in found]


def test_windows_of_both_have_the_same_bounds():
    assert totals((0, 0, 0), (1, 300, 80), (2, 600, 150)) == [(0, 1, 300, 80), (1, 2, 300, 70)]


def test_a_host_that_is_away_leaves_the_accelerators_windows_whole():
    """Back again, its counter has also counted what the window before went without: it counts from the next one on."""
    found = totals((0, 0, 0), (1, 300, 80), (2, 600, None), (3, 900, 240), (4, 1200, 320))
    assert found == [(0, 1, 300, 80), (1, 2, 300, None), (2, 3, 300, None), (3, 4, 300, 80)]


def test_a_host_that_stands_still_holds_no_window_open():
    """A counter of a virtual machine that never moves: no figure for it, and the accelerators' windows close as ever."""
    assert totals((0, 0, 5), (1, 300, 5), (2, 600, 5)) == [(0, 1, 300, None), (1, 2, 300, None)]


def test_the_accelerators_pace_is_the_hosts():
    """An exporter that samples every third second: windows of three."""
    assert totals((0, 0, 0), (1, 300, 60), (2, 300, 120), (3, 300, 180), (4, 1200, 240))[-1] == (1, 4, 900, 180)
