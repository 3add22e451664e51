"""How a batch of records becomes rows: in one transaction, idempotent by id.

SQLite is written by a thread of its own, many rows a statement: each time such a thread comes back from SQLite it waits for the
interpreter, which the event loop gives up every few milliseconds when it is busy, and a thread switch costs more than a row.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from msgspec.structs import astuple
from sqlalchemy import Dialect, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.records import Context, Row
from proxy.store import engine as engines
from proxy.store.codec import ROW, checked, parameters
from proxy.store.tables import contexts, ledger, quarantine

SIZES = (250, 125, 64, 32, 16, 8, 4, 2, 1)
"""Rows of one statement. The largest has 7,500 parameters: the interpreter is held for 0.3 ms to decode and bind them."""


def _itself(value: None) -> None:
    return value


# A third of a row is NULL. Without an adapter the module looks for a method on each of them that would make it: 210 ns, with one 90.
sqlite3.register_adapter(type(None), _itself)


class Writer(Protocol):
    """Raises the drivers' exceptions, UndecodableError and ValueError; then nothing is in."""

    async def insert(self, records: Sequence[bytes]) -> None: ...

    async def set_aside(self, digest: str, kind: str, record: bytes) -> None: ...

    async def close(self) -> None: ...


def writer_of(url: str, engine: AsyncEngine) -> Writer:
    """The writer for the database at that URL. `engine`: its asynchronous engine, which the caller disposes of."""
    return SqliteWriter(url) if engine.dialect.name == "sqlite" else PostgresqlWriter(engine)


class SqliteWriter:
    """Its one thread does whatever waits for the disk."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(
            engines.store_url(url).set(drivername="sqlite"),
            connect_args={"timeout": engines.BUSY_TIMEOUT_S, "check_same_thread": False},
            hide_parameters=True,
        )
        event.listen(self._engine, "connect", engines.prepare_sqlite)
        self._rows = {size: _insert(self._engine.dialect, ledger, size) for size in SIZES}
        self._context, self._quarantined = (_insert(self._engine.dialect, table) for table in (contexts, quarantine))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def insert(self, records: Sequence[bytes]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._insert, records)

    async def set_aside(self, digest: str, kind: str, record: bytes) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._set_aside, (digest, kind, record))

    async def close(self) -> None:
        """Waits for what is being written."""
        await asyncio.to_thread(self._thread.shutdown)
        self._engine.dispose()

    def _insert(self, records: Sequence[bytes]) -> None:
        rows = [record for record in records if record.startswith(ROW)]
        others = [checked(record) for record in records if not record.startswith(ROW)] if len(rows) < len(records) else []
        try:
            with self._engine.begin() as connection:
                for other in others:
                    statement = self._context if isinstance(other, Context) else self._rows[1]
                    connection.exec_driver_sql(statement, astuple(other))
                at = 0
                for size in SIZES:
                    while len(rows) - at >= size:
                        connection.exec_driver_sql(self._rows[size], parameters(rows[at : at + size]))
                        at += size
        except (InterfaceError, ProgrammingError):
            # a value of a type that cannot be bound: whose, is told by looking at each
            for row in rows:
                checked(row)
            raise

    def _set_aside(self, values: tuple[str, str, bytes]) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(self._quarantined, values)


class PostgresqlWriter:
    """Through the asynchronous driver."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        dialect = engine.dialect
        self._row, self._context, self._quarantined = (_insert(dialect, table) for table in (ledger, contexts, quarantine))

    async def insert(self, records: Sequence[bytes]) -> None:
        found = [checked(record) for record in records]
        rows = [astuple(each) for each in found if isinstance(each, Row)]
        others = [astuple(each) for each in found if isinstance(each, Context)]
        async with self._engine.begin() as connection:
            for statement, values in ((self._context, others), (self._row, rows)):
                if values:
                    await connection.exec_driver_sql(statement, values)

    async def set_aside(self, digest: str, kind: str, record: bytes) -> None:
        async with self._engine.begin() as connection:
            await connection.exec_driver_sql(self._quarantined, (digest, kind, record))

    async def close(self) -> None: ...


def _insert(dialect: Dialect, table: Table, rows: int = 1) -> str:
    """The statement's text, compiled once: its parameters are the values of the rows in the order of the columns."""
    insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    one = str(insert(table).on_conflict_do_nothing().compile(dialect=dialect))
    if rows == 1:
        return one
    before, values, after = one.partition("(" + ", ".join("?" * len(table.columns)) + ")")
    return before + ", ".join([values] * rows) + after
