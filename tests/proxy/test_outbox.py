"""Writes that wait for the end of the loop's turn: in order, and none lost with its connection."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading

from proxy.outbox import BUSY, MOST, Outbox
from tests.harness import serving

FLEET = """
deployments:
  north: {{model: small, base_url: "{url}", zone: SE, privacy: local}}
"""


class Said:
    def __init__(self, name: str, transcript: list[str]) -> None:
        self.name, self.transcript = name, transcript

    def flush(self) -> None:
        self.transcript.append(self.name)


def test_what_is_put_off_is_written_in_order_before_anything_asked_of_the_loop_since():
    async def main() -> list[str]:
        outbox, transcript = Outbox(), list[str]()
        for turn in ("a", "b"):
            for number in range(3):
                outbox.put(Said(f"{turn}{number}", transcript))
            asyncio.get_running_loop().call_soon(transcript.append, f"after {turn}")
            assert not transcript or transcript[-1] == "after a"
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return transcript

    assert asyncio.run(main()) == ["a0", "a1", "a2", "after a", "b0", "b1", "b2", "after b"]


def test_no_more_than_a_bounded_number_waits():
    async def main() -> tuple[list[str], list[str]]:
        outbox, transcript = Outbox(), list[str]()
        names = [str(number) for number in range(2 * MOST + 1)]
        for name in names:
            outbox.put(Said(name, transcript))
        assert transcript == names[: 2 * MOST]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return transcript, names

    transcript, names = asyncio.run(main())
    assert transcript == names


def request(number: int, *lines: bytes) -> bytes:
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": f"{number}"}]}).encode()
    known = (b"host: localhost", b"content-type: application/json", *lines, b"content-length: %d" % len(body))
    return b"\r\n".join((b"POST /v1/chat/completions HTTP/1.1", *known, b"", b"")) + body


def test_many_connections_at_once_get_their_answers_in_order_and_before_they_are_closed(tmp_path):
    """Pipelined, among them refusals, paths of the control plane and one that waits for 100 Continue; the last asks to close."""
    other = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    unknown = request(2).replace(b"small", b"other")
    pieces = [request(0), request(1), unknown, other, request(3, b"expect: 100-continue"), request(4, b"connection: close")]
    clients = 4 * BUSY
    answers: list[bytes] = [b""] * clients
    together = threading.Barrier(clients)

    def converse(port: int, index: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
            together.wait(60)
            wire.sendall(b"".join(pieces))
            while more := wire.recv(65536):
                answers[index] += more

    with serving(lambda url: FLEET.format(url=url), tmp_path) as served:
        threads = [threading.Thread(target=converse, args=(served.port, index)) for index in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    for answer in answers:
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
        assert [status for status in statuses if status != 100] == [200, 200, 404, 200, 200, 200]
        assert answer.count(b"connection: close") == 1
