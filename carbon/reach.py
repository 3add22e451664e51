"""What a source or a meter may use of the world, and how it reads a page. Whoever asks it passes this in, so that tests bring their own
clock and secrets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy

import httpx


class Reach:
    """For one source or meter; kept from one asking to the next."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        secret: Callable[[str], str] | None = None,
        now_s: Callable[[], float] = time.time,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.http = http
        """Follows no redirects, keeps no cookies, has a deadline for everything."""
        self.secret = secret or _none
        """What `env:NAME` or `file:PATH` stands for. Raises ValueError. Never to be shown, nor kept in a setting."""
        self.now_s = now_s
        """Unix time."""
        self.clock_s = clock_s
        """Seconds that never go back."""
        self.kept: dict[str, tuple[str, float]] = {}
        """What a source must remember, such as a token and the Unix time it ends. Its settings never change."""
        self.not_before_s = -math.inf
        """By `clock_s`, as a provider asked by Retry-After: until then it is left alone, whatever else it told."""


def client() -> httpx.AsyncClient:
    """What all sources, or all meters, share: no redirects, no cookies, a deadline for everything.

    Reading the certificates takes a tenth of a second: made in a thread where an event loop runs.
    """
    made = httpx.AsyncClient(timeout=10.0, follow_redirects=False)
    made.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return made


async def read_body(
    http: httpx.AsyncClient, request: httpx.Request, most_bytes: int, said: str, wanted: Callable[[httpx.Response], bool]
) -> bytes | None:
    """The body of an answer that is `wanted`, else None. `wanted` sees its status and headers, and raises for what is a failure.

    Asked plain, so that the bytes counted are the bytes held: what is inflated could not be bounded before it is in memory. No redirect is
    followed. `said`: who answers, for messages. Raises UnreadableError, and httpx's own; the deadline is the caller's.
    """
    request.headers["accept-encoding"] = "identity"
    answer = await http.send(request, stream=True, follow_redirects=False)
    try:
        if not wanted(answer):
            return None
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise UnreadableError(f"{said} answers compressed though asked for plain text")
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > most_bytes:
                raise UnreadableError(f"{said} answers more than {most_bytes} bytes", "too_large")
        return bytes(body)
    finally:
        await answer.aclose()


def _none(reference: str) -> str:
    raise ValueError(f"{reference.partition(':')[0]}: no secret can be looked up here")


class OutOfReachError(OSError):
    """A source or meter gave no usable answer. The text is for logs: it names neither secrets nor whole answers."""

    def __init__(self, kind: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        """`connect`, `timeout`, `status`, `forbidden`, `limited`, `garbled`, `too_large`, `secret`; a meter's also
        `unsupported`, `driver`, `files`, `estimate`."""
        self.retry_after_s = retry_after_s
        """As the provider asks for."""


class UnreadableError(OutOfReachError):
    """It answers, and not in the form that is documented."""

    def __init__(self, detail: str, kind: str = "garbled") -> None:
        super().__init__(kind, detail)
