"""A process that is told to stop finishes what it has begun; one that is killed loses no account of what was finished."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import threading
import time

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


@pytest.fixture
def patient(tmp_path, upstream, let):
    """Long enough that no test of it waits for its end but where it says so."""
    process = Process(FLEET.format(url=upstream(paused(let)).url), tmp_path / "process")
    process.close()
    process.path.write_text(process.path.read_text().replace("server: {port: 0}", "server: {port: 0, drain_delay_s: 60}"))
    process.start()
    yield process
    process.close()


def ready(process):
    return httpx.get(f"{process.base}/health/ready", timeout=10, verify=False).status_code


def test_before_it_drains_balancers_see_that_it_is_unready_and_are_still_served(patient, let):
    """Kubernetes takes a pod out of its endpoints beside sending SIGTERM, and requests come until all have heard of it."""
    with (
        httpx.Client(timeout=20, verify=False) as kept,
        httpx.Client(timeout=20, verify=False) as streaming,
        streaming.stream("POST", f"{patient.url}/chat/completions", json=STREAM) as stream,
    ):
        lines = stream.iter_lines()
        assert "Hel" in next(lines)
        for _ in range(2):  # the second's head has been met before
            assert "connection" not in kept.post(f"{patient.url}/chat/completions", json={**STREAM, "stream": False}).headers
        patient.signal(signal.SIGTERM)
        until(lambda: ready(patient) == 503)
        told = httpx.get(f"{patient.base}/health/ready", timeout=10, verify=False)
        assert (told.json()["reason"], told.headers["connection"]) == ("draining", "close")
        assert httpx.get(f"{patient.base}/health/live", timeout=10, verify=False).status_code == 200
        # on the connection that was kept and on a new one
        for client in (kept, kept, httpx):
            answer = client.post(f"{patient.url}/chat/completions", json={**STREAM, "stream": False})
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        let.set()
        assert [line for line in lines if line][-1] == "data: [DONE]"
        assert patient.popen.poll() is None
    patient.signal(signal.SIGTERM)
    assert patient.ended() == 0
    assert set(rows(patient).values()) == {"completed"}
    assert len(rows(patient)) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_waiting_and_not_the_streams(patient, let, number):
    with (
        httpx.Client(timeout=20, verify=False) as client,
        client.stream("POST", f"{patient.url}/chat/completions", json=STREAM) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        patient.signal(signal.SIGTERM)
        until(lambda: ready(patient) == 503)
        patient.signal(number)
        until(lambda: refuses(patient.port))
        let.set()
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert patient.ended() == 0


def test_who_interrupts_it_does_not_wait(patient):
    patient.signal(signal.SIGINT)
    assert patient.ended(20) == 0


def test_when_the_delay_is_over_it_drains(tmp_path, upstream, let):
    process = Process(FLEET.format(url=upstream(paused(let)).url), tmp_path / "process")
    process.close()
    process.path.write_text(process.path.read_text().replace("server: {port: 0}", "server: {port: 0, drain_delay_s: 0.5}"))
    process.start()
    try:
        with httpx.Client(timeout=10, verify=False) as client:
            assert client.get(f"{process.base}/health/ready").status_code == 200
            began_s = time.monotonic()
            process.signal(signal.SIGTERM)
            assert process.ended(20) == 0
            assert time.monotonic() - began_s >= 0.5
    finally:
        process.close()


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
