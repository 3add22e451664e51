"""What the header lines of an upstream's answer say to the client, and to the entry. Never with our key, which some quote."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from proxy.upstream.answers import Lines

PASSED_ON = frozenset(
    {
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"openai-processing-ms",
        b"openai-version",
        b"openai-model",
        b"content-disposition",
        b"content-language",
    }
)
"""What an upstream says to the client through us, beside its rate-limit headers."""
PASSED_ON_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
_IDS = frozenset({b"x-request-id", b"request-id"})


class Theirs(NamedTuple):
    """What one head says."""

    passed_on: bytes
    """The lines that are the client's business."""
    content_type: bytes
    """As a header line."""
    upstream_id: str | None
    """The request's, for the upstream's support."""


SILENT = Theirs(b"", b"", None)


def theirs(headers: Sequence[tuple[bytes, bytes]], secret: str | None) -> Theirs:
    """Read once of a head that comes again with other answers. `secret`: our key at this upstream, always the same one."""
    if headers.__class__ is not Lines:
        return _read(headers, secret)
    shared = headers.shared
    told: Theirs | None = shared.told
    if told is None:
        told = shared.told = _read(headers, secret)
    return told


def hidden(told: bytes, secret: str | None) -> bytes:
    """What an upstream told in a header, without our key."""
    return told.replace(secret.encode(), b"***") if secret else told


def _read(headers: Sequence[tuple[bytes, bytes]], secret: str | None) -> Theirs:
    kind = next((value for name, value in headers if name == b"content-type"), b"application/octet-stream")
    found = next((value for name, value in headers if name in _IDS), None)
    return Theirs(
        hidden(b"".join([b"%b: %b\r\n" % header for header in headers if _passes(header[0])]), secret),
        b"content-type: " + hidden(kind, secret) + b"\r\n",
        None if found is None else hidden(found, secret)[:128].decode("ascii", "replace"),
    )


@lru_cache(maxsize=256)
def _passes(name: bytes) -> bool:
    return name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
