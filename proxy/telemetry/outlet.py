"""Standard error behind a thread: whoever reads the log slowly, or not at all, holds up no request and no stop."""

from __future__ import annotations

import os
import threading
from collections import deque
from functools import cache

HELD_BYTES = 1024 * 1024
"""Of lines that wait to be read; what comes beyond is lost, and counted."""
DRAIN_S = 1.0
"""At the end of the process the last lines may take this long."""


class Outlet:
    """Writes to a descriptor, in order. The descriptor itself, not a buffered stream: its lock would be missing at the process' end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._held_bytes = 0
        """The piece that is being written included."""
        self._lost = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, lines: bytes) -> None:
        """Whole lines. Never waits."""
        with self._changed:
            if self._held_bytes + len(lines) > HELD_BYTES:
                self._lost += lines.count(b"\n")
                return
            if self._lost:
                lines = b'{"level":"warning","logger":"greenlane.log","message":"%d lines lost: nobody read them"}\n' % self._lost + lines
                self._lost = 0
            self._held_bytes += len(lines)
            self._waiting.append(lines)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, timeout_s: float = DRAIN_S) -> bool:
        """Waits until all is written; False if it was not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._held_bytes, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                lines = self._waiting.popleft()
            rest = memoryview(lines)
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                pass  # its reader is gone: there is nobody to tell
            with self._changed:
                self._held_bytes -= len(lines)
                self._changed.notify_all()


@cache
def standard_error() -> Outlet:
    """The process has one."""
    return Outlet(2)
