"""What a deployment's meter is told of its requests, on their way: appended here, worked on by `workers/metering.py`."""

from __future__ import annotations

from collections import deque

import msgspec

from carbon.batch import Company
from carbon.footprint import Footprint

MOST = 100_000
"""Events that wait for the worker, which looks every second; then the oldest are let go, and what they were of is not measured."""


class Began(msgspec.Struct, frozen=True, gc=False):
    """A request was sent to the deployment."""

    id: str
    at_s: float


class Ended(msgspec.Struct, frozen=True, gc=False):
    """It is over, however it ended. Instants are of `perf_counter`."""

    id: str
    sent_s: float
    first_s: float | None
    last_s: float
    input_tokens: int
    cached_tokens: int | None
    output_tokens: int
    footprint: Footprint | None
    """As it was accounted; None of an attempt that another followed: its joules are nobody's figure."""
    profile: dict[str, float | str | None] | None = None
    """What it was accounted by: a team may have a PUE of its own."""
    batch: float | None = None
    """Requests the deployment had while it ran: one over the mean of 1/batch."""


class Feed:
    """Of one metered deployment. `deque.append` holds no lock that a request would wait for."""

    __slots__ = ("company", "events")

    def __init__(self) -> None:
        self.company = Company()
        self.events: deque[Began | Ended] = deque(maxlen=MOST)
