r"""Halves of characters: escapes of UTF-16 surrogates without their other half (`\ud83d`), as hosts write that cut an emoji between tokens.

JSON's grammar allows them (RFC 8259, 8.2), most clients read them, the decoder refuses them. A reader comes here with what it could not
read. What is passed on as it came keeps them; a translation has U+FFFD in their place, or the character where one event ends with its
first half and the next begins with the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from adapters._sse import Event

_HIGH = rb"u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rb"\\(?:" + _HIGH + rb"\\" + _LOW + rb"|(?P<high>" + _HIGH + rb")|(?P<low>" + _LOW + rb")|.)", re.DOTALL)
"""One after the other: what follows an escaped backslash is none."""
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*+)(?:"(\s*:)?|(\\?\Z))', re.DOTALL)
"""One without an end is one as well, the last: else each quote in it would be looked at as another's beginning, and each to the end."""
_UNKNOWN = rb"\ufffd"
_BYTES = len(_UNKNOWN)
"""Of every such escape."""


def mended(data: bytes) -> bytes | None:
    """JSON with the escape of U+FFFD for each half, as long as it was; None where it has no halves."""
    if data.find(rb"\ud") < 0 and data.find(rb"\uD") < 0:
        return None
    plain = _ESCAPE.sub(_whole, data)
    return None if plain == data else plain


def _whole(found: re.Match[bytes]) -> bytes:
    return found[0] if found.lastgroup is None else _UNKNOWN


def decoded(data: bytes | str) -> Any:
    """JSON decoded, halves or not. Raises what the decoder raises, for what is no JSON."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        plain = mended(data.encode("utf-8", "replace") if isinstance(data, str) else data)
        if plain is None:
            raise
        return msgspec.json.decode(plain)


def edited_through(data: bytes, edit: Callable[[bytes], bytes]) -> bytes | None:
    """`data` as `edit` changes what is mended of it, its halves as they came where nothing is changed; None where it has no halves."""
    plain = mended(data)
    if plain is None:
        return None
    told = edit(plain)
    most = min(len(plain), len(told))
    ahead = _alike(most, lambda start, stop: plain[start:stop] == told[start:stop])
    size, length = len(plain), len(told)
    behind = _alike(most - ahead, lambda start, stop: plain[size - stop : size - start] == told[length - stop : length - start])
    return data[:ahead] + told[ahead : length - behind] + data[size - behind :]


def _alike(most: int, same: Callable[[int, int], bool]) -> int:
    """How many bytes from one end are the same, told from slices: one by one they would hold the loop."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        if same(least, middle):
            least = middle
        else:
            most = middle - 1
    return least


class Halves:
    """The events of a stream that is translated. One that ends with a first half waits for the next."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: Event | None = None

    def joined(self, events: Iterable[Event]) -> list[Event]:
        """The events, mended, but for one that waits."""
        found: list[Event] = []
        for event in events:
            data = event.data
            if data is None or (self._held is None and data.find(rb"\u") < 0):
                found.append(event)
            else:
                found += self._next(event, data)
        return found

    def rest(self) -> list[Event]:
        """The one that waits, when nothing follows."""
        held, self._held = self._held, None
        return [] if held is None or held.data is None else [_told(held, held.data)]

    def _next(self, event: Event, data: bytes) -> list[Event]:
        held, self._held = self._held, None
        found: list[Event] = []
        if held is not None and held.data is not None:
            first, data = _moved(held.data, data)
            found.append(_told(held, first))
        if any(True for _ in _ends(data)):
            self._held = event._replace(data=data)
            return found
        return [*found, _told(event, data)]


def _told(event: Event, data: bytes) -> Event:
    plain = mended(data)
    return event._replace(data=data if plain is None else plain)


def _moved(first: bytes, second: bytes) -> tuple[bytes, bytes]:
    """Both, with the half that ends a text of the first before the other half, where that begins the text of that name in the second."""
    starts: dict[bytes, int] = {}
    for name, start, stop in _texts(second):
        half = _ESCAPE.match(second, start, stop)
        if half is not None and half.lastgroup == "low":
            starts.setdefault(name, start)
    for name, end in _ends(first) if starts else ():
        if name in starts:
            at, start = end - _BYTES, starts[name]
            return first[:at] + first[end:], second[:start] + first[at:end] + second[start:]
    return first, second


def _ends(data: bytes) -> Iterable[tuple[bytes, int]]:
    """Name and end of each text whose last character is a first half."""
    for name, start, stop in _texts(data):
        last = max(_ESCAPE.finditer(data, start, stop), key=lambda found: found.end(), default=None)
        if last is not None and last.lastgroup == "high" and last.end() == stop:
            yield name, stop


def _texts(data: bytes) -> Iterable[tuple[bytes, int, int]]:
    """Each string that is no name, with the last name before it, and where it stands."""
    name = b""
    for found in _STRING.finditer(data):
        if found[3] is not None:
            return
        if found[2] is None:
            yield name, found.start(1), found.end(1)
        else:
            name = found[1]
