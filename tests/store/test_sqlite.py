"""How SQLite is opened, and that a long read holds up neither the loop nor the writer."""

from __future__ import annotations

import asyncio
import threading

from sqlalchemy import func, select

from proxy.store.ledger import Ledger
from proxy.store.sqlite import sqlite_engine
from proxy.store.tables import ledger as rows
from tests.store.entries import written


def test_sqlite_writes_ahead_and_waits_for_locks(url):
    engine = sqlite_engine(url)
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "busy_timeout")]
    engine.dispose()
    assert found == ["wal", 1, 5000]


def test_what_is_written_and_read_meanwhile_waits_for_no_long_read(url, entry):
    async def session():
        ledger = await Ledger.open(url)
        await ledger.insert_records(written(entry()))
        long_read = asyncio.create_task(ledger._database.rows(select(func.slow()).select_from(rows)))
        async with asyncio.timeout(120):
            assert await asyncio.to_thread(reading.wait, 60)
            await ledger.insert_records(written(entry(id="gl-2")))
            found = await ledger.get("gl-2", None)
            waited = long_read.done()
            read_on.set()
            await long_read
        await ledger.close()
        return found.id, waited

    reading, read_on = threading.Event(), threading.Event()

    def slow():
        reading.set()
        read_on.wait(60)

    import sqlalchemy

    @sqlalchemy.event.listens_for(sqlalchemy.pool.Pool, "connect")
    def knows_slow(connection, _):
        connection.create_function("slow", 0, slow)

    try:
        assert asyncio.run(session()) == ("gl-2", False)
    finally:
        sqlalchemy.event.remove(sqlalchemy.pool.Pool, "connect", knows_slow)
