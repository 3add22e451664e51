"""What both databases have in common: which one a URL names, how long it is waited for, what its errors are called."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

BUSY_TIMEOUT_S = 5.0
"""How long SQLite waits for another process's write before it says so."""
COMMAND_TIMEOUT_S = 30.0
"""How long PostgreSQL may take for one statement."""
CONNECTIONS = 4
"""One writes; the rest read. Whoever finds none waits 30 s, then is told that the store is unavailable."""
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_PARAMETERS = {"sslmode": "ssl", "ssl": "ssl", "host": "host", "port": "port"}


class StoreUrlError(Exception):
    """The URL names no store we can use. Its text never holds the password."""


def store_url(url: str) -> URL:
    """The URL with the driver we use; raises StoreUrlError for another database, or none."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreUrlError("expected sqlite:///FILE or postgresql://USER@HOST/NAME") from error
    drivername = _DRIVERS.get(parsed.get_backend_name())
    if drivername is None:
        raise StoreUrlError(f"{parsed.get_backend_name()} is not supported; expected sqlite or postgresql")
    if drivername.startswith("sqlite") and parsed.database in {None, "", ":memory:"}:
        raise StoreUrlError("expected a file, as in sqlite:///greenlane.db")
    return parsed.set(drivername=drivername) if drivername == "sqlite" else _with_known_parameters(parsed.set(drivername=drivername))


def sqlite_file(url: str) -> Path | None:
    """The file a URL of SQLite's names; None for another database, and for SQLite's own `file:` form."""
    parsed = store_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database.startswith("file:"):
        return None
    return Path(parsed.database)


def require_place(url: str, spool_file: str) -> None:
    """The file is there, if it can be. Raises StoreUrlError where SQLite could never make or write it: a wrong path is told at start.

    A full disk is waited for.
    """
    path = sqlite_file(url)
    if path is None:
        return
    folder = path.absolute().parent
    if path.resolve() == Path(spool_file).resolve():
        raise StoreUrlError(f"{path}: that is the spool; the store needs a file of its own")
    if not folder.exists():
        raise StoreUrlError(f"{path}: its directory does not exist")
    if not folder.is_dir():
        raise StoreUrlError(f"{path}: {folder} is not a directory")
    if path.exists() and not path.is_file():
        raise StoreUrlError(f"{path}: not a regular file")
    # of the directory as well: the write-ahead log lies beside the file
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreUrlError(f"{path}: {place} may not be written")
    with contextlib.suppress(OSError):
        # the owner's alone, as the spool is: it names keys and teams and holds notes; SQLite gives its log the same permissions
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _with_known_parameters(url: URL) -> URL:
    """PostgreSQL's own tools write `sslmode`, the driver `ssl`, for the same. What the driver would not take is refused here."""
    parameters = {_PARAMETERS.get(name, name): value for name, value in url.query.items()}
    if unknown := sorted(set(parameters) - set(_PARAMETERS.values())):
        raise StoreUrlError(f"the parameter {unknown[0]!r} is not known; known are {', '.join(_PARAMETERS)}")
    return url.set(query=parameters)


def kind_of(error: BaseException) -> str:
    """What went wrong, in one word without values: SQLite's or PostgreSQL's own code, else the exception's name."""
    origin = getattr(error, "orig", None) or error
    kind = getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None)
    return str(kind or type(origin).__name__)
