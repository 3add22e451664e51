"""A client that does not read its answer holds a connection and the answer's bytes no longer than one that is idle holds its own."""

from __future__ import annotations

import json
import socket
import time

import pytest

from proxy.sweep import let_go

HOST = """
deployments:
  north: {{model: small, base_url: "{url}"}}
limits: {{keep_alive_s: 3}}
"""
LARGE = json.dumps({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": "A" * 12_000_000}]}).encode()
BODY = b'{"model":"small","input":"Hi"}'
POST = b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b"


@pytest.fixture
def served(proxy, upstream):
    host = upstream(lambda _, handler: handler.reply(200, LARGE))
    made = proxy(HOST.format(url=host.url))
    made.host = host
    return made


def asked(served, more):
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    wire.settimeout(60)
    wire.connect(("127.0.0.1", served.port))
    wire.sendall(POST % (len(BODY), more, BODY))
    return wire


def connections(served):
    return served.call(lambda _: len(served.server.server_state.connections))


@pytest.mark.parametrize("more", [b"", b"connection: close\r\n"], ids=["kept", "closed"])
def test_who_reads_nothing_is_left_in_the_end(served, more):
    wires = [asked(served, more) for _ in range(3)]
    end_s = time.monotonic() + 60
    while len(served.host.requests) < 3 or connections(served):
        assert time.monotonic() < end_s, f"{connections(served)} connections are still held"
        time.sleep(0.05)
    for wire in wires:
        wire.close()


class Owing:
    """A transport that has so much to send each time it is looked at."""

    def __init__(self, *sizes):
        self.sizes = list(sizes)
        self.ended = None

    def get_write_buffer_size(self):
        return self.sizes.pop(0)

    def close(self):
        self.ended = "closed"

    def abort(self):
        self.ended = "aborted"


@pytest.mark.parametrize(("sizes", "ended"), [((0,), "closed"), ((9, 8, 3, 0), "closed"), ((9, 8, 8), "aborted"), ((9, 9), "aborted")])
def test_as_long_as_it_reads_it_is_given_time(sizes, ended):
    wire, unsent_bytes = Owing(*sizes), 0
    while wire.ended is None:
        unsent_bytes = let_go(wire, unsent_bytes)
    assert (wire.ended, wire.sizes) == (ended, [])
