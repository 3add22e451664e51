"""One database engine for the store: SQLite with a write-ahead log, or PostgreSQL, by URL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_TIMEOUT_S = 5.0
"""How long SQLite waits for another process's write before it says so."""
COMMAND_TIMEOUT_S = 30.0
CONNECTIONS = 4
"""One writes; the rest read. Whoever finds none waits 30 s, then is told that the store is unavailable."""
_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


class StoreUrlError(Exception):
    """The URL names no store we can use. Its text never holds the password."""


def store_url(url: str) -> URL:
    """The URL with the driver we use; raises StoreUrlError for another database, or none."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreUrlError("ledger url: expected sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER@HOST/NAME") from error
    drivername = _ASYNC_DRIVERS.get(parsed.get_backend_name())
    if drivername is None:
        raise StoreUrlError(f"ledger url: {parsed.get_backend_name()} is not supported; expected sqlite or postgresql")
    if drivername.startswith("sqlite") and parsed.database in {None, "", ":memory:"}:
        raise StoreUrlError("ledger url: expected a file, as in sqlite+aiosqlite:///greenlane.db")
    return parsed.set(drivername=drivername)


def create_store_engine(url: str) -> AsyncEngine:
    """An engine that shows no parameters in errors or logs. The caller disposes of it. Raises StoreUrlError."""
    parsed = store_url(url)
    # SQLite's own wait for a lock; elsewhere deadlines, and a look whether a pooled connection still lives.
    local = parsed.get_backend_name() == "sqlite"
    arguments = {"timeout": BUSY_TIMEOUT_S} if local else {"timeout": BUSY_TIMEOUT_S, "command_timeout": COMMAND_TIMEOUT_S}
    try:
        engine = create_async_engine(
            parsed, connect_args=arguments, hide_parameters=True, pool_size=CONNECTIONS, max_overflow=0, pool_pre_ping=not local
        )
    except ModuleNotFoundError as error:
        raise StoreUrlError(f"ledger url: {parsed.drivername} needs the package {error.name}") from error
    if local:
        event.listen(engine.sync_engine, "connect", prepare_sqlite)
    return engine


_PRAGMAS = (
    # A row is 0.25 KB. A commit writes whole pages: twenty rows cost 8 us each with pages of 4 KiB, 14 with 16 KiB. At most 8 MiB of log.
    "page_size=4096",
    "wal_autocheckpoint=2000",
    # The log lets readers and the one writer pass each other; NORMAL syncs at checkpoints: a crash of the process loses nothing.
    "journal_mode=WAL",
    "synchronous=NORMAL",
)


def prepare_sqlite(connection: Any, _record: object) -> None:
    """For every new connection, of the asynchronous driver or the other."""
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def kind_of(error: BaseException) -> str:
    """What went wrong, in one word without values: SQLite's or PostgreSQL's own code, else the exception's name."""
    origin = getattr(error, "orig", None) or error
    kind = getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None)
    return str(kind or type(origin).__name__)
