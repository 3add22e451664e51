"""One sweep looks at every deadline; it rests where there is none."""

from __future__ import annotations

import asyncio

from proxy.upstream.sweep import Sweep, running_sweep


class Watched:
    def __init__(self, seen: list[float]) -> None:
        self.seen = seen

    def check(self, now_s):
        self.seen.append(now_s)


def test_it_ticks_while_something_is_watched_and_stops_by_itself():
    async def main():
        now_s, seen = [0.0], []
        sweep = Sweep(lambda: now_s[0])
        watched = Watched(seen)
        sweep.watched.add(watched)
        sweep.start()
        for at in (1.0, 2.0):
            now_s[0] = at
            sweep.tick()
            assert sweep.handle is not None
        sweep.watched.discard(watched)
        sweep.tick()
        assert (seen, sweep.handle, sweep.now_s) == ([1.0, 2.0], None, 2.0)

    asyncio.run(main())


def test_who_is_ended_by_a_tick_may_end_others():
    async def main():
        sweep, seen = Sweep(lambda: 0.0), []

        class Ends(Watched):
            def check(self, now_s):
                sweep.watched.clear()
                super().check(now_s)

        sweep.watched |= {Ends(seen), Ends(seen)}
        sweep.tick()
        assert (len(seen), sweep.handle) == (2, None)

    asyncio.run(main())


def test_it_ticks_by_itself():
    async def main():
        ticked = asyncio.Event()

        class Sets(Watched):
            def check(self, _):
                ticked.set()

        sweep = Sweep(interval_s=0.001)
        sweep.watched.add(Sets([]))
        sweep.start()
        await asyncio.wait_for(ticked.wait(), 60)
        sweep.watched.clear()
        sweep.tick()

    asyncio.run(main())


def test_what_came_while_the_loop_stood_still_is_read_before_anything_is_overdue():
    async def main():
        now_s, seen = [0.0], []
        sweep = Sweep(lambda: now_s[0], interval_s=0.001)
        ticked = asyncio.Event()

        class Read(Watched):
            """Something that is read a turn after the loop goes on, as a socket is."""

            came = False

            def check(self, at_s):
                self.seen.append((at_s, self.came))
                ticked.set()

        watched = Read(seen)
        sweep.watched.add(watched)
        sweep.start()
        now_s[0] = 100.0
        asyncio.get_running_loop().call_later(0.001, setattr, watched, "came", True)
        await asyncio.wait_for(ticked.wait(), 60)
        assert seen[0] == (100.0, True)
        sweep.watched.clear()
        sweep.tick()

    asyncio.run(main())


def test_a_loop_that_is_always_late_still_ends_what_is_overdue():
    async def main():
        now_s, seen = [0.0], []

        def clock():
            now_s[0] += 50.0
            return now_s[0]

        sweep = Sweep(clock, interval_s=0.001)
        ticked = asyncio.Event()

        class Sets(Watched):
            def check(self, at_s):
                super().check(at_s)
                if len(seen) == 3:
                    ticked.set()

        sweep.watched.add(Sets(seen))
        sweep.start()
        await asyncio.wait_for(ticked.wait(), 60)
        sweep.watched.clear()
        sweep.tick()

    asyncio.run(main())


def test_a_loop_has_one_sweep_and_another_loop_another():
    async def twice():
        return running_sweep(), running_sweep()

    first, again = asyncio.run(twice())
    other, _ = asyncio.run(twice())
    assert first is again
    assert first is not other
