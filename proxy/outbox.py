"""Writes put off to the end of the loop's turn, so that they are made one after the other.

Each wakes whoever reads it, and on a busy core he runs at once. Between two requests he takes the interpreter's caches with him, which
costs an eighth of a request; between two writes there is little to take.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

BUSY = 4
"""With fewer exchanges under way a turn has one write or two: putting them off costs 1 µs each and saves nothing."""

MOST = 32
"""Writes put off at once: what they hold stays small, and nobody waits long for the first of them."""


class Late(Protocol):
    """A connection that has put off a write."""

    def flush(self) -> None:
        """Writes it, if the connection is still there and has not written it meanwhile. Must not raise."""
        ...


class Outbox:
    """Of connections of one loop, in the order in which they wrote."""

    __slots__ = ("_late",)

    def __init__(self) -> None:
        self._late: list[Late] = []

    def put(self, late: Late) -> None:
        """`flush` is called before the loop waits again, and before whatever is asked of the loop from now on."""
        waiting = self._late
        if not waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        waiting.append(late)
        if len(waiting) >= MOST:
            self._turn()

    def _turn(self) -> None:
        late, self._late = self._late, []
        for each in late:
            each.flush()
