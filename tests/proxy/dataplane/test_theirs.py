"""What an upstream's header lines say, read once of a head that comes again."""

from __future__ import annotations

import pytest

from proxy.dataplane.theirs import Theirs, theirs
from proxy.framed import Framed
from proxy.upstream.answers import Met, Shared

LINES = [
    (b"content-type", b"application/json"),
    (b"server", b"uvicorn"),
    (b"retry-after", b"2"),
    (b"x-ratelimit-limit-requests", b"60"),
    (b"x-request-id", b"up-1"),
    (b"request-id", b"up-2"),
]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (LINES, Theirs(b"retry-after: 2\r\nx-ratelimit-limit-requests: 60\r\n", b"content-type: application/json\r\n", "up-1")),
        ([], Theirs(b"", b"content-type: application/octet-stream\r\n", None)),
        ([(b"request-id", b"\xff" + b"x" * 200)], Theirs(b"", b"content-type: application/octet-stream\r\n", "\ufffd" + "x" * 127)),
        (
            [(b"content-type", b"a/sk-1"), (b"x-request-id", b"sk-1"), (b"openai-model", b"sk-1!")],
            Theirs(b"openai-model: ***!\r\n", b"content-type: a/***\r\n", "***"),
        ),
    ],
)
def test_lines_for_the_client_and_the_id_for_the_entry_without_our_key(lines, said):
    assert theirs(lines, "sk-1") == said == theirs(met(lines).headers_of(b"body"), "sk-1")


def met(lines):
    return Met(Framed(b"", b""), [*lines, (b"content-length", b"4")], len(lines), Shared())


def test_a_head_that_comes_again_is_read_once():
    known = met(LINES)
    assert theirs(known.headers_of(b"one"), None) is theirs(known.headers_of(b"another"), None)
    assert theirs(LINES, None) is not theirs(LINES, None)
