"""Anthropic's rate-limit headers as OpenAI's clients know them.

References: https://platform.claude.com/docs/en/api/rate-limits#response-headers,
https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
"""

from __future__ import annotations

import math
from collections.abc import Callable

from adapters._base import Headers

_PREFIX = b"anthropic-ratelimit-"
_MEMBERS = (b"limit", b"remaining", b"reset")
_DIGITS = 16


def limits_of(headers: list[tuple[bytes, bytes]], until_s: Callable[[str], float]) -> Headers:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as far as they are told.

    `tokens` is what Anthropic calls the most restrictive limit in force; where it is not told, the scarcer of input and output is.
    """
    told = {name.removeprefix(_PREFIX): value for name, value in headers if name.startswith(_PREFIX)}
    tokens = b"tokens" if b"tokens-remaining" in told else min((b"input-tokens", b"output-tokens"), key=lambda kind: _left(told, kind))
    found: list[tuple[bytes, bytes]] = []
    for kind, theirs in ((b"requests", b"requests"), (b"tokens", tokens)):
        for member in _MEMBERS:
            value = told.get(theirs + b"-" + member)
            value = _duration(value, until_s) if value is not None and member == b"reset" else value
            if value is not None:
                found.append((b"x-ratelimit-%b-%b" % (member, kind), value))
    return tuple(found)


def _left(told: dict[bytes, bytes], kind: bytes) -> float:
    """What part of a limit is left; infinite where it is not told."""
    remaining, limit = (told.get(kind + member, b"") for member in (b"-remaining", b"-limit"))
    if not (remaining.isdigit() and limit.isdigit() and max(len(remaining), len(limit)) < _DIGITS):
        return math.inf
    return int(remaining) / max(1, int(limit))


def _duration(instant: bytes, until_s: Callable[[str], float]) -> bytes | None:
    """The time until an instant, in whole seconds as OpenAI writes them (`1h2m3s`, `6m0s`, `0s`)."""
    try:
        left_s = until_s(instant.decode("ascii"))
    except (ValueError, OverflowError):
        return None
    minutes, seconds = divmod(max(0, math.ceil(left_s)), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "").encode() + (f"{minutes}m" if hours or minutes else "").encode() + b"%ds" % seconds
