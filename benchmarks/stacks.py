"""What is measured: how each stack is started, what its answers must show, and what it must have written down afterwards."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks import build
from benchmarks.places import HERE, MOCK_PORT

KEY = "sk-bench-0123456789abcdef"
ROUTER_METRICS_PORT = 9306


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy, or none (`direct`: the load generator asks the mock upstream itself)."""

    name: str
    title: str
    port: int
    command: tuple[str, ...] | None = None
    shows: tuple[str, ...] = ()
    """Header lines (or their beginnings, in lower case) without which an answer does not count: what is on is seen to be on."""
    env: dict[str, str] = {}
    quiet_s: float = 0.1
    """So long without work means that what it put off is done."""
    start_s: float = 40.0
    """It must answer within this."""
    kept: Callable[[Path, int], str | None] | None = None
    """Given its folder and how many requests it answered: what is missing of the account, or None."""

    @property
    def headers(self) -> list[str]:
        return [f"Authorization: Bearer {KEY}"]


def stacks() -> dict[str, Stack]:
    """Those that can run here."""
    every = (direct(), _nginx(), _vllm_router(), *greenlanes())
    return {stack.name: stack for stack in every if stack is not None}


def direct() -> Stack:
    return Stack(name="direct", title="no proxy", port=MOCK_PORT)


def _nginx() -> Stack | None:
    program = build.nginx()
    if program is None:
        return None
    command = (program, "-p", ".", "-c", str(HERE / "nginx.conf"))
    return Stack(name="nginx", title="nginx", port=9201, command=command)


def _vllm_router() -> Stack | None:
    program = build.vllm_router()
    if program is None:
        return None
    worker = f"http://127.0.0.1:{MOCK_PORT}"
    command = (
        *(str(program), "--worker-urls", worker, "--host", "127.0.0.1", "--port", "9205", "--policy", "round_robin"),
        *("--log-level", "error", "--prometheus-port", str(ROUTER_METRICS_PORT), "--max-concurrent-requests", "100000"),
        "--disable-retries",
    )
    return Stack(name="vllm-router", title="vllm-router", port=9205, command=command)


def greenlanes() -> tuple[Stack, Stack]:
    """With everything on and twenty deployments; and with one deployment and no policy."""
    carbon = ("x-carbon-g: ", "x-energy-wh: ", "x-greenlane-cost-usd: ", "x-greenlane-id: ")
    return (
        _greenlane(
            "greenlane", "Greenlane", 9211, "greenlane.yaml", (*carbon, "x-greenlane-policy: green", "x-greenlane-reason: lowest-carbon")
        ),
        _greenlane("greenlane-single", "Greenlane, one deployment", 9212, "greenlane-single.yaml", carbon),
    )


def _greenlane(name: str, title: str, port: int, config: str, shows: Sequence[str]) -> Stack:
    command = (str(Path(sys.executable).with_name("greenlane")), "serve", "--config", str(HERE / config), "--port", str(port))
    # the ledger's worker writes every half second: only a longer silence says that it is done
    return Stack(
        name=name,
        title=title,
        port=port,
        command=command,
        shows=tuple(shows),
        env={"GREENLANE_BENCH_KEY": KEY},
        quiet_s=0.7,
        kept=accounted,
    )


def accounted(folder: Path, answered: int) -> str | None:
    """Every request has a row in the ledger, with its grams, and a line in the log; else what is missing."""
    with sqlite3.connect(folder / "greenlane.db") as store:
        rows, grams = store.execute("select count(*), count(carbon_g) from ledger where status = 200").fetchone()
    lines = sum(1 for line in (folder / "output.log").open("rb") if line.startswith(b'{"at_s"') and b'"status":200' in line)
    if min(rows, grams, lines) < answered:
        return f"{answered} requests were answered; the ledger has {rows} rows, {grams} with grams, the log {lines} lines"
    return None


def versions() -> dict[str, str]:
    """Of what was measured."""
    found = {"greenlane": _said([str(Path(sys.executable).with_name("greenlane")), "--version"]), "Python": sys.version.split()[0]}
    if (program := build.nginx()) is not None:
        found["nginx"] = _said([program, "-v"])
    if build.vllm_router() is not None:
        found["vllm-router"] = build.VLLM_ROUTER
    found["gcc"] = _said(["gcc", "-dumpfullversion"])
    return found


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    version = re.search(r"\d+(?:\.\d+)+\S*", done.stdout + done.stderr)
    return version[0] if version else "unknown"
