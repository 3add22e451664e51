"""The ledger in the database: entries in, idempotent by id; entries, and sums over them, out.

StoreError
  StoreUnavailableError  down, locked, full, unreachable: the same call may work later
  StoreUrlError          (engine) the URL names no store of ours
  StoreVersionError      (migration) the schema is of another version of this software
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from sqlalchemy import Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.records import Entry
from proxy.store.codec import UndecodableError, decode, encode
from proxy.store.engine import create_store_engine, kind_of
from proxy.store.migration import migrate_in_thread
from proxy.store.tables import ledger, quarantine, row
from proxy.store.usage import UsageQuery, usage_row, usage_statement

SLICE = 200
"""Rows made between two turns of the event loop: under 1 ms."""


class StoreUnavailableError(Exception):
    """The store did not do it, and may do it later. `kind` is the driver's own code (`SQLITE_BUSY`, `08006`) or an exception's name."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the ledger's store is unavailable: {kind}")
        self.kind = kind


class _RefusedError(Exception):
    """The store will never take one of these rows."""


class Ledger:
    """All entries. Made by `open` or `later`, closed by its owner; usable from one event loop, by any number of tasks."""

    def __init__(self, url: str, engine: AsyncEngine) -> None:
        self._url = url
        self._engine = engine
        self._insert_entry = _insert_or_ignore(engine, ledger)
        self._insert_quarantined = _insert_or_ignore(engine, quarantine)
        self._migrated = False

    @classmethod
    def later(cls, url: str) -> Self:
        """The ledger at that URL, not spoken to before its first use: a proxy can serve, and spool, while the store is still down.

        Raises StoreUrlError.
        """
        return cls(url, create_store_engine(url))

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
        await self._engine.dispose()

    async def insert(self, entries: Sequence[Entry]) -> None:
        """As `insert_records`."""
        await self.insert_records([encode(entry) for entry in entries])

    async def insert_records(self, records: Sequence[bytes]) -> None:
        """All encoded entries are in the store on return, in one transaction; those already there stay as they are.

        A record that cannot become a row (of another version, or with a value the database refuses) goes to the table
        `ledger_quarantine`, so that it neither blocks the others nor is lost. Raises StoreUnavailableError; then nothing is known to be in.
        """
        try:
            await self._insert_all(records)
        except _RefusedError as error:
            if len(records) == 1:
                await self._set_aside(records[0], str(error))
                return
            middle = len(records) // 2
            await self.insert_records(records[:middle])
            await self.insert_records(records[middle:])

    async def get(self, entry_id: str, team: str | None) -> Entry | None:
        """The entry; None where there is none or it is another team's. `team` None may read all."""
        found = await self._entries(select(ledger.c.record).where(ledger.c.id == entry_id), team)
        return found[0] if found else None

    async def recent(self, limit: int, team: str | None = None) -> list[Entry]:
        """The latest entries, newest first. `team` None means every team's."""
        return await self._entries(select(ledger.c.record).order_by(ledger.c.at_s.desc()).limit(limit), team)

    async def deployment_of_response(self, response_id: str, team: str | None) -> str | None:
        """The deployment that made this stored response; None where it is unknown or another team's. `team` None may read all."""
        statement = select(ledger.c.deployment).where(ledger.c.response_id == response_id).order_by(ledger.c.at_s.desc()).limit(1)
        found = await self._rows(statement if team is None else statement.where(ledger.c.team == team))
        return found[0].deployment if found else None

    async def usage(self, query: UsageQuery) -> list[dict[str, Any]]:
        """One row a group, ordered by the group; see `usage` for what each member means."""
        return [usage_row(query, found._mapping) for found in await self._rows(usage_statement(query))]

    async def _migrate(self) -> None:
        if not self._migrated:
            await migrate_in_thread(self._url)
            self._migrated = True

    async def _insert_all(self, records: Sequence[bytes]) -> None:
        with _translated():
            await self._migrate()
            rows: list[tuple[object, ...]] = []
            for at in range(0, len(records), SLICE):
                rows += [row(decode(record), record) for record in records[at : at + SLICE]]
                await asyncio.sleep(0)
            if rows:
                async with self._engine.begin() as connection:
                    await connection.exec_driver_sql(self._insert_entry, rows)

    async def _set_aside(self, record: bytes, kind: str) -> None:
        with _translated():
            async with self._engine.begin() as connection:
                await connection.exec_driver_sql(self._insert_quarantined, (hashlib.sha256(record).hexdigest(), kind, record))

    async def _entries(self, statement: Select[Any], team: str | None) -> list[Entry]:
        found = await self._rows(statement if team is None else statement.where(ledger.c.team == team))
        return [decode(record) for (record,) in found]

    async def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        try:
            with _translated():
                await self._migrate()
                async with self._engine.connect() as connection:
                    return tuple((await connection.execute(statement)).all())
        except _RefusedError:
            # Asked for a value that the database cannot hold (a NUL character): no row has it.
            return ()


def _insert_or_ignore(engine: AsyncEngine, table: Table) -> str:
    """The statement's text, compiled once: the parameters of a row are then its values in the order of the columns."""
    dialect = engine.dialect
    insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    return str(insert(table).on_conflict_do_nothing().compile(dialect=dialect))


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the drivers' exceptions into ours: no text of theirs goes further, as it may hold values."""
    try:
        yield
    except (UndecodableError, DataError, IntegrityError, OverflowError, ValueError) as error:
        raise _RefusedError(kind_of(error)) from error
    except DBAPIError as error:
        kind = kind_of(error)
        # SQLSTATE class 22: a value PostgreSQL cannot hold.
        raise (_RefusedError(kind) if kind.startswith("22") else StoreUnavailableError(kind)) from error
    except (SQLAlchemyError, OSError) as error:
        raise StoreUnavailableError(kind_of(error)) from error
