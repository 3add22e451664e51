"""Upstreams that answer what no dialect knows: the client gets one well-formed answer, the ledger one credible entry."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from tests.harness import DONE, USAGE, chunk, heard, said

TWO = """
policy: cheap
policies: {{cheap: {{objective: cheapest}}}}
deployments:
  first: {{model: small, base_url: "{first}", privacy: local, usd_per_mtok: {{input: 1, output: 1}}, timeouts: {{between_s: 50}}}}
  second: {{model: small, base_url: "{second}", privacy: local, usd_per_mtok: {{input: 9, output: 9}}}}
"""
BODIES = {
    "chat": ("/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    "messages": ("/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
    "responses": ("/responses", {"input": "Hi"}),
}
EMPTY_USAGE = b'"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}'
WHOLE = (
    b'{"id":"c1","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"Hello!"},"finish_reason":"stop"}],' + EMPTY_USAGE + b"}"
)


def ask(served, door="chat", **more):
    path, body = BODIES[door]
    return httpx.post(served.url + path, json={"model": "small", **body, **more}, timeout=60)


def answering(body, status=200):
    return lambda _, handler: handler.reply(status, body)


def streaming(*pieces):
    return lambda _, handler: handler.events(pieces)


def choices(value):
    return answering(WHOLE.replace(WHOLE[WHOLE.index(b'[{"index"') : WHOLE.index(b',"usage"')], json.dumps(value).encode()))


def message(**said):
    return choices([{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": "stop"}])


UNREADABLE = {
    "no members": answering(b"{}"),
    "choices null": choices(None),
    "choices an object": choices({}),
    "not UTF-8": answering(WHOLE.replace(b"Hello!", b"\xff\xfe")),
    "not UTF-8 where nobody reads": answering(WHOLE.replace(b'"up"', b'"\xff"')),
    "100,000 levels": answering(b'{"choices":' + b"[" * 100_000),
}


@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_that_cannot_be_read_goes_to_the_next(proxy, upstream, answer, door):
    served = proxy(TWO.format(first=upstream(answer).url, second=upstream().url))
    got = ask(served, door)
    assert (got.status_code, got.headers["x-greenlane-deployment"], got.headers["x-greenlane-attempts"]) == (200, "second", "2")


UNTRANSLATABLE = {
    "a choice that is null": choices([None]),
    "a choice that is text": choices(["x"]),
    "content a number": message(content=5),
    "content a list of texts": message(content=["x"]),
    "calls a text": message(content=None, tool_calls="x"),
    "arguments an object": message(content=None, tool_calls=[{"id": "a", "function": {"name": "f", "arguments": {"a": 1}}}]),
}


@pytest.mark.parametrize("door", ["messages", "responses"])
@pytest.mark.parametrize("answer", UNTRANSLATABLE.values(), ids=UNTRANSLATABLE)
def test_an_answer_that_cannot_be_translated_goes_to_the_next(proxy, upstream, answer, door):
    served = proxy(TWO.format(first=upstream(answer).url, second=upstream().url))
    got = ask(served, door)
    assert (got.status_code, got.headers["x-greenlane-deployment"], got.headers["x-greenlane-attempts"]) == (200, "second", "2")


@pytest.mark.parametrize("door", ["messages", "responses"])
@pytest.mark.parametrize("delta", [{"content": 5}, {"tool_calls": "x"}, {"tool_calls": [{"index": 5_000_000}]}], ids=str)
def test_a_stream_that_cannot_be_translated_any_more_ends_in_one_error(proxy, upstream, door, delta):
    begun = threading.Event()

    def answer(_, handler):
        def pieces():
            yield said()[0] + said()[1]
            begun.wait(60)
            yield chunk(delta)

        handler.events(pieces())

    served = proxy(TWO.format(first=upstream(answer).url, second=upstream().url))
    path, body = BODIES[door]
    got = heard(served, body, begun, path)
    assert got.text.count("event: error\n") == 1
    assert "response.completed" not in got.text
    assert "message_stop" not in got.text
    assert served.entries()[0].outcome == "truncated"


@pytest.mark.parametrize("door", BODIES)
def test_a_stream_that_is_only_its_end_is_no_answer(proxy, upstream, door):
    served = proxy(TWO.format(first=upstream(streaming(DONE)).url, second=upstream().url))
    got = ask(served, door, stream=True)
    assert (got.status_code, got.headers["x-greenlane-deployment"], got.headers["x-greenlane-attempts"]) == (200, "second", "2")


def test_a_stream_of_usage_alone_is_an_empty_answer(proxy, upstream):
    usage = b'data: {"id":"c1","choices":[],"usage":%b}\n\n' % json.dumps(USAGE).encode()
    served = proxy(TWO.format(first=upstream(streaming(usage, DONE)).url, second=upstream().url))
    got = ask(served, stream=True)
    assert got.headers["x-greenlane-deployment"] == "first"
    assert got.text.startswith(": greenlane {")
    assert got.text.endswith("data: [DONE]\n\n")


def test_a_stream_that_never_begins_is_given_up(proxy, upstream):
    pings = streaming(*[b"event: ping\ndata: " + json.dumps({"type": "ping", "x": "y" * 1000}).encode() + b"\n\n"] * 400)
    text = TWO.replace("model: small,", "model: small, dialect: anthropic, upstream_model: claude-haiku-5-5,")
    served = proxy(text.format(first=upstream(pings).url, second=upstream(pings).url))
    got = ask(served, "messages", stream=True)
    assert (got.status_code, got.headers["x-greenlane-attempts"]) == (502, "2")
    assert [each["kind"] for each in served.entry(got.headers["x-greenlane-id"])["attempts"]] == ["garbled", "garbled"]


NO_STREAMS = {
    "a whole answer": (answering(WHOLE), "garbled", "answered a stream with a whole answer"),
    "its end alone": (streaming(DONE), "garbled", "holds no answer"),
    "half": (streaming(*said()[:1]), "truncated", "ended the stream before it was complete"),
    "not JSON": (streaming(b"data: {]\n\n"), "garbled", "could not be read"),
}


@pytest.mark.parametrize("case", NO_STREAMS)
def test_what_was_wrong_with_a_stream_is_told_and_kept(proxy, upstream, case):
    answer, kind, told = NO_STREAMS[case]
    served = proxy(TWO.format(first=upstream(answer).url, second=upstream(answer).url))
    got = ask(served, stream=True)
    error = got.json() if got.status_code == 502 else json.loads(got.text.split("data: ")[-1])
    assert told in error["error"]["message"]
    entry = served.entry(got.headers["x-greenlane-id"])
    assert {each["kind"] for each in entry["attempts"]} == {kind}
    assert entry["error"] == "upstream_error"


INCREDIBLE = [
    {"prompt_tokens": -5, "completion_tokens": 3},
    {"prompt_tokens": 9, "completion_tokens": -3},
    {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": -1}},
    {"prompt_tokens": 10**18, "completion_tokens": 3},
    {"prompt_tokens": 10**30, "completion_tokens": 3},
]


@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("usage", INCREDIBLE, ids=str)
def test_tokens_that_cannot_be_are_counted_instead(proxy, upstream, usage, stream, door):
    last = b'data: {"id":"c1","choices":[],"usage":%b}\n\n' % json.dumps(usage).encode()
    answer = (
        streaming(*said(usage=False)[:-1], last, DONE) if stream else answering(WHOLE.replace(EMPTY_USAGE[8:], json.dumps(usage).encode()))
    )
    served = proxy(TWO.format(first=upstream(answer).url, second=upstream().url))
    got = ask(served, door, stream=stream)
    assert (got.status_code, got.headers["x-greenlane-deployment"]) == (200, "first")
    entry = served.entries()[0]
    assert (entry.outcome, entry.tokens.estimated) == ("completed", True)
    assert 0 < entry.tokens.input < 100
    assert 0 < entry.tokens.output < 100


@pytest.mark.parametrize("usage", [b"[1]", b'"x"', b"5", b"null", b"true"])
def test_a_usage_that_is_no_object_is_replaced_by_what_was_counted(proxy, upstream, usage):
    served = proxy(TWO.format(first=upstream(answering(WHOLE.replace(EMPTY_USAGE[8:], usage))).url, second=upstream().url))
    told = ask(served).json()
    assert told["choices"][0]["message"]["content"] == "Hello!"
    assert told["usage"]["completion_tokens"] > 0
    assert told["usage"]["greenlane"]["deployment"] == "first"


ERRORS = [
    b'{"detail":[{"loc":5,"msg":{"a":1}}]}',
    b'{"detail":[[]]}',
    b'{"error":{"message":{"a":1},"type":5,"code":[1],"param":{}}}',
    b'{"error":{"message":"x","code":%d}}' % 10**30,
    b'{"error":' * 50_000,
]


@pytest.mark.parametrize("body", ERRORS, ids=["odd detail", "nested detail", "odd members", "a code beyond 64 bits", "50,000 levels"])
@pytest.mark.parametrize(("status", "expected"), [(400, 400), (500, 502)])
def test_an_error_answer_of_any_shape_is_told_with_its_status(proxy, upstream, body, status, expected):
    bad = upstream(answering(body, status)).url
    got = ask(proxy(TWO.format(first=bad, second=bad)))
    assert got.status_code == expected
    assert isinstance(got.json()["error"]["message"], str)


def test_an_error_in_a_stream_s_first_event_that_concerns_the_request_is_told_at_once(proxy, upstream):
    refusal = streaming(b'data: {"error":{"message":"no","code":400}}\n\n')
    first, second = upstream(refusal), upstream()
    got = ask(proxy(TWO.format(first=first.url, second=second.url)), stream=True)
    assert (got.status_code, got.headers["x-greenlane-attempts"], second.requests) == (400, "1", [])


@pytest.mark.parametrize("usage", [b"", b',"usage":null'], ids=["absent", "null"])
def test_a_message_without_usage_gets_what_was_counted(proxy, upstream, usage):
    body = b'{"id":"m","type":"message","role":"assistant","model":"up","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"%b}'
    text = TWO.replace("model: small,", "model: small, dialect: anthropic, upstream_model: claude-haiku-5-5,")
    served = proxy(text.format(first=upstream(answering(body % usage)).url, second=upstream().url))
    told = ask(served, "messages").json()
    assert told["usage"]["input_tokens"] > 0
    assert told["usage"]["greenlane"]["deployment"] == "first"


@pytest.mark.parametrize("door", BODIES)
def test_an_event_has_the_configured_bound_in_every_dialect(proxy, upstream, door):
    large = streaming(chunk({"role": "assistant", "content": "x" * 900_000}), chunk({}, "stop"), DONE)
    text = TWO.replace("policy: cheap", "limits: {{event_bytes: 4096}}\npolicy: cheap")
    served = proxy(text.format(first=upstream(large).url, second=upstream().url))
    assert ask(served, door, stream=True).headers["x-greenlane-deployment"] == "second"


def test_images_in_a_stream_of_responses_have_their_own_bound(proxy, upstream):
    image = {"type": "response.image_generation_call.partial_image", "partial_image_b64": "A" * 2_000_000}
    end = {"type": "response.completed", "response": {"object": "response", "id": "r", "status": "completed", "output": []}}
    answer = streaming(*[b"data: " + json.dumps(event).encode() + b"\n\n" for event in (image, end)])
    text = TWO.replace("model: small,", "model: small, apis: [responses],")
    served = proxy(text.format(first=upstream(answer).url, second=upstream().url))
    got = ask(served, "responses", stream=True, tools=[{"type": "image_generation"}])
    assert (got.headers["x-greenlane-deployment"], "response.completed" in got.text) == ("first", True)


def events(*told):
    return [b"data: " + json.dumps(each).encode() + b"\n\n" for each in told]


RESPONSE = {"id": "r1", "object": "response", "created_at": 1, "model": "up", "output": []}
STREAMS = {
    "anthropic": events(
        {"type": "message_start", "message": {"id": "m1", "type": "message", "role": "assistant", "model": "up", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 3, "output_tokens": 2}},
        {"type": "message_stop"},
    ),
    "gemini": events(
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "index": 0}]},
        {"candidates": [{"content": {"role": "model", "parts": []}, "finishReason": "STOP", "index": 0}]},
    ),
    "openai": events(
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}},
        {"type": "response.output_text.delta", "item_id": "i1", "output_index": 0, "content_index": 0, "delta": "Hi"},
        {"type": "response.completed", "response": {**RESPONSE, "status": "completed"}},
    ),
}
COMPLAINTS = [
    {"message": "sk-secret"},
    {"detail": [{"loc": ["body"], "msg": "sk-secret"}]},
    {"object": "error", "message": "x", "code": 500},
]


@pytest.mark.parametrize(
    ("door", "dialect"), [("messages", "anthropic"), ("chat", "anthropic"), ("chat", "gemini"), ("responses", "openai")]
)
@pytest.mark.parametrize("complaint", COMPLAINTS, ids=",".join)
def test_a_complaint_in_an_engines_words_ends_a_stream_of_any_dialect(proxy, upstream, door, dialect, complaint):
    """Gateways before a vendor's API put their own errors into its stream; an end mark behind one makes it no answer."""
    *said, end = STREAMS[dialect]
    begun = threading.Event()

    def answer(_, handler):
        def pieces():
            yield b"".join(said)
            begun.wait(60)
            yield b"event: error\n" + events(complaint)[0] + end

        handler.events(pieces())

    apis = "apis: [responses], " if dialect == "openai" else ""
    text = TWO.replace("model: small,", f"model: small, dialect: {dialect}, {apis}api_key: env:UPKEY,")
    served = proxy(text.format(first=upstream(answer).url, second=upstream().url), environ={"UPKEY": "sk-secret"})
    path, body = BODIES[door]
    got = heard(served, body, begun, path)
    assert "Hi" in got.text
    assert "sk-secret" not in got.text
    assert served.entries()[0].outcome == "truncated"


def test_a_response_that_failed_with_nothing_to_show_goes_to_the_next(proxy, upstream):
    failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "key sk-secret"}}
    text = TWO.replace("model: small,", "model: small, apis: [responses], api_key: env:UPKEY,")
    first = upstream(answering(json.dumps(failed).encode())).url
    second = upstream(answering(json.dumps({**RESPONSE, "status": "completed"}).encode())).url
    served = proxy(text.format(first=first, second=second), environ={"UPKEY": "sk-secret"})
    got = ask(served, "responses")
    assert (got.status_code, got.headers["x-greenlane-deployment"], got.headers["x-greenlane-attempts"]) == (200, "second", "2")
    alone = proxy(text.format(first=first, second=first), environ={"UPKEY": "sk-secret"})
    got = ask(alone, "responses")
    assert (got.status_code, alone.entries()[0].outcome) == (502, "failed")
    assert "sk-secret" not in got.text


def test_a_response_without_usage_gets_one_with_the_account_once_it_has_ended(proxy, upstream):
    bodies = [{**RESPONSE, "status": "completed", "output": None}, {**RESPONSE, "status": "queued", "usage": None}]
    text = TWO.replace("model: small,", "model: small, apis: [responses],")
    for body in bodies:
        host = upstream(answering(json.dumps(body).encode())).url
        got = ask(proxy(text.format(first=host, second=host)), "responses").json()
        if body["status"] == "queued":
            assert got == body
        else:
            assert got["usage"]["greenlane"]["deployment"] == "first"
            assert got["usage"]["total_tokens"] == got["usage"]["input_tokens"] + got["usage"]["output_tokens"] > 0
