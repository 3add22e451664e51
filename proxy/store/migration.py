"""Brings the store's schema to this version's, once, however many processes start together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.exc import OperationalError

from proxy.store.engine import kind_of, store_url
from proxy.store.sqlite import sqlite_engine

HEAD = "0007"
"""The newest revision under migrations/versions."""
_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK_NUMBER = 0x677265656E6C  # "greenl": the advisory lock's number in PostgreSQL
_BUSY_TRIES = 100
_BUSY_PAUSE_S = 0.05
_ALEMBIC = threading.Lock()
"""Alembic's `context` and `op` are the module's own, one for the process: of two threads that migrate, one would write by the other's
connection, and both at once by one connection end the process."""


class StoreVersionError(Exception):
    """The store's schema is of a revision this version does not know."""


def migrate(url: str) -> None:
    """Brings the store at that URL to this version's schema. Blocks; not for use inside a running event loop.

    One cheap look when it is there already. Raises StoreUrlError, StoreVersionError, and SQLAlchemy's and the driver's errors.
    """
    _with_store(url, _upgrade)


async def migrate_in_thread(url: str) -> None:
    """As `migrate`, away from the event loop."""
    await asyncio.to_thread(migrate, url)


def downgrade(url: str, revision: str) -> None:
    """Takes the schema back to an older revision (`base`: an empty store), and what only the newer one held is gone."""
    _with_store(url, lambda connection: _run_scripts(connection, "downgrade", revision))


def _with_store(url: str, work: Callable[[Connection], None]) -> None:
    if store_url(url).get_backend_name() == "sqlite":
        _with_sqlite(url, work)
    else:
        asyncio.run(_with_postgresql(url, work))


def _with_sqlite(url: str, work: Callable[[Connection], None]) -> None:
    """In one write transaction. Tried again while SQLite is busy: it does not wait while it changes a new file to its write-ahead log."""
    engine = sqlite_engine(url)
    event.listen(engine, "connect", _leave_transactions_to_us)
    try:
        for last in (*[False] * _BUSY_TRIES, True):
            try:
                with engine.connect() as connection:
                    if work is _upgrade and _current(connection) == HEAD:
                        return
                    connection.rollback()
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                    work(connection)
                    connection.commit()
            except OperationalError as error:
                if last or kind_of(error) != "SQLITE_BUSY":
                    raise
                time.sleep(_BUSY_PAUSE_S)
            else:
                return
    finally:
        engine.dispose()


async def _with_postgresql(url: str, work: Callable[[Connection], None]) -> None:
    from proxy.store.postgresql import postgresql_engine

    engine = postgresql_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
            await connection.run_sync(work)
    finally:
        await engine.dispose()


def _current(connection: Connection) -> str | None:
    """The revision the store says it has; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _upgrade(connection: Connection) -> None:
    if _current(connection) != HEAD:
        _run_scripts(connection, "upgrade", "head")


def _run_scripts(connection: Connection, command: Literal["upgrade", "downgrade"], revision: str) -> None:
    # Imported only when there is something to do: it takes longer than the rest of the start.
    from alembic import command as alembic_command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        with _ALEMBIC:
            getattr(alembic_command, command)(config, revision)
    except CommandError as error:
        raise StoreVersionError(
            f"the store's schema is not one this version knows (up to {HEAD}): {command} to {revision} failed"
        ) from error


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    # The driver would begin no transaction for DDL, and a deferred one for the rest: two processes could then both find it empty.
    connection.isolation_level = None
