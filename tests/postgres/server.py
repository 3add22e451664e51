"""PostgreSQL's own server, as Debian's package `postgresql` installs it, in a folder of its own on a free port of 127.0.0.1.

It refuses to run as root: where the tests do, it runs as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

READY_S = 30.0
OWNER = "greenlane"
# nothing is to survive the machine; the kernel keeps what a killed server had written
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "max_connections": "50"}
HBA = """
host all guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


class Server:
    """Begun by `start`; `close` ends it and removes its folder. Any user may come in, without a password; `guarded` needs hers."""

    def __init__(self) -> None:
        self._programs = programs()
        self._folder = Path(tempfile.mkdtemp(prefix="greenlane-postgresql-"))
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody")
            self._user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": ()}
        self._data = self._folder / "data"
        self._numbers = count()
        self._process: subprocess.Popen[bytes] | None = None
        made = [self._programs / "initdb", "-D", self._data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **self._user)
        (self._data / "pg_hba.conf").write_text(HBA)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def start(self) -> None:
        """It answers when this returns; also again after a `stop`."""
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-p", str(self.port), *settings],
                **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": self._folder, **self._user},
            )
        end_s = time.monotonic() + READY_S
        while subprocess.run([self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            assert self._process.poll() is None, f"PostgreSQL did not start: {self.said()}"
            assert time.monotonic() < end_s, f"PostgreSQL was not ready within {READY_S} s: {self.said()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it at once, in the middle of whatever its clients are doing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(READY_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def guard(self, password: str = "right") -> None:
        """`guarded` may come in, with this password."""
        self.rows("postgres", f"DROP ROLE IF EXISTS guarded; CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{password}'")

    def database(self) -> str:
        """The name of a new, empty database."""
        name = f"ledger_{next(self._numbers)}"
        self.rows("postgres", f"CREATE DATABASE {name}")
        return name

    def url(self, database: str, user: str = OWNER) -> str:
        return f"postgresql+asyncpg://{user}@127.0.0.1:{self.port}/{database}"

    def rows(self, database: str, statement: str) -> list[tuple[str, ...]]:
        """What PostgreSQL's own client gets for a statement, as text: NULL is `-`."""
        told = ["-h", "127.0.0.1", "-p", str(self.port), "-U", OWNER, "-d", database, "-v", "ON_ERROR_STOP=1", "-P", "null=-"]
        shown = subprocess.run(
            [self._programs / "psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e", *told, "-c", statement],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.removesuffix("\n")
        return [tuple(row.split("\x1f")) for row in shown.split("\x1e")] if shown else []


def programs() -> Path:
    """The folder of PostgreSQL's programs: the newest of Debian's, else the one on the path."""
    found = [each.parent for each in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    assert on_path is not None, "no PostgreSQL server on this machine: install Debian's package `postgresql`"
    return Path(on_path).parent
