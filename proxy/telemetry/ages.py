"""How old a figure is. The clock is passed in."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache


def age_s(as_of: str, now_s: float) -> int:
    """Whole seconds from an RFC 3339 instant to `now_s` (Unix time)."""
    return max(0, int(now_s - instant_s(as_of)))


@lru_cache(maxsize=4096)
def instant_s(as_of: str) -> float:
    """Unix time of an RFC 3339 instant."""
    return datetime.fromisoformat(as_of).timestamp()
