"""What had been said when a stream broke or its client left is accounted by its words, where a vendor's events hold many of them."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

FLEET = 'deployments:\n  only: {{model: small, dialect: {dialect}, upstream_model: {named}, base_url: "{url}"}}\n'
WORDS = "the pale ladder measures the careful field and then the forest " * 8
SAID = 3 * len(WORDS.split())
"""Words in three events; each is a token at least."""


def named_event(name, **data):
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def anthropics(*, calls=False):
    begun = {"id": "msg_01", "type": "message", "role": "assistant", "model": "up", "content": []}
    block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}} if calls else {"type": "text", "text": ""}
    yield named_event("message_start", message={**begun, "usage": {"input_tokens": 40, "output_tokens": 1}})
    yield named_event("content_block_start", index=0, content_block=block)
    for number in range(3):
        part = {"type": "input_json_delta", "partial_json": WORDS} if calls else {"type": "text_delta", "text": f"{WORDS}{number}"}
        yield named_event("content_block_delta", index=0, delta=part)


def geminis():
    for _ in range(3):
        candidate = {"content": {"parts": [{"text": WORDS}], "role": "model"}, "index": 0}
        yield b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\n\n"


BODIES = {
    "/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2000},
    "/responses": {"input": "Hi"},
}
VENDORS = {
    "anthropic": ("anthropic", "claude-haiku-4-5", anthropics),
    "anthropic calls": ("anthropic", "claude-haiku-4-5", lambda: anthropics(calls=True)),
    "gemini": ("gemini", "gemini-2.5-flash", geminis),
}


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("vendor", VENDORS)
def test_what_was_said_is_counted_by_its_words(proxy, upstream, vendor, path, leaves):
    dialect, named, pieces = VENDORS[vendor]
    heard = threading.Event()

    def host(_, handler):
        def all_of_it():
            yield from pieces()
            heard.wait(60)
            raise ConnectionResetError

        handler.events(all_of_it())

    served = proxy(FLEET.format(dialect=dialect, named=named, url=upstream(host).url))
    body = {"model": "small", "stream": True, **BODIES[path]}
    with httpx.stream("POST", served.url + path, json=body, timeout=60) as answer:
        text = ""
        for piece in answer.iter_text():
            text += piece
            if text.count("pale ladder") >= 24:
                if leaves:
                    break
                heard.set()
    found = served.entries()[0]
    heard.set()
    assert (found.outcome, found.tokens.estimated) == ("client_gone" if leaves else "truncated", True)
    assert found.tokens.output >= SAID
