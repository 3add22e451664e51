r"""Escapes of surrogates without their other half, in JSON that is otherwise good."""

from __future__ import annotations

import json

import msgspec
import pytest

from adapters._halves import Halves, decoded, edited_through, mended
from adapters._json import with_account
from adapters._sse import Event

MENDED = {
    rb'"\ud83d"': rb'"\ufffd"',
    rb'"a\uDE00b"': rb'"a\ufffdb"',
    rb'"\ud83d\ud83d\ude00"': rb'"\ufffd\ud83d\ude00"',
    rb'"\ud83d\ude00\ude00"': rb'"\ud83d\ude00\ufffd"',
    rb'"\ud83dA"': rb'"\ufffdA"',
    rb'"\\\ud83d"': rb'"\\\ufffd"',
}


@pytest.mark.parametrize("data", MENDED)
def test_each_half_becomes_a_replacement_character_of_the_same_length(data: bytes) -> None:
    assert mended(data) == MENDED[data]
    assert decoded(data) == msgspec.json.decode(MENDED[data])


@pytest.mark.parametrize("data", [rb'"\ud83d\ude00"', rb'"\\ud83d"', b'"x"', '"\U0001f600"'.encode(), rb'"\u00e9 \ud"', b"{"])
def test_what_has_no_halves_is_left_alone(data: bytes) -> None:
    assert mended(data) is None


def test_what_is_no_json_stays_so() -> None:
    for data in (b"{", rb'{"a":"\ud83d"', rb'{"a":"\uZZZZ"}'):
        with pytest.raises(msgspec.DecodeError):
            decoded(data)


@pytest.mark.parametrize(
    "body",
    [
        rb'{"text":"\ud83d","usage":{"prompt_tokens":1},"more":"\ude00"}',
        rb'{"usage":{"prompt_tokens":1},"text":"\ud83d"}',
        rb'{"text":"\ud83d"}',
        rb'{"usage" : {}, "text":"\ud83d\ud83d\ud83d"}',
    ],
)
def test_an_edit_leaves_the_halves_as_they_came(body: bytes) -> None:
    told = with_account(body, b'{"id":1}', b'{"prompt_tokens":9}')
    assert json.loads(told)["usage"]["greenlane"] == {"id": 1}
    found, before = json.loads(told), json.loads(body)
    assert {**found, "usage": None} == {**before, "usage": None}
    assert edited_through(b'{"a":1}', lambda data: data) is None


def text(words: str, name: str = "text") -> Event:
    data = json.dumps({"index": 0, name: words}).encode()
    return Event(b"", data, b"data: " + data + b"\n\n")


def told(*events: Event) -> list[str]:
    halves = Halves()
    found = [each for event in events for each in halves.joined([event])] + halves.rest()
    return [
        next(iter(value for name, value in msgspec.json.decode(event.data).items() if name != "index")) for event in found if event.data
    ]


def test_a_character_cut_in_two_is_whole_again() -> None:
    assert told(text("a\ud83d"), text("\ude00b")) == ["a", "\U0001f600b"]
    assert told(text("\ud83d"), text("\ude00\ud83d"), text("\ude00")) == ["", "\U0001f600", "\U0001f600"]


def test_a_half_that_stays_alone_is_told_in_its_place() -> None:
    assert told(text("a\ud83d"), text("b")) == ["a\ufffd", "b"]
    assert told(text("a\ud83d"), text("b\ude00")) == ["a\ufffd", "b\ufffd"]
    assert told(text("a\ud83d")) == ["a\ufffd"]
    assert told(text("\ude00a")) == ["\ufffda"]
    assert told(text("a\ud83d", "thinking"), text("\ude00b")) == ["a\ufffd", "\ufffdb"]


def test_a_comment_between_two_halves_does_not_part_them() -> None:
    halves, comment = Halves(), Event(b"", None, b": ping\n\n")
    first = halves.joined([text("a\ud83d"), comment])
    assert [event.data for event in first] == [None]
    assert [event.data and msgspec.json.decode(event.data)["text"] for event in halves.joined([text("\ude00")])] == ["a", "\U0001f600"]


def test_many_quotes_are_looked_through_once() -> None:
    """In time that grows with the length, not with its square."""
    data = b'["' + b'\\"' * 400_000 + rb'\ud83d"]'
    (event,) = [*Halves().joined([Event(b"", data, data)]), *Halves().rest()] or [None]
    assert event is None
    assert mended(data) is not None


def test_an_event_is_looked_through_once_whatever_it_holds() -> None:
    """Half a megabyte each: looked at from every quote, or each half of one for all of the other, they would hold the loop for hours."""
    quotes = rb'{"\u0061": "' + rb"\"" * 250_000
    halves = b'{"a": [' + rb'"\ud83d",' * 40_000 + b'""]}'
    others = b'{"b": [' + rb'"\ude00",' * 40_000 + b'""]}'
    for events in ([quotes], [quotes + b"\\"], [halves, others], [halves, quotes]):
        joining = Halves()
        found = joining.joined([Event(b"", data, b"") for data in events]) + joining.rest()
        assert [len(each.data or b"") for each in found] == list(map(len, events))
