"""Requests for which every deployment is full wait here, in order, until a place they can use is free. Bounded, with deadlines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Protocol


class Place(Protocol):
    """A deployment at run time, as far as it matters here."""

    name: str
    inflight: int

    @property
    def full(self) -> bool: ...


class Waiter:
    """One who waits for any of some deployments."""

    __slots__ = ("names", "woken")

    def __init__(self, names: AbstractSet[str], woken: asyncio.Future[Place | None]) -> None:
        self.names = names
        self.woken = woken

    def leave(self) -> None:
        """He waits no longer: the client has left, or the time is over."""
        if not self.woken.done():
            self.woken.set_result(None)


class WaitingRoom:
    """A place that becomes free is held for whoever has waited longest for it, so that nobody who comes meanwhile overtakes him."""

    __slots__ = ("_waiters", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiters: deque[Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def full(self) -> bool:
        return len(self._waiters) >= self.limit

    async def wait(
        self, names: AbstractSet[str], timeout_s: float, leaving: Callable[[Callable[[], None]], None], *, again: bool = False
    ) -> Place | None:
        """The place that is free now: to be taken before anything is awaited. None when the time was over or the waiter left.

        `leaving` is given what makes him leave at once. `again`: he was woken before in vain, and keeps his turn.
        """
        loop = asyncio.get_running_loop()
        waiter = Waiter(names, loop.create_future())
        if again:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        leaving(waiter.leave)
        timer = loop.call_later(timeout_s, waiter.leave)
        try:
            place = await waiter.woken
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        if place is not None:
            place.inflight -= 1
        return place

    def freed(self, place: Place) -> None:
        """A place became free, or may be: it is held for the first who waits for it, until he looks."""
        if not self._waiters or place.full:
            return
        for waiter in self._waiters:
            if not waiter.woken.done() and place.name in waiter.names:
                place.inflight += 1
                waiter.woken.set_result(place)
                return
