"""A process that is told to stop finishes what it has begun; one that is killed loses no account of what was finished."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import threading

import httpx
import pytest

from tests.harness import Process, ask, chunk, said, until

FLEET = """
deployments:
  only: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", privacy: local, zone: SE}}
"""
STREAM = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def paused(let):
    """A stream that stops in the middle until it is let go on."""

    def answer(received, handler):
        def pieces():
            yield chunk({"role": "assistant", "content": "Hel"})
            let.wait(60)
            yield from said(["lo"])[1:]

        if received.json.get("stream"):
            handler.events(pieces())
        else:
            handler.reply(200, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})

    return answer


@pytest.fixture
def let():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def process(tmp_path, upstream, let):
    made = Process(FLEET.format(url=upstream(paused(let)).url), tmp_path / "process")
    yield made
    made.close()


def rows(process):
    """Outcomes in the ledger by id."""
    with sqlite3.connect(process.folder / "ledger.db") as store:
        found = dict(store.execute("SELECT id, outcome FROM ledger").fetchall())
    store.close()
    return found


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_under_way_is_finished_and_accounted_before_the_process_ends(process, let, number):
    with (
        httpx.Client(timeout=60, verify=False) as client,
        client.stream("POST", f"{process.url}/chat/completions", json=STREAM) as stream,
    ):
        lines = stream.iter_lines()
        assert "Hel" in next(lines)
        process.signal(number)
        until(lambda: refuses(process.port))
        assert process.popen.poll() is None
        let.set()
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert rest[-2].startswith(": greenlane {")
    assert process.ended() == 0
    assert rows(process) == {stream.headers["x-greenlane-id"]: "completed"}


def test_an_idle_process_ends_at_once_although_clients_keep_connections(process):
    with httpx.Client(timeout=10, verify=False) as client:
        assert client.get(f"{process.base}/health/ready").status_code == 200
        process.signal(signal.SIGTERM)
        assert process.ended(20) == 0


@pytest.fixture
def hasty(tmp_path, upstream, let):
    process = Process(FLEET.format(url=upstream(paused(let)).url), tmp_path / "process", server="{port: 0, drain_s: 1}")
    yield process
    process.close()


def test_a_stream_that_does_not_end_in_the_time_to_drain_is_told_and_accounted_as_cut_by_us(hasty):
    with (
        httpx.Client(timeout=60, verify=False) as client,
        client.stream("POST", f"{hasty.url}/chat/completions", json=STREAM) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        hasty.signal(signal.SIGTERM)
        rest = [line for line in lines if line]
    assert hasty.ended() == 0
    assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "unavailable"
    assert rows(hasty) == {stream.headers["x-greenlane-id"]: "truncated"}


def test_an_answer_that_does_not_come_in_the_time_to_drain_is_a_503(tmp_path, upstream, let):
    def silent(_, handler):
        let.wait(60)

    hosts = upstream(silent), upstream(silent)
    text = FLEET.format(url=hosts[0].url) + f'  other: {{model: small, base_url: "{hosts[1].url}", privacy: local}}\n'
    process = Process(text, tmp_path / "process", server="{port: 0, drain_s: 1}")
    try:
        body = json.dumps({**STREAM, "stream": False}).encode()
        with socket.create_connection(("127.0.0.1", process.port)) as wire:
            wire.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            until(lambda: hosts[0].requests or hosts[1].requests)
            process.signal(signal.SIGTERM)
            wire.settimeout(60)
            told = b"".join(iter(lambda: wire.recv(65536), b""))
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in told
        assert process.ended() == 0
        assert list(rows(process).values()) == ["failed"]
        assert len(hosts[0].requests) + len(hosts[1].requests) == 1
    finally:
        process.close()


def test_a_killed_process_has_kept_every_finished_exchange(process):
    """The ledger has them all after the next start, none twice, while one was still under way when it died."""
    finished = [ask(process).headers["x-greenlane-id"] for _ in range(10)]
    with socket.create_connection(("127.0.0.1", process.port)) as wire:
        body = b'{"model":"small","messages":[],"stream":true}'
        wire.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert b"Hel" in wire.recv(65536)
        finished += [ask(process).headers["x-greenlane-id"] for _ in range(10)]
        process.popen.kill()
        process.ended()
    process.start()
    for entry_id in finished:
        answer = httpx.get(f"{process.url}/greenlane/requests/{entry_id}", timeout=10, verify=False)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "completed")
    until(lambda: len(rows(process)) >= 20)
    assert sorted(rows(process)) == sorted(finished)


def test_an_entry_that_is_not_in_the_store_yet_is_503_and_not_unknown(process):
    first_id = ask(process).headers["x-greenlane-id"]
    until(lambda: httpx.get(f"{process.url}/greenlane/requests/{first_id}", timeout=10, verify=False).status_code == 200)
    with sqlite3.connect(process.folder / "ledger.db", isolation_level=None) as store:
        store.execute("BEGIN EXCLUSIVE")
        entry_id = ask(process).headers["x-greenlane-id"]
        answer = httpx.get(f"{process.url}/greenlane/requests/{entry_id}", timeout=10, verify=False)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        store.execute("ROLLBACK")
    store.close()
    until(lambda: httpx.get(f"{process.url}/greenlane/requests/{entry_id}", timeout=10, verify=False).status_code == 200)


def test_a_spool_that_is_none_is_told_in_one_line(process):
    process.close()
    (process.folder / "spool").write_bytes(b"something else" * 10_000)
    with pytest.raises(AssertionError) as caught:
        process.start()
    assert "ledger.spool_file" in str(caught.value)
    assert "Traceback" not in str(caught.value)
