"""Where rows are: what the ledger asks of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Executable, Row, Select

from proxy.store.engine import store_url
from proxy.store.sqlite import SqliteDatabase


class Database(Protocol):
    """Usable from one event loop, which it does not hold up. Raises the drivers' exceptions, UndecodableError and ValueError."""

    async def insert(self, records: Sequence[bytes]) -> None:
        """All are in, in one transaction, idempotent by id; or none is, and it raises."""

    async def set_aside(self, digest: str, kind: str, record: bytes) -> None:
        """The record is in the table `ledger_quarantine`, once."""

    async def write(self, statements: Sequence[tuple[Executable, Sequence[dict[str, Any]]]]) -> None:
        """Each statement is done for each of its rows (once where it has none), in one transaction."""

    async def rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        """All that the statement finds."""

    async def close(self) -> None: ...


def database_of(url: str) -> Database:
    """The database at that URL, not spoken to yet; the caller closes it. Raises StoreUrlError."""
    if store_url(url).get_backend_name() == "sqlite":
        return SqliteDatabase(url)
    # what it needs takes 60 ms to import
    from proxy.store.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(url)
