"""What of a Messages request is counted."""

from __future__ import annotations

import pytest

from adapters._base import AdapterError
from adapters.anthropic.reading import read

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
PLAIN = {"type": "text", "media_type": "text/plain", "data": "F"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}


def user(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


READ = {
    "a string": ({"messages": [{"role": "user", "content": "Hi\né"}]}, "Hi\né", 0),
    "blocks": (user({"type": "text", "text": "a"}, {"type": "text", "text": "b"}), "a\nb", 0),
    "system": ({"system": "S", **user({"type": "text", "text": "a"})}, "S\na", 0),
    "system in blocks": ({"system": [{"type": "text", "text": "S"}], **user({"type": "text", "text": "a"})}, "S\na", 0),
    "tools": ({**user(), "tools": [{"name": "f", "input_schema": {"type": "object"}}]}, 'f\n{"type":"object"}', 0),
    "a call": (user({"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}), 'f\n{"x":1}', 0),
    "a result": (user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r"}, IMAGE]}), "r", 1),
    "an empty result": (user({"type": "tool_result", "tool_use_id": "t"}), "", 0),
    "an image": (user(IMAGE), "", 1),
    "a plain document": (user({"type": "document", "source": PLAIN, "title": "T"}), "T\nF", 0),
    "an encoded document": (user({"type": "document", "source": PDF}), "", 1),
    "a document of parts": (user({"type": "document", "source": {"type": "content", "content": "C"}}), "C", 0),
    "a search result": (
        user({"type": "search_result", "title": "T", "source": "u", "content": [{"type": "text", "text": "c"}]}),
        "T\nu\nc",
        0,
    ),
    "thinking": (user({"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}), "", 0),
    "what nobody knows": (user({"type": "hologram", "w": 1}), '{"type":"hologram","w":1}', 0),
    "a lone surrogate": ({"messages": [{"role": "user", "content": "\ud800"}]}, "?", 0),
}


@pytest.mark.parametrize("case", READ)
def test_every_text_is_read_once_and_in_order(case):
    body, texts, images = READ[case]
    found = read(body)
    assert (found.texts.decode().strip("\n"), found.images, found.messages) == (texts, images, 1)


WRONG = {
    "messages": {},
    "messages[1]": {"messages": [{"role": "user", "content": "a"}, None]},
    "messages[0].content": {"messages": [{"role": "user"}]},
    "messages[0].content[0]": user("a"),
    "messages[0].content[1].content[0]": user(IMAGE, {"type": "tool_result", "content": ["a"]}),
    "system": {"system": 5, **user()},
    "tools": {"tools": 5, **user()},
    "tools[0]": {"tools": [5], **user()},
}


@pytest.mark.parametrize("place", WRONG)
def test_what_cannot_be_read_is_named(place):
    with pytest.raises(AdapterError) as caught:
        read(WRONG[place])
    assert caught.value.param == place
