"""An entry goes to bytes and comes back the same."""

from __future__ import annotations

import msgspec
import pytest

from proxy.records import Carbon, Tokens
from proxy.store.codec import UndecodableError, decode, encode


def test_an_entry_comes_back_the_same(entry):
    assert decode(encode(entry())) == entry()


def test_what_is_unknown_comes_back_unknown(entry):
    unknown = entry(tokens=Tokens(), carbon=Carbon(), forecast=None, cost_usd=None, team=None, profile=None, attempts=())
    assert decode(encode(unknown)) == unknown


def test_a_member_of_a_later_version_is_passed_over(entry):
    later = msgspec.msgpack.encode({**msgspec.to_builtins(entry()), "invented_later": [1, 2]})
    assert decode(later) == entry()


@pytest.mark.parametrize("record", [b"", b"\x80", b"\xc1", b"\xa3abc", b"\x81\xa2id\x01", b"\x81\xa2id\xa1\xff"])
def test_bytes_that_are_no_entry_are_refused_without_being_shown(record):
    with pytest.raises(UndecodableError, match=rf"^not an entry: \w+, {len(record)} bytes$"):
        decode(record)
