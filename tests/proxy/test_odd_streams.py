"""Streams framed as hosts frame them, errors in the place of answers, counts of no type a dialect has: the words get through."""

from __future__ import annotations

import json
import threading

import httpx
import openai
import pytest

from tests.harness import DONE, heard, said
from tests.proxy.test_stream_ends import BODIES, MESSAGE, ONE, events

OWN = {
    "chat": ("openai", said()),
    "messages": (
        "anthropic",
        events(
            {"type": "message_start", "message": MESSAGE},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello!"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 3}},
            {"type": "message_stop"},
        ),
    ),
    "responses": (
        "openai",
        events(
            {"type": "response.created", "sequence_number": 0, "response": {"id": "r1", "object": "response", "status": "in_progress"}},
            {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "i1", "output_index": 0, "delta": "Hello!"},
            {
                "type": "response.completed",
                "sequence_number": 2,
                "response": {
                    "id": "r1",
                    "object": "response",
                    "status": "completed",
                    "output": [],
                    "usage": {"input_tokens": 9, "output_tokens": 3},
                },
            },
        ),
    ),
}
GEMINI = [
    b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hello!"}]},"index":0}]}\n\n',
    b'data: {"candidates":[{"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3}}\n\n',
]
SPOKEN = {dialect: pieces for dialect, pieces in OWN.values() if pieces is not OWN["responses"][1]} | {"gemini": GEMINI}
ENDS = {"chat": "data: [DONE]", "messages": "message_stop", "responses": "response.completed"}


def served_by(proxy, upstream, answer, dialect, *, responses=False):
    text = ONE.format(dialect=dialect, url=upstream(answer).url, between_s=60)
    return proxy(text.replace("dialect:", "apis: [responses], dialect:") if responses else text)


def posted(served, door, **more):
    path, body = BODIES[door]
    return httpx.post(served.url + path, json={"model": "small", **body, **more}, timeout=60)


def streamed(proxy, upstream, pieces, dialect, door, *, responses=False):
    served = served_by(proxy, upstream, lambda _, handler: handler.events(pieces), dialect, responses=responses)
    return served, posted(served, door, stream=True)


@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize("dialect", SPOKEN)
def test_an_event_without_data_is_nothing(proxy, upstream, dialect, door):
    pieces = [piece for each in SPOKEN[dialect] for piece in (b"data: \n\n", b"data:\n\ndata: \n\n" + each)]
    served, got = streamed(proxy, upstream, pieces, dialect, door)
    assert (got.status_code, served.entries()[0].outcome) == (200, "completed")
    assert ENDS[door] in got.text


@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize("dialect", SPOKEN)
@pytest.mark.parametrize("size", [7, 100_000])
def test_lines_may_end_in_cr_alone(proxy, upstream, dialect, door, size):
    """The event before the end holds the reason: it must not wait for an LF that could follow."""
    whole = b"".join(SPOKEN[dialect]).replace(b"\n", b"\r")
    served, got = streamed(proxy, upstream, [whole[at : at + size] for at in range(0, len(whole), size)], dialect, door)
    assert served.entries()[0].outcome == "completed"
    assert {"chat": '"stop"', "messages": "end_turn", "responses": '"status":"completed"'}[door] in got.text.replace(": ", ":")


@pytest.mark.parametrize("door", OWN)
def test_the_account_stands_in_the_last_event_s_block_though_blank_lines_come_before(proxy, upstream, door):
    dialect, pieces = OWN[door]
    _, got = streamed(proxy, upstream, [each + b"\n" for each in pieces], dialect, door, responses=door == "responses")
    # how many of the blank lines before it went out depends on how the reads fell
    last = got.text.rstrip("\n").split("\n\n")[-1].lstrip("\n")
    assert last.startswith(": greenlane {")
    assert "\ndata: " in last


@pytest.mark.parametrize("door", ["chat", "responses"])
def test_openais_client_reads_a_stream_with_ids_and_keep_alive_comments(proxy, upstream, door):
    """Once it has seen an id, it takes a comment that stands alone for an event, and fails at it."""
    dialect, pieces = OWN[door]
    odd = [piece for number, each in enumerate(pieces) for piece in (b"id: %d\n" % number + each, b": keep-alive\n\n", b"id: 99\n\n")]
    served = served_by(proxy, upstream, lambda _, handler: handler.events(odd), dialect, responses=door == "responses")
    client = openai.OpenAI(base_url=served.url, api_key="x", max_retries=0)
    if door == "chat":
        chunks = list(client.chat.completions.create(model="small", messages=[{"role": "user", "content": "Hi"}], stream=True))
        assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "Hello!"
    else:
        kinds = [each.type for each in client.responses.create(model="small", input="Hi", stream=True)]
        assert kinds == ["response.created", "response.output_text.delta", "response.completed"]
    assert served.entries()[0].outcome == "completed"


@pytest.mark.parametrize("usage", [None, {}, "none", {"output_tokens": "three"}], ids=json.dumps)
def test_a_stream_of_messages_without_usage_gets_what_was_counted(proxy, upstream, usage):
    pieces = list(OWN["messages"][1])
    pieces[0] = pieces[0].replace(json.dumps(MESSAGE["usage"]).encode(), b"null")
    pieces[4] = pieces[4].replace(b'{"output_tokens": 3}', json.dumps(usage).encode())
    served, got = streamed(proxy, upstream, pieces, "anthropic", "messages")
    told = next(json.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: ") and '"message_delta"' in line)
    assert told["usage"]["greenlane"]["energy_wh"] is None or told["usage"]["greenlane"]["energy_wh"] > 0
    entry = served.entries()[0]
    assert (entry.outcome, entry.tokens.estimated) == ("completed", True)


def test_a_failure_has_the_place_of_the_event_that_told_it(proxy, upstream):
    begun = threading.Event()

    def answer(_, handler):
        def pieces():
            yield b"".join(OWN["responses"][1][:2])
            begun.wait(60)
            yield events({"type": "error", "sequence_number": 2, "code": "server_error", "message": "Sorry", "param": None})[0]

        handler.events(pieces())

    path, body = BODIES["responses"]
    got = heard(served_by(proxy, upstream, answer, "openai", responses=True), body, begun, path)
    told = [json.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: ")]
    assert [each["sequence_number"] for each in told] == [0, 1, 2, 3]


WHOLE = {
    "openai": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}]},
    "anthropic": {**MESSAGE, "content": [{"type": "text", "text": "Hello!"}], "stop_reason": "end_turn"},
    "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello!"}]}, "finishReason": "STOP", "index": 0}]},
    "responses": {"id": "r1", "object": "response", "status": "completed", "output": []},
}
PAIRS = [(dialect, door) for dialect in ("openai", "anthropic", "gemini") for door in BODIES] + [("responses", "responses")]


@pytest.mark.parametrize(("dialect", "door"), PAIRS)
@pytest.mark.parametrize("usage", ["many", [], 7, 0.5, "objects"])
def test_counts_of_another_type_are_counted_instead(proxy, upstream, dialect, door, usage):
    """The answer is good: no other deployment is asked for it, and nobody pays twice."""
    if usage == "objects":
        usage = dict.fromkeys(("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "promptTokenCount"), 0.5)
    body = {**WHOLE[dialect], "usageMetadata" if dialect == "gemini" else "usage": usage}
    native = dialect == "responses"
    served = served_by(proxy, upstream, lambda _, handler: handler.reply(200, body), "openai" if native else dialect, responses=native)
    got = posted(served, door)
    assert got.status_code == 200
    entry = served.entries()[0]
    assert (entry.outcome, entry.tokens.estimated) == ("completed", True)


@pytest.mark.parametrize("content", [None, "Hello", {}])
def test_a_message_without_a_list_of_blocks_is_none(proxy, upstream, content):
    served = served_by(proxy, upstream, lambda _, handler: handler.reply(200, {**WHOLE["anthropic"], "content": content}), "anthropic")
    assert posted(served, "messages").status_code == 502


IN_BAND = {
    "a type": ({"type": "invalid_request_error", "message": "no"}, 400, "invalid_request_error"),
    "a code": ({"type": "invalid_request_error", "code": "context_length_exceeded", "message": "no"}, 400, "invalid_request_error"),
    "a limit": ({"code": "rate_limit_exceeded", "type": "tokens", "message": "no"}, 429, "rate_limit_error"),
    "a number as text": ({"code": "429", "type": "None", "message": "no"}, 429, "rate_limit_error"),
    "a number": ({"code": 400, "message": "no"}, 400, "invalid_request_error"),
    "our key": ({"code": "invalid_api_key", "type": "invalid_request_error", "message": "no"}, 502, "upstream_error"),
    "its trouble": ({"type": "server_error", "message": "no"}, 502, "upstream_error"),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("told", IN_BAND)
def test_an_error_in_the_place_of_an_answer_has_its_status(proxy, upstream, told, stream):
    error, status, kind = IN_BAND[told]

    def answer(_, handler):
        if stream:
            handler.events([b"data: " + json.dumps({"error": error}).encode() + b"\n\n"])
        else:
            handler.reply(200, {"error": error})

    got = posted(served_by(proxy, upstream, answer, "openai"), "chat", stream=stream)
    assert (got.status_code, got.json()["error"]["type"]) == (status, kind)


WORDS = {"openai": 2, "anthropic": 3, "gemini": 1}
"""Events of a stream until there are words."""
OUR_KEY = {
    "openai": {"error": {"message": "Key of ACME is spent", "type": "authentication_error", "code": 401}},
    "anthropic": {"type": "error", "error": {"type": "authentication_error", "message": "Key of ACME is spent"}},
    "gemini": {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Key of ACME is spent"}},
}


@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize("dialect", OUR_KEY)
@pytest.mark.parametrize("where", ["body", "first", "later"])
def test_what_is_said_of_our_key_is_not_told(proxy, upstream, dialect, door, where):
    begun = threading.Event()
    error = OUR_KEY[dialect]
    event = (b"event: error\n" if dialect == "anthropic" else b"") + b"data: " + json.dumps(error).encode() + b"\n\n"

    def answer(_, handler):
        def pieces():
            if where == "later":
                yield b"".join(SPOKEN[dialect][: WORDS[dialect]])
                begun.wait(60)
            yield event
            yield DONE

        if where == "body":
            handler.reply(200, error)
        else:
            handler.events(pieces())

    served = served_by(proxy, upstream, answer, dialect)
    path, body = BODIES[door]
    got = posted(served, door) if where == "body" else heard(served, body, begun, path)
    assert "ACME" not in got.text
    assert "credentials" in got.text
    assert got.status_code == (200 if where == "later" else 502)


ODD_CHOICES = [
    {"logprobs": []},
    {"logprobs": {"content": 5}},
    {"logprobs": {"content": [{"token": "a", "top_logprobs": [7]}]}},
    {"annotations": 0.5},
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("odd", ODD_CHOICES, ids=json.dumps)
def test_what_stands_beside_the_words_may_be_odd(proxy, upstream, odd, stream):
    """The answer is translated without what is no list of entries."""
    beside = {name: value for name, value in odd.items() if name == "annotations"}
    choice = {"index": 0, "finish_reason": "stop", **{name: value for name, value in odd.items() if name not in beside}}
    told = {"role": "assistant", "content": "Hello!", **beside}

    def answer(_, handler):
        if stream:
            handler.events([b"data: " + json.dumps({"id": "c1", "choices": [{**choice, "delta": told}]}).encode() + b"\n\n", DONE])
        else:
            handler.reply(200, {"id": "c1", "choices": [{**choice, "message": told}]})

    served = served_by(proxy, upstream, answer, "openai")
    got = posted(served, "responses", stream=stream)
    assert (got.status_code, served.entries()[0].outcome) == (200, "completed")
    assert "Hello!" in got.text


BLOCKS = [
    {"type": "tool_use", "id": "t1", "name": ["f"], "input": {}},
    {"type": "tool_use", "id": {}, "name": "f", "input": {}},
    {"type": "text", "text": "Hi"},
    {"type": "thinking", "thinking": 5},
]


@pytest.mark.parametrize("door", ["chat", "responses"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("block", BLOCKS, ids=json.dumps)
def test_a_block_whose_texts_are_none_is_the_upstreams_fault(proxy, upstream, caplog, door, block, stream):
    if block["type"] == "text" and stream:
        block = {"type": "text", "text": 5}

    def answer(_, handler):
        if stream:
            begun = {"type": "content_block_start", "index": 0, "content_block": block}
            handler.events(events({"type": "message_start", "message": MESSAGE}, begun))
        else:
            handler.reply(200, {**WHOLE["anthropic"], "content": [block]})

    got = posted(served_by(proxy, upstream, answer, "anthropic"), door, stream=stream)
    assert got.status_code == (200 if block == BLOCKS[2] else 502)
    assert "Traceback" not in caplog.text


HALVES = {
    "openai": [{"prompt_tokens": 9}, {"completion_tokens": 3}],
    "anthropic": [{"input_tokens": 9}, {"output_tokens": 3}],
    "gemini": [{"candidatesTokenCount": 3}],
}


@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize(("dialect", "usage"), [(dialect, usage) for dialect, each in HALVES.items() for usage in each], ids=str)
def test_half_a_usage_is_completed_by_what_was_counted(proxy, upstream, dialect, usage, door):
    body = {**WHOLE[dialect], "usageMetadata" if dialect == "gemini" else "usage": usage}
    served = served_by(proxy, upstream, lambda _, handler: handler.reply(200, body), dialect)
    told = posted(served, door).json()["usage"]
    assert told["greenlane"]["deployment"] == "only"
    tokens = served.entries()[0].tokens
    assert tokens.estimated
    assert (tokens.input == 9) if 9 in usage.values() else (tokens.output == 3)
    assert None not in (tokens.input, tokens.output)
