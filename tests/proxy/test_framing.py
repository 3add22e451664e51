"""What arrives on the wire is framed, bounded and ordered before anything believes it: shapes after RFC 9112 and nginx's answers."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time

import pytest

from tests.harness import exchange, serving

BODY = json.dumps({"model": "small", "messages": [{"role": "user", "content": "Hi"}]}).encode()
FLEET = """
deployments:
  north: {{model: small, base_url: "{url}", zone: SE, privacy: local}}
"""
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
HIDDEN = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("framing")) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.requests.clear()
    return shared


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def post(body: bytes, *lines: bytes) -> bytes:
    head = b"".join(line + b"\r\n" for line in lines)
    return POST + head + b"content-length: %d\r\n\r\n" % len(body) + body


SMUGGLING = {
    "length and chunked": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked and length": POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": POST + b"content-length: 0\r\ncontent-length: 5\r\n\r\n" + HIDDEN,
    "two equal lengths": POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}" + HIDDEN,
    "length with sign": POST + b"content-length: +2\r\n\r\n{}" + HIDDEN,
    "length list": POST + b"content-length: 2, 2\r\n\r\n{}" + HIDDEN,
    "length in hex": POST + b"content-length: 0x2\r\n\r\n{}" + HIDDEN,
    "negative length": POST + b"content-length: -1\r\n\r\n" + HIDDEN,
    "huge length": POST + b"content-length: 99999999999999999999\r\n\r\n" + HIDDEN,
    "xchunked": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "gzip, chunked": POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked twice": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "identity": POST + b"transfer-encoding: identity\r\n\r\n" + HIDDEN,
    "space before colon": POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "folded": POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "bare LF in head": POST.replace(b"\r\n", b"\n") + b"content-length: 0\n\n" + HIDDEN,
    "bare CR": POST + b"x: a\rb\r\ncontent-length: 0\r\n\r\n" + HIDDEN,
    "NUL in value": POST + b"x: a\x00b\r\ncontent-length: 0\r\n\r\n" + HIDDEN,
    "control in name": POST + b"x\x01y: 1\r\ncontent-length: 0\r\n\r\n" + HIDDEN,
    "empty name": POST + b": 1\r\ncontent-length: 0\r\n\r\n" + HIDDEN,
    "chunk size not hex": POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + HIDDEN,
    "chunk size negative": POST + b"transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n" + HIDDEN,
    "chunk without CRLF": POST + b"transfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n" + HIDDEN,
    "chunked in 1.0": POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "no host": b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}" + HIDDEN,
    "two hosts": POST + b"host: other\r\ncontent-length: 2\r\n\r\n{}" + HIDDEN,
    "0.9": b"GET /v1/models\r\n" + HIDDEN,
    "version 2.0": POST.replace(b"1.1", b"2.0") + b"content-length: 0\r\n\r\n" + HIDDEN,
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + HIDDEN,
}


@pytest.mark.parametrize("shape", SMUGGLING)
def test_ambiguous_framing_is_refused_and_the_connection_closed(served, shape):
    """Never two answers: what follows a refused request is not taken for a request."""
    answer = exchange(served.port, SMUGGLING[shape], 1.0)
    assert len(statuses(answer)) <= 1, answer
    assert all(status in (400, 413, 505) for status in statuses(answer)), answer
    if statuses(answer):
        assert b"connection: close" in answer
        assert b"x-greenlane-id" in answer
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["message"]
    assert served.host.requests == []


def line(size: int) -> bytes:
    """A request whose first line has so many bytes, its break not counted."""
    return b"GET /v1/models?%b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" % (b"a" * (size - 24))


LIMITS = {
    "request line": (b"POST /v1/" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    "request line by a byte": (line(8193), 414),
    "one long header": (POST + b"x: " + b"a" * 60_000 + b"\r\n\r\n", 431),
    "many headers": (POST + b"".join(b"x-%d: 1\r\n" % i for i in range(200)) + b"\r\n", 431),
    "declared body": (POST + b"content-length: 99999999\r\n\r\n", 413),
    "chunked body": (POST + b"transfer-encoding: chunked\r\n\r\n" + b"100000\r\n" + b"a" * 0x100000 + b"\r\n", 413),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_what_is_too_large_is_refused_with_its_own_status(proxy, upstream, limit):
    served = proxy(FLEET.format(url=upstream().url) + "limits: {body_bytes: 65536}\n")
    request, status = LIMITS[limit]
    answer = exchange(served.port, request)
    assert statuses(answer) == [status]
    assert b"connection: close" in answer


@pytest.mark.parametrize("size", [32_000, 36_000])
@pytest.mark.parametrize("where", ["in one read", "in two reads", "behind a refusal"])
def test_the_headers_of_a_request_that_was_sent_ahead_are_bounded_too(served, where, size):
    """What is under way is answered, then the connection closes; what is answered already leaves the room for the reason."""
    sent = post(b"{" if where == "behind a refusal" else BODY) + post(BODY, b"x-long: " + b"a" * size, b"connection: close")
    first = [400 if where == "behind a refusal" else 200]
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as wire:
        cut = len(sent) - 20_000 if where == "in two reads" else len(sent)
        wire.sendall(sent[:cut])
        answer = wire.recv(65536)
        wire.sendall(sent[cut:])
        while more := wire.recv(65536):
            answer += more
    assert statuses(answer) in ([[*first, 200]] if size == 32_000 else [first, [*first, 431]])


def test_a_request_line_of_8_kib_is_still_good(served):
    assert statuses(exchange(served.port, line(8192))) == [200]


def test_pipelined_requests_are_answered_in_order(served):
    first = post(BODY, b"x-request-id: one")
    second = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx-request-id: two\r\n\r\n"
    third = post(BODY, b"x-request-id: three", b"connection: close")
    answer = exchange(served.port, first + second + third)
    assert statuses(answer) == [200, 200, 200]
    ids = [line.removeprefix(b"x-request-id: ") for line in answer.split(b"\r\n") if line.startswith(b"x-request-id")]
    assert ids == [b"one", b"two", b"three"]


def test_a_request_byte_by_byte_is_the_same_request(served):
    with socket.create_connection(("127.0.0.1", served.port)) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(BODY, b"connection: close"):
            wire.sendall(bytes([byte]))
        answer = b""
        while more := wire.recv(65536):
            answer += more
    assert statuses(answer) == [200]


def test_chunked_uploads_and_expect_and_http_1_0_work(served):
    chunked = POST + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert statuses(exchange(served.port, chunked)) == [200]
    expecting = post(BODY, b"expect: 100-continue", b"connection: close")
    assert statuses(exchange(served.port, expecting)) == [100, 200]
    old = POST.replace(b"1.1", b"1.0") + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    assert b"Hello!" in exchange(served.port, old)


def test_http_1_0_knows_requests_without_a_host(served):
    """No browser sends one: it cannot be a page that calls itself something else."""
    head = b"POST /v1/chat/completions HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    assert statuses(exchange(served.port, head + BODY)) == [200]
    assert statuses(exchange(served.port, b"GET /v1/models HTTP/1.0\r\n\r\n")) == [200]
    assert statuses(exchange(served.port, b"GET /v1/models HTTP/1.0\r\norigin: https://evil.example\r\n\r\n")) == [403]


def test_an_http_1_0_stream_ends_with_the_connection(served):
    body = BODY[:-1] + b', "stream": true}'
    answer = exchange(served.port, POST.replace(b"1.1", b"1.0") + b"content-length: %d\r\n\r\n" % len(body) + body)
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions/", "//v1//chat/completions", "/v1/v1/chat/completions"])
def test_a_path_is_found_with_odd_slashes_and_without_v1(served, path):
    request = post(BODY, b"connection: close").replace(b"/v1/chat/completions", path.encode(), 1)
    assert statuses(exchange(served.port, request)) == [200]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions/", "//v1/chat/completions?x=//y"])
def test_the_absolute_form_is_taken_and_the_host_header_counts(served, path):
    """RFC 9112, 3.2.2: a server must accept it, whoever sends it."""
    request = post(BODY, b"connection: close").replace(b"/v1/chat/completions", b"http://localhost:8080" + path.encode(), 1)
    assert statuses(exchange(served.port, request)) == [200]
    assert statuses(exchange(served.port, request.replace(b"host: localhost", b"host: evil.example"))) == [403]
    models = b"GET http://localhost/v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    assert statuses(exchange(served.port, models)) == [200]


def test_other_methods_are_405_in_openais_form(served):
    answer = exchange(served.port, b"GET /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert statuses(answer) == [405]
    assert b"allow: POST" in answer
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "method_not_allowed"


def test_an_offer_to_upgrade_is_declined_by_answering(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as wire:
        wire.sendall(post(BODY, b"connection: upgrade", b"upgrade: h2c"))
        answer = b""
        while not answer.endswith(b"}"):
            answer += wire.recv(65536)
    assert statuses(answer) == [200]


H2C = (b"upgrade: h2c", b"http2-settings: AAMAAABk")
LAST = {
    "close behind it": post(BODY, b"connection: upgrade, http2-settings, close", *H2C),
    "close before it": post(BODY, b"Connection: Close,Upgrade", *H2C),
    "in a line of its own": post(BODY, b"connection: upgrade", b"connection: close", *H2C),
    "HTTP/1.0": post(BODY, b"connection: upgrade", *H2C).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "another path": HIDDEN.replace(b"\r\n\r\n", b"\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n"),
}


@pytest.mark.parametrize("case", LAST)
def test_a_declined_offer_s_connection_ends_where_the_client_said_so(served, case):
    """`close` stands beside the offer: what is sent behind it is not answered, and no idle connection is kept."""
    answer = exchange(served.port, LAST[case] + HIDDEN)
    assert statuses(answer) == [200]
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_declined_offer_s_connection_goes_on_where_the_client_said_so(served):
    kept = post(BODY, b"connection: keep-alive, upgrade", *H2C).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    assert statuses(exchange(served.port, kept + LAST["close behind it"])) == [200, 200]


def test_gzip_bodies_are_inflated_and_bounded(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url) + "limits: {body_bytes: 65536}\n")
    good = post(gzip.compress(BODY), b"content-encoding: gzip", b"connection: close")
    assert statuses(exchange(served.port, good)) == [200]
    bomb = post(gzip.compress(b" " * 10_000_000), b"content-encoding: gzip", b"connection: close")
    assert statuses(exchange(served.port, bomb)) == [413]
    torn = post(gzip.compress(BODY)[:-9], b"content-encoding: gzip", b"connection: close")
    assert statuses(exchange(served.port, torn)) == [400]
    for coding in (b"br", b"gzip, gzip", b"gzip, br"):
        assert statuses(exchange(served.port, post(BODY, b"content-encoding: " + coding, b"connection: close"))) == [415]
    for coding, body in ((b"", BODY), (b"Identity", BODY), (b"identity, GZip", gzip.compress(BODY)), (b"x-gzip", gzip.compress(BODY))):
        assert statuses(exchange(served.port, post(body, b"content-encoding: " + coding, b"connection: close"))) == [200]


def test_slow_headers_and_slow_bodies_end_in_408(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url) + "limits: {header_timeout_s: 0.3, body_timeout_s: 0.3}\n")
    began_s = time.monotonic()
    assert statuses(exchange(served.port, POST)) == [408]
    assert time.monotonic() - began_s < 9, "less than without the setting"
    assert statuses(exchange(served.port, POST + b"content-length: 10\r\n\r\n{")) == [408]
    assert time.monotonic() - began_s < 50, "less than without the setting"


BAD = {
    "array": b"[]",
    "number": b"1",
    "not JSON": b"{",
    "empty": b"",
    "no model": b'{"messages":[]}',
    "model a number": b'{"model":1,"messages":[]}',
    "two models": b'{"model":"small","model":"other","messages":[]}',
    "two models, one escaped": b'{"model":"small","m\\u006Fdel":"other","messages":[]}',
    "messages a string": b'{"model":"small","messages":"Hi"}',
    "no messages": b'{"model":"small"}',
    "max_tokens many": b'{"model":"small","messages":[],"max_tokens":"many"}',
    "max_tokens negative": b'{"model":"small","messages":[],"max_tokens":-1}',
    "stream maybe": b'{"model":"small","messages":[],"stream":"maybe"}',
    "n huge": b'{"model":"small","messages":[],"n":1000000}',
    "n zero": b'{"model":"small","messages":[],"n":0}',
    "deep": b'{"model":"small","messages":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "129 levels": b'{"model":"small","messages":[],"x":' + b"[" * 128 + b"]" * 128 + b"}",
    "lone surrogate": b'{"model":"small","messages":[{"role":"user","content":"\\ud800"}]}',
    "bad UTF-8": b'{"model":"small","messages":[{"role":"user","content":"\xff"}]}',
    "NaN": b'{"model":"small","messages":[],"temperature":NaN}',
    "our member unknown": b'{"model":"small","messages":[],"greenlane":{"max_grams":1}}',
    "our member a list": b'{"model":"small","messages":[],"greenlane":[]}',
    "our policy unknown": b'{"model":"small","messages":[],"greenlane":{"policy":"nope"}}',
    "loosening": b'{"model":"small","messages":[],"greenlane":{"substitute":"any"}}',
    "include_usage maybe": b'{"model":"small","messages":[],"stream":true,"stream_options":{"include_usage":"maybe"}}',
    "stream_options a list": b'{"model":"small","messages":[],"stream":true,"stream_options":[]}',
}


@pytest.mark.parametrize("case", BAD)
def test_a_malformed_body_is_400_and_no_upstream_hears_of_it(served, case):
    answer = exchange(served.port, post(BAD[case], b"connection: close"))
    assert statuses(answer) == [400], answer
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    assert served.host.requests == []


def test_128_levels_are_still_good(served):
    body = b'{"model":"small","messages":[],"x":' + b"[" * 127 + b"]" * 127 + b"}"
    assert statuses(exchange(served.port, post(body, b"connection: close"))) == [200]


@pytest.mark.parametrize(
    "framing",
    [b"0\r\n" + b"x-a: b\r\n" * 20_000, b"1;" + b"a=b;" * 20_000, b"1\r\n{\r\n0\r\nx-a: " + b"a" * 80_000],
    ids=["trailers", "an extension", "one trailer"],
)
def test_a_chunked_body_s_framing_is_bounded_too(served, framing):
    head = POST + b"transfer-encoding: chunked\r\n\r\n"
    assert statuses(exchange(served.port, head + framing)) == [400]
    assert served.host.requests == []


def test_a_chunked_body_of_single_bytes_is_taken(served):
    body = b"".join(b"1\r\n%c\r\n" % code for code in BODY * 1) + b"0\r\n\r\n"
    head = POST + b"transfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as wire:
        wire.settimeout(60)
        wire.sendall(head)
        for at in range(0, len(body), 100):
            wire.sendall(body[at : at + 100])
        assert wire.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_what_is_not_sent_as_json_is_refused(served):
    text = post(BODY, b"connection: close").replace(b"application/json", b"text/plain")
    assert statuses(exchange(served.port, text)) == [415]
