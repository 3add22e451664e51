"""The log's way out: a reader that stalls or leaves holds up nobody."""

from __future__ import annotations

import contextlib
import os
import re

import pytest

from proxy.telemetry.outlet import HELD_BYTES, Outlet

LINE = b'{"message":"' + b"x" * 1000 + b'"}\n'


def there(reading: int) -> bytes:
    """What is in the pipe now."""
    with contextlib.suppress(BlockingIOError):
        return os.read(reading, 1 << 20)
    return b""


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(writing)


def test_lines_that_nobody_reads_are_kept_then_lost_and_never_waited_for(pipe):
    reading, writing = pipe
    outlet = Outlet(writing)
    sent = 3 * HELD_BYTES // len(LINE)
    for _ in range(sent):
        outlet.write(LINE)
    assert not outlet.drain(0.01)
    read = b""
    while not outlet.drain(0.001):
        read += there(reading)
    read += there(reading)
    outlet.write(b"{}\n")
    assert outlet.drain()
    read += there(reading)
    os.close(reading)
    lost = [int(number) for number in re.findall(rb'"(\d+) lines lost: nobody read them"', read)]
    assert lost
    assert read.count(LINE) + sum(lost) == sent
    assert read.endswith(b"{}\n")


def test_a_reader_that_has_left_is_not_an_error(pipe):
    reading, writing = pipe
    os.close(reading)
    outlet = Outlet(writing)
    outlet.write(LINE)
    assert outlet.drain()
    outlet.write(LINE)
    assert outlet.drain()
