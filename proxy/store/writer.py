"""How a batch of records becomes rows: in one transaction, idempotent by id.

SQLite is written by a thread of its own, many rows a statement: each time such a thread comes back from SQLite it waits for the
interpreter, which the event loop gives up every few milliseconds when it is busy, and a thread switch costs more than a row.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from msgspec.structs import astuple
from sqlalchemy import ColumnElement, Dialect, Double, Table, bindparam, create_engine, event, func, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.records import Context
from proxy.store import engine as engines
from proxy.store.codec import ROW, checked, parameters
from proxy.store.tables import contexts, ledger, quarantine

SIZES = (250, 125, 64, 32, 16, 8, 4, 2, 1)
"""Rows of one statement. The largest has 7,500 parameters: the interpreter is held for 0.3 ms to decode and bind them."""
SLICE = 500
"""Rows sent to PostgreSQL at once: the event loop is held for 0.7 ms at most to decode and encode them."""


_NAN: ColumnElement[float] = literal_column("'NaN'::FLOAT")


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
        self._rows = {size: _sqlite_insert(ledger, self._engine.dialect, size) for size in SIZES}
        self._context, self._quarantined = (_sqlite_insert(table, self._engine.dialect) for table in (contexts, quarantine))
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
    """On the event loop, a slice at a time: the driver sends its rows without waiting for each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        dialect = engine.dialect
        self._row, self._context, self._quarantined = (_postgresql_insert(table, dialect) for table in (ledger, contexts, quarantine))

    async def insert(self, records: Sequence[bytes]) -> None:
        # in one order, or two processes that write the same contexts would wait for each other
        others = sorted(astuple(checked(record)) for record in records if not record.startswith(ROW))
        rows = [record for record in records if record.startswith(ROW)]
        async with self._engine.begin() as connection:
            if others:
                await connection.exec_driver_sql(self._context, others)
            for at in range(0, len(rows), SLICE):
                await connection.exec_driver_sql(self._row, [astuple(checked(record)) for record in rows[at : at + SLICE]])

    async def set_aside(self, digest: str, kind: str, record: bytes) -> None:
        async with self._engine.begin() as connection:
            await connection.exec_driver_sql(self._quarantined, (digest, kind, record))

    async def close(self) -> None: ...


def _postgresql_insert(table: Table, dialect: Dialect) -> str:
    """The statement's text, compiled once: its parameters are the values of a row in the order of the columns.

    PostgreSQL would keep NaN, and each sum over it would be NaN. It becomes NULL, as in SQLite.
    """
    given: dict[str, ColumnElement[Any]] = {column.name: bindparam(column.name, type_=column.type) for column in table.columns}
    values = {name: func.nullif(value, _NAN) if isinstance(value.type, Double) else value for name, value in given.items()}
    return str(postgresql.insert(table).values(values).on_conflict_do_nothing().compile(dialect=dialect))


def _sqlite_insert(table: Table, dialect: Dialect, rows: int = 1) -> str:
    """The same for so many rows: the values of one after those of the other."""
    one = str(sqlite.insert(table).on_conflict_do_nothing().compile(dialect=dialect))
    before, values, after = one.partition("(" + ", ".join("?" * len(table.columns)) + ")")
    return before + ", ".join([values] * rows) + after
