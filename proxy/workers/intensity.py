"""The chain of intensity sources, asked beside the requests: what each told last, and the table that follows from it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import httpx
import msgspec

from carbon.intensity import Intensity, Signal, Table
from carbon.reach import OutOfReachError, Reach, client
from carbon.sources._base import IntensitySource, Told, chained, newest
from carbon.sources._http import FOR_ALL
from carbon.sources.static import Static
from proxy.config import CarbonSettings
from proxy.configuration.registries import source_of
from proxy.workers.forecasts import Forecasts
from proxy.workers.supervisor import Backoff

log = logging.getLogger("greenlane.intensity")

ASKING_S = 30.0
"""A source that has not told everything by then is out of reach."""
LOOK_UP_S = 10.0
"""The same while somebody waits."""
LOOK_S = 60.0
"""How often the table is made anew though nobody told anything: figures grow old."""
BACKOFF = Backoff(first_s=5.0, most_s=900.0)
ZONES = 256
"""Zones beyond those of deployments that somebody asked about and that are kept up to date."""
CURIOUS_S = 3600.0
"""For so long after the last question."""

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


class Feed:
    """One source of the chain, with what it told last."""

    def __init__(self, name: str, source: IntensitySource, clock_s: Callable[[], float]) -> None:
        self.name, self.source, self._clock_s = name, source, clock_s
        self.live = not isinstance(source, Static)
        """Otherwise it never changes, and is not asked."""
        self.reach: Reach | None = None
        """Made when it is first asked."""
        self.told: dict[tuple[str, Signal], Intensity] = {}
        self.asked: frozenset[str] = frozenset()
        self.due_s = -math.inf
        self.failures = 0
        self.state = "waiting"
        self.logged: set[str] = set()
        """Kinds of failure that the log knows of since it last answered."""
        self.busy = False
        """It is being asked."""
        self.unkept: dict[tuple[str, Signal], Intensity] = {}
        self.keeping = False
        """What it told is on its way to the store."""

    @property
    def wanting(self) -> bool:
        """Whether it may be asked something out of turn: it answered last time, and did not ask to be left alone."""
        return self.live and self.failures == 0 and (self.reach is None or self._clock_s() >= self.reach.not_before_s)


class Chain(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The feeds of one configuration, best first."""

    settings: CarbonSettings
    zones: frozenset[str]
    """Those of its deployments."""
    feeds: tuple[Feed, ...]


class Errand(msgspec.Struct, frozen=True, eq=False):
    """A feed to be asked about zones: all of its own when their time has come, or some out of turn."""

    feed: Feed
    zones: frozenset[str]
    in_turn: bool


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
        self._http: asyncio.Task[httpx.AsyncClient] | None = None
        """Made when a source first needs it, in a thread: reading the authorities' certificates takes 0.1 s."""
        self.chain = Chain(settings=CarbonSettings(sources=()), zones=frozenset(), feeds=())
        self._curious: dict[str, float] = {}
        """Zones of no deployment, the one longest not asked about first, and until when they are kept up to date."""
        self._woken = asyncio.Event()
        self._new: set[str] = set()
        """Live sources that came into force since `newcomers` was last answered, by name."""
        self._arrived = asyncio.Event()
        self._forecasts = Forecasts(now_s, clock_s)

    def prepared(self, settings: CarbonSettings, zones: frozenset[str]) -> Chain:
        """The chain of a configuration. A source whose settings stay keeps what it told. Nothing changes until `adopt`."""
        held = {settings_of(feed.source): feed for feed in self.chain.feeds}
        feeds: list[Feed] = []
        names: dict[str, int] = {}
        for written in settings.sources:
            name, source = source_of(written)
            if isinstance(written, str) and isinstance(source, Static):
                source = Static(basis=settings.basis)
            names[name] = names.get(name, 0) + 1
            label = name if names[name] == 1 else f"{name}-{names[name]}"
            feed = held.pop(settings_of(source), None)
            if feed is None or feed.name != label:
                feed = self._feed(label, source)
            feeds.append(feed)
        return Chain(settings=settings, zones=zones, feeds=tuple(feeds))

    def adopt(self, chain: Chain) -> None:
        """From now on this is the chain."""
        self._new |= {feed.name for feed in chain.feeds if feed.live} - {feed.name for feed in self.chain.feeds}
        if self._new:
            self._arrived.set()
        self.chain = chain
        self._forecasts.clear()
        self._woken.set()

    def configure(self, settings: CarbonSettings, zones: frozenset[str]) -> Table:
        """The chain of a new configuration, in force. Returns the table as it is now."""
        self.adopt(self.prepared(settings, zones))
        return self.table()

    async def newcomers(self) -> frozenset[str]:
        """The names of live sources that the chain before did not have, once there are some: each is told once, to one who asks."""
        await self._arrived.wait()
        self._arrived.clear()
        names, self._new = frozenset(self._new), set()
        return names

    def recall(self, samples: Iterable[tuple[str, Intensity]]) -> None:
        """Takes in what was read before a restart or a reload: of each source's name, where it has told nothing yet."""
        for name, sample in samples:
            for feed in self.chain.feeds:
                if feed.name == name and feed.live:
                    feed.told.setdefault((sample.zone, sample.signal), sample)
        self._woken.set()

    def table(self, chain: Chain | None = None) -> Table:
        """What counts for each zone at this moment: in the chain in force, or in one that is prepared."""
        chain = chain or self.chain
        told = [Told(feed.source.every_s, tuple(feed.told.values())) for feed in chain.feeds]
        return chained(told, chain.settings.basis, self._now_s(), chain.settings.max_age_s)

    def told(self, zone: str) -> list[tuple[str, Intensity]]:
        """What each source of the chain has told last of a zone, as it told it."""
        return [(feed.name, sample) for feed in self.chain.feeds for (of, _), sample in feed.told.items() if of == zone]

    def status(self) -> tuple[SourceStatus, ...]:
        return tuple(
            SourceStatus(name=feed.name, state=feed.state, failures=feed.failures, zones=len({zone for zone, _ in feed.told}))
            for feed in self.chain.feeds
        )

    async def run(self) -> None:
        """Asks every source when its figures change, and sooner for a zone it was not asked about. One that hangs holds up no other."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                for errand in list(self._errands()):
                    errand.feed.busy = True
                    tasks.create_task(self._run(errand))
                self._publish(self.table())
                waits = [feed.due_s - self._clock_s() for feed in self.chain.feeds if not feed.busy] if self._wanted() else []
                try:
                    async with asyncio.timeout(max(0.05, min([LOOK_S, *waits]))):
                        await self._woken.wait()
                except TimeoutError:
                    continue

    async def refresh(self) -> None:
        """Asks every source that is due, once; returns when all have told or failed."""
        await asyncio.gather(*(self._run(errand) for errand in list(self._errands())))

    async def look_up(self, zone: str) -> None:
        """Asks the live sources about a zone that no deployment is in, and keeps it up to date for an hour from the last such question.

        Returns when it is told, or after ten seconds. Sources that are failing are not asked before it is their time.
        """
        if zone in self.chain.zones:
            return
        known = self._curious.pop(zone, None)
        while len(self._curious) >= ZONES:
            del self._curious[next(iter(self._curious))]
        self._curious[zone] = self._clock_s() + CURIOUS_S
        if known is None:
            errands = [Errand(feed, frozenset({zone}), in_turn=False) for feed in self.chain.feeds if feed.wanting]
            for errand in errands:
                errand.feed.asked |= errand.zones
            await asyncio.gather(*(self._ask(errand, LOOK_UP_S) for errand in errands))
            self._woken.set()

    async def ahead(self, zone: str, hours: float) -> tuple[Intensity, ...]:
        """The forecast of the first source that has one, on the chain's basis, averages before marginal rates; empty where none has."""
        live = [feed for feed in self.chain.feeds if feed.live]
        feeds = [(feed.name, feed.source, await self._reach(feed) if feed.wanting else None) for feed in live]
        return await self._forecasts.ahead(zone, hours, feeds, self.chain.settings.basis)

    async def close(self) -> None:
        if self._http is not None and (await asyncio.wait([self._http])) and self._http.exception() is None:
            await self._http.result().aclose()

    def _feed(self, name: str, source: IntensitySource) -> Feed:
        feed = Feed(name, source, self._clock_s)
        if isinstance(source, Static):
            feed.told, feed.due_s, feed.state = newest(source.table().samples.values()), math.inf, "fresh"
        return feed

    async def _reach(self, feed: Feed) -> Reach:
        if self._http is None or (self._http.done() and self._http.exception() is not None):
            self._http = asyncio.create_task(asyncio.to_thread(client))
        http = await asyncio.shield(self._http)
        if feed.reach is None:
            feed.reach = Reach(http, self._secret, self._now_s, self._clock_s)
        return feed.reach

    def _wanted(self) -> frozenset[str]:
        now_s = self._clock_s()
        self._curious = {zone: until_s for zone, until_s in self._curious.items() if until_s > now_s}
        return self.chain.zones | self._curious.keys()

    def _errands(self) -> Iterator[Errand]:
        """Whom to ask of what now. The zones of deployments come first, so that no question of somebody's uses up their share."""
        now_s, wanted = self._clock_s(), self._wanted()
        for feed in self.chain.feeds:
            if not feed.live or feed.busy:
                continue
            if feed.due_s <= now_s and (zones := self.chain.zones or wanted):
                yield Errand(feed, zones, in_turn=True)
            elif feed.wanting and (zones := wanted - feed.asked):
                yield Errand(feed, zones, in_turn=False)

    async def _run(self, errand: Errand) -> None:
        try:
            await self._ask(errand, ASKING_S)
        finally:
            errand.feed.busy = False
            self._woken.set()
        await self._store(errand.feed)

    async def _ask(self, errand: Errand, deadline_s: float) -> None:
        """One asking. What it tells counts at once; a failure is logged where its kind is new."""
        feed = errand.feed
        try:
            async with asyncio.timeout(deadline_s):
                told = await feed.source.latest(errand.zones, await self._reach(feed))
        except Exception as error:  # noqa: BLE001 - whatever a source fails at, the others are asked and the requests served
            self._failed(errand, error)
        else:
            self._took(errand, newest(told))

    def _took(self, errand: Errand, told: dict[tuple[str, Signal], Intensity]) -> None:
        feed, zones, in_turn = errand.feed, errand.zones, errand.in_turn
        if feed.logged:
            log.info("intensity source %s answers again", feed.name)
            feed.logged.clear()
        feed.state, feed.failures = "fresh", 0
        feed.asked = zones if in_turn else feed.asked | zones
        if in_turn:
            feed.due_s = self._clock_s() + feed.source.every_s
        if feed.reach is not None:
            # one of several calls may have been told to wait
            feed.due_s = max(feed.due_s, feed.reach.not_before_s)
        fresh = {key: sample for key, sample in told.items() if feed.told.get(key) != sample}
        wanted = self._wanted()
        feed.told = {key: sample for key, sample in {**feed.told, **fresh}.items() if key[0] in wanted}
        feed.unkept.update(fresh)

    def _failed(self, errand: Errand, error: Exception) -> None:
        """Puts the next asking off, unless the failure says nothing of other zones than those asked out of turn."""
        feed, kind = errand.feed, kind_of(error)
        if not errand.in_turn and kind not in FOR_ALL:
            feed.asked |= errand.zones
            log.info("intensity source %s: %s for %s", feed.name, kind, ", ".join(sorted(errand.zones)))
            return
        feed.failures += 1
        asked_s = error.retry_after_s if isinstance(error, OutOfReachError) else None
        pause_s = max(BACKOFF.pause_s(feed.failures), min(asked_s or 0.0, 86400.0))
        feed.due_s = self._clock_s() + pause_s
        if kind not in feed.logged:
            feed.logged.add(kind)
            # of others than our own errors only the kind: their texts may hold a URL with a secret
            told = str(error) if isinstance(error, OutOfReachError) else kind
            log.warning("intensity source %s: %s; again in %.0f s", feed.name, told, pause_s)
        feed.state = kind

    async def _store(self, feed: Feed) -> None:
        """Hands over what is not in the store yet. While one call of a feed waits for the store, later figures wait with it."""
        if feed.keeping:
            return
        feed.keeping = True
        try:
            while feed.unkept:
                samples, feed.unkept = list(feed.unkept.values()), {}
                await self._keep(feed.name, samples)
        except Exception as error:  # noqa: BLE001 - a store's trouble is no source's
            log.warning("intensities of %s were not stored: %s", feed.name, type(error).__name__)
        finally:
            feed.keeping = False


def settings_of(source: IntensitySource) -> tuple[type, bytes]:
    """What makes a source the same in two configurations."""
    return type(source), msgspec.json.encode(source)


def kind_of(error: BaseException) -> str:
    """What a failure is called, in one word."""
    if isinstance(error, OutOfReachError):
        return error.kind
    if isinstance(error, BaseExceptionGroup):
        return kind_of(error.exceptions[0])
    return "timeout" if isinstance(error, TimeoutError | httpx.TimeoutException) else type(error).__name__
