"""URLs: which are ours, and what is said of the others, never with the password."""

from __future__ import annotations

import os
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from proxy.store.engine import StoreUrlError, kind_of, require_place, store_url


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("sqlite:///g.db", "sqlite:///g.db"),
        ("sqlite+aiosqlite:////var/g.db", "sqlite:////var/g.db"),
        ("postgresql://u:pw@h/db", "postgresql+asyncpg://u:pw@h/db"),
        ("postgres://u:pw@h/db?sslmode=require", "postgresql+asyncpg://u:pw@h/db?ssl=require"),
        ("postgresql+asyncpg://h:5433/db", "postgresql+asyncpg://h:5433/db"),
    ],
)
def test_the_driver_is_ours_whichever_the_url_names(url, used):
    assert store_url(url).render_as_string(hide_password=False) == used


@pytest.mark.parametrize(
    "url",
    [
        "",
        "greenlane.db",
        "mysql://root:hunter2@h/db",
        "sqlite://",
        "sqlite+aiosqlite:///:memory:",
        "://hunter2",
        "postgresql://u:hunter2@h/db?sslrootcert=x",
    ],
)
def test_another_store_is_refused_without_its_password(url):
    with pytest.raises(StoreUrlError) as caught:
        store_url(url)
    assert "hunter2" not in str(caught.value)


def test_the_kind_is_the_drivers_code_or_the_exceptions_name():
    with sqlite3.connect(":memory:") as connection, pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("SELECT * FROM nowhere")
    connection.close()
    assert kind_of(OperationalError("secret", {}, caught.value)) == "SQLITE_ERROR"
    assert kind_of(ConnectionRefusedError(111, "secret")) == "ConnectionRefusedError"


def test_a_place_where_no_file_can_ever_be_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("none/g.db", "its directory does not exist"),
        ("file/g.db", "is not a directory"),
        ("pipe", "not a regular file"),
        ("", "not a regular file"),
        ("spool", "that is the spool"),
    ):
        with pytest.raises(StoreUrlError, match=message):
            require_place(f"sqlite:///{tmp_path}/{name}", str(tmp_path / "spool"))


def test_what_may_not_be_written_is_told(tmp_path, monkeypatch):
    """As root all may be written: who asks the system is told what a read-only mount would answer."""
    monkeypatch.setattr("os.access", lambda path, _mode: path != tmp_path)
    with pytest.raises(StoreUrlError, match="may not be written"):
        require_place(f"sqlite:///{tmp_path}/g.db", "spool")


@pytest.mark.parametrize("url", ["postgresql://u@h/none/db", "sqlite:///file:none/g.db?uri=true", "sqlite:///{folder}/g.db"])
def test_every_other_place_is_for_its_driver_to_judge(url, tmp_path):
    require_place(url.format(folder=tmp_path), str(tmp_path / "spool"))


def test_a_ledger_that_is_made_is_its_owners_alone_and_one_that_is_there_stays_as_it_is(tmp_path):
    for name, mode in (("new.db", 0o600), ("shared.db", 0o640)):
        path = tmp_path / name
        if mode == 0o640:
            path.touch()
            path.chmod(mode)
        require_place(f"sqlite:///{path}", str(tmp_path / "spool"))
        store = sqlite3.connect(path)
        try:
            store.execute("PRAGMA journal_mode=WAL")
            store.execute("CREATE TABLE notes (text)")
            store.commit()
            made = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.glob(f"{name}*")}
        finally:
            store.close()
        assert made == {name: mode, f"{name}-wal": mode, f"{name}-shm": mode}
