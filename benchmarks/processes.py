"""Processes on chosen cores: started, waited for, ended, and what they used, children and threads included."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class Pinned:
    """A process on one core, with its output in a file. End it with `stop`."""

    def __init__(self, command: Sequence[str | Path], core: int, folder: Path, *, env: Mapping[str, str], realtime: bool) -> None:
        self.output = folder / "output.log"
        with self.output.open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in pinned(command, core, realtime=realtime)],
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self, patience_s: float = 15.0) -> None:
        """Asks it to end, and makes it."""
        family = tree(self.pid)
        if not self.ended:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        for pid in family:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def pinned(command: Sequence[str | Path], core: int, *, realtime: bool) -> list[str | Path]:
    """The command on one core; `realtime`: at a priority that other users of the machine cannot preempt (SCHED_RR, root only)."""
    return ["taskset", "-c", str(core), *(["chrt", "--rr", "10"] if realtime else []), *command]


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int(_stat(int(entry.name))[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    """Seconds of processor, user and system, of the living threads of a tree: the scheduler's own count, in nanoseconds."""
    total_ns = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(OSError):
                    total_ns += int((thread / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def pss_bytes(pid: int) -> int:
    """Proportional set size of a tree: shared pages are divided among those who share them."""
    total_kib = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total_kib += int(line.split()[1])
    return total_kib * 1024


def busy_s() -> float:
    """Seconds that all cores together have worked since the machine started."""
    ticks = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICK


def wait_quiet(limit_s: float, busy_cores: float = 0.25, look_s: float = 0.3) -> bool:
    """Waits until the whole machine has next to nothing to do, at most so long; False if it never had."""
    end_s = time.monotonic() + limit_s
    while limit_s > 0:
        before_s = busy_s()
        time.sleep(look_s)
        if busy_s() - before_s < busy_cores * look_s:
            return True
        if time.monotonic() > end_s:
            break
    return False


def wait_idle(pid: int, quiet_s: float, limit_s: float) -> bool:
    """Waits until a tree has done next to nothing for `quiet_s`; False if it never did."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        before_s = cpu_s(pid)
        time.sleep(quiet_s)
        if cpu_s(pid) - before_s < 0.02 * quiet_s + 0.002:
            return True
    return False


def _stat(pid: int) -> list[str]:
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return text[text.rindex(")") + 2 :].split()
