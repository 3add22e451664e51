"""Answer heads met before: an engine says the same in each but for the length and, once a second, the date. 3 µs an answer."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.framed import BYTES, LENGTH, Framed, is_plain

HeaderLines = list[tuple[bytes, bytes]]


class Shared:
    """What the answers of one head have in common for whoever reads it: nothing but the length differs, which is nobody's business."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told: Any = None
        """What was made of the lines."""


class Lines(HeaderLines):
    """The header lines of an answer whose head was met before."""

    __slots__ = ("shared",)
    shared: Shared


class Met(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The head of a whole answer, as the parser read it."""

    framed: Framed
    headers: HeaderLines
    length_at: int
    """Which of the headers is the length."""
    shared: Shared

    def __repr__(self) -> str:
        return f"<Met {len(self.headers)} headers>"

    def headers_of(self, body: bytes) -> Lines:
        headers = Lines(self.headers)
        headers[self.length_at] = (b"content-length", b"%d" % len(body))
        headers.shared = self.shared
        return headers


def met(data: bytes, headers: HeaderLines) -> Met | None:
    """What a read that held one whole answer is known again by; None where it was framed in another way, or could be read in another."""
    end = data.find(b"\r\n\r\n", 0, BYTES)
    found = LENGTH.search(data, 0, end + 2) if end > 0 else None
    names = [name for name, _ in headers]
    if found is None or names.count(b"content-length") != 1 or b"transfer-encoding" in names:
        return None
    start, stop = found.span(1)
    if not is_plain(data[:end], len(headers)) or len(data) != end + 4 + int(data[start:stop]):
        return None
    return Met(Framed(data[:start], data[stop : end + 4]), headers, names.index(b"content-length"), Shared())
