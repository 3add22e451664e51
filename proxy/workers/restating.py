"""Restatements on their way to the store, in the order they were made: one task takes them there, and what the store is away for waits."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from proxy.records import Restatement
from proxy.workers.supervisor import Backoff

log = logging.getLogger("greenlane.metering")

HELD = 20_000
"""That wait for the store; then the oldest are let go, and their entries keep their estimates."""
BATCH = 500
BACKOFF = Backoff(first_s=1.0, most_s=30.0)

Restate = Callable[[Sequence[Restatement]], Awaitable[None]]
"""They are in the store on return, or put aside for good. Raises OSError where the same call may work later."""


class Restater:
    """`put` may be called in any thread, all else on the event loop; `run` and `flush` not at the same time."""

    def __init__(self, restate: Restate) -> None:
        self._restate = restate
        self._waiting: deque[Restatement] = deque()
        self._batch: list[Restatement] = []
        """Taken out of those that wait, and not known to be in the store."""
        self._arrived = asyncio.Event()
        self.let_go = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._batch)

    def put(self, made: Iterable[Restatement]) -> None:
        self._waiting.extend(made)

    def wake(self) -> None:
        """Something was put."""
        while len(self._waiting) > HELD:
            self._waiting.popleft()
            if not self.let_go:
                log.error("restatements are lost, %d wait for the store already: their entries keep their estimates", HELD)
            self.let_go += 1
        if self:
            self._arrived.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.wake()
            await self._arrived.wait()
            self._arrived.clear()
            failures = 0
            while not await self.flush():
                failures += 1
                await asyncio.sleep(BACKOFF.pause_s(failures))

    async def flush(self) -> bool:
        """Whether the store has all that was put."""
        while self:
            while self._waiting and len(self._batch) < BATCH:
                self._batch.append(self._waiting.popleft())
            try:
                await self._restate(self._batch)
            except OSError:
                return False
            self._batch.clear()
        return True
