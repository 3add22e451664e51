"""The company a request had: one over the mean of 1/batch, whoever told of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.batch import Company


def test_alone_half_the_time_and_with_three_others_the_other_half():
    """Mean of 1/batch = (1/1 + 1/4) / 2 = 0.625: a batch of 1.6."""
    company = Company()
    begun_s = company.changed(100.0, 1)
    company.changed(102.0, 4)
    company.changed(104.0, 3)
    assert company.mean(100.0, begun_s, 104.0) == pytest.approx(1.6)


def test_of_no_time_nothing_is_said():
    company = Company()
    begun_s = company.changed(5.0, 1)
    company.changed(5.0, 0)
    assert company.mean(5.0, begun_s, 5.0) is None


def test_others_that_the_engine_tells_of_twice_are_company_too():
    """One of ours beside six: a batch of seven from the second telling on."""
    company = Company()
    begun_s = company.changed(0.0, 1)
    company.told(7, 0)
    company.changed(2.0, 1)
    assert company.mean(0.0, begun_s, 2.0) == 1.0
    company.told(7, 0)
    from_s = company.changed(2.0, 1)
    company.changed(4.0, 1)
    assert company.mean(2.0, from_s, 4.0) == pytest.approx(7.0)
    company.told(None, None)
    from_s = company.changed(4.0, 1)
    company.changed(6.0, 0)
    assert company.mean(4.0, from_s, 6.0) == pytest.approx(1.0)


def test_ours_that_wait_in_the_engines_queue_are_no_company():
    """Twenty sent, eight running, twelve waiting. Fewer running with none waiting is a moment's difference, and changes nothing."""
    company = Company()
    company.changed(0.0, 20)
    company.told(19, 0)
    from_s = company.changed(1.0, 20)
    company.changed(2.0, 20)
    assert company.mean(1.0, from_s, 2.0) == pytest.approx(20.0)
    company.told(8, 12)
    from_s = company.changed(2.0, 20)
    company.changed(3.0, 20)
    assert company.mean(2.0, from_s, 3.0) == pytest.approx(8.0)


@given(st.lists(st.tuples(st.floats(0.001, 100), st.integers(0, 500)), min_size=1, max_size=30))
def test_the_mean_lies_between_the_least_and_the_most(steps):
    company, now_s = Company(), 0.0
    begun_s = company.changed(now_s, 1)
    batches = [1]
    for length_s, running in steps:
        now_s += length_s
        company.changed(now_s, running)
        batches.append(running)
    met = [max(1, each) for each in batches[:-1]]
    assert min(met) * (1 - 1e-9) <= company.mean(0.0, begun_s, now_s) <= max(met) * (1 + 1e-9)


def test_a_clock_that_stands_or_goes_back_adds_nothing():
    company = Company()
    begun_s = company.changed(10.0, 1)
    assert company.changed(9.0, 2) == begun_s
    assert company.mean(10.0, begun_s, 9.0) is None
