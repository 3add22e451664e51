"""Chunks of a body (RFC 9112, 7.1) that come one a read, as engines write them: an event of a stream each."""

from __future__ import annotations

LONGEST = 2048
"""Reads of fewer bytes."""


def _heads() -> list[bytes]:
    heads = [b""] * LONGEST
    for data_bytes in range(1, LONGEST):
        head = b"%x\r\n" % data_bytes
        if len(head) + data_bytes + 2 < LONGEST:
            heads[len(head) + data_bytes + 2] = head
    return heads


HEADS = _heads()
"""The head a chunk must have, by its length with head and end; nothing where no chunk has that length."""
