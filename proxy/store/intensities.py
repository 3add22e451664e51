"""Grid intensities as they were read, in the ledger's store: the last known outlive a restart, and figures can be checked later."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from carbon.intensity import Intensity
from carbon.sources._base import instant_s
from proxy.store.ledger import Ledger
from proxy.store.tables import intensities

MOST_ROWS = 100_000
"""Read at once, at most."""
_SAMPLE = tuple(name for name in Intensity.__struct_fields__ if name != "assumed")


class IntensityStore:
    """Samples by the name of the source that told them (its name in the configuration)."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def keep(self, feed: str, samples: Sequence[Intensity]) -> None:
        """They are in the store on return; those already there stay as they are. Raises StoreUnavailableError."""
        rows = [
            {"feed": feed, "at_s": instant_s(sample.as_of), **{name: getattr(sample, name) for name in _SAMPLE}}
            for sample in samples
            if not sample.assumed
        ]
        flavour = sqlite if self._ledger.is_sqlite else postgresql
        if rows:
            await self._ledger.write([(flavour.insert(intensities).on_conflict_do_nothing(), rows)])

    async def forget(self, before_s: float) -> None:
        """Those of before that instant are gone on return. Raises StoreUnavailableError."""
        await self._ledger.write([(delete(intensities).where(intensities.c.at_s < before_s), ())])

    async def latest(self, since_s: float) -> list[tuple[str, Intensity]]:
        """The newest of each source, zone and signal since then. Raises StoreUnavailableError."""
        c = intensities.c
        newest = (
            select(c.feed, c.zone, c.signal, func.max(c.at_s).label("at_s"))
            .where(c.at_s >= since_s)
            .group_by(c.feed, c.zone, c.signal)
            .subquery()
        )
        same = [c[name] == newest.c[name] for name in ("feed", "zone", "signal", "at_s")]
        found = await self._ledger.rows(select(intensities).join(newest, same[0] & same[1] & same[2] & same[3]).limit(MOST_ROWS))
        return [(row.feed, _sample(row)) for row in found]

    async def between(self, zone: str, from_s: float, to_s: float) -> list[tuple[str, Intensity]]:
        """What was read of a zone for instants in [from, to), oldest first. Raises StoreUnavailableError."""
        c = intensities.c
        statement = select(intensities).where(c.zone == zone, c.at_s >= from_s, c.at_s < to_s).order_by(c.at_s).limit(MOST_ROWS)
        return [(row.feed, _sample(row)) for row in await self._ledger.rows(statement)]


def _sample(row: object) -> Intensity:
    return msgspec.convert({name: getattr(row, name) for name in _SAMPLE}, Intensity)
