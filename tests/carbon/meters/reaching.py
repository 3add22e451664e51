"""What the tests of meters give them of the world."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable

import httpx

from carbon.reach import Reach


def no_secrets(reference: str) -> str:
    raise AssertionError(f"no meter asks for {reference}")


@contextlib.asynccontextmanager
async def reach(clock_s: Callable[[], float] = time.monotonic) -> AsyncIterator[Reach]:
    """A client as the caller of a meter keeps one."""
    async with httpx.AsyncClient(trust_env=False) as client:
        yield Reach(client, no_secrets, clock_s=clock_s)
