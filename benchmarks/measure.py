"""One stack, started, seen to work, loaded and ended: a Round. What is wrong makes a failure of it, never a figure."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from benchmarks.places import LOAD, LOGS, MOCK, MOCK_PORT
from benchmarks.processes import Pinned, busy_s, cpu_s, pinned, pss_bytes, wait_idle, wait_quiet
from benchmarks.results import Memory, Round, Window
from benchmarks.scenarios import OPEN, OPEN_CHUNKS, OPEN_PACE_MS, PAD, WARM, WINDOWS, Scenario
from benchmarks.stacks import Stack, direct

PATH = "/v1/chat/completions"
DEFERRED_S = 60.0
"""What a proxy puts off must be done within this."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is made."""

    core: int = 0
    """Of the proxy, the mock upstream and the load generator alike: what one core must do for all three is the most repeatable."""
    realtime: bool = False
    scale: float = 1.0
    """Of every window's length."""
    patience_s: float = 3.0
    """Before each window it waits so long for other work on the machine to end."""


class Bench:
    """The mock upstream and a folder for the time of a run. Use it as a context."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="greenlane-bench-"))
        self._mock = self._start((str(MOCK), str(MOCK_PORT)), self._folder, {})

    def __enter__(self) -> Self:
        if _refused(direct()) is not None and not _until_ready(direct(), self._mock):
            raise RuntimeError(f"the mock upstream does not answer on port {MOCK_PORT}")
        return self

    def __exit__(self, *_: object) -> None:
        self._mock.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def round(self, stack: Stack, number: int, scenarios: Sequence[Scenario] = WINDOWS) -> Round:
        """Starts the stack and gives it every window."""
        return self._with(stack, number, lambda proxy, folder: self._windows(stack, number, scenarios, proxy, folder))

    def memory(self, stack: Stack, number: int) -> Round:
        """Starts the stack afresh and opens a thousand streams."""
        return self._with(stack, number, lambda proxy, folder: self._open(stack, number, proxy, folder))

    def _with(self, stack: Stack, number: int, do: Any) -> Round:
        folder = Path(tempfile.mkdtemp(prefix=f"{stack.name}-", dir=self._folder))
        proxy = None if stack.command is None else self._start(stack.command, folder, stack.env)
        try:
            ready = _until_ready(stack, proxy or self._mock)
            if not ready:
                return Round(stack=stack.name, number=number, failure=f"does not answer as it must: {_refused(stack)}")
            found: Round = do(proxy or self._mock, folder)
        finally:
            if proxy is not None:
                proxy.stop()
                _keep_log(stack, proxy)
        answered = sum(window.requests for window in found.windows)
        missing = stack.kept(folder, answered) if stack.kept is not None else None
        return found if missing is None else msgspec.structs.replace(found, failure=missing)

    def _windows(self, stack: Stack, number: int, scenarios: Sequence[Scenario], proxy: Pinned, folder: Path) -> Round:
        for warm in WARM:
            self._load(stack, warm, folder)
        wait_idle(proxy.pid, stack.quiet_s, DEFERRED_S)
        windows = tuple(self.window(stack, scenario, proxy, folder) for scenario in scenarios)
        return Round(stack=stack.name, number=number, windows=windows)

    def window(self, stack: Stack, scenario: Scenario, proxy: Pinned, folder: Path) -> Window:
        """One scenario; its processor time includes what the proxy does after the last answer."""
        wait_quiet(self.settings.patience_s)
        children_s, busy_before_s, began_s = _children_s(), busy_s(), time.monotonic()
        own_s, mock_s = cpu_s(proxy.pid), cpu_s(self._mock.pid)
        said = self._load(stack, scenario, folder)
        after_s, mock_after_s = cpu_s(proxy.pid), cpu_s(self._mock.pid)
        took_s = time.monotonic() - began_s
        worked_s = after_s - own_s + (mock_after_s - mock_s if proxy is not self._mock else 0.0) + _children_s() - children_s
        others = (busy_s() - busy_before_s - worked_s) / took_s
        if (failure := _wrong(said)) is None and not wait_idle(proxy.pid, stack.quiet_s, DEFERRED_S):
            failure = f"was still at work {DEFERRED_S:g} s after the last answer"
        if failure is not None:
            return Window(scenario=scenario.name, failure=failure)
        return Window(
            scenario=scenario.name,
            requests=said["done"],
            events=said["events"],
            seconds_s=said["seconds"],
            cpu_us=1e6 * (cpu_s(proxy.pid) - own_s),
            cpu_before_end_us=1e6 * (after_s - own_s),
            latency_p50_us=said["latency_p50_us"],
            latency_p99_us=said["latency_p99_us"],
            first_byte_p50_us=said["first_byte_p50_us"],
            first_byte_p99_us=said["first_byte_p99_us"],
            others_cores=round(max(0.0, others), 3),
        )

    def _open(self, stack: Stack, number: int, proxy: Pinned, folder: Path) -> Round:
        """A little work first, so that what is loaded lazily is there; then the streams, looked at while all of them are open."""
        self._load(stack, msgspec.structs.replace(WARM[0], concurrency=4, most=64), folder)
        self._load(stack, msgspec.structs.replace(WARM[1], concurrency=4, most=16), folder)
        wait_idle(proxy.pid, max(stack.quiet_s, 0.3), DEFERRED_S)
        idle = pss_bytes(proxy.pid)
        command = self._load_command(stack, OPEN, folder)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as load:
            time.sleep(OPEN_CHUNKS * OPEN_PACE_MS / 1000 * 0.7)
            loaded = pss_bytes(proxy.pid)
            failure = None if load.poll() is None else "the streams ended before they were looked at"
            said = _parsed(load.communicate(timeout=90)[0])
        failure = failure or _wrong(said)
        if failure is None and said["done"] != OPEN.most:
            failure = f"{said['done']} streams of {OPEN.most}"
        memory = Memory(failure=failure, idle_bytes=idle, open_bytes=loaded, streams=OPEN.most)
        return Round(stack=stack.name, number=number, memory=memory)

    def load_command(self, stack: Stack, scenario: Scenario, folder: Path, seconds_s: float) -> list[str]:
        """The load generator's command line for a scenario of another length."""
        return self._load_command(stack, msgspec.structs.replace(scenario, seconds_s=seconds_s / self.settings.scale), folder)

    def start(self, stack: Stack, folder: Path) -> Pinned:
        """The stack, answering; for whoever looks into it rather than at it."""
        proxy = self._start(stack.command or (), folder, stack.env)
        if not _until_ready(stack, proxy):
            proxy.stop()
            raise RuntimeError(f"{stack.name} does not answer as it must: {_refused(stack)}")
        return proxy

    def _load_command(self, stack: Stack, scenario: Scenario, folder: Path) -> list[str]:
        body = scenario.write_body(folder)
        seconds_s = scenario.seconds_s * self.settings.scale
        asked = (LOAD, stack.port, PATH, body, scenario.span_bytes, scenario.concurrency, scenario.most, f"{seconds_s:.2f}")
        words = [str(word) for word in (*asked, scenario.events, scenario.end, *stack.headers)]
        return [str(word) for word in pinned(words, self.settings.core, realtime=self.settings.realtime)]

    def _load(self, stack: Stack, scenario: Scenario, folder: Path) -> dict[str, Any]:
        command = self._load_command(stack, scenario, folder)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return _parsed(done.stdout + done.stderr)

    def _start(self, command: Sequence[str | Path], folder: Path, env: dict[str, str]) -> Pinned:
        return Pinned(command, self.settings.core, folder, env=env, realtime=self.settings.realtime)


def _until_ready(stack: Stack, process: Pinned) -> bool:
    end_s = time.monotonic() + stack.start_s
    while time.monotonic() < end_s and not process.ended:
        if _refused(stack) is None:
            return True
        time.sleep(0.1)
    return False


def _refused(stack: Stack) -> str | None:
    """Asks once; what is wrong with the answer, or None."""
    body = WINDOWS[0].body().replace(PAD.encode(), b"")
    lines = (f"POST {PATH} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *stack.headers, f"Content-Length: {len(body)}")
    try:
        with socket.create_connection(("127.0.0.1", stack.port), 2) as connection:
            connection.settimeout(10)
            connection.sendall("\r\n".join((*lines, "", "")).encode() + body)
            answer = connection.recv(65536).decode("utf-8", "replace")
    except OSError as error:
        return str(error)
    head = answer.partition("\r\n\r\n")[0].lower()
    if not head.startswith("http/1.1 200"):
        return head[:200] or "nothing was answered"
    absent = [line for line in stack.shows if f"\r\n{line}" not in head]
    return f"its answer lacks {', '.join(absent)}; it was {head}" if absent else None


def _wrong(said: dict[str, Any]) -> str | None:
    """Why a window does not count."""
    if "failure" in said:
        return str(said["failure"])
    bad = [f"{said[name]} {name.replace('_', ' ')}" for name in ("errors", "not_200", "bad_events", "bad_end") if said[name]]
    return ", ".join(bad) if bad else None if said["done"] else "nothing was answered"


def _parsed(text: str) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"failure": text.strip()[:300] or "the load generator said nothing"}
    return said


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _keep_log(stack: Stack, proxy: Pinned) -> None:
    """What a stack said besides its request lines, for whoever looks for the reason of a failure."""
    LOGS.mkdir(exist_ok=True)
    lines = [line for line in proxy.output.open("rb") if not line.startswith(b'{"at_s":') or b'"level"' in line]
    (LOGS / f"{stack.name}.log").write_bytes(b"".join(lines[-200:]))
