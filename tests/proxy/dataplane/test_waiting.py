"""Who waits for a place gets it in his turn."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from proxy.dataplane.waiting import WaitingRoom


class Place(SimpleNamespace):
    @property
    def full(self):
        return self.inflight >= self.most


def ignored(leave):
    """A client that never leaves."""


def test_a_place_is_held_for_who_has_waited_longest():
    """Between the call that frees it and the turn of the loop in which he looks, it is still taken for everybody else."""

    async def main():
        room, place = WaitingRoom(10), Place(name="a", inflight=1, most=1)
        order = []

        async def waits(who, names):
            got = await room.wait(names, 5, ignored)
            order.append((who, got.name, place.full))

        waiters = [asyncio.create_task(waits(who, names)) for who, names in ((1, {"b"}), (2, {"a", "b"}), (3, {"a"}))]
        await asyncio.sleep(0)
        place.inflight -= 1
        room.freed(place)
        assert place.full
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (order, place.inflight) == ([(2, "a", False)], 0)
        place.inflight = 1
        room.freed(place)
        await asyncio.sleep(0)
        assert len(order) == 1
        for each in waiters:
            each.cancel()

    asyncio.run(main())


def test_who_leaves_waits_no_longer_and_holds_nothing():
    async def main():
        room, place = WaitingRoom(10), Place(name="a", inflight=0, most=1)
        leaves = []
        waiter = asyncio.create_task(room.wait({"a"}, 5, leaves.append))
        await asyncio.sleep(0)
        leaves[0]()
        room.freed(place)
        assert (await waiter, place.inflight, len(room)) == (None, 0, 0)

    asyncio.run(main())


def test_who_was_woken_in_vain_keeps_his_turn():
    async def main():
        room, place = WaitingRoom(10), Place(name="a", inflight=0, most=1)
        second = asyncio.create_task(room.wait({"a"}, 5, ignored))
        await asyncio.sleep(0)
        first = asyncio.create_task(room.wait({"a"}, 5, ignored, again=True))
        await asyncio.sleep(0)
        room.freed(place)
        assert await first is place
        assert not second.done()
        second.cancel()

    asyncio.run(main())


def test_the_time_ends_the_waiting():
    assert asyncio.run(WaitingRoom(1).wait({"a"}, 0.01, ignored)) is None
