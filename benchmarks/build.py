"""What a run needs: the mock upstream and the load generator in C, vllm-router in an environment of its own, nginx."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.places import BIN, NATIVE, VENVS

VLLM_ROUTER = "0.1.17"
PY_SPY = "0.4.3"


class MissingError(Exception):
    """Something without which nothing can be measured."""


def build() -> list[str]:
    """Builds what is not there; what could not be had, one line each. Raises MissingError without a C compiler."""
    for tool in ("gcc", "taskset"):
        if shutil.which(tool) is None:
            raise MissingError(f"{tool} is needed and was not found")
    compile_native()
    missing = [install_nginx(), None if vllm_router() else f"vllm-router {VLLM_ROUTER} could not be installed: measured without it"]
    return [each for each in missing if each is not None]


def compile_native() -> None:
    BIN.mkdir(exist_ok=True)
    for source in NATIVE.glob("*.c"):
        program = BIN / source.stem
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)


def vllm_router() -> Path | None:
    """The pinned vllm-router's command, installed at first use; None where that fails."""
    return _installed("vllm-router", VLLM_ROUTER)


def py_spy() -> Path | None:
    return _installed("py-spy", PY_SPY)


def nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def install_nginx() -> str | None:
    """Installs nginx where that is possible; why not, where it is not."""
    if nginx() is not None:
        return None
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "nginx"]):
            subprocess.run(["apt-get", *words], env=env, stdout=subprocess.DEVNULL, check=False)
        if nginx() is not None:
            return None
    return "nginx is not installed (as root it is, from apt): measured without it"


def _installed(package: str, version: str) -> Path | None:
    folder = VENVS / f"{package}-{version}"
    command = folder / "bin" / package
    if command.exists():
        return command
    print(f"installing {package} {version}", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", folder], check=False)
    if made.returncode == 0:
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", f"{package}=={version}"], check=False)
    return command if command.exists() else None
