"""A breaker per deployment: after some failures in a row it is left alone for a while, then one probe decides. Pure: time is passed in."""

from __future__ import annotations


class Breaker:
    """closed → (failures in a row) → open → (open_s later, one probe) → closed or open again."""

    __slots__ = ("_failures", "_limit", "_open_s", "_opened_at_s", "_probing_since_s", "calm")

    def __init__(self, failures: int, open_s: float) -> None:
        self._limit = failures
        self._open_s = open_s
        self._failures = 0
        self._opened_at_s: float | None = None
        self._probing_since_s: float | None = None
        self.calm = True
        """Closed, and the last request did not fail: `allows`, `begin` and `succeeded` would tell and change nothing."""

    def __repr__(self) -> str:
        state = "closed" if self._opened_at_s is None else "probing" if self._probing_since_s is not None else "open"
        return f"<Breaker {state}, {self._failures} failures in a row>"

    @property
    def closed(self) -> bool:
        return self._opened_at_s is None

    def allows(self, now_s: float) -> bool:
        """Whether a request may be sent now. Does not claim the probe: see `begin`."""
        if self._opened_at_s is None:
            return True
        if now_s - self._opened_at_s < self._open_s:
            return False
        return self._probing_since_s is None or now_s - self._probing_since_s > self._open_s

    def begin(self, now_s: float) -> None:
        """A request is being sent; when open, it is the probe."""
        if self._opened_at_s is not None:
            self._probing_since_s = now_s

    def succeeded(self) -> None:
        self._failures = 0
        self._opened_at_s = self._probing_since_s = None
        self.calm = True

    def failed(self, now_s: float) -> None:
        self.calm = False
        self._failures += 1
        self._probing_since_s = None
        if self._failures >= self._limit or self._opened_at_s is not None:
            self._opened_at_s = now_s

    def answers(self) -> None:
        """The probe has begun to answer: others may be sent as well, until something fails again."""
        if self._opened_at_s is not None:
            self._opened_at_s = self._probing_since_s = None
            self._failures = self._limit - 1

    def passed(self) -> None:
        """The request told nothing of the deployment's health; if it was the probe, another may be."""
        self._probing_since_s = None

    def absolved(self) -> None:
        """The last failure was not the deployment's: it counts no more."""
        self._failures = max(0, self._failures - 1)
        if self._failures < self._limit:
            self._opened_at_s = None

    def retry_after_s(self, now_s: float) -> float:
        """Seconds until a probe may be sent; 0 when closed."""
        return 0.0 if self._opened_at_s is None else max(0.0, self._open_s - (now_s - self._opened_at_s))
