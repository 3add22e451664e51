r"""Server-sent events from arbitrary pieces of a byte stream, and back.

Works on bytes and splits on CR, LF and CRLF only: `str.splitlines` would also cut at U+2028, U+2029 and U+0085 inside JSON
strings. Comments are kept, because energy reports of providers come in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from adapters._base import FaultError, GarbledError

EVENT_BYTES = 1024 * 1024
COMMENT_BYTES = 64 * 1024
_BREAK = re.compile(rb"\r\n\r\n|\n\n|\r\r|\r\n\n|\n\r\n|\r\n\r(?!\n)|\n\r(?!\n)")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One block. `data` is its data lines joined with LF, or None where nothing is in them; `raw` the block with its blank line."""

    name: bytes
    data: bytes | None
    raw: bytes


class Events:
    """Blocks completed by each piece. Raises GarbledError when one grows beyond `event_bytes`."""

    __slots__ = ("_first", "_searched", "comment_bytes", "comments", "event_bytes", "held", "numbered")

    def __init__(self, event_bytes: int = EVENT_BYTES) -> None:
        self.held = b""
        """Nothing: what comes next begins an event."""
        self._searched = 0
        self._first = True
        self.event_bytes = event_bytes
        self.comments: list[bytes] = []
        self.comment_bytes = 0
        self.numbered = False
        """An event had an id: from then on OpenAI's client takes a block that is only a comment for an event, and fails at it."""

    def feed(self, data: bytes) -> list[Event]:
        if self.held:
            data = self.held + data
        if self._first and data:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self.held = data
                return []
            data = data.removeprefix(_BOM)
            self._first = False
        events = []
        start, search = 0, max(0, self._searched - 3)
        while True:
            # the last byte may be the first half of a CRLF: a break that ends the piece in CR waits for the next piece
            match = _BREAK.search(data, search)
            if match is None or (match.end() == len(data) and data.endswith(b"\r")):
                break
            if match.start() - start > self.event_bytes:
                raise self._too_large()
            events.append(self._event(data[start : match.end()]))
            start = search = match.end()
        self.held = data[start:]
        self._searched = len(self.held)
        if len(self.held) > self.event_bytes and len(self.held.rstrip(b"\r\n")) > self.event_bytes:
            raise self._too_large()
        return events

    def _too_large(self) -> GarbledError:
        return GarbledError(f"an event of the stream is larger than {self.event_bytes} bytes")

    def finish(self) -> list[Event]:
        """The block that the end of the body cut short of its blank line, if any."""
        held, self.held, self._searched = self.held, b"", 0
        return [self._event(held)] if held.strip() else []

    def _event(self, raw: bytes) -> Event:
        if raw.startswith(b"data: ") and raw.count(b"\n") == 2 and raw.endswith(b"\n\n") and b"\r" not in raw:
            return Event(b"", raw[6:-2] or None, raw)
        name, lines = b"", []
        for line in _LINE.split(raw):
            if not line:
                continue
            field, colon, value = line.partition(b":")
            if not field and colon:
                self._comment(line)
                continue
            value = value.removeprefix(b" ")
            if field == b"data":
                lines.append(value)
            elif field == b"event":
                name = value
            elif field == b"id":
                self.numbered = True
        # an empty `data:` says no more than a block without one
        return Event(name, b"\n".join(lines) or None, raw)

    def _comment(self, line: bytes) -> None:
        self.comment_bytes += len(line)
        if self.comment_bytes <= COMMENT_BYTES:
            self.comments.append(line)


def block(data: bytes, name: bytes = b"") -> bytes:
    """One event as bytes. A line break in `data`, which is JSON, is white space: an upstream's may have come in several lines."""
    if b"\n" in data:
        data = data.replace(b"\n", b" ")
    return b"event: " + name + b"\ndata: " + data + b"\n\n" if name else b"data: " + data + b"\n\n"


def passed(events: Events, data: bytes, take: Callable[[Event], bytes]) -> tuple[bytes, FaultError | GarbledError | None]:
    """What `take` makes of each event that `data` completes, and the error that ended it, if one did: what came before counts."""
    out: list[bytes] = []
    try:
        for event in events.feed(data):
            out.append(take(event))  # noqa: PERF401 - what was passed before an error counts
    except (FaultError, GarbledError) as error:
        return b"".join(out), error
    return b"".join(out), None


def closed(events: Events) -> list[Event]:
    """The block that the end of the body cut short of its blank line, with it."""
    return [event._replace(raw=event.raw.rstrip(b"\r\n") + b"\n\n") for event in events.finish()]
