"""Request heads met before: one that differs from an admitted head in its Content-Length alone is not parsed again.

A client sends the same head with every request of a connection. Parsing it, line by line, and checking its key cost 11 µs; looking it
up costs 2, and comparing it with the connection's last one 0.5. What is kept was read by the parser and let in by every check of the
framing, byte for byte as it is compared here.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from proxy.access import KEY_HEADERS
from proxy.errors import Refusal
from proxy.framed import BYTES, LENGTH, Framed, is_plain

KEPT = 1024
"""Heads kept. Of a head only a digest is: it holds a key."""
HELD_S = 5.0
"""A connection forgets its last head after so much silence: the key in it stays no longer than there is use for it."""
_OWN = frozenset({b"x-request-id", b"traceparent", b"expect"})
"""Lines that are a request's own: a head with one of them will not come again."""
_ONCE = frozenset((b"content-length", b"transfer-encoding", b"host", b"content-type", b"x-greenlane-regions", *KEY_HEADERS))
"""Headers of which two lines would leave open which one counts; of regions, the one list of both would be the wider."""
_OFFER = frozenset({b"upgrade", b"http2-settings"})
"""Headers, and the words of `Connection` that name them."""
_UNKEPT = frozenset({*KEY_HEADERS, b"content-length"})


class Head(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What an exchange takes over from a head."""

    method: bytes
    version: bytes
    path: bytes
    query: bytes
    fields: Mapping[bytes, bytes]
    """Without the key, and without the length, which is another each time."""
    state: Any
    notes: Any


def together(lines: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Lines of one name as the one list they are (RFC 9110, 5.3). Refuses a second line of what may stand only once."""
    fields: dict[bytes, bytes] = {}
    for name, value in lines:
        if name in fields and name in _ONCE:
            raise Refusal(400, None, f"The header {name.decode()} is given more than once.")
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def kept_fields(fields: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The fields without the key, and without the length."""
    return {name: value for name, value in fields.items() if name not in _UNKEPT}


def declined(request_line: bytes, lines: list[tuple[bytes, bytes]]) -> bytes:
    """A head without its offer of another protocol (RFC 9110, 7.8); what else the client said of the connection stays."""
    words = [word.strip() for name, value in lines if name == b"connection" for word in value.split(b",")]
    left = b", ".join(word for word in words if word.lower() not in _OFFER)
    kept = [name + b": " + value for name, value in lines if name != b"connection" and name not in _OFFER]
    return b"\r\n".join([request_line, *kept, b"connection: " + left, b"", b""])


class Last(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A connection's last head. Its bytes hold the key, and go after a few seconds of silence, or with the connection."""

    framed: Framed
    head: Head

    def __repr__(self) -> str:
        return f"<Last {self.head.path!r}>"


class Cut(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A read that holds one whole request: its head's digest, where its body begins, how long the head says it is."""

    digest: bytes
    length: tuple[int, int]
    """Where the digits of the length are."""
    body_at: int
    body_bytes: int
    data: bytes

    def __repr__(self) -> str:
        return f"<Cut of {len(self.data)} bytes>"


def cut(data: bytes) -> Cut | None:
    """A read taken apart, if it holds one request with a Content-Length and nothing more."""
    end = data.find(b"\r\n\r\n", 0, BYTES)
    if end < 0:
        return None
    found = LENGTH.search(data, 0, end + 2)
    if found is None:
        return None
    start, stop = found.span(1)
    size = int(data[start:stop])
    if len(data) != end + 4 + size:
        return None
    return Cut(blake2b(data[:start] + data[stop:end], digest_size=16).digest(), (start, stop), end + 4, size, data)


def plain(found: Cut, fields: Mapping[bytes, bytes], lines: int) -> bool:
    """Whether the parser, which read these fields in so many lines, and `cut` understood the head alike.

    One header a line, no line folded or ended by LF alone, one length, which the parser read as well.
    """
    return (
        is_plain(found.data[: found.body_at - 4], lines)
        and lines == len(fields)
        and int(fields.get(b"content-length", b"-1")) == found.body_bytes
        and b"transfer-encoding" not in fields
        and not _OWN.intersection(fields)
    )


class Heads:
    """The heads kept, by digest. One a process."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[bytes, Head] = {}

    def last(self, found: Cut | None, most_bytes: int) -> Last | None:
        """The head of a read, if it is known, as its connection keeps it; None also for a body larger than may be."""
        head = None if found is None else self._kept.get(found.digest)
        if found is None or head is None or found.body_bytes > most_bytes:
            return None
        start, stop = found.length
        return Last(Framed(found.data[:start], found.data[stop : found.body_at]), head)

    def forget(self) -> None:
        """What was let in under another configuration would hold on to it."""
        self._kept.clear()

    def keep(self, digest: bytes, head: Head) -> None:
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[digest] = head
