"""Sums of a span of time by the method of its figures: what a disclosure is made of."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import and_, func, or_, select

from proxy.store.ledger import Ledger
from proxy.store.tables import exchanges
from proxy.store.usage import WORKLESS


class OfMethod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Exchanges that did work, by how their energy was found. A sum of nothing known is None."""

    method: str | None
    requests: int
    requests_without_energy: int
    requests_without_carbon: int
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    carbon_g: float | None
    carbon_low_g: float | None
    carbon_high_g: float | None
    located_j: float | None
    """Of those whose grams are known: what an intensity is the quotient with."""


async def by_method(ledger: Ledger, from_s: float, to_s: float, without: Sequence[str]) -> list[OfMethod]:
    """One row a method, of all teams, `from_s` in and `to_s` out; nothing of the deployments `without`. Raises StoreUnavailableError."""
    c = exchanges.c
    sums = ("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "carbon_low_g", "carbon_high_g")
    statement = (
        select(
            c.method,
            func.count().label("requests"),
            func.count().filter(c.energy_j.is_(None)).label("requests_without_energy"),
            func.count().filter(c.carbon_g.is_(None)).label("requests_without_carbon"),
            *(func.sum(c[name]).label(name) for name in sums),
            func.sum(c.energy_j).filter(c.carbon_g.is_not(None)).label("located_j"),
        )
        .where(
            and_(
                c.at_s >= from_s,
                c.at_s < to_s,
                c.outcome.not_in(WORKLESS),
                or_(c.deployment.is_(None), c.deployment.not_in(list(without))),
            )
        )
        .group_by(c.method)
        .order_by(c.method)
    )
    return [OfMethod(**dict(row._mapping)) for row in await ledger.rows(statement)]
