"""Heads met before, of requests and of answers: one that differs from a known head in its Content-Length alone is not parsed again."""

from __future__ import annotations

import re

import msgspec

BYTES = 8192
"""Longer heads are parsed every time."""
LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,12})(?=\r\n)")
_CR = ord("\r")


class Framed(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A head as it stood on the wire, before and behind the digits of its length."""

    before: bytes
    after: bytes

    def __repr__(self) -> str:
        return f"<Framed {len(self.before)} + {len(self.after)} bytes>"

    def body_at(self, data: bytes) -> int:
        """Where the body begins of a read that holds one whole message with this very head, whatever its length; 0: it does not."""
        start = len(self.before)
        if not data.startswith(self.before):
            return 0
        stop = data.find(_CR, start, start + 13)
        digits = data[start:stop]
        if not digits.isdigit() or not data.startswith(self.after, stop):
            return 0
        at = stop + len(self.after)
        return at if len(data) == at + int(digits) else 0


def is_plain(head: bytes, lines: int) -> bool:
    """Whether a head has so many lines behind its first, none folded or ended by LF alone, and one length. Without its last CRLF."""
    breaks = head.count(b"\r\n")
    return breaks == lines and head.count(b"\n") == head.count(b"\r") == breaks and len(LENGTH.findall(head + b"\r\n")) == 1
