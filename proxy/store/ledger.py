"""The ledger in the database: entries in, idempotent by id; entries, and sums over them, out.

StoreError
  StoreUnavailableError  down, locked, full, unreachable: the same call may work later
  StoreUrlError          (engine) the URL names no store of ours
  StoreVersionError      (migration) the schema is of another version of this software
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import msgspec
from sqlalchemy import Executable, Select, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from proxy.records import Context, Entry, Restatement, Row
from proxy.store.codec import UndecodableError, joined, kept_of, restated, restated_row
from proxy.store.database import Database, database_of
from proxy.store.engine import kind_of
from proxy.store.migration import migrate_in_thread
from proxy.store.savings import holdout_rows, holdout_statement, savings_row, savings_statement
from proxy.store.tables import contexts, exchanges, ledger, restatements
from proxy.store.usage import UsageQuery, usage_row, usage_statement

_WHOLE = select(ledger, *(column.label(f"context_{column.name}") for column in contexts.columns)).outerjoin(
    contexts, contexts.c.id == ledger.c.context
)
_OWN = len(ledger.columns)
_NEVER = ("22", "54")
"""Classes of SQLSTATE: a value PostgreSQL cannot hold; one too large for it (a text that is indexed has 2.7 KB at most)."""


class StoreUnavailableError(Exception):
    """The store did not do it, and may do it later. `kind` is the driver's own code (`SQLITE_BUSY`, `08006`) or an exception's name."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the ledger's store is unavailable: {kind}")
        self.kind = kind


class _RefusedError(Exception):
    """The store will never take one of these rows."""


class Ledger:
    """All entries. Made by `open` or `later`, closed by its owner; usable from one event loop, by any number of tasks."""

    def __init__(self, url: str, database: Database) -> None:
        self._url = url
        self._database = database
        self._migrated = False

    @classmethod
    def later(cls, url: str) -> Self:
        """The ledger at that URL, not spoken to before its first use: a proxy can serve, and spool, while the store is still down.

        Raises StoreUrlError.
        """
        return cls(url, database_of(url))

    @classmethod
    async def open(cls, url: str) -> Self:
        """The ledger at that URL, its schema brought up to date. Raises StoreUrlError, StoreVersionError, StoreUnavailableError."""
        opened = cls.later(url)
        try:
            with _translated():
                await opened._migrate()
        except BaseException:
            await opened.close()
            raise
        return opened

    async def close(self) -> None:
        await self._database.close()

    async def insert_records(self, records: Sequence[bytes]) -> None:
        """All these rows and contexts are in the store on return, in one transaction; those already there stay as they are.

        A record that cannot become a row (of another version, or with a value the database refuses) goes to the table
        `ledger_quarantine`, so that it neither blocks the others nor is lost. Raises StoreUnavailableError; then nothing is known to be in.
        """
        try:
            if records:
                with _translated():
                    await self._migrate()
                    await self._database.insert(records)
        except _RefusedError as error:
            if len(records) == 1:
                await self._set_aside(records[0], str(error))
                return
            middle = len(records) // 2
            await self.insert_records(records[:middle])
            await self.insert_records(records[middle:])

    async def get(self, entry_id: str, team: str | None) -> Entry | None:
        """The entry; None where there is none or it is another team's. `team` None may read all."""
        found = await self._entries(_WHOLE.where(ledger.c.id == entry_id), team)
        if not found:
            return None
        later = await self._rows(select(restatements).where(restatements.c.entry == entry_id).order_by(restatements.c.at_s))
        return msgspec.structs.replace(found[0], restatements=tuple(map(restated, later)))

    async def restate(self, later: Sequence[Restatement]) -> list[str]:
        """They are in the store on return; of two that replace the same, the first to come stays. Raises StoreUnavailableError.

        One that the store will never take goes to the table `ledger_quarantine`, so that it does not hold up those behind it: why is
        returned, for each of them.
        """
        flavour = sqlite if self.is_sqlite else postgresql
        try:
            if later:
                with _translated():
                    rows = [restated_row(each) for each in later]
                await self.write([(flavour.insert(restatements).on_conflict_do_nothing(), rows)])
        except _RefusedError as error:
            if len(later) == 1:
                await self._set_aside(kept_of(later[0]), str(error))
                return [str(error)]
            middle = len(later) // 2
            return [*await self.restate(later[:middle]), *await self.restate(later[middle:])]
        return []

    async def recent(self, limit: int, team: str | None = None) -> list[Entry]:
        """The latest entries, newest first. `team` None means every team's."""
        return await self._entries(_WHOLE.order_by(ledger.c.at_s.desc()).limit(limit), team)

    async def deployment_of_response(self, response_id: str, team: str | None) -> str | None:
        """The deployment that made this stored response; None where it is unknown or another team's. `team` None may read all."""
        c = exchanges.c
        statement = select(c.deployment).where(c.response_id == response_id).order_by(c.at_s.desc()).limit(1)
        found = await self._rows(statement if team is None else statement.where(c.team == team))
        return found[0].deployment if found else None

    async def usage(self, query: UsageQuery) -> list[dict[str, Any]]:
        """One row a group, ordered by the group; see `usage` for what each member means."""
        return [usage_row(query, found._mapping) for found in await self._rows(usage_statement(query))]

    async def savings(self, query: UsageQuery) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What was avoided, one row a group; and what was measured by holding requests out, one row a model."""
        rows = [savings_row(query, found._mapping) for found in await self._rows(savings_statement(query))]
        return rows, holdout_rows([found._mapping for found in await self._rows(holdout_statement(query))])

    @property
    def is_sqlite(self) -> bool:
        return self._url.startswith("sqlite")

    async def write(self, statements: Sequence[tuple[Executable, Sequence[dict[str, Any]]]]) -> None:
        """Each statement for each of its rows, in one transaction. Raises StoreUnavailableError, also for a row it will never take."""
        try:
            with _translated():
                await self._migrate()
                await self._database.write(statements)
        except _RefusedError as error:
            raise StoreUnavailableError(str(error)) from error

    async def rows(self, statement: Select[Any]) -> Sequence[Any]:
        """All that the statement finds. Raises StoreUnavailableError."""
        return await self._rows(statement)

    async def _migrate(self) -> None:
        if not self._migrated:
            await migrate_in_thread(self._url)
            self._migrated = True

    async def _set_aside(self, record: bytes, kind: str) -> None:
        with _translated():
            await self._database.set_aside(hashlib.sha256(record).hexdigest(), kind, record)

    async def _entries(self, statement: Select[Any], team: str | None) -> list[Entry]:
        found = await self._rows(statement if team is None else statement.where(ledger.c.team == team))
        return [joined(Row(*values[:_OWN]), None if values[_OWN] is None else Context(*values[_OWN:])) for values in found]

    async def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        try:
            with _translated():
                await self._migrate()
                return await self._database.rows(statement)
        except _RefusedError:
            # Asked for a value that the database cannot hold (a NUL character): no row has it.
            return ()


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the drivers' exceptions into ours: no text of theirs goes further, as it may hold values."""
    try:
        yield
    except (UndecodableError, DataError, IntegrityError, OverflowError, ValueError) as error:
        raise _RefusedError(kind_of(error)) from error
    except DBAPIError as error:
        kind = kind_of(error)
        raise (_RefusedError(kind) if kind.startswith(_NEVER) else StoreUnavailableError(kind)) from error
    except (SQLAlchemyError, OSError) as error:
        raise StoreUnavailableError(kind_of(error)) from error
