"""Who is too slow is told by one timer; time in which the process itself stood still counts for nobody."""

from __future__ import annotations

import asyncio

from proxy.sweep import Sweep


class Swept:
    current = None

    def __init__(self):
        self.came = False
        self.seen = []
        self.swept = asyncio.Event()

    def sweep(self, now_s):
        self.seen.append(self.came)
        self.swept.set()


def test_what_came_while_the_loop_stood_still_is_read_before_anybody_is_too_slow(monkeypatch):
    monkeypatch.setattr("proxy.sweep.SWEEP_S", 0.001)

    async def main():
        at_s = [0.0]
        monkeypatch.setattr("proxy.sweep.perf_counter", lambda: at_s[0])
        sweep, connection = Sweep.of(asyncio.get_running_loop()), Swept()
        sweep.add(connection)
        at_s[0] = 100.0
        asyncio.get_running_loop().call_later(0.001, setattr, connection, "came", True)
        await asyncio.wait_for(connection.swept.wait(), 60)
        assert connection.seen[0]
        # always late, it sweeps every other time
        seen = len(connection.seen)
        connection.swept.clear()
        monkeypatch.setattr("proxy.sweep.perf_counter", lambda: at_s.append(at_s[-1] + 50.0) or at_s[-1])
        await asyncio.wait_for(connection.swept.wait(), 60)
        assert len(connection.seen) > seen
        sweep.discard(connection)

    asyncio.run(main())
