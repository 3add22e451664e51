"""An imitated provider on a thread of its own, at the hour it is: for tests that run the whole proxy."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from tests.imitations.grids.server import Answer, Request, Server


class Standing:
    """`provider` is the imitation (what it tells may be changed at any time); `instead` is said in place of the next answers."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self.lead_s = 0.0
        """By how much its clock is ahead of ours."""
        self._server = Server(self)
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(60)
        self.url, self.requests, self.instead = self._server.url, self._server.requests, self._server.instead

    def answer(self, request: Request) -> Answer:
        self.provider.now_s = time.time() + self.lead_s
        found: Answer = self.provider.answer(request)
        return found

    def close(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._server.__aexit__(), self._loop).result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(60)
            self._loop.close()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server.__aenter__())
        started.set()
        self._loop.run_forever()
