"""What of bodies a connection may make the proxy hold: of those it does not know nothing, of those sent ahead about one more."""

from __future__ import annotations

import json
import socket
import threading

import httpx
import pytest

from proxy.configuration import key_hash
from tests.harness import exchange, held, serving, until

KEY = "sk-bodies"
FLEET = """
deployments:
  only: {{model: small, base_url: "{url}", privacy: local}}
limits: {{body_bytes: 2000000}}
teams: {{one: {{}}}}
keys: {{one: {{team: one, key: "sha256:{hash}"}}}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url, hash=key_hash(KEY)), tmp_path_factory.mktemp("bodies")) as made:
        yield made


@pytest.mark.parametrize("path", ["/estimate", "/v1/greenlane/estimate", "/nothing", "/v1/chat/completions"])
@pytest.mark.parametrize("framing", ["content-length: 1900000", "transfer-encoding: chunked"])
def test_a_body_without_a_key_is_refused_by_its_head(served, path, framing):
    """Before it is there: the connection closes."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n{framing}\r\n\r\n"
    assert exchange(served.port, head.encode()).startswith(b"HTTP/1.1 401 ")


def test_a_small_one_is_thrown_away(served):
    with httpx.Client(base_url=served.base, timeout=60) as client:
        for _ in range(2):
            assert client.post("/estimate", json={"model": "small", "prompt": "Hi"}).json()["error"]["code"] == "invalid_api_key"
        assert client.get("/health/live").status_code == 200


def test_with_a_key_paths_are_found_as_before(served):
    with httpx.Client(base_url=served.base, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        assert client.post("/estimate", json={"model": "small", "prompt": "Hi"}).status_code == 201
        assert client.post("/nothing", json={}).status_code == 404
        assert client.post("/health/live", json={}).status_code == 405


def test_bodies_sent_ahead_are_read_no_further_than_one_may_be_long(served):
    let = held(served.host)
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "x" * 900_000}]}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    request += f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as wire:
        sender = threading.Thread(target=lambda: wire.sendall(request * 30))
        sender.start()
        until(lambda: served.call(lambda _: any(each.read_paused for each in connections(served))))
        waiting = served.call(lambda _: sum(len(each.body) for conn in connections(served) for each in conn.waiting))
        assert 2_000_000 < waiting < 5_000_000
        let.set()
        with wire.makefile("rb") as answers:
            for _ in range(30):
                assert answers.readline().startswith(b"HTTP/1.1 200 ")
                length = 0
                while (line := answers.readline()) != b"\r\n":
                    length = int(line.split(b":")[1]) if line.lower().startswith(b"content-length") else length
                answers.read(length)
        sender.join()


def connections(served):
    return list(served.server.server_state.connections)
