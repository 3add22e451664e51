"""Requests for which every deployment is full wait here, in order, until a place they can use is free. Bounded, with deadlines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Set as AbstractSet
from typing import NamedTuple


class _Waiter(NamedTuple):
    names: AbstractSet[str]
    """Deployments any of which would do."""
    woken: asyncio.Future[None]


class WaitingRoom:
    """Who has waited longest for a deployment is woken first when it has a place again; whoever is woken looks for himself."""

    __slots__ = ("_limit", "_waiters")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiters: deque[_Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def full(self) -> bool:
        return len(self._waiters) >= self._limit

    async def wait(self, names: AbstractSet[str], timeout_s: float) -> bool:
        """True when one of these deployments may have a place; False when the deadline passed."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(names, loop.create_future())
        self._waiters.append(waiter)
        timer = loop.call_later(timeout_s, _cancel, waiter.woken)
        try:
            await waiter.woken
        except asyncio.CancelledError:
            if not waiter.woken.cancelled():
                raise
            return False
        else:
            return True
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def freed(self, *names: str) -> None:
        """One of these deployments has a place, or changed: wakes whoever has waited longest for any of them."""
        for waiter in self._waiters:
            if not waiter.woken.done() and not waiter.names.isdisjoint(names):
                waiter.woken.set_result(None)
                return


def _cancel(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.cancel()
