"""docs/calibration.md states the bounds of the code, and the members that a ledger keeps."""

from __future__ import annotations

import pytest

from carbon import calibrating, calibration
from carbon.attributed import FACILITY
from carbon.bands import Band
from proxy.store import calibrations
from proxy.workers import calibration as worker
from tests.carbon.test_calibration import IN_COMPANY, batched, made
from tests.docs.pages import quoted, rows, text

PAGE = text("docs/calibration.md")


def test_every_member_of_the_profile_has_its_line():
    told = {name for row in rows(PAGE, "member") for name in quoted(row[0])}
    assert told == set(made(batched=batched(IN_COMPANY), drift=1.5).record())


def test_what_it_needs_is_what_is_asked_for():
    assert [row[1] for row in rows(PAGE, "it needs")] == [
        str(calibration.LEAST_RECORDS),
        f"×{calibration.LEAST_TOKEN_SPAN:g}",  # noqa: RUF001
        f"{calibration.LEAST_SPAN_S / 3600:g} h",
    ]


def test_bounds_are_those_of_the_code():
    of_hour, hours = calibrations.MOST_OF_SLICE, round(calibrations.SINCE_S / calibrations.SLICE_S)
    assert f"{calibrations.SINCE_S / 86400:g} days" in PAGE
    assert f"the last {of_hour} are read, {of_hour * hours:,} in all, and {calibrating.MOST_FITTED:,} of them fitted" in PAGE
    assert f"n/(n + {calibration.PRIOR_RECORDS})" in PAGE
    assert f"({calibration.LEAST_OF_DAY} records or more)" in PAGE
    assert (calibrating.OUTLIER_MADS, calibrating.FOLDS, calibration.BETTER) == (5, 5, 0.95)
    assert (worker.FIRST_S, worker.DRIFTED_S, worker.SPARSE_S, worker.LOOK_S, worker.DRIFT_S) == (3600, 2 * 86400, 7 * 86400, 60, 3600)


def test_the_least_band_is_that_of_a_meter_with_the_narrowest():
    least = FACILITY.combined(calibration.NARROWEST)
    assert f"×{FACILITY.low}–{FACILITY.high} the least is ×{least.low:.2f}–{least.high:.2f}" in PAGE  # noqa: RUF001
    assert Band(0.8, 1.25) == calibration.NARROWEST


def test_the_sum_by_hand():
    assert pytest.approx(5.87, abs=0.005) == 4.09 + 0.0305 * 9 + 3 * (0.503 + 2.03e-5 * 10.5)
    assert pytest.approx(6.78, abs=0.005) == 5.2 + 0.0299 * 9 + 3 * (0.25 + 1.5 / 8 + 2.06e-5 * 10.5)
