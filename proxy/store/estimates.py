"""Estimates on request, in the ledger's store: appended, and read by the team that asked for them."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import insert, select, tuple_

from proxy.records import Estimate, EstimateInputs
from proxy.store.ledger import Ledger
from proxy.store.tables import estimates

_inputs = msgspec.json.Decoder(EstimateInputs)


class EstimateStore:
    """All of a ledger's. `team` None may read all."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def keep(self, made: Estimate) -> None:
        """It is in the store on return. Raises StoreUnavailableError."""
        row = {name: getattr(made, name) for name in Estimate.__struct_fields__}
        row["inputs"] = msgspec.json.encode(made.inputs).decode()
        await self._ledger.write([(insert(estimates), [row])])

    async def get(self, estimate_id: str, team: str | None) -> Estimate | None:
        """None where there is none or it is another team's. Raises StoreUnavailableError."""
        statement = select(estimates).where(estimates.c.id == estimate_id)
        found = await self._ledger.rows(statement if team is None else statement.where(estimates.c.team == team))
        return _estimate(found[0]) if found else None

    async def latest(self, limit: int, before: Estimate | None, team: str | None) -> list[Estimate]:
        """So many, newest first, of those made before that one. Raises StoreUnavailableError."""
        c = estimates.c
        statement = select(estimates).order_by(c.at_s.desc(), c.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(tuple_(c.at_s, c.id) < tuple_(before.at_s, before.id))
        return [_estimate(row) for row in await self._ledger.rows(statement if team is None else statement.where(c.team == team))]

    async def reachable(self) -> None:
        """Raises StoreUnavailableError where nothing could be kept now, as far as reading tells."""
        await self._ledger.rows(select(estimates.c.id).limit(1))


def _estimate(row: Any) -> Estimate:
    values = {name: getattr(row, name) for name in Estimate.__struct_fields__}
    return Estimate(**{**values, "tokens_estimated": bool(row.tokens_estimated), "inputs": _inputs.decode(row.inputs)})
