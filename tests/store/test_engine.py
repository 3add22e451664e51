"""URLs: which are ours, and what is said of the others, never with the password."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from proxy.store.engine import StoreUrlError, create_store_engine, kind_of, store_url


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("sqlite:///g.db", "sqlite+aiosqlite:///g.db"),
        ("sqlite+aiosqlite:////var/g.db", "sqlite+aiosqlite:////var/g.db"),
        ("postgresql://u:pw@h/db", "postgresql+asyncpg://u:pw@h/db"),
        ("postgresql+asyncpg://h:5433/db", "postgresql+asyncpg://h:5433/db"),
    ],
)
def test_the_asynchronous_driver_is_taken(url, used):
    assert store_url(url).render_as_string(hide_password=False) == used


@pytest.mark.parametrize(
    "url", ["", "greenlane.db", "mysql://root:hunter2@h/db", "sqlite://", "sqlite+aiosqlite:///:memory:", "://hunter2"]
)
def test_another_store_is_refused_without_its_password(url):
    with pytest.raises(StoreUrlError) as caught:
        store_url(url)
    assert str(caught.value).startswith("ledger url: ")
    assert "hunter2" not in str(caught.value)


def test_sqlite_writes_ahead_and_waits_for_locks(url):
    async def pragmas():
        engine = create_store_engine(url)
        async with engine.connect() as connection:
            found = [
                (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous", "busy_timeout")
            ]
        await engine.dispose()
        return found

    assert asyncio.run(pragmas()) == ["wal", 1, 5000]


def test_the_kind_is_the_drivers_code_or_the_exceptions_name():
    with sqlite3.connect(":memory:") as connection, pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("SELECT * FROM nowhere")
    connection.close()
    assert kind_of(OperationalError("secret", {}, caught.value)) == "SQLITE_ERROR"
    assert kind_of(ConnectionRefusedError(111, "secret")) == "ConnectionRefusedError"
