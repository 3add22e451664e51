"""How many requests a replica serves together while one of them runs. Pure; two additions and a division for each that comes or goes.

A request's share of what is spent once for all (weights read, idle power) goes by 1/batch. So what counts of its company is the mean of
1/batch over its time: the difference of a sum that grows by seconds over batch.
"""

from __future__ import annotations


class Company:
    """The requests at one replica, by those who send them; and by the engine itself where it tells."""

    __slots__ = ("_at_s", "_beside", "_seen", "_shares_s", "running")

    def __init__(self) -> None:
        self.running = 0
        """Of ours."""
        self._beside = self._seen = 0
        self._at_s: float | None = None
        self._shares_s = 0.0

    def changed(self, now_s: float, running: int) -> float:
        """So many of ours are there from now on. The sum until now."""
        if self._at_s is not None and now_s > self._at_s:
            self._shares_s += (now_s - self._at_s) / max(1, self.running + self._beside)
        self._at_s, self.running = now_s, running
        return self._shares_s

    def told(self, running: float | None, waiting: float | None) -> None:
        """What the engine says: others may be served beside ours, and some of ours may wait. None: it does not say.

        It was asked a moment ago, so what it says once of others may be ours that come or go: they count from the second time on.
        """
        others = 0 if running is None else round(running) - self.running
        if others > 0:
            self._beside, self._seen = min(others, max(0, self._seen)), others
        else:
            self._beside, self._seen = (others if waiting else 0), 0

    def mean(self, from_s: float, shares_s: float, now_s: float) -> float | None:
        """One over the mean of 1/batch since `changed` answered `shares_s`; None where no time has passed."""
        since_s = self._shares_s - shares_s
        return (now_s - from_s) / since_s if since_s > 0 and now_s > from_s else None
