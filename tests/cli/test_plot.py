"""Figures over time as characters."""

from __future__ import annotations

import pytest

from proxy.cli.plot import fitting, plot


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


@pytest.mark.parametrize("width", [-8, 0, 1, 5, 16])
def test_however_narrow_the_terminal_the_hours_stay_apart(width):
    drawn = plot([(hour * 3600, hour) for hour in range(48)], now_s=3600, width=width).splitlines()
    assert drawn[-2].split() == ["01", "00:00", "02", "23:00"]


def test_few_figures_leave_the_hours_apart():
    assert plot([(0, 1), (3600, 1)], now_s=0).splitlines()[-2] == "   01 00:00 01 01:00"


def test_a_terminal_without_blocks_gets_letters():
    points = [(0, 0), (3600, 25), (7200, 50), (10800, 100)]
    assert plot(points, now_s=0, height=1, blocks=fitting("latin-1")).splitlines()[0] == "100 |..:#"
    assert fitting("ascii").isascii()
    assert fitting("no codec of this name").isascii()
    assert not fitting("utf-8").isascii()
