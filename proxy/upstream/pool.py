"""Idle connections of one upstream: last in, first out, so that those not needed grow old and are closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.outbox import Outbox
from proxy.upstream.answers import Met
from proxy.upstream.sweep import Sweep

if TYPE_CHECKING:
    from proxy.upstream.connection import Connection

IDLE_S = 60.0
"""An idle connection is closed after this; upstreams that close sooner (uvicorn: 5 s) are noticed when they do."""
AGE_S = 300.0
"""A connection that is older is not used again, so that a changed DNS record is followed under steady load, too."""


class Pool:
    __slots__ = ("_closed", "_reaper", "age_s", "idle", "idle_s", "limit", "met", "opened", "outbox", "sweep")

    def __init__(self, limit: int, sweep: Sweep) -> None:
        self.limit = limit
        self.sweep = sweep
        self.idle: list[Connection] = []
        """Oldest first; only connections that are open, silent and clean."""
        self.opened = 0
        """Connections that exist, idle ones included."""
        self.outbox = Outbox()
        self.met: Met | None = None
        """The head of the last whole answer."""
        self.idle_s = IDLE_S
        self.age_s = AGE_S
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> Connection | None:
        while self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def put(self, connection: Connection) -> None:
        """Keeps a clean connection for the next request, or closes it."""
        now_s = self.sweep.now_s
        if self._closed or now_s - connection.born_s > self.age_s:
            connection.transport.close()
            return
        connection.idle_since_s = now_s
        self.idle.append(connection)
        if len(self.idle) > self.limit:
            self.idle.pop(0).transport.close()
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(self.idle_s, self._reap)

    def forget(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)

    def close(self) -> None:
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        while self.idle:
            self.idle.pop().transport.close()

    def _reap(self) -> None:
        self._reaper = None
        now_s = self.sweep.clock()
        while self.idle and now_s - self.idle[0].idle_since_s >= self.idle_s:
            self.idle.pop(0).transport.close()
        if self.idle:
            wait_s = self.idle[0].idle_since_s + self.idle_s - now_s
            self._reaper = asyncio.get_running_loop().call_later(wait_s, self._reap)
