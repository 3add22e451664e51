"""Events that are compared rather than read: forwarding them unread never makes a difference."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters._alike import CHANCES, Alike
from adapters._base import FaultError, GarbledError
from adapters._passthrough import ChatStream

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event(delta, finish_reason=None, separators=(",", ":"), **members):
    chunk = {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **members}
    return b"data: " + json.dumps(chunk, separators=separators, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n\n"


def said(text):
    return event({"content": text})


KEYS = st.sampled_from(["content", "reasoning_content", "refusal", "role"])
TEXTS = st.one_of(st.text(max_size=12), st.text(st.sampled_from('ab "\\\n\t\x7f\x01é\u2028\U0001f600/'), max_size=8))
EVENTS = st.one_of(
    st.builds(said, TEXTS),
    st.builds(lambda key, text: event({key: text}), KEYS, TEXTS),
    st.builds(lambda text: event({"content": text}, separators=None), TEXTS),
    st.builds(lambda text: event({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}), TEXTS),
    st.builds(lambda text, reason: event({"content": text}, reason), TEXTS, st.sampled_from(["stop", "length"])),
    st.builds(lambda text: event({"content": text}, usage=None), TEXTS),
    st.builds(
        lambda text, tokens: event({"content": text}, usage={"prompt_tokens": 1, "completion_tokens": tokens}), TEXTS, st.integers(0, 9)
    ),
    st.builds(lambda text: event({"content": text}, obfuscation=text), TEXTS),
    st.sampled_from(
        [
            b": ping\n\n",
            b"data: [DONE]\n\n",
            b'data: {"error":{"message":"no"}}\n\n',
            b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
            b'data: {"choices":[],"text":"a"}\n\n',
            b"data: {\n\n",
            b"id: 1\n" + said("a"),
            said("a").replace(b"\n\n", b"\r\n\r\n"),
            said("a")[:-1],
            said("a") + said("b"),
        ]
    ),
)


def spoilt(whole: bytes, at: int, piece: bytes, gone: int) -> bytes:
    """The event with some bytes of it replaced."""
    at %= len(whole)
    return whole[:at] + piece + whole[at + gone :]


BYTES = st.one_of(
    st.binary(max_size=4), st.sampled_from([b'"', b"\\", b'","', b'"}', b"\n", b"\r", b"\\u00e9", b"\xc3\xa9", b"\xed\xa0\x80", b"\xff"])
)
SPOILT = st.builds(spoilt, EVENTS, st.integers(0, 300), BYTES, st.integers(0, 4))


class Compared(ChatStream):
    """Reads as the relay does where each event comes in a chunk of its own."""

    def take(self, data: bytes) -> bytes:
        return data if self.alike(b"xy" + data + b"z", 2, 2 + len(data)) else self.feed(data)


def told(stream, take, pieces):
    """What goes out, and what is known then."""
    out = []
    try:
        for piece in pieces:
            out.append(take(piece))
            if stream.ended:
                break
        else:
            out.append(stream.finish())
    except (FaultError, GarbledError) as error:
        out.append(type(error).__name__)
    return out, stream.usage, stream.finish_reason, stream.started, stream.ended, stream.comments, stream.text, stream.close(b"{}")


@pytest.mark.parametrize("capture", [False, True])
@given(pieces=st.lists(st.one_of(EVENTS, SPOILT, st.builds(said, TEXTS)), min_size=1, max_size=8))
@example(pieces=[said("a"), said("b"), said('c"'), said("d\n"), said("é"), event({"content": "e"}, "stop"), said("f")])
@example(pieces=[said("a"), said("a").replace(b'"a"', b'"a\xff"')])
@example(pieces=[said("a"), said("a").replace(b'"a"', b'"a\\"')])
@example(pieces=[said("a"), said("a")[:-30] + said("a")[-31:]])
@example(pieces=[said("a"), said("b"), said("c")[:9], said("d")])
@example(pieces=[said("a")[:9], said("a")[9:] + said("b")[:9], said("b"), said("c")])
def test_comparing_an_event_comes_to_what_reading_it_does(pieces, capture):
    read, compared = (kind(wants_usage=True, capture=capture) for kind in (ChatStream, Compared))
    assert told(compared, compared.take, pieces) == told(read, read.feed, pieces)


@pytest.mark.parametrize("key", ["content", "reasoning_content"])
@pytest.mark.parametrize("text", ["the", "", " a b", "é", "日本", "\U0001f600", "a\nb", 'a"b', "a\\b"])
def test_the_next_words_of_an_answer_are_not_read_again(key, text):
    stream = ChatStream(wants_usage=False, capture=False)
    stream.feed(event({"role": "assistant", "content": ""}))
    stream.feed(event({key: "first"}))
    following = event({key: text})
    assert stream.alike(following, 0, len(following))


@pytest.mark.parametrize(
    "other",
    [
        said("a\x7f"),
        said("a").replace(b'"a"', b'"a\n"'),
        said("a").replace(b'"a"', b'"a\\"'),
        said("a").replace(b'"a"', b'"\\x"'),
        said("a").replace(b'"a"', b'"a","b":"c"'),
        said("a").replace(b'"a"', b"null"),
        event({"content": "a"}, "stop"),
        event({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
        said("a").replace(b"chatcmpl-1", b"chatcmpl-2"),
        said("a")[:-1],
        said("a") + b"\n",
        b"",
    ],
)
def test_what_may_say_something_else_is_read(other):
    stream = ChatStream(wants_usage=False, capture=False)
    for word in ("first", "second"):
        stream.feed(said(word))
    assert not stream.alike(other, 0, len(other))


def test_a_host_whose_events_share_nothing_is_given_up():
    known = Alike()
    for number in range(CHANCES + 2):
        known.learn(said("a").replace(b"\n\n", b" %d\n\n" % number))
    known.learn(said("a"))
    assert not known.holds(said("a"), 0, len(said("a")))
