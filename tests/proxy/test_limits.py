"""Bounds on what is held: large events and answers, slow readers, crowds; and places that become free go to whoever can use them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import resource
import socket
import threading
import time

import pytest

from tests.harness import ask, chunk, completion, said, serving, until

FLEET = """
deployments:
  only: {{model: small, base_url: "{url}", privacy: local, timeouts: {{first_byte_s: 20, between_s: 20}}}}
"""
LIMITS = "limits: {event_bytes: 20000, answer_bytes: 50000, n: 4, body_bytes: 100000}\n"
CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**CHAT, "stream": True}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url) + LIMITS + "breaker: {failures: 1000}\n", tmp_path_factory.mktemp("limits")) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.answer = completion
    shared.host.requests.clear()
    shared.host.gone.clear()
    return shared


def test_an_event_within_the_limit_passes_and_a_larger_one_ends_the_stream(served):
    within, beyond = chunk({"content": "x" * 15_000}), chunk({"content": "x" * 100_000})

    def in_pieces(event):
        def events():
            yield chunk({"role": "assistant", "content": "a"})
            for at in range(0, len(event), 5_000):
                yield event[at : at + 5_000]
                time.sleep(0.01)
            yield from said(["!"])[1:]

        return lambda _, handler: handler.events(events())

    served.host.answer = in_pieces(within)
    assert ask(served, STREAM).text.endswith("data: [DONE]\n\n")
    served.host.answer = in_pieces(beyond)
    answer = ask(served, STREAM)
    assert "x" * 100 not in answer.text
    assert '"error"' in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize("pieces", [1, 40])
def test_an_event_without_an_end_is_not_waited_for(served, pieces):
    """Neither held for ever nor forwarded; the upstream is stopped."""
    told = threading.Event()

    def endless(received, handler):
        def events():
            yield chunk({"role": "assistant", "content": "a"})
            for _ in range(pieces):
                yield b"data: " + b"x" * (40_000 // pieces)
            told.wait(60)
            for _ in range(200):
                yield b"x" * 65536

        handler.events(events())

    served.host.answer = endless
    answer = ask(served, STREAM)
    assert not told.is_set()
    told.set()
    assert '"error"' in answer.text
    assert served.host.gone.wait(60)


@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings", "/messages"])
def test_an_answer_beyond_the_limit_is_an_error_and_not_read_on(served, path):
    def large(received, handler):
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for _ in range(500):
            handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    served.host.answer = large
    answer = ask(served, {**CHAT, "max_tokens": 5, "input": "Hi"} if path != "/messages" else {**CHAT, "max_tokens": 5}, path)
    assert answer.status_code == 502
    assert len(answer.content) < 1000
    assert served.host.gone.wait(60)


def test_a_large_error_answer_is_read_no_further_than_needed(served):
    served.host.answer = lambda _, handler: handler.reply(400, {"error": {"message": "m" * 400_000}})
    answer = ask(served)
    assert answer.status_code in (400, 502)
    assert len(answer.content) < 300_000


@pytest.mark.parametrize(("n", "status"), [(1, 200), (4, 200), (5, 400), (10**9, 400), (-1, 400), (1.5, 400), (None, 200)])
def test_the_number_of_choices_is_bounded(served, n, status):
    answer = ask(served, {**CHAT, "n": n})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["param"] == "n"
        assert served.host.requests == []


PIECE = chunk({"content": "y" * 8_000})
PIECES = 6_500
"""Some 50 MB."""


def test_a_client_that_does_not_read_stops_the_upstream_and_costs_little(served):
    """Fifty megabytes: what the kernel's socket buffers hold is read, the rest waits at the upstream."""
    written = 0

    def floods(received, handler):
        nonlocal written

        def pieces():
            nonlocal written
            yield chunk({"role": "assistant", "content": ""})
            for number in range(PIECES):
                written = number
                yield PIECE
            yield from said(["!"])[1:]

        handler.events(pieces())

    served.host.answer = floods
    body = json.dumps(STREAM).encode()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        wire.connect(("127.0.0.1", served.port))
        wire.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        until(lambda: written)
        seen = -1
        while seen != written:
            seen = written
            time.sleep(0.5)
        assert written < PIECES - 1, "the upstream was not held back"
        held = served.call(lambda _: max(each.transport.get_write_buffer_size() for each in connections(served)))
        assert held < 1_000_000, held
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 10 * 1024
        # read on, and all of it comes, to the last byte
        got, last = 0, b""
        wire.settimeout(60)
        while not last.endswith(b"0\r\n\r\n"):
            more = wire.recv(1 << 20)
            assert more
            got += len(more)
            last = (last + more)[-200:]
    assert b"data: [DONE]" in last
    assert got > PIECES * len(PIECE)


def connections(served):
    return list(served.server.server_state.connections)


def test_a_client_that_reads_nothing_and_leaves_stops_the_upstream(served):
    def floods(received, handler):
        handler.events(PIECE for _ in range(PIECES))

    served.host.answer = floods
    body = json.dumps(STREAM).encode()
    with socket.create_connection(("127.0.0.1", served.port)) as wire:
        wire.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        until(lambda: served.host.requests)
        time.sleep(0.3)
    assert served.host.gone.wait(60)


def test_two_hundred_streams_at_once_all_end_well(proxy):
    """Each with its own words, none with another's."""

    async def upstream(reader, writer):
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            word = json.loads(await reader.readexactly(length))["messages"][0]["content"]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in said([word, word], usage=False):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await asyncio.sleep(0.02)
            writer.write(b"0\r\n\r\n")
        writer.close()

    async def ask_one(port, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({**STREAM, "messages": [{"role": "user", "content": f"word-{number}-"}]}).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        answer = await reader.read(-1)
        writer.close()
        return answer

    async def crowd():
        server = await asyncio.start_server(upstream, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        served = await asyncio.to_thread(proxy, FLEET.format(url=f"http://127.0.0.1:{port}/v1"))
        answers = await asyncio.gather(*(ask_one(served.port, number) for number in range(200)))
        entries = await asyncio.to_thread(served.entries, 100)
        await asyncio.to_thread(served.close)
        server.close()
        return answers, entries

    answers, entries = asyncio.run(asyncio.wait_for(crowd(), 240))
    for number, answer in enumerate(answers):
        assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), answer[-200:]
        assert answer.count(b"word-%d-" % number) == 2
        assert answer.count(b"word-") == 2
    assert {entry.outcome for entry in entries} == {"completed"}


# places


PLACES = """
deployments:
  one: {{model: small, base_url: "{first}", privacy: local, concurrency: 1}}
  two: {{model: other, base_url: "{second}", privacy: local, concurrency: 1}}
{more}"""


@pytest.fixture
def places(proxy, upstream):
    first, second = upstream(), upstream()

    def make(more=""):
        served = proxy(PLACES.format(first=first.url, second=second.url, more=more))
        served.first, served.second = first, second
        return served

    return make


def waits_for(let):
    def answer(received, handler):
        let.wait(60)
        completion(received, handler)

    return answer


def waiting(served):
    return served.call(lambda runtime: len(runtime.plane.waiting))


def test_a_place_goes_to_who_waits_for_it_although_another_model_is_waited_for_longer(places):
    served = places()
    first_let, second_let = threading.Event(), threading.Event()
    served.first.answer, served.second.answer = waits_for(first_let), waits_for(second_let)
    other = {**CHAT, "model": "other"}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [pool.submit(ask, served), pool.submit(ask, served, other)]
        until(lambda: served.first.requests and served.second.requests)
        queued_other = pool.submit(ask, served, other)
        until(lambda: waiting(served) == 1)
        queued = pool.submit(ask, served)
        until(lambda: waiting(served) == 2)
        first_let.set()
        try:
            assert queued.result(60).status_code == 200
        finally:
            second_let.set()
        assert {each.result().status_code for each in (*running, queued_other)} == {200}


def test_when_a_deployment_goes_down_everybody_who_waits_for_it_is_told_at_once(places):
    served = places("breaker: {failures: 1}\n")
    let = threading.Event()

    def fails(received, handler):
        let.wait(60)
        handler.reply(500, {})

    served.first.answer = fails
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(ask, served) for _ in range(5)]
        until(lambda: waiting(served) == 4)
        let.set()
        assert sorted(call.result(60).status_code for call in calls) == [502, 503, 503, 503, 503]


def test_a_client_that_left_the_queue_does_not_keep_the_place_from_the_next(places):
    served = places()
    let = threading.Event()
    served.first.answer = waits_for(let)
    body = json.dumps(CHAT).encode()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = pool.submit(ask, served)
        until(lambda: served.first.requests)
        with socket.create_connection(("127.0.0.1", served.port)) as wire:
            wire.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            until(lambda: waiting(served) == 1)
            queued = pool.submit(ask, served)
            until(lambda: waiting(served) == 2)
        until(lambda: waiting(served) == 1)
        let.set()
        assert queued.result(60).status_code == 200
        assert running.result().status_code == 200
    assert sorted(entry.outcome for entry in served.entries(3)) == ["client_gone", "completed", "completed"]


def test_a_queue_that_is_full_refuses_at_once(places):
    served = places("limits: {queue: 2}\n")
    let = threading.Event()
    served.first.answer = waits_for(let)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(ask, served) for _ in range(3)]
        until(lambda: waiting(served) == 2)
        answer = ask(served)
        let.set()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert [call.result().status_code for call in calls] == [200] * 3


def test_a_client_that_leaves_the_queue_is_noticed_at_once(places):
    served = places()
    let = threading.Event()
    served.first.answer = waits_for(let)
    body = json.dumps(CHAT).encode()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, served)
        until(lambda: served.first.requests)
        with socket.create_connection(("127.0.0.1", served.port)) as wire:
            wire.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            until(lambda: waiting(served) == 1)
        until(lambda: waiting(served) == 0, 30)
        assert [(entry.outcome, entry.status) for entry in served.entries(1)] == [("client_gone", 499)]
        let.set()
        assert running.result().status_code == 200
    assert len(served.first.requests) == 1


def test_a_reload_changes_the_length_of_the_queue(places):
    served = places("limits: {queue: 2}\n")
    served.write(served.path.read_text().removeprefix(served._head).replace("queue: 2", "queue: 1"))
    assert served.call(lambda runtime: runtime.reload())
    assert served.call(lambda runtime: runtime.plane.waiting.limit) == 1
