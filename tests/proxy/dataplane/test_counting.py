"""Tokens counted here: by the vocabulary where it is loaded, by bytes until then."""

from __future__ import annotations

import pytest

from adapters._base import AdapterError
from proxy.dataplane.counting import COUNTED_BYTES, Counter, estimated


@pytest.fixture(scope="module")
def loaded():
    counter = Counter()
    counter.load()
    return counter


@pytest.mark.parametrize(("text", "tokens"), [(b"", 0), (b"a", 1), (b"abcdefg", 1), (b"abcdefgh", 2), ("é".encode() * 6, 3)])
def test_until_it_is_loaded_four_bytes_are_a_token(text, tokens):
    assert Counter().tokens(text) == tokens


@pytest.mark.parametrize(("text", "tokens"), [(b"", 0), (b"hello world", 2), (b" hello" * 100, 100), (b" hello\xff", 1)])
def test_then_by_the_vocabulary(loaded, text, tokens):
    assert loaded.tokens(text) == tokens


@pytest.mark.parametrize("times", [2, 3.5])
def test_of_a_long_text_the_first_part_tells(loaded, times):
    """What follows it is taken for as dense, whatever it is."""
    part = (b" hello" * COUNTED_BYTES)[:COUNTED_BYTES]
    counted = loaded.tokens(part)
    assert counted == pytest.approx(COUNTED_BYTES / 6, abs=2)
    assert loaded.tokens(part + b"0123456789" * round(COUNTED_BYTES * (times - 1) / 10)) == pytest.approx(counted * times, abs=2)


def test_messages_and_images_cost_tokens_of_their_own():
    """By hand: 8 bytes are 2 tokens, three messages 3 x 4, two images 2 x 800."""
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    body = {"messages": [{"role": "user", "content": "abcdefg"}, {"role": "user", "content": [image, image]}]}
    body["messages"].append({"role": "assistant", "content": ""})
    assert estimated(body, Counter()) == b'{"input_tokens":1614}'


def test_what_is_no_request_is_none_to_count():
    with pytest.raises(AdapterError, match="messages"):
        estimated({"messages": []}, Counter())
