"""The chain of intensity sources, asked beside the requests: what each told last, and the table that follows from it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http.cookiejar import DefaultCookiePolicy

import httpx
import msgspec

from carbon.intensity import Intensity, Signal, Table
from carbon.reach import OutOfReachError, Reach
from carbon.sources._base import IntensitySource, Told, chained, newest
from carbon.sources.static import Static
from proxy.config import CarbonSettings
from proxy.configuration.registries import source_of
from proxy.workers.supervisor import Backoff

log = logging.getLogger("greenlane.intensity")

ASKING_S = 30.0
"""A source that has not told everything by then is out of reach."""
LOOK_S = 60.0
"""How often the table is made anew though nobody told anything: figures grow old."""
BACKOFF = Backoff(first_s=5.0, most_s=900.0)
ZONES = 256
"""Zones beyond those of deployments that somebody asked about and that are kept up to date."""
AHEAD_S = 900.0
"""A forecast is kept as long."""
FORECASTS = 64

Keep = Callable[[str, Sequence[Intensity]], Awaitable[None]]
"""Takes a source's name and what it told into the store."""


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one source of the chain is doing."""

    name: str
    state: str
    """`fresh`, `waiting` (not asked yet), or the kind of its last failure."""
    failures: int
    """In a row."""
    zones: int


class _Feed:
    def __init__(self, name: str, source: IntensitySource, reach: Reach | None) -> None:
        self.name, self.source = name, source
        self.reach = reach
        """None: it never changes, and is not asked."""
        self.told: dict[tuple[str, Signal], Intensity] = {}
        self.asked: frozenset[str] = frozenset()
        self.due_s = -math.inf
        self.failures = 0
        self.state = "waiting"


class Grids:
    """One process's knowledge of grids. `table` is always there; `run` keeps it up to date until it is cancelled."""

    def __init__(
        self,
        publish: Callable[[Table], None],
        keep: Keep,
        secret: Callable[[str], str],
        now_s: Callable[[], float] = time.time,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publish, self._keep, self._secret, self._now_s, self._clock_s = publish, keep, secret, now_s, clock_s
        self._http: httpx.AsyncClient | None = None
        """Made when a source first needs it: it takes as long as the rest of a start."""
        self._settings = CarbonSettings(sources=())
        self._feeds: list[_Feed] = []
        self._zones: frozenset[str] = frozenset()
        self._curious: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._forecasts: dict[tuple[str, float], tuple[float, tuple[Intensity, ...]]] = {}

    def configure(self, settings: CarbonSettings, zones: frozenset[str]) -> Table:
        """The chain of a new configuration; a source whose settings stay keeps what it told. Returns the table as it is now."""
        held = {(feed.name, msgspec.json.encode(feed.source)): feed for feed in self._feeds}
        self._feeds = []
        for written in settings.sources:
            name, source = source_of(written)
            if isinstance(written, str) and isinstance(source, Static):
                source = Static(basis=settings.basis)
            feed = held.get((name, msgspec.json.encode(source)))
            if feed is None and isinstance(source, Static):
                feed = _Feed(name, source, None)
                feed.told, feed.due_s, feed.state = newest(source.table().samples.values()), math.inf, "fresh"
            self._feeds.append(feed or _Feed(name, source, self._made_reach()))
        self._settings, self._zones = settings, zones
        self._forecasts.clear()
        self._woken.set()
        return self.table()

    def recall(self, samples: Iterable[tuple[str, Intensity]]) -> None:
        """Takes in what was read before a restart: of each source's name, where it has told nothing yet."""
        for name, sample in samples:
            for feed in self._feeds:
                if feed.name == name and feed.reach is not None:
                    feed.told.setdefault((sample.zone, sample.signal), sample)

    def table(self) -> Table:
        """What counts for each zone at this moment."""
        chain = [Told(feed.source.every_s, tuple(feed.told.values())) for feed in self._feeds]
        return chained(chain, self._settings.basis, self._now_s(), self._settings.max_age_s)

    def told(self, zone: str) -> list[tuple[str, Intensity]]:
        """What each source of the chain has told last of a zone, as it told it."""
        return [(feed.name, sample) for feed in self._feeds for (of, _), sample in feed.told.items() if of == zone]

    def status(self) -> tuple[SourceStatus, ...]:
        return tuple(
            SourceStatus(name=feed.name, state=feed.state, failures=feed.failures, zones=len({zone for zone, _ in feed.told}))
            for feed in self._feeds
        )

    async def run(self) -> None:
        """Asks every source when its figures change, and sooner for a zone it was not asked about."""
        while True:
            self._woken.clear()
            zones = self._wanted()
            now = self._clock_s()
            due = [feed for feed in self._feeds if feed.due_s <= now or (not zones <= feed.asked and feed.failures == 0)]
            await asyncio.gather(*(self._ask(feed, zones) for feed in due if zones))
            self._publish(self.table())
            pause_s = min([LOOK_S, *(feed.due_s - self._clock_s() for feed in self._feeds)])
            try:
                async with asyncio.timeout(max(0.05, pause_s)):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def look_up(self, zone: str) -> None:
        """Asks the live sources about a zone that no deployment is in, and keeps it up to date from now on. Returns when it is told."""
        if zone in self._wanted():
            return
        while len(self._curious) >= ZONES:
            del self._curious[next(iter(self._curious))]
        self._curious[zone] = None
        await asyncio.gather(*(self._ask(feed, frozenset({zone}), extra=True) for feed in self._feeds))

    async def ahead(self, zone: str, hours: float) -> tuple[Intensity, ...]:
        """The forecast of the first source that has one; empty where none has. Kept for a quarter of an hour."""
        held = self._forecasts.get((zone, hours))
        if held is not None and self._clock_s() - held[0] < AHEAD_S:
            return held[1]
        found: tuple[Intensity, ...] = ()
        for feed in self._feeds:
            if feed.reach is None:
                continue
            try:
                async with asyncio.timeout(ASKING_S):
                    found = await feed.source.ahead(zone, hours, feed.reach)
            except (OSError, ValueError, httpx.HTTPError) as error:
                log.warning("intensity source %s: no forecast for %s: %s", feed.name, zone, _kind(error))
            if found:
                break
        while len(self._forecasts) >= FORECASTS:
            del self._forecasts[next(iter(self._forecasts))]
        self._forecasts[zone, hours] = (self._clock_s(), found)
        return found

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def _made_reach(self) -> Reach:
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=10.0, follow_redirects=False)
            self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
        return Reach(self._http, self._secret, self._now_s, self._clock_s)

    def _wanted(self) -> frozenset[str]:
        return self._zones | self._curious.keys()

    async def _ask(self, feed: _Feed, zones: frozenset[str], *, extra: bool = False) -> None:
        """One asking. What it tells is kept and stored; a failure is logged where its kind is new, and puts the next asking off."""
        if feed.reach is None:
            return
        try:
            async with asyncio.timeout(ASKING_S):
                told = await feed.source.latest(zones, feed.reach)
        except (OSError, ValueError, httpx.HTTPError) as error:
            self._failed(feed, error)
            return
        if feed.state not in {"fresh", "waiting"}:
            log.info("intensity source %s answers again", feed.name)
        feed.state, feed.failures = "fresh", 0
        if not extra:
            feed.asked, feed.due_s = zones, self._clock_s() + feed.source.every_s
        fresh = {key: sample for key, sample in newest(told).items() if feed.told.get(key) != sample}
        feed.told.update(fresh)
        wanted = self._wanted()
        feed.told = {key: sample for key, sample in feed.told.items() if key[0] in wanted}
        if fresh:
            await self._keep(feed.name, list(fresh.values()))

    def _failed(self, feed: _Feed, error: Exception) -> None:
        kind = _kind(error)
        feed.failures += 1
        asked_s = error.retry_after_s if isinstance(error, OutOfReachError) else None
        pause_s = max(BACKOFF.pause_s(feed.failures), min(asked_s or 0.0, 86400.0))
        feed.due_s = self._clock_s() + pause_s
        if feed.state != kind:
            log.warning("intensity source %s: %s; again in %.0f s", feed.name, _told(error), pause_s)
        feed.state = kind


def _kind(error: Exception) -> str:
    if isinstance(error, OutOfReachError):
        return error.kind
    return "timeout" if isinstance(error, TimeoutError | httpx.TimeoutException) else type(error).__name__


def _told(error: Exception) -> str:
    """An error as a log may have it: of others than our own only the kind, for their texts may hold a URL with a secret."""
    return str(error) if isinstance(error, OutOfReachError) else _kind(error)
