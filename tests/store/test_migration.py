"""The schema comes from migrations alone, and they lead exactly to the tables the code uses."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from proxy.store import migrations
from proxy.store.migration import HEAD, StoreVersionError, downgrade, migrate, migrate_in_thread
from proxy.store.sqlite import sqlite_engine
from proxy.store.tables import metadata
from tests.store.together import raised_by_many


def looked_at(url, look):
    engine = sqlite_engine(url)
    try:
        with engine.connect() as connection:
            return look(connection)
    finally:
        engine.dispose()


def tables(url):
    return set(looked_at(url, lambda connection: inspect(connection).get_table_names()))


def test_an_empty_store_becomes_what_the_tables_say(url):
    migrate(url)

    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    assert looked_at(url, differences) == []


def test_every_index_is_made(url):
    migrate(url)
    made = looked_at(url, lambda connection: [index["name"] for index in inspect(connection).get_indexes("ledger")])
    assert sorted(made) == ["ledger_at_s", "ledger_response_id"]


def test_head_is_the_newest_revision():
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == HEAD


def test_down_and_up_again(url):
    migrate(url)
    downgrade(url, "base")
    assert tables(url) == {"alembic_version"}
    migrate(url)
    assert tables(url) == {"alembic_version", *metadata.tables}


def test_migrating_again_keeps_what_is_there(url, tmp_path):
    migrate(url)
    with sqlite3.connect(tmp_path / "greenlane.db") as connection:
        connection.execute("INSERT INTO ledger_quarantine VALUES ('d', 'k', x'00')")
    migrate(url)
    assert connection.execute("SELECT digest FROM ledger_quarantine").fetchall() == [("d",)]
    connection.close()


def test_a_store_that_is_up_to_date_costs_no_import_of_alembic(url):
    migrate(url)
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from proxy.store.migration import migrate; migrate(sys.argv[1]); print('alembic' in sys.modules)",
            url,
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    assert child.stdout == b"False\n"


def test_it_runs_beside_an_event_loop(url):
    asyncio.run(migrate_in_thread(url))
    assert tables(url) == {"alembic_version", *metadata.tables}


def test_processes_that_start_together_migrate_once(url):
    assert raised_by_many(lambda: migrate(url), 4) == []
    assert tables(url) == {"alembic_version", *metadata.tables}


APART = """
import sys, threading
from proxy.store.migration import migrate
threads = [threading.Thread(target=migrate, args=(f"sqlite:///{sys.argv[1]}/{number}.db",)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_threads_that_migrate_stores_of_their_own_keep_out_of_each_others(tmp_path):
    """Where they do not, the process is killed: so it is one of its own."""
    child = subprocess.run([sys.executable, "-c", APART, tmp_path], check=False, capture_output=True)
    assert (child.returncode, child.stderr) == (0, b"")
    for number in range(8):
        assert tables(f"sqlite:///{tmp_path}/{number}.db") == {"alembic_version", *metadata.tables}


def test_a_store_of_a_later_version_is_refused(url, tmp_path):
    migrate(url)
    with sqlite3.connect(tmp_path / "greenlane.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreVersionError, match=f"not one this version knows \\(up to {HEAD}\\)"):
        migrate(url)


def test_a_ledger_of_the_first_version_keeps_its_rows(tmp_path):
    url = f"sqlite:///{tmp_path}/greenlane.db"
    migrate(url)
    downgrade(url, "0001")
    connection = sqlite3.connect(tmp_path / "greenlane.db")
    connection.execute(
        "INSERT INTO ledger (id, at_s, context, outcome, status, duration_s, attempts, energy_j) "
        "VALUES ('gl-1', 1, 2, 'completed', 200, 1, 1, 5)"
    )
    connection.commit()
    migrate(url)
    assert connection.execute("SELECT id, energy_j, avoided_g, restated FROM exchanges").fetchall() == [("gl-1", 5.0, None, 0)]
    connection.close()
