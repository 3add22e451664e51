"""An error that comes in one read with words is told when it came, not when the upstream says more or is given up."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from tests.harness import chunk

FLEET = """
deployments:
  first: {{model: small, base_url: "{url}", timeouts: {{between_s: 50}}, {more}}}
"""
CLAUDE = "dialect: anthropic, upstream_model: claude-haiku-4-5"
GEMINI = "dialect: gemini, upstream_model: gemini-3-flash-preview"
ANY = "apis: [chat, responses, messages]"
BODIES = {
    "chat": ("/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    "messages": ("/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
    "responses": ("/responses", {"input": "Hi"}),
}


def event(kind: str, **more: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


OPENAI_WORDS = chunk({"role": "assistant", "content": "Hello"})
OPENAI_ERROR = b'data: {"error":{"message":"Overheated","code":500}}\n\n'
CLAUDE_WORDS = (
    event("message_start", message={"id": "m", "type": "message", "role": "assistant", "model": "up", "content": [], "usage": {}})
    + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"})
)
CLAUDE_ERROR = event("error", error={"type": "api_error", "message": "Overheated"})
GEMINI_WORDS = b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"index":0}]}\n\n'
GEMINI_ERROR = b'data: {"error":{"code":500,"message":"Overheated","status":"INTERNAL"}}\n\n'
GEMINI_FAILED = (
    b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"index":0,"finishReason":"MALFORMED_FUNCTION_CALL"}]}\n\n'
)
RESPONSES_WORDS = event("response.output_text.delta", sequence_number=0, item_id="m", output_index=0, content_index=0, delta="Hello")
RESPONSES_ERROR = event("error", sequence_number=1, code="server_error", message="Overheated", param=None)
CASES = {
    "chat, openai": ("chat", ANY, OPENAI_WORDS, OPENAI_ERROR),
    "chat, openai, garbage": ("chat", ANY, OPENAI_WORDS, b"data: {oops\n\n"),
    "chat, anthropic": ("chat", CLAUDE, CLAUDE_WORDS, CLAUDE_ERROR),
    "chat, gemini": ("chat", GEMINI, GEMINI_WORDS, GEMINI_ERROR),
    "chat, gemini, failed": ("chat", GEMINI, GEMINI_FAILED, b""),
    "messages, anthropic": ("messages", CLAUDE, CLAUDE_WORDS, CLAUDE_ERROR),
    "messages, openai": ("messages", "apis: [chat]", OPENAI_WORDS, OPENAI_ERROR),
    "messages, gemini": ("messages", GEMINI, GEMINI_WORDS, GEMINI_ERROR),
    "responses, responses": ("responses", ANY, RESPONSES_WORDS, RESPONSES_ERROR),
    "responses, openai": ("responses", "apis: [chat]", OPENAI_WORDS, OPENAI_ERROR),
    "responses, anthropic": ("responses", CLAUDE, CLAUDE_WORDS, CLAUDE_ERROR),
}


@pytest.mark.parametrize("before", [False, True], ids=["first read", "later read"])
@pytest.mark.parametrize(("door", "more", "words", "error"), CASES.values(), ids=CASES)
def test_an_error_behind_words_is_told_while_the_upstream_is_silent(proxy, upstream, door, more, words, error, before):
    told, last = threading.Event(), threading.Event()

    def pieces():
        if before:
            yield words if error else GEMINI_WORDS
            assert told.wait(60)
        yield words + error
        last.wait(60)

    served = proxy(FLEET.format(url=upstream(lambda _, handler: handler.events(pieces())).url, more=more))
    path, body = BODIES[door]
    text = ""
    try:
        with httpx.stream("POST", served.url + path, json={"model": "small", "stream": True, **body}, timeout=30) as answer:
            for piece in answer.iter_text():
                text += piece
                told.set()
    finally:
        last.set()
    assert answer.status_code == 200
    assert "Hello" in text
    assert '"error"' in text
    assert "[DONE]" not in text
    assert served.entries()[0].outcome == "truncated"
