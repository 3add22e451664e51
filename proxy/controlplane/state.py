"""What the control plane may see of the running proxy."""

from __future__ import annotations

from typing import Protocol

from carbon.intensity import Intensity, Table
from proxy.exchange import Exchange
from proxy.snapshot import Snapshot
from proxy.store.estimates import EstimateStore
from proxy.store.intensities import IntensityStore
from proxy.store.ledger import Ledger
from proxy.store.metered_days import MeteredDays
from proxy.telemetry.metrics import Metrics


class Status(Protocol):
    """How one source or meter is doing: a Struct that becomes JSON as it is."""


class Grids(Protocol):
    """What is known of grids; see `workers/intensity.py`."""

    def table(self) -> Table: ...
    def told(self, zone: str) -> list[tuple[str, Intensity]]: ...
    def status(self) -> tuple[Status, ...]: ...
    async def look_up(self, zone: str) -> None: ...
    async def ahead(self, zone: str, hours: float) -> tuple[Intensity, ...]: ...


class Metering(Protocol):
    """What is known of meters; see `workers/metering.py`."""

    def status(self) -> tuple[Status, ...]: ...


class Reply(Protocol):
    """A whole answer to a request of the proxy's own: a Struct."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Plane(Protocol):
    """The running proxy, as the control plane asks it."""

    @property
    def metrics(self) -> Metrics: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def grids(self) -> Grids: ...
    @property
    def intensities(self) -> IntensityStore: ...
    @property
    def metering(self) -> Metering: ...
    @property
    def days(self) -> MeteredDays: ...
    @property
    def estimates(self) -> EstimateStore: ...
    def snapshot(self) -> Snapshot: ...
    def tokens(self, text: bytes) -> int:
        """So many tokens a text has, as they are counted where nobody reports them."""
        ...

    def inflated(self, body: bytes, coding: str) -> bytes:
        """A request's body without its content coding. Raises Refusal."""
        ...

    async def chat(self, outer: Exchange, body: bytes) -> Reply | None:
        """The answer to a chat completion with that exchange's headers, by the ordinary journey; None where it broke off."""
        ...

    def ready(self) -> str | None:
        """Why the proxy should get no traffic now; None when it is ready."""
        ...

    def up(self, deployment: str) -> bool:
        """Whether a deployment's breaker is closed."""
        ...

    async def written(self) -> bool:
        """True when every entry kept so far is in the store; False when that took longer than a second."""
        ...
