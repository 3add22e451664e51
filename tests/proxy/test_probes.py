"""A probe whose answer has begun has told what it was sent for: nobody waits for the end of its stream."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.harness import ask, chunk, completion, said, until

ONE = 'breaker: {{failures: 2, open_s: 600}}\ndeployments:\n  only: {{model: small, base_url: "{url}", privacy: local}}\n'
STREAM = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def open_since_long(runtime):
    runtime.plane.peers["only"].breaker._opened_at_s -= 600


@pytest.fixture
def probed(proxy, upstream):
    """A deployment that was down, is asked again and answers with a stream: `goes_on` lets it end, whole or broken."""
    goes_on, state = threading.Event(), {"down": True, "ends": True}

    def host(received, handler):
        if state["down"]:
            handler.reply(500, {})
        elif not received.json.get("stream"):
            completion(received, handler)
        else:
            handler.events(slowly())

    def slowly():
        yield from (chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}))
        goes_on.wait(60)
        if not state["ends"]:
            raise ConnectionResetError
        yield from said()[2:]

    served = proxy(ONE.format(url=upstream(host).url))
    assert [ask(served).status_code for _ in range(3)] == [502, 502, 503]
    state["down"] = False
    served.call(open_since_long)
    served.goes_on, served.state = goes_on, state
    yield served
    goes_on.set()


def test_others_are_served_while_the_probe_still_streams(probed):
    with httpx.stream("POST", f"{probed.url}/chat/completions", json=STREAM, timeout=60) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces)
        assert ask(probed).status_code == 200
        probed.goes_on.set()
        assert b"".join(pieces).endswith(b"[DONE]\n\n")
    assert ask(probed).status_code == 200


def test_a_client_that_leaves_its_probe_leaves_the_deployment_to_others(probed):
    with httpx.stream("POST", f"{probed.url}/chat/completions", json=STREAM, timeout=60) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces)
    until(lambda: probed.entries()[0].outcome == "client_gone")
    assert ask(probed).status_code == 200


def test_a_probe_that_breaks_after_all_is_a_failure(probed):
    probed.state["ends"] = False
    with httpx.stream("POST", f"{probed.url}/chat/completions", json=STREAM, timeout=60) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces)
        probed.goes_on.set()
        assert b"error" in b"".join(pieces)
    assert ask(probed).status_code == 503
