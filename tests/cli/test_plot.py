"""Figures over time as characters."""

from __future__ import annotations

from proxy.cli.plot import plot


def test_heights_are_in_eighths_of_a_line_from_zero():
    drawn = plot([(0, 0), (3600, 50), (7200, 100)], now_s=3600, height=2)
    assert drawn.splitlines()[:2] == ["100 |  █", "  0 |▁██"]


def test_now_is_marked_where_it_is():
    drawn = plot([(hour * 3600, 10) for hour in range(10)], now_s=9 * 3600, width=10)
    assert drawn.splitlines()[-1].index("^") == drawn.splitlines()[0].rindex("█")
    assert "now" not in plot([(0, 1), (3600, 1)], now_s=7200)


def test_more_figures_than_columns_are_averaged_and_gaps_stay_empty():
    drawn = plot([(0, 0), (1, 100), (99, 50)], now_s=-1, width=3, height=1)
    assert drawn.splitlines()[0] == "50 |█ █"


def test_one_figure_is_no_line():
    assert plot([(0, 5)], now_s=0) == plot([], now_s=0) == ""


def test_nothing_but_zeros_is_drawn_on_the_ground():
    assert "▁▁" in plot([(0, 0), (3600, 0)], now_s=0)
