"""What is told of an answer that a vendor's dialect leaves half told: whose model, how many tokens, whose fault."""

from __future__ import annotations

import json
import threading

import httpx
import openai
import pytest

from tests.harness import chunk

FLEET = """
deployments:
  only: {{model: small, dialect: {dialect}, upstream_model: {named}, base_url: "{url}"}}
"""
CHAT = [{"role": "user", "content": "Hi"}]
MESSAGE = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": []}


def event(name, **data):
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def words(*said):
    begun = {**MESSAGE, "usage": {"input_tokens": 40, "cache_read_input_tokens": 2, "output_tokens": 1}}
    yield event("message_start", message=begun)
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for word in said:
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})


@pytest.fixture
def anthropic(proxy, upstream):
    def serve(answer):
        return proxy(FLEET.format(dialect="anthropic", named="claude-haiku-4-5", url=upstream(answer).url))

    return serve


def stream(served):
    client = openai.OpenAI(base_url=served.url, api_key="x", max_retries=0)
    return client.chat.completions.create(model="small", messages=CHAT, stream=True, stream_options={"include_usage": True})


def test_output_that_the_vendor_does_not_count_is_counted_here(anthropic):
    def half_told(_, handler):
        end = [event("content_block_stop", index=0), event("message_delta", delta={"stop_reason": "end_turn"}), event("message_stop")]
        handler.events([*words("one ", "two ", "three"), *end])

    served = anthropic(half_told)
    usage = list(stream(served))[-1].usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (42, 2)
    assert usage.completion_tokens >= 3
    entry = served.entry(usage.greenlane["id"])
    assert (entry["tokens"]["input"], entry["tokens"]["cached"], entry["tokens"]["estimated"]) == (42, 2, True)


def test_what_was_said_before_a_break_is_accounted(anthropic):
    heard = threading.Event()

    def breaks(_, handler):
        def pieces():
            yield from words("one ", "two ")
            heard.wait(60)
            yield event("error", error={"type": "overloaded_error", "message": "Overloaded"})

        handler.events(pieces())

    served = anthropic(breaks)
    said = stream(served)
    next(said)
    heard.set()
    with pytest.raises(openai.APIError, match="Overloaded"):
        list(said)
    found = served.entries()[0]
    assert (found.outcome, found.tokens.input, found.tokens.estimated) == ("truncated", 42, True)
    assert found.tokens.output > 0


@pytest.mark.parametrize(
    ("dialect", "named", "answer"),
    [
        ("gemini", "gemini-2.5-flash", {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}),
        ("anthropic", "claude-haiku-4-5", {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}),
    ],
)
def test_an_answer_that_names_no_model_names_the_one_that_was_asked(proxy, upstream, dialect, named, answer):
    served = proxy(FLEET.format(dialect=dialect, named=named, url=upstream(lambda _, handler: handler.reply(200, answer)).url))
    found = httpx.post(f"{served.url}/chat/completions", json={"model": "small", "messages": CHAT}, timeout=60).json()
    assert (found["model"], found["choices"][0]["message"]["content"]) == (named, "Hi")


@pytest.mark.parametrize(
    ("dialect", "named", "body"),
    [
        ("openai", "small", {"error": {"message": "The pump is dry.", "type": "server_error", "param": None, "code": None}}),
        ("anthropic", "claude-haiku-4-5", {"type": "error", "error": {"type": "overloaded_error", "message": "The pump is dry."}}),
        ("gemini", "gemini-2.5-flash", {"error": {"code": 503, "message": "The pump is dry.", "status": "UNAVAILABLE"}}),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_vendor_in_trouble_is_heard(proxy, upstream, dialect, named, body, streamed):
    served = proxy(FLEET.format(dialect=dialect, named=named, url=upstream(lambda _, handler: handler.reply(503, body)).url))
    told = httpx.post(f"{served.url}/chat/completions", json={"model": "small", "messages": CHAT, "stream": streamed}, timeout=60)
    assert told.status_code == 502
    assert told.json()["error"] == {"message": "The pump is dry.", "type": "upstream_error", "param": None, "code": "upstream_error"}


@pytest.mark.parametrize("code", [401, 402, 403])
def test_what_a_vendor_says_of_our_credentials_stays_here(proxy, upstream, code):
    body = {"error": {"message": "Account acme-7 owes us money.", "type": "x"}}
    served = proxy(FLEET.format(dialect="openai", named="small", url=upstream(lambda _, handler: handler.reply(code, body)).url))
    told = httpx.post(f"{served.url}/chat/completions", json={"model": "small", "messages": CHAT}, timeout=60)
    assert (told.status_code, "acme-7" in told.text) == (502, False)


@pytest.mark.parametrize(
    "body", [{"error": "No."}, {"message": "No."}, {"error": {"message": "No."}}, [{"error": {"message": "No."}}], {"detail": "No."}]
)
@pytest.mark.parametrize(("code", "kind"), [(400, "invalid_request_error"), (422, "invalid_request_error"), (429, "rate_limit_error")])
def test_an_error_without_a_type_gets_that_of_its_status(proxy, upstream, body, code, kind):
    served = proxy(FLEET.format(dialect="openai", named="small", url=upstream(lambda _, handler: handler.reply(code, body)).url))
    told = httpx.post(f"{served.url}/chat/completions", json={"model": "small", "messages": CHAT}, timeout=60)
    assert (told.status_code, told.json()["error"]["message"], told.json()["error"]["type"]) == (code, "No.", kind)


@pytest.mark.parametrize(("code", "expected"), [(429, 429), (503, 502)])
def test_what_a_vendor_says_of_trying_again_is_passed_on(proxy, upstream, code, expected):
    said = {"retry-after": "7", "x-should-retry": "false"}
    host = upstream(lambda _, handler: handler.reply(code, {"error": {"message": "No."}}, said))
    served = proxy(FLEET.format(dialect="openai", named="small", url=host.url))
    told = httpx.post(f"{served.url}/chat/completions", json={"model": "small", "messages": CHAT}, timeout=60)
    assert (told.status_code, told.headers["retry-after"], told.headers["x-should-retry"]) == (expected, "7", "false")
    with pytest.raises(openai.APIStatusError):
        openai.OpenAI(base_url=served.url, api_key="x").chat.completions.create(model="small", messages=CHAT)
    assert len(host.requests) == 2


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
def test_words_and_an_error_in_one_read_are_told_as_they_came(proxy, upstream, dialect):
    """A vendor that breaks off is told in the stream, with what it had said, however the bytes were cut; nobody else is asked."""
    pieces = {
        "openai": [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), b'data: {"error":{"message":"Broke."}}\n\n'],
        "anthropic": [*words("Hel"), event("error", error={"type": "overloaded_error", "message": "Broke."})],
        "gemini": [
            b'data: {"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"}}]}\r\n\r\n',
            b'data: {"error":{"code":503,"message":"Broke.","status":"UNAVAILABLE"}}\r\n\r\n',
        ],
    }[dialect]
    named = {"openai": "small", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}[dialect]
    host = upstream(lambda _, handler: handler.events([b"".join(pieces)]))
    served = proxy(FLEET.format(dialect=dialect, named=named, url=host.url))
    said, chunks = "", iter(stream(served))
    while "Hel" not in said:
        said += next(chunks).choices[0].delta.content or ""
    with pytest.raises(openai.APIError, match="Broke"):
        list(chunks)
    assert (said, len(host.requests), served.entries()[0].outcome) == ("Hel", 1, "truncated")


@pytest.mark.parametrize(
    ("dialect", "named", "base", "path"),
    [
        ("anthropic", "claude-haiku-4-5", "", "/v1/messages"),
        ("anthropic", "claude-haiku-4-5", "/", "/v1/messages"),
        ("anthropic", "claude-haiku-4-5", "/v1", "/v1/messages"),
        ("anthropic", "claude-haiku-4-5", "/anthropic", "/anthropic/messages"),
        ("gemini", "gemini-2.5-flash", "", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("gemini", "gemini-2.5-flash", "/v1", "/v1/models/gemini-2.5-flash:generateContent"),
        ("openai", "small", "", "/chat/completions"),
    ],
)
def test_a_vendors_host_alone_is_enough(proxy, upstream, dialect, named, base, path):
    host = upstream(lambda _, handler: handler.reply(400, {"error": {"message": "No."}}))
    served = proxy(FLEET.format(dialect=dialect, named=named, url=host.url.removesuffix("/v1") + base))
    httpx.post(f"{served.url}/chat/completions", json={"model": "small", "messages": CHAT}, timeout=60)
    assert [request.path for request in host.requests] == [path]
