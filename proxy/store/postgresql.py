"""The store in a PostgreSQL database, by the asynchronous driver, on the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import ColumnElement, Dialect, Double, Executable, Row, Select, Table, bindparam, func, literal_column
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from proxy.store import engine as engines
from proxy.store.codec import ROW, checked
from proxy.store.tables import contexts, ledger, quarantine

SLICE = 500
"""Rows sent to PostgreSQL at once: the event loop is held for 0.7 ms at most to decode and encode them."""


_NAN: ColumnElement[float] = literal_column("'NaN'::FLOAT")


def postgresql_engine(url: str) -> AsyncEngine:
    """An engine that shows no parameters in errors or logs, with deadlines. The caller disposes of it. Raises StoreUrlError."""
    return create_async_engine(
        engines.store_url(url),
        connect_args={"timeout": engines.BUSY_TIMEOUT_S, "command_timeout": engines.COMMAND_TIMEOUT_S},
        hide_parameters=True,
        pool_size=engines.CONNECTIONS,
        max_overflow=0,
        # a pooled connection may have died meanwhile
        pool_pre_ping=True,
    )


class PostgresqlDatabase:
    """Writes a slice of rows at a time; the driver sends them without waiting for each."""

    def __init__(self, url: str) -> None:
        self._engine = postgresql_engine(url)
        self._row, self._context, self._quarantined = (_inserting(table, self._engine.dialect) for table in (ledger, contexts, quarantine))

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

    async def write(self, statements: Sequence[tuple[Executable, Sequence[dict[str, Any]]]]) -> None:
        async with self._engine.begin() as connection:
            for statement, rows in statements:
                await connection.execute(statement, rows or None)

    async def rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        async with self._engine.connect() as connection:
            found: Sequence[Row[Any]] = (await connection.execute(statement)).all()
            return found

    async def close(self) -> None:
        await self._engine.dispose()


def _inserting(table: Table, dialect: Dialect) -> str:
    """The statement's text, compiled once: its parameters are the values of a row in the order of the columns.

    PostgreSQL would keep NaN, and each sum over it would be NaN. It becomes NULL, as in SQLite.
    """
    given: dict[str, ColumnElement[Any]] = {column.name: bindparam(column.name, type_=column.type) for column in table.columns}
    values = {name: func.nullif(value, _NAN) if isinstance(value.type, Double) else value for name, value in given.items()}
    return str(postgresql.insert(table).values(values).on_conflict_do_nothing().compile(dialect=dialect))
