"""Requests for which every deployment is full wait here, in order, until a place is free. Bounded; each wait has a deadline."""

from __future__ import annotations

import asyncio
from collections import deque


class WaitingRoom:
    """First come, first served, whatever the model: who is woken looks again and goes back to the end if it was not his place."""

    __slots__ = ("_limit", "_waiters")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def full(self) -> bool:
        return len(self._waiters) >= self._limit

    async def wait(self, timeout_s: float) -> bool:
        """True when a place may be free; False when the deadline passed."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_later(timeout_s, _cancel, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                raise
            return False
        else:
            return True
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def freed(self) -> None:
        """Wakes whoever has waited longest."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _cancel(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.cancel()
