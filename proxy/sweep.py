"""One timer a loop that looks at every client connection, for what is too slow; one a request would cost more than its parsing."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import ClassVar, Protocol

SWEEP_S = 0.5
STOOD_S = 1.0
"""A turn so late tells that the loop itself stood still: the process was suspended, or had no core."""
CUT_TURNS = 100
"""Turns of the loop that aborted connections may take to say so."""
FAREWELL_S = 0.1
"""For the last bytes to connections that are cut."""


class Swept(Protocol):
    """A client connection, as the sweep sees it."""

    @property
    def current(self) -> object | None:
        """What is being answered."""
        ...

    def abort(self) -> None: ...

    def leave(self) -> None:
        """The process is about to end: what is asked already is the connection's last."""
        ...

    def cut(self) -> None:
        """The process ends: what is being answered ends now, as well as it can."""
        ...

    def sweep(self, now_s: float) -> None:
        """Ends what is too slow: headers, a body that stalls, a connection that idles."""
        ...


class Sweep:
    """The connections of one loop."""

    _loops: ClassVar[dict[int, Sweep]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.connections: set[Swept] = set()
        self.running = False
        self._at_s = 0.0
        self._late = False

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Sweep:
        found = cls._loops.get(id(loop))
        if found is None or found.loop is not loop:
            found = cls._loops[id(loop)] = cls(loop)
        return found

    def add(self, connection: Swept) -> None:
        self.connections.add(connection)
        if not self.running:
            self.running = True
            self._at_s = perf_counter()
            self.loop.call_later(SWEEP_S, self._turn)

    def discard(self, connection: Swept) -> None:
        self.connections.discard(connection)

    async def cut(self) -> None:
        """Ends what is still under way, so that its client is told and it is settled; then drops every connection."""
        for connection in list(self.connections):
            connection.cut()
        for _ in range(CUT_TURNS):
            if not any(connection.current for connection in self.connections):
                break
            await asyncio.sleep(0)
        await asyncio.sleep(FAREWELL_S if self.connections else 0)
        for connection in list(self.connections):
            connection.abort()
        for _ in range(CUT_TURNS):
            if not self.connections:
                return
            await asyncio.sleep(0)

    def _turn(self) -> None:
        now_s, before_s = perf_counter(), self._at_s
        self._at_s = now_s
        # a late one is left out: what came while the loop stood still is read before anybody is called too slow
        self._late = not self._late and now_s - before_s > SWEEP_S + STOOD_S
        for connection in [] if self._late else list(self.connections):
            connection.sweep(now_s)
        self.running = bool(self.connections)
        if self.running:
            self.loop.call_later(SWEEP_S, self._turn)


def let_go(transport: asyncio.Transport, unsent_bytes: int) -> int:
    """Closes an idle connection, unless its client still reads what it is owed: so many bytes, `unsent_bytes` at the last look.

    Who has read nothing since is dropped: closed it would wait for him for ever, with all of his answer.
    """
    unsent_now_bytes = transport.get_write_buffer_size()
    if not unsent_now_bytes:
        transport.close()
    elif unsent_now_bytes == unsent_bytes:
        transport.abort()
    return unsent_now_bytes
