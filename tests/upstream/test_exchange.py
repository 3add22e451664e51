"""Deadlines, with a clock set by hand and a connection that is none."""

from __future__ import annotations

import pytest

from proxy.config import Timeouts
from proxy.upstream._base import Request, UpstreamError
from proxy.upstream.exchange import STREAMING, Exchange
from proxy.upstream.sweep import Sweep
from tests.imitations.fault_server import Transcript

TIMEOUTS = Timeouts(connect_s=3, first_byte_s=10, between_s=5, total_s=30)


class Connection:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.unsent = 0

    def carry(self, exchange):
        self.log.append("carry")

    def hold(self, exchange):
        self.log.append("hold")

    def release(self, exchange):
        self.log.append("release")

    def drop(self, exchange, *, failed):
        self.log.append("drop, failed" if failed else "drop")

    def unsent_bytes(self, exchange):
        return self.unsent


class Owner:
    timeouts = TIMEOUTS

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sweep = Sweep(lambda: self.now_s)
        self.log: list[str] = []

    def connect(self, exchange):
        self.log.append("connect")

    def disconnect(self, exchange):
        self.log.append("disconnect")

    def ended(self, exchange):
        self.log.append("ended")

    def at(self, exchange, now_s: float):
        """Time passes in quarters of a second, each looked at."""
        while self.now_s < now_s:
            self.now_s += 0.25
            exchange.check(self.now_s)


@pytest.fixture
def begun():
    owner, connection, transcript = Owner(), Connection(), Transcript()
    return owner, connection, transcript, Exchange(owner, Request(b"POST", b"/", (), b""), transcript, b"")


def answered(exchange):
    exchange.phase = STREAMING
    exchange.heard = True


def test_connecting_ends_when_its_time_is_over(begun):
    owner, _, transcript, exchange = begun
    owner.at(exchange, 102.75)
    assert transcript.said == []
    owner.at(exchange, 103)
    assert (transcript.said, owner.log) == ([("error", "timeout_connect")], ["ended", "disconnect"])


def test_the_first_byte_is_awaited_from_the_connection_on(begun):
    owner, connection, transcript, exchange = begun
    owner.at(exchange, 102)
    exchange.begin(connection)
    owner.at(exchange, 111.75)
    assert transcript.said == []
    owner.at(exchange, 112)
    assert (transcript.said, connection.log) == ([("error", "timeout_first_byte")], ["carry", "drop, failed"])


def test_the_first_byte_is_awaited_from_the_moment_the_request_has_left(begun):
    owner, connection, transcript, exchange = begun
    connection.unsent = 1000
    exchange.begin(connection)
    owner.at(exchange, 105)
    connection.unsent = 0
    owner.at(exchange, 115)
    assert transcript.said == []
    owner.at(exchange, 116)
    assert transcript.said == [("error", "timeout_first_byte")]


def test_an_upload_that_does_not_move_ends_like_a_first_byte_that_does_not_come(begun):
    owner, connection, transcript, exchange = begun
    connection.unsent = 1000
    exchange.begin(connection)
    owner.at(exchange, 116)
    assert transcript.said == [("error", "timeout_first_byte")]


def test_silence_counts_from_the_last_byte(begun):
    owner, connection, transcript, exchange = begun
    exchange.begin(connection)
    answered(exchange)
    for second in range(101, 110):
        owner.at(exchange, second)
        exchange.heard = True
    owner.at(exchange, 114)
    assert transcript.said == []
    owner.at(exchange, 114.5)
    assert transcript.said == [("error", "timeout_idle")]


def test_silence_does_not_count_while_paused(begun):
    owner, connection, transcript, exchange = begun
    exchange.begin(connection)
    answered(exchange)
    exchange.pause()
    owner.at(exchange, 120)
    exchange.resume()
    owner.at(exchange, 124.75)
    assert (transcript.said, connection.log) == ([], ["carry", "hold", "release"])
    owner.at(exchange, 125)
    assert transcript.said == [("error", "timeout_idle")]


def test_the_whole_has_its_deadline_paused_or_not(begun):
    owner, connection, transcript, exchange = begun
    exchange.begin(connection)
    answered(exchange)
    exchange.pause()
    owner.at(exchange, 129.75)
    assert transcript.said == []
    owner.at(exchange, 130)
    assert transcript.said == [("error", "timeout_total")]


def test_the_whole_s_deadline_is_not_moved_by_a_second_try(begun):
    owner, connection, transcript, exchange = begun
    owner.at(exchange, 102)
    exchange.begin(connection)
    assert exchange.retry() is True
    assert exchange.retry() is False
    owner.at(exchange, 104.75)
    assert transcript.said == []
    exchange.begin(connection)
    answered(exchange)
    for second in range(105, 130):
        owner.at(exchange, second)
        exchange.heard = True
    owner.at(exchange, 130)
    assert transcript.said == [("error", "timeout_total")]


def test_after_the_end_nothing_has_any_effect(begun):
    owner, connection, transcript, exchange = begun
    exchange.begin(connection)
    answered(exchange)
    exchange.end()
    exchange.pause()
    exchange.resume()
    exchange.abort()
    exchange.fail(UpstreamError("reset", ""))
    assert exchange.begin(connection) is False
    assert exchange.retry() is False
    assert (transcript.said, owner.log, connection.log) == ([("end",)], ["ended"], ["carry"])


def test_an_answer_that_has_begun_is_never_asked_for_again(begun):
    """The sweep forgets that bytes came: a kept connection that dies right after must not look like one that was dead before."""
    owner, connection, transcript, exchange = begun
    exchange.reused = True
    exchange.begin(connection)
    answered(exchange)
    exchange.request = None
    owner.at(exchange, 100.5)
    exchange.lost(None)
    assert transcript.said == [("error", "reset")]
    assert owner.log == ["ended"]


def test_what_is_not_wanted_any_more_has_half_a_second_to_end(begun):
    owner, connection, transcript, exchange = begun
    exchange.begin(connection)
    answered(exchange)
    owner.sweep.now_s = owner.now_s
    exchange.leave()
    owner.at(exchange, 100.25)
    assert connection.log == ["carry"]
    owner.at(exchange, 100.5)
    assert (connection.log, transcript.said, owner.log) == (["carry", "drop"], [], ["ended"])
