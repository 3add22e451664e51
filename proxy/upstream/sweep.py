"""Deadlines without timers: one tick every 0.25 s per event loop looks at everything under way and ends what is overdue.

A timer or a timeout context per request costs 2 to 4 µs each; two fields and a set cost a tenth of that. The price is that a
deadline fires up to one interval late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

INTERVAL_S = 0.25
STOOD_S = 1.0
"""A tick so late tells that the loop itself stood still: the process was suspended, or had no core."""


class Watched(Protocol):
    def check(self, now_s: float) -> None:
        """Ends itself when overdue. Called once a tick, on the loop; must not raise."""
        ...


class Sweep:
    """Ticks while something is watched, and not at all otherwise."""

    __slots__ = ("_interval_s", "_late", "clock", "handle", "now_s", "watched")

    def __init__(self, clock: Callable[[], float] = time.monotonic, interval_s: float = INTERVAL_S) -> None:
        self.clock = clock
        self._interval_s = interval_s
        self._late = False
        self.watched: set[Watched] = set()
        self.handle: asyncio.TimerHandle | None = None
        self.now_s = clock()
        """The clock at the last tick: at most one interval old while something is watched."""

    def start(self) -> None:
        """To be called after adding to `watched` when `handle` is None."""
        self.now_s = self.clock()
        self.handle = asyncio.get_running_loop().call_later(self._interval_s, self._due)

    def _due(self) -> None:
        """A tick of its own. A late one is left out: what came while the loop stood still is read before anything is called overdue."""
        self._late = not self._late and self.clock() - self.now_s > self._interval_s + STOOD_S
        if self._late:
            self.start()
        else:
            self.tick()

    def tick(self) -> None:
        self.now_s = now_s = self.clock()
        for watched in tuple(self.watched):
            watched.check(now_s)
        if self.handle is not None:
            self.handle.cancel()
        self.handle = None
        if self.watched:
            self.start()


_sweeps: WeakKeyDictionary[asyncio.AbstractEventLoop, Sweep] = WeakKeyDictionary()


def running_sweep() -> Sweep:
    """The running loop's own sweep."""
    loop = asyncio.get_running_loop()
    sweep = _sweeps.get(loop)
    if sweep is None:
        sweep = _sweeps[loop] = Sweep()
    return sweep
