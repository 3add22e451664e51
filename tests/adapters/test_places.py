"""Every member of a hub request has a place in the client's request that it was made of, for each request of the goldens."""

from __future__ import annotations

import re
from typing import Any

import pytest

from adapters._base import AdapterError, Door
from adapters._chat import DOOR as CHAT
from adapters._places import renamed
from adapters.anthropic.door import DOOR as MESSAGES
from adapters.generate import DOOR as GENERATE
from adapters.responses import DOOR as RESPONSES
from tests.adapters.golden import cases

Json = dict[str, Any]
DOORS: dict[str, Door] = {"responses": RESPONSES, "messages": MESSAGES}
STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def paths(value: Any, at: str = "") -> list[str]:
    """Every place below, the schemas of tools left alone."""
    found = [at] if at else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += paths(inner, f"{at}.{name}" if at else name) if name not in ("parameters", "schema") else [f"{at}.{name}"]
    if isinstance(value, list):
        for number, inner in enumerate(value):
            found += paths(inner, f"{at}[{number}]")
    return found


def there(body: Any, place: str) -> bool:
    for name, number in STEP.findall(place):
        try:
            body = body[int(number)] if number else body[name]
        except (KeyError, IndexError, TypeError):
            return False
    return True


REQUESTS = [
    pytest.param(client, body, id=f"{case.feature} {case.name} {client}")
    for case in cases()
    for client in DOORS
    if (body := case.asks(client, "gemini", stream=False)) is not None
]


@pytest.mark.parametrize(("client", "body"), REQUESTS)
def test_every_message_and_tool_of_the_hub_has_a_place_in_the_request(client, body):
    door = DOORS[client]
    try:
        hub = door.hub(body)
    except AdapterError:
        return
    for path in paths({name: hub[name] for name in ("messages", "tools") if name in hub}):
        place = door.place(path, body)
        # a tool's type, and a message's of the Responses API, may be left out
        assert there(body, place) or path.endswith(".type"), (path, place)


@pytest.mark.parametrize(("client", "body"), REQUESTS)
def test_texts_are_found_where_they_stand(client, body):
    door = DOORS[client]
    try:
        hub = door.hub(body)
    except AdapterError:
        return
    for number, message in enumerate(hub["messages"]):
        content = message["content"]
        for at, part in enumerate(content if isinstance(content, list) else ()):
            if part["type"] != "text":
                continue
            place = door.place(f"messages[{number}].content[{at}]", body)
            found = body
            for name, index in STEP.findall(place):
                found = found[int(index)] if index else found[name]
            told = found if isinstance(found, str) else str(found)
            assert part["text"].partition("\n")[0][-20:] in told or found.get("type") in ("document", "search_result"), place


def test_the_longest_name_is_the_one_that_is_replaced():
    names = {"a": "x", "a.b": "y"}
    assert [renamed(each, names) for each in ("a", "a.b", "a.b[1].c", "a.c", "ab", "b")] == ["x", "y", "y[1].c", "x.c", "ab", "b"]


@pytest.mark.parametrize(
    ("param", "place"),
    [
        ("messages[1].content[0].text", "messages[1].content[1].text"),
        ("messages[1].content[1]", "messages[1].content[3]"),
        ("messages[1].content[7]", "messages[1].content[7]"),
        ("messages[1].content", "messages[1].content"),
        ("messages[0].content[0].image_url.url", "messages[0].content[0].image_url.url"),
        ("messages[9].content[0]", "messages[9].content[0]"),
    ],
)
def test_a_part_behind_a_thought_of_mistral_s_is_named_as_the_client_wrote_it(param, place):
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    said = [thought, {"type": "text", "text": "a"}, thought, {"type": "image_url", "image_url": {"url": "b"}}]
    picture = {"type": "image_url", "image_url": {"url": "https://e.org/"}}
    request = {"messages": [{"role": "user", "content": [picture]}, {"role": "assistant", "content": said}]}
    assert CHAT.place(param, request) == place
    assert [part["type"] for part in CHAT.hub(request)["messages"][1]["content"]] == ["text", "image_url"]


@pytest.mark.parametrize(
    ("body", "param", "place"),
    [
        ({"prompt": "a"}, "messages[0].content", "prompt"),
        ({"prompt": "a", "system": "b"}, "messages[0].content", "system"),
        ({"prompt": "a", "system": "b"}, "messages[1].content", "prompt"),
        ({"prompt": "a"}, "messages", "prompt"),
        ({"prompt": "a"}, "stop", "stop"),
    ],
)
def test_a_prompt_has_its_place(body, param, place):
    assert GENERATE.place(param, body) == place
