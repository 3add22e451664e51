"""Streams that break behind their reason to end: they are complete; before it, or before every choice's, they are not."""

from __future__ import annotations

import json
import socket

import httpx
import pytest

from tests.harness import USAGE, chunk, said

ONE = """
deployments:
  only: {{model: small, dialect: {dialect}, base_url: "{url}", privacy: local, timeouts: {{between_s: {between_s}}}}}
"""
BODIES = {
    "chat": ("/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    "messages": ("/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
    "responses": ("/responses", {"input": "Hi"}),
}
ENDS = {"chat": "data: [DONE]\n\n", "messages": '"type":"message_stop"}\n\n', "responses": '"type":"response.completed"'}


def events(*told):
    return [b"event: " + each["type"].encode() + b"\ndata: " + json.dumps(each).encode() + b"\n\n" for each in told]


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "up",
    "content": [],
    "stop_reason": None,
    "usage": {"input_tokens": 9},
}
FINISHED = {
    "openai": said(usage=False)[:-1],
    "anthropic": events(
        {"type": "message_start", "message": MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello!"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 3}},
    ),
}


def resets(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()
    raise BrokenPipeError


def closes(handler):
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_WR)
    raise BrokenPipeError


def falls_silent(handler):
    handler.connection.recv(1)  # until the proxy leaves
    raise BrokenPipeError


def cut_in_an_event(handler):
    handler.wfile.write(b'11\r\ndata: {"choices":\r\n0\r\n\r\n')
    raise BrokenPipeError


BREAKS = {each.__name__: each for each in (resets, closes, falls_silent, cut_in_an_event)}


def broken(pieces, how):
    def answer(_, handler):
        def all_of_it():
            yield from pieces
            BREAKS[how](handler)

        handler.events(all_of_it())

    return answer


def ask(proxy, answering, dialect, door, how, **more):
    between_s = 0.3 if how == "falls_silent" else 60
    served = proxy(ONE.format(dialect=dialect, url=answering.url, between_s=between_s))
    path, body = BODIES[door]
    got = httpx.post(served.url + path, json={"model": "small", "stream": True, **body, **more}, timeout=60)
    return got, served.entries()[0]


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize("dialect", FINISHED)
def test_behind_the_reason_only_the_end_is_missing(proxy, upstream, dialect, door, how):
    got, entry = ask(proxy, upstream(broken(FINISHED[dialect], how)), dialect, door, how)
    assert '"error":{' not in got.text
    assert ENDS[door] in got.text
    assert (entry.outcome, entry.status, entry.error) == ("completed", 200, None)


@pytest.mark.parametrize("how", [*BREAKS, "ends"])
def test_each_of_several_choices_needs_its_reason(proxy, upstream, how):
    other = chunk({"content": "Bye"}).replace(b'"index": 0', b'"index": 1')
    pieces = [*said(usage=False)[:-1], other]
    answering = upstream((lambda _, handler: handler.events(pieces)) if how == "ends" else broken(pieces, how))
    got, entry = ask(proxy, answering, "openai", "chat", how, n=2)
    assert '"error":{' in got.text
    assert "[DONE]" not in got.text
    assert entry.outcome == "truncated"


@pytest.mark.parametrize("door", BODIES)
def test_an_empty_reason_is_none(proxy, upstream, door):
    """Some hosts put one into each chunk: where such a stream is cut, it is not complete."""
    pieces = [each.replace(b'"finish_reason": null', b'"finish_reason": ""') for each in said()[:2]]
    got, entry = ask(proxy, upstream(lambda _, handler: handler.events(pieces)), "openai", door, "ends")
    assert ENDS[door] not in got.text
    assert entry.outcome == "truncated"


def test_usage_cut_short_behind_the_reason_is_counted(proxy, upstream):
    usage = chunk({}, usage=USAGE)[:-30]
    got, entry = ask(proxy, upstream(lambda _, handler: handler.events([*said(usage=False)[:-1], usage])), "openai", "chat", "ends")
    assert got.text.endswith("data: [DONE]\n\n")
    assert (entry.outcome, entry.tokens.estimated) == ("completed", True)


@pytest.mark.parametrize("told", [{}, {"n": None}, {"n": 1}], ids=str)
def test_of_the_best_of_several_one_is_told_and_its_end_is_the_stream_s(proxy, upstream, told):
    """A host that ends without `[DONE]`: the others are generated, not sent."""
    ended = {"id": "c", "object": "text_completion", "created": 1, "model": "up"}
    ended["choices"] = [{"index": 0, "text": "a", "logprobs": None, "finish_reason": "stop"}]
    event = b"data: " + json.dumps(ended).encode() + b"\n\n"
    served = proxy(f'deployments: {{d: {{model: small, base_url: "{upstream(lambda _, handler: handler.events([event])).url}"}}}}')
    body = {"model": "small", "prompt": "Hi", "stream": True, "best_of": 3, **told}
    answer = httpx.post(f"{served.url}/completions", json=body, timeout=60)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert served.entries(1)[0].outcome == "completed"
