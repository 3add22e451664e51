"""Entries to bytes and back: msgpack with member names, so that a later version reads what an earlier one wrote."""

from __future__ import annotations

import msgspec

from proxy.records import Entry


class UndecodableError(Exception):
    """The bytes are not an entry this version can read."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """The entry as the spool and the store's `record` column keep it."""
    return _encoder.encode(entry)


def decode(record: bytes) -> Entry:
    """The entry again. Members it does not know are passed over; raises UndecodableError where a needed one is missing or wrong."""
    try:
        return _decoder.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError(f"not an entry: {type(error).__name__}, {len(record)} bytes") from error
