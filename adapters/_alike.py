"""Events that differ from one already read in a single string alone: what was found out of that one holds for them too.

The chunks of an answer are such events. Comparing one costs a third of decoding it.
"""

from __future__ import annotations

import re

CHANCES = 8
"""Tries to find what a stream's events share: some hosts put another random text into each."""
_STRING = re.compile(rb'(?:content|text|arguments)": ?"')
_TEXT = re.compile(
    rb'[ !#-\[\]-~]*+(?:(?:\\["\\/bfnrt]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}'
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})"
    rb"[ !#-\[\]-~]*+)*+"
)
"""The inside of a JSON string (RFC 8259, 7): ASCII without controls, short escapes, UTF-8 (RFC 3629, 4). Not all of them, but no other."""
_is_text = _TEXT.fullmatch
_QUOTE = ord('"')


class Alike:
    """What surrounds the string. A key cannot stand within a string, whose quotes would be escaped: so nothing else can differ."""

    __slots__ = ("_after", "_before", "_chances", "_length", "_tail", "on")

    def __init__(self) -> None:
        self._before = self._after = b""
        self._length = self._tail = 0
        self._chances = CHANCES
        self.on = False
        """The last event may be compared with."""

    def learn(self, event: bytes) -> None:
        """The event, a whole one, says nothing that another with another text would not."""
        if self._length and event.startswith(self._before) and event.endswith(self._after):
            self.on = True
            return
        if not self._chances:
            return
        self._chances -= 1
        found = _STRING.search(event)
        if found is None or (text := _TEXT.match(event, found.end())) is None or event[text.end()] != _QUOTE:
            return
        self._before, self._after = event[: found.end()], event[text.end() :]
        self._length, self._tail = len(self._before), len(self._after)
        self.on = True

    @property
    def like(self) -> bytes:
        """One of these events, without its words; empty where none is known."""
        return self._before + self._after

    def holds(self, data: bytes, start: int, end: int) -> bool:
        """Whether `data[start:end]` is such an event."""
        if not self.on:
            return False
        begin, stop = start + self._length, end - self._tail
        return data[start:begin] == self._before and data[stop:end] == self._after and _is_text(data, begin, stop) is not None
