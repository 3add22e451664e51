"""What the client's side of the wire asks of whoever answers the inference routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.config import Limits
from proxy.errors import Refusal
from proxy.exchange import Exchange


class Gateway(Protocol):
    """Whoever answers the inference routes: the data plane."""

    limits: Limits
    inflight: int
    """Requests under way."""

    def route(self, method: bytes, path: bytes) -> Any:
        """What serves this path, or None: then it is Litestar's. Never raises."""
        ...

    def admit(self, exchange: Exchange, operation: Any) -> None:
        """Called when the headers are complete and before any of the body is read. Raises Refusal.

        `operation` is None where it is Litestar's and has a body: then the key alone counts.
        """
        ...

    def memo(self, notes: Any, fields: Mapping[bytes, bytes]) -> Any:
        """The notes of an exchange that was let in, to be kept: of its headers they hold these fields, which lack the key."""
        ...

    def admit_again(self, exchange: Exchange, notes: Any) -> bool:
        """The same for a request with the head of one that was let in with these notes. False: not so, it must be parsed."""
        ...

    def serve(self, exchange: Exchange) -> None:
        """Called when the body is complete. Starts whatever answers; must not block, must not raise."""
        ...

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Answers with the refusal in the client's dialect, with the headers of every response."""
        ...

    def adorn(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        """Headers for an answer that Litestar gives."""
        ...

    def canonical(self, path: bytes) -> bytes:
        """The path without doubled or trailing slashes, with `/v1` where the API has it."""
        ...
