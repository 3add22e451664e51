"""The store in an SQLite file, by the standard library's driver, in threads.

One thread writes, many rows a statement: each time such a thread comes back from SQLite it waits for the interpreter, which the event
loop gives up every few milliseconds when it is busy, and a thread switch costs more than a row. Others read meanwhile.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Dialect, Engine, Executable, Row, Select, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import InterfaceError, ProgrammingError

from proxy.records import Context
from proxy.store import engine as engines
from proxy.store.codec import ROW, Parameters, checked, parameters
from proxy.store.tables import contexts, ledger, quarantine

SIZES = (250, 125, 64, 32, 16, 8, 4, 2, 1)
"""Rows of one statement. The largest has 7,500 parameters: the interpreter is held for 0.3 ms to decode and bind them."""

STATEMENTS = 32
"""Statements kept, here and by the driver, which needs up to 0.3 MB for each."""
BATCH = 16
"""A third of a row is NULL, and of most batches the same third: with so many rows it is written into the statement, not bound."""
COLUMNS = len(ledger.columns)

# Without an adapter the module looks for a method on each None that would make it: 210 ns, with one written in Python 90, with one in C
# 50. An empty dict's `get` answers None.
_nothing: Callable[[None], None] = dict[None, None]().get
sqlite3.register_adapter(type(None), _nothing)

_PRAGMAS = (
    # A row is 0.25 KB. A commit writes whole pages: twenty rows cost 8 us each with pages of 4 KiB, 14 with 16 KiB. At most 8 MiB of log.
    "page_size=4096",
    "wal_autocheckpoint=2000",
    # The log lets readers and the one writer pass each other; NORMAL syncs at checkpoints: a crash of the process loses nothing.
    "journal_mode=WAL",
    "synchronous=NORMAL",
)


def sqlite_engine(url: str) -> Engine:
    """An engine for any thread, that shows no parameters in errors or logs. The caller disposes of it. Raises StoreUrlError."""
    arguments = {"timeout": engines.BUSY_TIMEOUT_S, "check_same_thread": False, "cached_statements": STATEMENTS}
    made = create_engine(
        engines.store_url(url), connect_args=arguments, hide_parameters=True, pool_size=engines.CONNECTIONS, max_overflow=0
    )
    event.listen(made, "connect", _prepare)
    return made


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class StoreMovedError(OSError):
    """The file was moved, replaced or deleted under us: what is written now goes where nobody looks.

    It is not opened anew while we run: SQLite, when it closes the old file, deletes the log beside the path, which may by then be the
    log of another process's new file.
    """

    sqlite_errorname = "SQLITE_READONLY_DBMOVED"


class SqliteDatabase:
    """Its threads do whatever waits for the disk."""

    def __init__(self, url: str) -> None:
        self._engine = sqlite_engine(url)
        self._path = engines.sqlite_file(url)
        self._opened: tuple[int, int] | None = None
        """Which file that was when it was first written to."""
        self._rows: dict[tuple[int, tuple[int, ...]], str] = {}
        """Statements by how many rows they insert, and by the columns that are NULL in all of them."""
        self._row, self._context, self._quarantined = (_inserting(table, self._engine.dialect) for table in (ledger, contexts, quarantine))
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._reading = ThreadPoolExecutor(engines.CONNECTIONS - 1, thread_name_prefix="ledger-reader")
        self._readers = asyncio.Semaphore(engines.CONNECTIONS - 1)

    async def insert(self, records: Sequence[bytes]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writing, self._insert, records)

    async def set_aside(self, digest: str, kind: str, record: bytes) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writing, self._set_aside, (digest, kind, record))

    async def write(self, statements: Sequence[tuple[Executable, Sequence[dict[str, Any]]]]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writing, self._execute, statements)

    async def rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        async with asyncio.timeout(engines.COMMAND_TIMEOUT_S):
            await self._readers.acquire()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, statement)
        finally:
            self._readers.release()

    async def close(self) -> None:
        """Waits for what is being written or read."""
        for threads in (self._writing, self._reading):
            await asyncio.to_thread(threads.shutdown)
        self._engine.dispose()

    def _insert(self, records: Sequence[bytes]) -> None:
        if self._opened is None:
            self._opened = self._identity()
        self._write(records)
        # after the commit: whatever is not where it will be looked for must not be given up in the spool
        if self._identity() != self._opened:
            raise StoreMovedError

    def _identity(self) -> tuple[int, int] | None:
        """None where the file is missing, or has no path of ours to look at."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _write(self, records: Sequence[bytes]) -> None:
        rows = [record for record in records if record.startswith(ROW)]
        others = [checked(record) for record in records if not record.startswith(ROW)] if len(rows) < len(records) else []
        try:
            with self._engine.begin() as connection:
                for other in others:
                    statement = self._context if isinstance(other, Context) else self._row
                    connection.exec_driver_sql(statement, astuple(other))
                at = 0
                for size in SIZES:
                    while len(rows) - at >= size:
                        connection.exec_driver_sql(*self._of_rows(size, parameters(rows[at : at + size])))
                        at += size
        except (InterfaceError, ProgrammingError):
            # a value of a type that cannot be bound: whose, is told by looking at each
            for row in rows:
                checked(row)
            raise

    def _of_rows(self, size: int, values: Parameters) -> tuple[str, Parameters]:
        """The statement that inserts so many rows, and its parameters: without those of columns that are NULL in all."""
        columns = range(COLUMNS) if size >= BATCH else ()
        nulls = tuple([at for at in columns if values[at] is None and values[at::COLUMNS].count(None) == size])
        statement = self._rows.get((size, nulls))
        if statement is None:
            if len(self._rows) >= STATEMENTS:
                self._rows.clear()
            statement = self._rows[size, nulls] = _inserting(ledger, self._engine.dialect, size, nulls)
        given, width = list(values), COLUMNS
        for at in reversed(nulls):
            del given[at::width]
            width -= 1
        return statement, tuple(given)

    def _set_aside(self, values: tuple[str, str, bytes]) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(self._quarantined, values)

    def _execute(self, statements: Sequence[tuple[Executable, Sequence[dict[str, Any]]]]) -> None:
        with self._engine.begin() as connection:
            for statement, rows in statements:
                connection.execute(statement, rows or None)

    def _read(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        with self._engine.connect() as connection:
            return connection.execute(statement).all()


def _inserting(table: Table, dialect: Dialect, rows: int = 1, nulls: Sequence[int] = ()) -> str:
    """The statement's text, compiled once: its parameters are the values of so many rows in the order of the columns, less the NULLs."""
    one = str(sqlite.insert(table).on_conflict_do_nothing().compile(dialect=dialect))
    before, _, after = one.partition("(" + ", ".join("?" * len(table.columns)) + ")")
    values = ", ".join(["NULL" if at in nulls else "?" for at in range(len(table.columns))])
    return before + ", ".join([f"({values})"] * rows) + after
