"""Tools of the tests that must not share the suite's own environment: made once, under `.tools`, named by the hash of their pins."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools"
LOCK = Path(__file__).with_name("tools.lock")
NODE = ROOT / "tests" / "node"


def python() -> Path:
    """The interpreter of an environment with what `tools.lock` pins: LangChain's standard tests, and Node."""

    def make(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK))

    return _made("python", [LOCK], make) / "bin" / "python"


def node_folder() -> Path:
    """A folder with the JavaScript clients that `package-lock.json` pins."""
    pins = [NODE / "package.json", NODE / "package-lock.json"]

    def make(folder: Path) -> None:
        folder.mkdir()
        for pin in pins:
            shutil.copy(pin, folder)
        _run(str(python().with_name("npm")), "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)

    return _made("node", pins, make)


def _made(name: str, pins: list[Path], make: Callable[[Path], None]) -> Path:
    """The folder, made by `make` if it is not there; two runs at a time make it once."""
    digest = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins) + sys.version.encode()).hexdigest()[:12]
    TOOLS.mkdir(exist_ok=True)
    folder, done = TOOLS / f"{name}-{digest}", TOOLS / f"{name}-{digest}.ok"
    with (TOOLS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


def _run(*command: str, cwd: Path | None = None) -> None:
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    made = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "PATH": path})
    assert made.returncode == 0, f"{command[0]} {command[1]} failed:\n{made.stdout}\n{made.stderr}"
