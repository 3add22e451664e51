"""A deployment at run time: its upstream, breaker, load and observed latency, and the metrics bound to its names."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from time import perf_counter

from carbon.runtime import Pace
from proxy.config import Config, Deployment
from proxy.dataplane.breaker import Breaker
from proxy.metered import Feed
from proxy.snapshot import Served, Snapshot
from proxy.telemetry.metrics import Metrics
from proxy.upstream._base import Upstream

OBSERVED = 31
"""First-token times kept a deployment; their median is what `fastest` compares."""
OBSERVED_S = 300.0
"""How long they tell anything: what is slow is not asked, and would never be seen to be quick again."""


class Peer:
    """What the data plane keeps of one deployment. Survives a reload that leaves its settings as they are."""

    __slots__ = (
        "_recent",
        "_stale",
        "_ttft_s",
        "breaker",
        "duration",
        "first_token",
        "inflight",
        "labels",
        "meter",
        "most",
        "name",
        "observed_at_s",
        "overhead",
        "pace",
        "served",
        "tally",
        "unit",
        "upstream",
        "usage_missing",
    )

    def __init__(self, served: Served, upstream: Upstream, breaker: Breaker, metrics: Metrics) -> None:
        self.served = served
        self.name = served.name
        self.upstream = upstream
        self.breaker = breaker
        self.inflight = 0
        concurrency = served.settings.concurrency
        self.most: float = math.inf if concurrency is None else concurrency
        self.unit: float = concurrency or served.settings.weight
        self._ttft_s: float | None = None
        self.observed_at_s = 0.0
        self._stale = False
        self.usage_missing = not served.settings.quirks.reports_usage
        """Its last stream reported no usage: text is kept to be counted."""
        self._recent: deque[float] = deque(maxlen=OBSERVED)
        self.pace = Pace()
        self.meter: Feed | None = None
        """Where the deployment's energy is measured: it is told when requests begin and end."""
        self.labels = (served.model, served.name)
        self.tally = metrics.tally(self.labels)
        self.duration = metrics.histogram("greenlane_request_duration_seconds", self.labels)
        self.first_token = metrics.histogram("greenlane_time_to_first_token_seconds", self.labels)
        self.overhead = metrics.histogram("greenlane_overhead_seconds", self.labels)

    def __repr__(self) -> str:
        return f"<Peer {self.name}: {self.inflight} in flight, {self.breaker!r}>"

    def observe_ttft(self, seconds_s: float) -> None:
        self.observed_at_s = perf_counter()
        self._recent.append(seconds_s)
        self._stale = True

    @property
    def ttft_s(self) -> float | None:
        """The median of the last first-token times; None where there are none, or none of late."""
        if self._recent and perf_counter() - self.observed_at_s >= OBSERVED_S:
            self._recent.clear()
            self._ttft_s, self._stale = None, False
        if self._stale:
            ordered = sorted(self._recent)
            self._ttft_s = ordered[len(ordered) // 2]
            self._stale = False
        return self._ttft_s

    @property
    def full(self) -> bool:
        return self.inflight >= self.most

    @property
    def load(self) -> float:
        return self.inflight / self.unit

    @property
    def troubled(self) -> bool:
        """Down or full: a decision must look at it."""
        return self.inflight >= self.most or not self.breaker.closed


def peers(
    snapshot: Snapshot, before: Mapping[str, Peer], metrics: Metrics, connect: Callable[[Deployment, Config], Upstream]
) -> dict[str, Peer]:
    """A peer for every deployment of the snapshot; one whose settings did not change keeps its connections and its history."""
    found = {}
    for name, served in snapshot.served.items():
        old = before.get(name)
        if old is not None and old.served.settings == served.settings and old.served.headers == served.headers:
            old.served = served
            found[name] = old
        else:
            settings = snapshot.config.breaker
            found[name] = Peer(served, connect(served.settings, snapshot.config), Breaker(settings.failures, settings.open_s), metrics)
    return found
