"""One JSON line an exchange, written in batches; and the form of every other line. Never a prompt, never a key."""

from __future__ import annotations

import asyncio
import logging
import traceback

import msgspec

from proxy.telemetry.outlet import Outlet, standard_error

FLUSH_S = 0.25
HELD_LINES = 512
_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines


class Line(msgspec.Struct, frozen=True, gc=False):
    """An exchange in the log. Its members are the line's."""

    at_s: float
    id: str
    request_id: str
    key: str | None
    model: str | None
    deployment: str | None
    policy: str | None
    reason: str
    status: int
    outcome: str
    duration_s: float
    ttft_s: float | None
    input_tokens: int | None
    output_tokens: int | None
    energy_j: float | None
    carbon_g: float | None


class RequestLog:
    """Lines are kept as they are and encoded together: 0.65 µs a line instead of 13 through `logging`."""

    __slots__ = ("_flushing", "_lines", "_loop", "_stream", "enabled")

    def __init__(self, *, enabled: bool, stream: Outlet | None = None) -> None:
        self.enabled = enabled
        self._lines: list[Line] = []
        self._flushing = False
        self._stream = stream
        self._loop: asyncio.AbstractEventLoop | None = None

    def write(self, line: Line) -> None:
        if not self.enabled:
            return
        self._lines.append(line)
        if not self._flushing:
            self._flushing = True
            self._loop = self._loop or asyncio.get_running_loop()
            self._loop.call_later(FLUSH_S, self.flush)
        elif len(self._lines) >= HELD_LINES:
            self.flush()

    def flush(self) -> None:
        self._flushing = False
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        (self._stream or standard_error()).write(_encode_lines(lines))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"at_s": round(record.created, 3), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = _traced(record.exc_info[1])
        return _encode(line).decode()


def _traced(error: BaseException | None) -> str:
    """Where it went wrong and what kind of error it is. An error's own text may quote what was asked or answered; the system's does not."""
    told = []
    while error is not None:
        text = f": {error}" if isinstance(error, OSError) else ""
        told.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__ + text)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nafter\n\n".join(told)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            standard_error().write(self.format(record).encode("utf-8", "replace") + b"\n")
        except Exception:  # noqa: BLE001 - as logging's own handlers do: a line that cannot be formed must not end a request
            self.handleError(record)


def configure(level: str) -> None:
    """Sends every logger's lines to standard error as JSON, ours at `level`, those of libraries from `warning` on."""
    handler = _Handler()
    handler.setFormatter(_JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("greenlane").setLevel(level.upper())
