"""A team's budget by period: counted, refused when used up, and begun anew."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from proxy.dataplane.budget import Budgets, Spent, period_end, period_start
from proxy.errors import Refusal
from proxy.teams import Budget

NOW = datetime(2026, 11, 21, 10, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("per", "start", "end"),
    [
        ("hour", "2026-11-21T10:00+00:00", "2026-11-21T11:00+00:00"),
        ("day", "2026-11-21T00:00+00:00", "2026-11-22T00:00+00:00"),
        ("week", "2026-11-16T00:00+00:00", "2026-11-23T00:00+00:00"),
        ("month", "2026-11-01T00:00+00:00", "2026-12-01T00:00+00:00"),
    ],
)
def test_a_period_is_the_calendars_in_utc(per, start, end):
    assert period_start(per, NOW) == datetime.fromisoformat(start)
    assert period_end(per, NOW) == datetime.fromisoformat(end)


def test_a_month_ends_with_its_own_last_day():
    assert period_end("month", datetime(2027, 1, 31, 23, 59, tzinfo=UTC)) == datetime(2027, 2, 1, tzinfo=UTC)
    assert period_end("month", datetime(2026, 12, 31, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_spending_is_refused_from_the_moment_the_budget_is_used_up():
    budgets = Budgets()
    budget = Budget(per="day", g=1.0, usd=2.0)
    budgets.check("search", budget, NOW)
    budgets.add("search", 0.6, 0.1)
    budgets.check("search", budget, NOW)
    budgets.add("search", 0.4, None)
    with pytest.raises(Refusal) as refused:
        budgets.check("search", budget, NOW)
    assert (refused.value.status, refused.value.code) == (429, "budget_exceeded")
    assert b"x-should-retry: false" in refused.value.headers


def test_a_new_period_begins_at_nothing():
    budgets = Budgets()
    budgets.load("search", Spent(period_start("day", NOW), g=5.0))
    budget = Budget(per="day", g=1.0)
    with pytest.raises(Refusal):
        budgets.check("search", budget, NOW)
    budgets.check("search", budget, NOW.replace(day=22))


def test_one_teams_spending_is_not_anothers():
    budgets = Budgets()
    budget = Budget(per="day", usd=1.0)
    budgets.check("a", budget, NOW)
    budgets.check("b", budget, NOW)
    budgets.add("a", None, 5.0)
    budgets.check("b", budget, NOW)
