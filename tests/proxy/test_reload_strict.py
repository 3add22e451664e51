"""What waits when a reload comes ends under the configuration it began with, and goes nowhere that is private no longer."""

from __future__ import annotations

import concurrent.futures
import json
import socket
import threading

import httpx
import pytest

from proxy.configuration import key_hash
from tests.harness import ask, held, until

FLEET = """
deployments:
  near: {{model: small, base_url: "{near}", privacy: {privacy}, concurrency: 1}}
  far: {{model: small, base_url: "{far}", privacy: vendor}}
policies: {{guarded: {{require: {{privacy: local}}}}}}
"""
FALLING = """
policies: {{cheap: {{objective: cheapest}}}}
policy: cheap
deployments:
  first: {{model: small, base_url: "{first}", privacy: local, usd_per_mtok: {{input: 1}}}}
  second: {{model: small, base_url: "{second}", privacy: PRIVACY, usd_per_mtok: {{input: 2}}}}
"""
KEYS = """
teams: {{one: {{}}}}
keys:
  stays: {{team: one, key: "sha256:{stays}"}}
"""
LEAVER = '  leaves: {{team: one, key: "sha256:{leaves}"}}\n'
BODY = json.dumps({"model": "small", "messages": [{"role": "user", "content": "Hi"}]}).encode()
GUARDED = b"x-greenlane-policy: guarded"


class Bank:
    def __init__(self, proxy, upstream):
        self.near, self.far = upstream(), upstream()
        self.served = proxy(self.text())

    def text(self, privacy="local", keys=KEYS + LEAVER):
        hashes = {"stays": key_hash("sk-stays"), "leaves": key_hash("sk-leaves")}
        return (FLEET + keys).format(near=self.near.url, far=self.far.url, privacy=privacy, **hashes)

    def reload(self, **changes):
        self.served.write(self.text(**changes))
        return self.served.reload()

    def begin(self, key, *lines, body=BODY, sent=0):
        """A request of which so much of the body has been sent."""
        wire = socket.create_connection(("127.0.0.1", self.served.port), timeout=60)
        head = [b"POST /v1/chat/completions HTTP/1.1", b"host: x", b"content-type: application/json", *lines]
        head += [b"authorization: Bearer " + key, b"content-length: %d" % len(body)]
        wire.sendall(b"\r\n".join([*head, b"", b""]) + body[:sent])
        if sent < len(body):
            until(lambda: self.served.call(lambda _: any(each.incoming for each in connections(self.served))))
        return wire

    def two(self, key):
        """What lets the first of two requests be answered, it, and the second, by that key, which waits for its place."""
        let = held(self.near)
        first = self.begin(b"sk-stays", GUARDED, sent=len(BODY))
        until(lambda: self.near.requests)
        second = self.begin(key, GUARDED, sent=len(BODY))
        until(lambda: self.served.call(lambda runtime: len(runtime.plane.waiting)) == 1)
        return let, first, second


def connections(served):
    return list(served.server.server_state.connections)


def end(wire, rest=b""):
    """The status of the answer."""
    wire.sendall(rest)
    with wire, wire.makefile("rb") as answer:
        return int(answer.readline().split(b" ", 2)[1])


@pytest.fixture
def bank(proxy, upstream):
    return Bank(proxy, upstream)


def test_a_request_that_waits_goes_nowhere_that_is_no_longer_private(bank):
    let, first, second = bank.two(b"sk-stays")
    assert bank.reload(privacy="vendor")
    let.set()
    assert (end(first), end(second)) == (200, 422)
    assert (len(bank.near.requests), bank.far.requests) == (1, [])


def test_a_request_that_waits_is_served_where_it_still_may_go(bank):
    let, first, second = bank.two(b"sk-stays")
    assert bank.reload(keys=KEYS)
    let.set()
    assert (end(first), end(second)) == (200, 200)
    assert (len(bank.near.requests), bank.far.requests) == (2, [])


def test_a_request_that_waits_ends_although_its_key_is_taken_away(bank):
    let, first, second = bank.two(b"sk-leaves")
    assert bank.reload(keys=KEYS)
    let.set()
    assert (end(first), end(second)) == (200, 200)
    assert end(bank.begin(b"sk-leaves", GUARDED, sent=len(BODY))) == 401


@pytest.mark.parametrize("gone", [("model: small", "model: large"), ("guarded", "other")], ids=["model", "policy"])
def test_what_a_request_names_may_be_gone_when_its_turn_comes(bank, gone):
    let, first, second = bank.two(b"sk-stays")
    bank.served.write(bank.text().replace(*gone))
    assert bank.served.reload()
    let.set()
    assert (end(first), end(second)) == (200, 200)


def test_a_body_that_comes_slowly_belongs_to_the_request_that_its_head_began(bank):
    wire = bank.begin(b"sk-leaves", sent=5)
    assert bank.reload(keys=KEYS)
    assert end(wire, BODY[5:]) == 200
    assert end(bank.begin(b"sk-leaves", sent=len(BODY))) == 401


def test_a_body_that_comes_slowly_goes_nowhere_that_is_no_longer_private(bank):
    wire = bank.begin(b"sk-stays", GUARDED, sent=5)
    assert bank.reload(privacy="vendor")
    assert end(wire, BODY[5:]) == 422
    wire = bank.begin(b"sk-stays", sent=5)
    assert bank.reload()
    assert end(wire, BODY[5:]) == 200


def test_a_request_sent_ahead_goes_nowhere_that_is_no_longer_private(bank):
    let = held(bank.near)
    one = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-greenlane-privacy: local\r\n"
    one += b"authorization: Bearer sk-stays\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
    with socket.create_connection(("127.0.0.1", bank.served.port), timeout=60) as wire:
        wire.sendall(one + one.replace(b"host: x", b"host: x\r\nconnection: close"))
        until(lambda: bank.near.requests and bank.served.call(lambda _: any(each.waiting for each in connections(bank.served))))
        assert bank.reload(privacy="vendor")
        let.set()
        with wire.makefile("rb") as answers:
            told = answers.read()
    assert [each.split(b" ", 1)[0] for each in told.split(b"HTTP/1.1 ")[1:]] == [b"200", b"422"]
    assert (len(bank.near.requests), bank.far.requests) == (1, [])


def test_a_file_without_keys_does_not_open_what_was_locked(bank):
    """An editor may have written the first half of it, or a template lost its end."""
    assert not bank.reload(keys="")
    assert httpx.post(f"{bank.served.url}/chat/completions", content=BODY, timeout=60).status_code == 401
    assert bank.reload(keys=KEYS)


def test_what_falls_back_goes_nowhere_that_is_no_longer_private(proxy, upstream):
    """The reload comes while the first deployment has the request, which then fails."""
    drop = threading.Event()

    def drops(received, handler):
        drop.wait(60)
        raise ConnectionResetError

    first, second = upstream(drops), upstream()
    text = FALLING.format(first=first.url, second=second.url)
    served = proxy(text.replace("PRIVACY", "local"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        guarded = pool.submit(ask, served, x_greenlane_privacy="local")
        anywhere = pool.submit(ask, served)
        until(lambda: len(first.requests) == 2)
        served.write(text.replace("PRIVACY", "vendor"))
        assert served.reload()
        drop.set()
        assert (guarded.result().status_code, anywhere.result().status_code) == (502, 200)
    assert len(second.requests) == 1
    assert sorted(entry.status for entry in served.entries(2)) == [200, 502]
