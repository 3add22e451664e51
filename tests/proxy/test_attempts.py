"""What happens when an upstream fails: before the first byte another is tried, after it nothing is spliced, and all is accounted."""

from __future__ import annotations

import json
import socket
import time

import httpx
import openai
import pytest

from tests.harness import chunk, completion, said, until

TWO = """
deployments:
  first: {{model: small, base_url: "{first}", privacy: local, weight: 2}}
  second: {{model: small, base_url: "{second}", privacy: local}}
"""
ONE = """
deployments:
  only: {{model: small, base_url: "{url}", privacy: local}}
"""
ASK = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}


def impatient(text, phase):
    """For upstreams that fall silent, and for them alone: on a slow machine any other would be overdue as well."""
    return text.replace("privacy: local", f"privacy: local, timeouts: {{{phase}: 0.3}}", 1)


def text_of(text, failure):
    return impatient(text, "first_byte_s") if failure == "silence" else text


def status(code, body=None, headers=None):
    return lambda _, handler: handler.reply(code, body or {"error": {"message": "told", "type": "t", "code": "c"}}, headers)


def reset(_, handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()
    raise BrokenPipeError


def silent(_, handler):
    handler.connection.recv(1)  # until the proxy leaves


def garbage(_, handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    handler.close_connection = True


def short(_, handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
    handler.close_connection = True


def not_json(_, handler):
    handler.reply(200, b"<html>busy</html>", {"content-type": "text/html"})


def error_in_200(_, handler):
    handler.reply(200, {"error": {"message": "overloaded"}})


def error_event_first(_, handler):
    handler.events([b'data: {"error":{"message":"overloaded","code":503}}\n\n'])


def empty_stream(_, handler):
    handler.events([])


FAILURES = {
    "500": (status(500), 502),
    "503": (status(503), 502),
    "401 of our key": (status(401), 502),
    "403 of our key": (status(403), 502),
    "429": (status(429), 429),
    "reset": (reset, 502),
    "silence": (silent, 504),
    "garbage": (garbage, 502),
    "short body": (short, 502),
    "not JSON": (not_json, 502),
    "error in a 200": (error_in_200, 502),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_another_deployment_answers_where_one_fails_before_the_first_byte(proxy, upstream, failure, stream):
    bad, good = upstream(FAILURES[failure][0]), upstream()
    served = proxy(text_of(TWO.format(first=bad.url, second=good.url), failure))
    answer = httpx.post(f"{served.url}/chat/completions", json={**ASK, "stream": stream}, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["x-greenlane-deployment"] == "second"
    assert answer.headers["x-greenlane-attempts"] == "2"
    assert answer.headers["x-greenlane-reason"] == "fallback"
    assert "Hello!" in answer.text or "lo" in answer.text


@pytest.mark.parametrize("failure", FAILURES)
def test_where_nobody_else_is_left_the_status_tells_what_happened(proxy, upstream, failure):
    bad, expected = FAILURES[failure]
    served = proxy(text_of(ONE.format(url=upstream(bad).url), failure))
    answer = httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=60)
    assert answer.status_code == expected
    assert answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] in ("upstream_error", "upstream_timeout", "c")
    assert served.entries()[0].outcome == "failed"


@pytest.mark.parametrize("failure", [error_event_first, empty_stream])
def test_a_stream_that_fails_before_content_is_a_real_status_or_another_deployments(proxy, upstream, failure):
    alone = proxy(ONE.format(url=upstream(failure).url))
    assert httpx.post(f"{alone.url}/chat/completions", json={**ASK, "stream": True}, timeout=60).status_code in (502, 503)
    pair = proxy(TWO.format(first=upstream(failure).url, second=upstream().url))
    answer = httpx.post(f"{pair.url}/chat/completions", json={**ASK, "stream": True}, timeout=60)
    assert answer.headers["x-greenlane-deployment"] == "second"
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("code", [400, 404, 413, 422])
def test_what_concerns_the_request_goes_to_the_client_as_it_is(proxy, upstream, code):
    bad, good = (
        upstream(status(code, {"error": {"message": "too long", "type": "x", "code": "context_length_exceeded", "param": "messages"}})),
        upstream(),
    )
    served = proxy(TWO.format(first=bad.url, second=good.url))
    answer = httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=60)
    assert answer.status_code == code
    assert answer.json()["error"] == {"message": "too long", "type": "x", "code": "context_length_exceeded", "param": "messages"}
    assert good.requests == []


def test_retry_after_reaches_the_client(proxy, upstream):
    served = proxy(ONE.format(url=upstream(status(429, headers={"retry-after": "7", "x-ratelimit-remaining-requests": "0"})).url))
    answer = httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=60)
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"


def broken(pieces):
    def answer(_, handler):
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            handler.wfile.flush()
        handler.close_connection = True

    return answer


HALF = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"})]


def test_a_stream_that_breaks_ends_in_one_error_event_without_done(proxy, upstream):
    """No second deployment is spliced on, no finish_reason is invented; the official client raises."""
    good = upstream()
    served = proxy(TWO.format(first=upstream(broken(HALF)).url, second=good.url))
    answer = httpx.post(f"{served.url}/chat/completions", json={**ASK, "stream": True}, timeout=60)
    events = [line for line in answer.text.split("\n\n") if line]
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "upstream_error"
    assert "[DONE]" not in answer.text
    assert answer.text.count('"error"') == 1
    assert good.requests == []
    entry = served.entries()[0]
    assert (entry.outcome, entry.tokens.estimated) == ("truncated", True)
    client = openai.OpenAI(base_url=served.url, api_key="x", max_retries=0)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**ASK, stream=True))


def test_a_stream_that_falls_silent_says_that_it_was_the_time(proxy, upstream):
    def stalls(_, handler):
        broken(HALF)(_, handler)
        silent(_, handler)

    served = proxy(impatient(ONE.format(url=upstream(stalls).url), "between_s"))
    answer = httpx.post(f"{served.url}/chat/completions", json={**ASK, "stream": True}, timeout=60)
    last = [line for line in answer.text.split("\n\n") if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_timeout"
    assert "[DONE]" not in answer.text


def test_an_error_event_after_content_is_told_and_ends_the_stream(proxy, upstream):
    served = proxy(ONE.format(url=upstream(lambda _, handler: handler.events([*HALF, b'data: {"error":{"message":"died"}}\n\n'])).url))
    answer = httpx.post(f"{served.url}/chat/completions", json={**ASK, "stream": True}, timeout=60)
    assert '"died"' in answer.text
    assert "[DONE]" not in answer.text


def test_a_missing_done_after_a_finish_reason_is_completed(proxy, upstream):
    served = proxy(ONE.format(url=upstream(lambda _, handler: handler.events(said()[:-1])).url))
    answer = httpx.post(f"{served.url}/chat/completions", json={**ASK, "stream": True}, timeout=60)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert served.entries()[0].outcome == "completed"


def test_silence_in_the_middle_ends_the_stream(proxy, upstream):
    def stalls(_, handler):
        def pieces():
            yield from HALF
            silent(_, handler)

        handler.events(pieces())

    served = proxy(impatient(ONE.format(url=upstream(stalls).url), "between_s"))
    answer = httpx.post(f"{served.url}/chat/completions", json={**ASK, "stream": True}, timeout=60)
    assert '"error"' in answer.text
    assert "[DONE]" not in answer.text


def slow_stream(received, handler):
    def pieces():
        yield HALF[0]
        for _ in range(1200):
            time.sleep(0.05)
            yield HALF[1]

    handler.events(pieces())


@pytest.mark.parametrize("phase", ["first byte, whole", "first byte, stream", "mid-stream"])
def test_when_the_client_leaves_the_upstream_stops_within_a_second(proxy, upstream, phase):
    def waits(received, handler):
        if phase == "mid-stream":
            slow_stream(received, handler)
            return
        if handler.connection.recv(1) == b"":
            raise BrokenPipeError

    host = upstream(waits)
    served = proxy(ONE.format(url=host.url))
    body = json.dumps({**ASK, "stream": phase != "first byte, whole"}).encode()

    def leaves():
        """How long the upstream went on afterwards."""
        host.requests.clear()
        host.gone.clear()
        with socket.create_connection(("127.0.0.1", served.port)) as wire:
            wire.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % len(body)
                + body
            )
            if phase == "mid-stream":
                wire.recv(65536)
            else:
                until(lambda: host.requests)
        left_s = time.monotonic()
        assert host.gone.wait(30)
        return time.monotonic() - left_s

    # the machine may be busy at one time, and is not at every time
    until(lambda: leaves() < 1.0)
    entry = served.entries()[0]
    assert (entry.outcome, entry.status) == ("client_gone", 499)
    assert served.call(lambda runtime: runtime.plane.peers["only"].inflight) == 0


def open_since_long(runtime):
    runtime.plane.peers["only"].breaker._opened_at_s -= 600


def test_three_failures_open_the_breaker_and_a_probe_closes_it(proxy, upstream):
    state = {"down": True}

    def host(received, handler):
        completion(received, handler) if not state["down"] else handler.reply(500, {})

    made = upstream(host)
    served = proxy(ONE.format(url=made.url) + "breaker: {failures: 3, open_s: 600}\n")
    codes = [httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=60).status_code for _ in range(5)]
    assert codes == [502, 502, 502, 503, 503]
    assert len(made.requests) == 3
    refused = httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=60)
    assert int(refused.headers["retry-after"]) >= 1
    assert httpx.get(f"{served.base}/health/ready", timeout=60).status_code == 503
    state["down"] = False
    served.call(open_since_long)
    assert httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=60).status_code == 200
    assert httpx.get(f"{served.base}/health/ready", timeout=60).status_code == 200


def test_a_full_deployment_queues_requests_and_answers_all(proxy, upstream):
    def slow(received, handler):
        time.sleep(0.1)
        completion(received, handler)

    served = proxy(ONE.format(url=upstream(slow).url).replace("privacy: local", "privacy: local, concurrency: 2"))
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=10).status_code, range(8)))
    assert answers == [200] * 8


def test_nobody_sees_our_key_and_the_upstream_never_sees_the_clients(proxy, upstream):
    host = upstream(status(400, {"error": {"message": "bad key sk-upstream-0123456789 given"}}))
    text = ONE.format(url=host.url).replace("privacy: local", "privacy: local, api_key: env:UP_KEY")
    served = proxy(text, environ={"UP_KEY": "sk-upstream-0123456789"})
    answer = httpx.post(
        f"{served.url}/chat/completions", json=ASK, headers={"authorization": "Bearer sk-client-secret", "cookie": "a=b"}, timeout=60
    )
    assert answer.status_code == 400
    assert "sk-upstream-0123456789" not in answer.text
    sent = host.requests[0].headers
    assert sent["authorization"] == "Bearer sk-upstream-0123456789"
    assert "sk-client-secret" not in str(sent)
    assert "cookie" not in sent


@pytest.mark.parametrize("second", [500, 400])
def test_a_request_that_fails_alike_everywhere_opens_no_breaker(proxy, upstream, second):
    """Engines answer 500 to members they did not foresee: one client's bad request must not take the fleet from the others."""
    hosts = upstream(status(500)), upstream(status(second))
    served = proxy(TWO.format(first=hosts[0].url, second=hosts[1].url))
    codes = {httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=60).status_code for _ in range(5)}
    assert codes == {502 if second == 500 else 400}
    assert served.call(lambda runtime: [peer.breaker.closed for peer in runtime.plane.peers.values()]) == [True, True]


def test_a_deployment_that_fails_where_another_answers_is_left_alone(proxy, upstream):
    bad, good = upstream(status(500)), upstream()
    served = proxy(TWO.format(first=bad.url, second=good.url))
    assert {httpx.post(f"{served.url}/chat/completions", json=ASK, timeout=60).status_code for _ in range(12)} == {200}
    assert len(bad.requests) == 3
