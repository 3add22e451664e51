"""Measured joules by deployment and day, and what idle capacity comes to for each request that was served that day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from proxy.store.ledger import Ledger
from proxy.store.tables import exchanges, metered_days

DAY_S = 86400
SHARES = ("measured_j", "requests_j", "idle_pool_j", "unattributed_j")


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """What one deployment's books grew by on one day (since 1970-01-01, UTC). Joules at its accelerators."""

    deployment: str
    day: int
    measured_j: float
    requests_j: float
    idle_pool_j: float
    unattributed_j: float


class MeteredDays:
    """Sums that only grow."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def add(self, grown: Sequence[Grown]) -> None:
        """Raises StoreUnavailableError; then nothing was added."""
        statement: Any = (sqlite if self._ledger.is_sqlite else postgresql).insert(metered_days)
        held = {name: metered_days.c[name] + statement.excluded[name] for name in SHARES}
        upsert = statement.on_conflict_do_update(index_elements=["deployment", "day"], set_=held)
        if grown:
            await self._ledger.write([(upsert, [msgspec.structs.asdict(each) for each in grown])])

    async def since(self, day: int) -> list[dict[str, Any]]:
        """One row a deployment and day, newest first, with its requests and what idle capacity comes to for each of them."""
        m, e = metered_days.c, exchanges.c
        served = (
            select(e.deployment, e.day, func.count().label("requests"), func.sum(e.output_tokens).label("output_tokens"))
            .where(e.at_s >= day * DAY_S, e.outcome.in_(("completed", "truncated", "client_gone")))
            .group_by(e.deployment, e.day)
            .subquery()
        )
        statement = (
            select(metered_days, served.c.requests, served.c.output_tokens)
            .outerjoin(served, (served.c.deployment == m.deployment) & (served.c.day == m.day))
            .where(m.day >= day)
            .order_by(m.day.desc(), m.deployment)
        )
        return [_shown(found._mapping) for found in await self._ledger.rows(statement)]


def _shown(found: Mapping[str, Any]) -> dict[str, Any]:
    requests, idle_j = found["requests"] or 0, found["idle_pool_j"]
    return {
        "deployment": found["deployment"],
        "day": (dt.date(1970, 1, 1) + dt.timedelta(days=found["day"])).isoformat(),
        **{name: found[name] for name in SHARES},
        "requests": requests,
        "output_tokens": None if found["output_tokens"] is None else int(found["output_tokens"]),
        "overhead_j_per_request": idle_j / requests if requests else None,
    }
