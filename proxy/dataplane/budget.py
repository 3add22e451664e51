"""What each team has spent of its budget in the current period, counted as accounts are settled.

Starts from the ledger's sums, so that a restart forgets nothing. A budget bounds what has been spent, not what is under way.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from proxy.errors import Refusal
from proxy.teams import Budget


def period_start(per: str, now: datetime) -> datetime:
    """When the current hour, day, week (Monday) or month began, in UTC."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    match per:
        case "hour":
            return hour
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case _:
            return day.replace(day=1)


def period_end(per: str, now: datetime) -> datetime:
    """When it ends and spending begins anew."""
    start = period_start(per, now)
    match per:
        case "hour":
            return start + timedelta(hours=1)
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case _:
            return (start + timedelta(days=32)).replace(day=1)


class Spent:
    """Grams and dollars of one team since `since`."""

    __slots__ = ("g", "since", "usd")

    def __init__(self, since: datetime, g: float = 0.0, usd: float = 0.0) -> None:
        self.since, self.g, self.usd = since, g, usd


class Budgets:
    """All teams' spending. One a process."""

    def __init__(self) -> None:
        self._spent: dict[str, Spent] = {}

    def load(self, team: str, before: Spent) -> None:
        """Adds what was spent in the current period before this process began counting."""
        here = self._spent.get(team)
        if here is not None and here.since == before.since:
            before.g += here.g
            before.usd += here.usd
        self._spent[team] = before

    def check(self, team: str, budget: Budget, now: datetime) -> None:
        """Raises Refusal 429 `budget_exceeded` when the period's budget is used up; the client must not retry by itself."""
        spent = self._current(team, budget, now)
        over = (budget.g is not None and spent.g >= budget.g) or (budget.usd is not None and spent.usd >= budget.usd)
        if over:
            wait_s = max(1, int((period_end(budget.per, now) - now).total_seconds()))
            lines = b"x-should-retry: false\r\nretry-after: %d\r\n" % wait_s
            raise Refusal(429, "budget_exceeded", f"The budget of team `{team}` for this {budget.per} is used up.", headers=lines)

    def add(self, team: str, g: float | None, usd: float | None) -> None:
        """Counts an account. Unknown adds nothing: it cannot be charged."""
        spent = self._spent.get(team)
        if spent is not None:
            spent.g += g or 0.0
            spent.usd += usd or 0.0

    def _current(self, team: str, budget: Budget, now: datetime) -> Spent:
        start = period_start(budget.per, now)
        spent = self._spent.get(team)
        if spent is None or spent.since < start:
            spent = self._spent[team] = Spent(start)
        return spent
