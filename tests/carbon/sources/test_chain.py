"""Several sources as one chain: whose figure counts for a zone, on which basis, and how old it may be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.intensity import Intensity, on_basis
from carbon.sources._base import Told, chained, instant_s, newest, written

NOW_S = 1_795_000_000.0
LIVE_S = 300.0
HOURS_6 = 6 * 3600.0


def sample(g: float, age_s: float = 0.0, *, zone: str = "SWE", source: str = "live", **more: object) -> Intensity:
    facts = {"basis": "lifecycle", "licence": "none", **more}
    return Intensity(zone=zone, g_per_kwh=g, low=g * 0.9, high=g * 1.1, source=source, as_of=written(NOW_S - age_s), **facts)


def live(*samples: Intensity) -> Told:
    return Told(LIVE_S, samples)


def yearly(*samples: Intensity) -> Told:
    return Told(math.inf, samples)


def latest(*chain: Told, basis: str = "lifecycle", zone: str = "SWE") -> Intensity | None:
    return chained(chain, basis, NOW_S, HOURS_6).latest(zone)


YEAR = yearly(sample(40, 3e7, source="year"))


def test_the_first_of_the_chain_with_a_fresh_figure_is_taken():
    assert latest(live(sample(10, 60)), live(sample(20, 0)), YEAR).g_per_kwh == 10
    assert latest(live(sample(10, 700)), live(sample(20, 0)), YEAR).g_per_kwh == 20


def test_a_stale_figure_stands_before_the_mean_of_a_year_and_has_a_wider_band():
    found = latest(live(sample(10, 3600)), YEAR)
    assert found.g_per_kwh == 10
    assert found.low < 9
    assert found.high > 11


def test_a_figure_that_is_too_old_is_none():
    assert latest(live(sample(10, HOURS_6 + 1)), YEAR).source == "year"
    assert latest(live(sample(10, HOURS_6 + 1))) is None


def test_the_operators_own_table_first_means_it_counts():
    assert latest(YEAR, live(sample(10))).source == "year"
    assert latest(live(sample(10, 3600)), YEAR, live(sample(20))).g_per_kwh == 10


def test_what_is_said_to_be_of_tomorrow_is_not_taken_for_now():
    assert latest(live(sample(10, -3600)), YEAR).source == "year"
    assert latest(live(sample(10, -600)), YEAR).g_per_kwh == 10


def test_direct_figures_are_converted_for_a_lifecycle_comparison_and_say_so():
    found = latest(live(sample(100, basis="direct")))
    assert (found.g_per_kwh, found.basis, found.estimated) == (141.0, "lifecycle-estimated", True)
    assert found.high > 32 + 1.09 * 110
    assert latest(live(sample(100, basis="direct")), basis="direct").g_per_kwh == 100


def test_lifecycle_figures_have_no_place_in_a_direct_comparison():
    assert latest(live(sample(100)), basis="direct") is None
    assert latest(live(sample(100, basis="lifecycle-estimated")), basis="direct") is None


def test_marginal_figures_are_kept_beside_the_average_and_never_in_its_place():
    marginal = sample(500, signal="marginal", basis="direct")
    table = chained([live(marginal), YEAR], "lifecycle", NOW_S, HOURS_6)
    assert table.latest("SWE").source == "year"
    assert table.marginal["SWE"] == marginal


def test_of_several_figures_of_one_source_the_newest_counts():
    old, new = sample(1, 600), sample(2, 300)
    assert newest([old, new]) == newest([new, old]) == {("SWE", "average"): new}


@pytest.mark.parametrize("text", ["2026-11-21T10:00:00Z", "2026-11-21T11:00:00+01:00", "2026-11-21T10:00:00.000Z"])
def test_instants_are_read_with_any_offset(text):
    assert written(instant_s(text)) == "2026-11-21T10:00:00Z"


@given(
    st.lists(
        st.tuples(
            st.floats(0, 2000), st.floats(-7200, 50_000), st.sampled_from(["lifecycle", "direct", "lifecycle-estimated"]), st.booleans()
        ),
        max_size=6,
    ),
    st.sampled_from(["lifecycle", "direct"]),
)
def test_no_comparison_ever_mixes_bases(rows, basis):
    chain = [
        Told(math.inf if fixed else LIVE_S, (sample(g, age, basis=own, source=str(n)),)) for n, (g, age, own, fixed) in enumerate(rows)
    ]
    table = chained(chain, basis, NOW_S, HOURS_6)
    for found in table.samples.values():
        assert found.basis == "direct" if basis == "direct" else found.basis != "direct"
        assert found.low <= found.g_per_kwh <= found.high


def test_nothing_is_converted_back():
    assert on_basis(sample(100), "direct") is None
