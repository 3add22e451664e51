"""What sources foretell of a zone, asked when somebody wants to see it and kept for a while."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from carbon.intensity import Intensity, on_basis
from carbon.reach import OutOfReachError, Reach
from carbon.sources._base import IntensitySource, instant_s

log = logging.getLogger("greenlane.intensity")

ASKING_S = 10.0
"""Somebody waits for the answer."""
KEPT_S = 900.0
"""A forecast is kept as long; it is asked for in whole days, so that questions of other lengths share it."""
FAILED_S = 60.0
"""How soon a source that failed is asked again; until then what was foretold before counts."""
MOST = 64

Compared = Literal["lifecycle", "direct"]
Asked = tuple[str, IntensitySource, Reach | None]
"""A source with its name and what it may use of the world; None: it is failing, and not to be asked now."""


class _Held(msgspec.Struct, frozen=True, eq=False):
    points: tuple[Intensity, ...]
    until_s: float


class Forecasts:
    """Those of one chain of sources."""

    def __init__(self, now_s: Callable[[], float], clock_s: Callable[[], float]) -> None:
        self._now_s, self._clock_s = now_s, clock_s
        self._held: dict[tuple[str, int], _Held] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[_Held]] = {}

    def clear(self) -> None:
        """The chain is another one."""
        self._held.clear()
        self._asking.clear()

    async def ahead(self, zone: str, hours: float, sources: Sequence[Asked], basis: Compared) -> tuple[Intensity, ...]:
        """What is foretold for so many hours, by the first source that can, on that basis; averages before marginal rates."""
        key = (zone, 24 * math.ceil(hours / 24))
        held = self._held.get(key)
        if held is None or self._clock_s() >= held.until_s:
            task = self._asking.get(key)
            if task is None:
                task = self._asking[key] = asyncio.create_task(self._ask(key, sources, basis, () if held is None else held.points))
                task.add_done_callback(lambda done: self._took(key, done))
            held = await asyncio.shield(task)  # whoever else waits for it must not lose it with this one
        return tuple(self._now_on(held.points, hours))

    def _took(self, key: tuple[str, int], task: asyncio.Task[_Held]) -> None:
        if self._asking.get(key) is not task:
            return
        del self._asking[key]
        if task.cancelled() or task.exception() is not None:
            return
        while len(self._held) >= MOST:
            del self._held[next(iter(self._held))]
        self._held[key] = task.result()

    async def _ask(self, key: tuple[str, int], sources: Sequence[Asked], basis: Compared, before: tuple[Intensity, ...]) -> _Held:
        zone, hours = key
        found: tuple[Intensity, ...] = ()
        failed = False
        for name, source, reach in sources:
            if reach is None:
                failed = True
                continue
            try:
                async with asyncio.timeout(ASKING_S):
                    told = await source.ahead(zone, float(hours), reach)
            except Exception as error:  # noqa: BLE001 - whatever a source fails at, the next is asked
                failed = True
                log.warning("intensity source %s: no forecast for %s: %s", name, zone, _kind(error))
                continue
            points = tuple(comparable for sample in told if (comparable := on_basis(sample, basis)) is not None)
            if points and points[0].signal == "average":
                return _Held(points, self._clock_s() + KEPT_S)
            found = found or points
        if failed and not found:
            return _Held(before, self._clock_s() + FAILED_S)
        return _Held(found, self._clock_s() + KEPT_S)

    def _now_on(self, points: tuple[Intensity, ...], hours: float) -> list[Intensity]:
        """Without those that another has followed by now, and those beyond the hours asked for."""
        now_s = self._now_s()
        instants = [instant_s(point.as_of) for point in points]
        ends = [*instants[1:], math.inf]
        end_s = now_s + hours * 3600
        return [point for point, at, over in zip(points, instants, ends, strict=False) if over > now_s and at < end_s]


def _kind(error: Exception) -> str:
    return error.kind if isinstance(error, OutOfReachError) else type(error).__name__
