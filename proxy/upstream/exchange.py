"""One request under way: its phase, its deadlines, and who is told. It outlives a stale connection, never its answer."""

from __future__ import annotations

import asyncio
from typing import Protocol

from proxy.config import Timeouts
from proxy.upstream._base import ErrorKind, Lane, Receiver, Request, UpstreamError
from proxy.upstream.sweep import Sweep

CONNECTING, WAITING, STREAMING, ENDED = range(4)
"""No connection yet; request written, no response head yet; response under way; over."""

STALE_S = 2.0
"""A kept connection that dies within this of the request, before any byte, had been closed by the upstream already: the request
was not seen and is sent once more. Later it may well have been worked on, and working twice is the caller's decision."""
LEFT_S = 0.5
"""What a receiver does not want any more may take this long to end, so that its connection can be kept."""


class Carrier(Protocol):
    """A connection, as an exchange sees it."""

    def carry(self, exchange: Exchange) -> None:
        """Writes its request. Called once an exchange."""
        ...

    def hold(self, exchange: Exchange) -> None:
        """Reads nothing more for it."""
        ...

    def release(self, exchange: Exchange) -> None: ...

    def drop(self, exchange: Exchange, *, failed: bool) -> None:
        """Tells the upstream to stop, and tells the exchange nothing more. `failed`: the upstream's fault, not the caller's wish."""
        ...

    def unsent_bytes(self, exchange: Exchange) -> int:
        """How much of the request waits for the upstream to read."""
        ...


class Owner(Protocol):
    """An upstream, as its exchanges see it."""

    sweep: Sweep
    timeouts: Timeouts

    def connect(self, exchange: Exchange) -> None:
        """Begins it on a connection that is not a kept one, now or later."""
        ...

    def disconnect(self, exchange: Exchange) -> None:
        """It wants no connection any more; called only between `connect` and `Exchange.begin`."""
        ...

    def ended(self, exchange: Exchange) -> None:
        """Called once an exchange."""
        ...


class Exchange:
    """Plain attributes with class-wide defaults: on CPython 3.11 a third cheaper to make than fifteen filled slots."""

    phase = CONNECTING
    connection: Carrier | None = None
    lane: Lane | None = None
    task: asyncio.Task[None] | None = None
    """The dialling, where it is done for this exchange alone."""
    heard = False
    """Bytes came; while streaming: since the last tick."""
    paused = False
    reused = False
    retried = False
    unsent_bytes = 0
    left_at_s: float | None = None
    """Since then its receiver has all it wants."""

    def __init__(self, owner: Owner, request: Request, receiver: Receiver, head: bytes) -> None:
        self._owner = owner
        self.receiver = receiver
        self.request: Request | None = request
        """Kept until the response head has come, for the one retry."""
        self.head = head
        self.started_s = self.since_s = owner.sweep.clock()

    def begin(self, connection: Carrier) -> bool:
        """Sends the request on the connection; False if it is not wanted any more."""
        if self.phase != CONNECTING:
            return False
        if not self.reused:
            self.since_s = self._owner.sweep.clock()
        self.connection = connection
        self.phase = WAITING
        connection.carry(self)
        return True

    def pause(self) -> None:
        if self.paused or self.phase == ENDED:
            return
        self.paused = True
        if self.connection is not None:
            self.connection.hold(self)

    def resume(self) -> None:
        if not self.paused or self.phase == ENDED:
            return
        self.paused = False
        if self.connection is not None:
            self.connection.release(self)

    def abort(self) -> None:
        self._drop(failed=False)

    def leave(self) -> None:
        self.left_at_s = self._owner.sweep.now_s

    def fail(self, error: UpstreamError) -> None:
        """Ends it with an error, and tells the upstream to stop."""
        if self.phase != ENDED:
            self._drop(failed=True)
            self.receiver.on_error(error)

    def end(self) -> None:
        """Ends it well; its connection is free or closed already."""
        self.connection = None
        self.phase = ENDED
        self._owner.ended(self)
        self.receiver.on_end()

    def lost(self, error: Exception | None) -> None:
        """Its connection went away before the response was whole."""
        self.connection = None
        if self.reused and not self.heard and self._owner.sweep.clock() - self.since_s < STALE_S and self.retry():
            return
        self.fail(UpstreamError("reset", "the upstream reset the connection" if error else "the response ended early"))

    def retry(self) -> bool:
        """Begins again, once, on a new connection: for a request that the upstream has not looked at."""
        if self.retried or self.phase >= STREAMING:
            return False
        self.connection = None
        self.retried = True
        self.reused = False
        self.phase = CONNECTING
        self.since_s = self._owner.sweep.clock()
        self._owner.connect(self)
        return True

    def check(self, now_s: float) -> None:
        """Fails when a deadline has passed. While the receiver has paused, silence is not the upstream's."""
        if self.left_at_s is not None:
            if now_s - self.left_at_s >= LEFT_S:
                self.abort()
            return
        overdue = self._overdue(self._owner.timeouts, now_s)
        if overdue is not None:
            self.fail(UpstreamError(overdue, MESSAGES[overdue]))

    def _overdue(self, timeouts: Timeouts, now_s: float) -> ErrorKind | None:
        if now_s - self.started_s >= timeouts.total_s:
            return "timeout_total"
        waited_s = now_s - self.since_s
        if self.phase == CONNECTING:
            return "timeout_connect" if waited_s >= timeouts.connect_s else None
        if self.paused or (self.phase == STREAMING and self.heard):
            self.since_s = now_s
            self.heard = self.heard and self.phase != STREAMING
            return None
        if self.phase == STREAMING:
            return "timeout_idle" if waited_s >= timeouts.between_s else None
        if self._sent_more(now_s):
            return None
        return "timeout_first_byte" if waited_s >= timeouts.first_byte_s else None

    def _sent_more(self, now_s: float) -> bool:
        """True if the upstream took more of the request since the last look: the wait for it has not begun."""
        unsent_bytes = 0 if self.connection is None else self.connection.unsent_bytes(self)
        more = unsent_bytes != self.unsent_bytes
        self.unsent_bytes = unsent_bytes
        if more:
            self.since_s = now_s
        return more

    def _drop(self, *, failed: bool) -> None:
        phase, connection = self.phase, self.connection
        if phase == ENDED:
            return
        self.phase = ENDED
        self.request = self.connection = None
        self._owner.ended(self)
        if phase == CONNECTING:
            self._owner.disconnect(self)
        elif connection is not None:
            connection.drop(self, failed=failed)


MESSAGES: dict[ErrorKind, str] = {
    "timeout_connect": "the upstream could not be connected in time",
    "timeout_first_byte": "the upstream did not begin to answer in time",
    "timeout_idle": "the upstream fell silent in the middle of its answer",
    "timeout_total": "the upstream did not finish in time",
}
