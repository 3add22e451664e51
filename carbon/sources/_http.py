"""Asking a provider for JSON: under a deadline, with a bound on the answer, no redirects, and nothing of it in an error but its status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, TypeVar

import httpx
import msgspec

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError, Reach, read_body

DEADLINE_S = 10.0
"""For one call, from the connection to the last byte."""
MOST_BYTES = 1024 * 1024
"""A longer answer is not read. Three days of five-minute figures are some 100 KB."""
AT_ONCE = 4
"""Calls to one provider at the same time."""
UNKNOWN_S = 6 * 3600.0
"""How long a place that a provider does not know is not asked for again."""
LONGEST_WAIT_S = 86400.0

K = TypeVar("K", bound=Hashable)

BaseUrl = Annotated[
    str, msgspec.Meta(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$", description="An http or https URL without credentials and query")
]
SecretRef = Annotated[str, msgspec.Meta(pattern=r"^(env|file):.+", description="env:NAME or file:PATH")]
Seconds = Annotated[float, msgspec.Meta(ge=30, le=86400)]

KINDS = {401: "forbidden", 403: "forbidden", 407: "forbidden", 429: "limited"}
FOR_ALL = frozenset({"connect", "timeout", "limited", "secret"})
"""Failures that the next call would meet too."""


class RefusedError(OutOfReachError):
    """An answer that is no success."""

    def __init__(self, status: int, provider: str, retry_after_s: float | None = None) -> None:
        super().__init__(KINDS.get(status, "status"), f"{provider} answers {status}", retry_after_s)
        self.status = status


async def get_json(
    reach: Reach, provider: str, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Any:
    """The decoded body of a 200; None of a 204. Raises OutOfReachError, of which RefusedError for other statuses."""
    sent = {"accept": "application/json", **(headers or {})}
    try:
        async with asyncio.timeout(DEADLINE_S):
            request = reach.http.build_request("GET", url, params=params, headers=sent)
            body = await read_body(reach.http, request, MOST_BYTES, provider, _wanted(reach, provider))
    except (TimeoutError, httpx.TimeoutException) as error:
        raise OutOfReachError("timeout", f"{provider} does not answer in time") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OutOfReachError("connect", f"{provider} cannot be reached ({type(error).__name__})") from error
    if body is None:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise OutOfReachError("garbled", f"{provider} answers something else than JSON") from None


def _wanted(reach: Reach, provider: str) -> Callable[[httpx.Response], bool]:
    def wanted(answer: httpx.Response) -> bool:
        if answer.status_code not in (200, 204):
            wait_s = _retry_after_s(answer, reach.now_s())
            if wait_s is not None:
                reach.not_before_s = max(reach.not_before_s, reach.clock_s() + wait_s)
            raise RefusedError(answer.status_code, provider, wait_s)
        return answer.status_code == 200

    return wanted


def _retry_after_s(answer: httpx.Response, now_s: float) -> float | None:
    """Seconds, or a date (RFC 9110 section 10.2.3); None where it is neither."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isdecimal() and said.isascii():
        return min(float(said), LONGEST_WAIT_S)
    try:
        return min(max(parsedate_to_datetime(said).timestamp() - now_s, 0.0), LONGEST_WAIT_S)
    except (ValueError, OverflowError):
        return None


def secret(reach: Reach, reference: str) -> str:
    """What it stands for, fit for a header. Raises OutOfReachError."""
    try:
        value = reach.secret(reference).strip()
    except ValueError:
        raise OutOfReachError("secret", f"{reference} cannot be read") from None
    if not value or not value.isascii() or not value.isprintable():
        raise OutOfReachError("secret", f"{reference} holds nothing that can stand in a header")
    return value


async def of_each(keys: Iterable[K], ask: Callable[[K], Awaitable[tuple[Intensity, ...]]]) -> tuple[Intensity, ...]:
    """What `ask` tells of each key, together; where it fails, the key is left out.

    A failure that the others would meet too ends the asking. Raises OutOfReachError where nothing was told and something failed.
    """
    told: list[Intensity] = []
    failures: list[OutOfReachError] = []
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(key: K) -> None:
        async with gate:
            if any(failure.kind in FOR_ALL for failure in failures):
                return
            try:
                told.extend(await ask(key))
            except OutOfReachError as failure:
                failures.append(failure)

    async with asyncio.TaskGroup() as tasks:
        for key in keys:
            tasks.create_task(one(key))
    if failures and not told:
        raise next((failure for failure in failures if failure.kind in FOR_ALL), failures[0])
    return tuple(told)


def unknown(reach: Reach, place: str) -> None:
    """The provider does not know it."""
    reach.kept[f"unknown {place}"] = ("", reach.now_s() + UNKNOWN_S)


def is_unknown(reach: Reach, place: str) -> bool:
    """Whether the provider has said so lately."""
    return reach.now_s() < reach.kept.get(f"unknown {place}", ("", 0.0))[1]
