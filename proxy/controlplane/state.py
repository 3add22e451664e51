"""What the control plane may see of the running proxy."""

from __future__ import annotations

from typing import Protocol

from proxy.snapshot import Snapshot
from proxy.store.ledger import Ledger
from proxy.telemetry.metrics import Metrics


class Plane(Protocol):
    """The running proxy, as the control plane asks it."""

    @property
    def metrics(self) -> Metrics: ...
    @property
    def ledger(self) -> Ledger: ...
    def snapshot(self) -> Snapshot: ...
    def ready(self) -> str | None:
        """Why the proxy should get no traffic now; None when it is ready."""
        ...

    def up(self, deployment: str) -> bool:
        """Whether a deployment's breaker is closed."""
        ...

    async def written(self) -> bool:
        """True when every entry kept so far is in the store; False when that took longer than a second."""
        ...
