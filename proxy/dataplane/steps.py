"""Runs a journey's coroutine in the callbacks that bring what it waits for, without a task.

A task, its future and their two turns of the event loop cost 6 µs a request. Without them the journey begins in the call that
brings the request's last byte, and goes on in the call that brings the upstream's. What it awaits must be a future or a `Relay`;
what needs a task of its own (`asyncio.timeout`, drivers) is given one, and the task is awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol


class Awaited(Protocol):
    """What a journey may wait for, as it comes out of the coroutine."""

    _asyncio_future_blocking: bool

    def add_done_callback(self, callback: Callable[[Any], object], /) -> object: ...


class Steps:
    """One coroutine under way. It must not raise."""

    __slots__ = ("_send",)

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._send = coroutine.send

    def __call__(self, _: object = None) -> None:
        """Goes on to the next wait, or to the end."""
        try:
            awaited: Awaited = self._send(None)
        except StopIteration:
            return
        # asyncio's protocol between a future and who awaits it: without this a future refuses to be awaited twice
        awaited._asyncio_future_blocking = False
        awaited.add_done_callback(self)
