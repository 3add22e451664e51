"""Event streams of images, transcriptions and speech for a client of OpenAI's dialect: the bytes go through, usage is read on the way.

What is held back: the event that says an image, a text or a sound is complete, until the body ends or goes on, because the account
must go out with it. References: https://platform.openai.com/docs/api-reference/images-streaming and .../audio/transcript-text-done-event
"""

from __future__ import annotations

import msgspec

from adapters._base import Fault, FaultError, GarbledError, Usage
from adapters._chat import error_body
from adapters._faults import fault_from, readable, require_object
from adapters._halves import mended
from adapters._json import with_account
from adapters._sse import Event, Events, block, closed, passed
from adapters._usage import media_usage

_NONE = msgspec.Raw(b"")
_KNOWN = ("image_generation.", "image_edit.", "transcript.text.", "speech.audio.")
_LAST = (".completed", ".done")


class _Said(msgspec.Struct):
    type: str | None = None
    usage: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE


_decode = msgspec.json.Decoder(_Said).decode


class MediaStream:
    """A `Stream` over events that hold no words to count. Events of other hosts' making pass, whatever they are."""

    __slots__ = ("_done", "_events", "_fault", "_held", "_known", "_usage_object", "ended", "started", "text", "usage")

    finish_reason: str | None = None
    finished = False

    def __init__(self, *, event_bytes: int) -> None:
        self._events = Events(event_bytes)
        self._held: Event | None = None
        self._usage_object = b""
        """Of the event that is held; empty where it has none."""
        self._done = False
        """`[DONE]` came."""
        self._fault: FaultError | GarbledError | None = None
        self._known = False
        """It speaks OpenAI's words, so that a stream without the last of them is cut short."""
        self.usage: Usage | None = None
        self.ended = False
        self.started = False
        self.text = bytearray()

    @property
    def comments(self) -> list[bytes]:
        return self._events.comments

    def feed(self, data: bytes) -> bytes:
        if self._fault is not None:
            self.ended = False
            raise self._fault
        if self.ended:
            return b""
        out, error = passed(self._events, data, self._pass)
        if error is None:
            return out
        if not out:
            raise error
        self._fault, self.ended = error, True  # what came before it in the same read goes out first
        return out

    def alike(self, data: bytes, start: int, end: int, /) -> bool:  # noqa: ARG002  # each event is read
        return False

    def finish(self) -> bytes:
        if self._fault is not None:
            self.ended = False
            raise self._fault
        out = b"".join([self._pass(event) for event in closed(self._events)])
        self.ended = self.ended or self._held is not None or not self._known
        return out

    def close(self, account: bytes | None) -> bytes:
        held, self._held = self._held, None
        last = b"data: [DONE]\n\n" if self._done else b""
        if held is not None and held.data is not None:
            told = held.data if account is None or not self._usage_object else with_account(held.data, account, None, self._usage_object)
            last = (held.raw.replace(held.data, told, 1) if held.data in held.raw else block(told, held.name)) + last
        # a block with nothing but a comment makes the official client fail where an `id:` came before
        return last if account is None or not last else b": greenlane " + account + b"\n" + last

    def fail(self, fault: Fault) -> bytes:
        return block(error_body(fault))

    def _pass(self, event: Event) -> bytes:
        if self.ended:
            return b""
        data = event.data
        if data is None:
            # official clients fail at a block that is no comment and has no data
            return event.raw if event.raw.startswith(b":") else b""
        if data.strip() == b"[DONE]":
            self.ended = self._done = True
            return b""
        last = self._note(data)
        self.started = True
        before, self._held = self._held, event if last else None
        return (b"" if before is None else before.raw) + (b"" if last else event.raw)

    def _note(self, data: bytes) -> bool:
        """What an event says is noted. Whether it may be the last."""
        try:
            said = _decode(data)
        except msgspec.ValidationError:
            require_object(data)
            return False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if (whole := mended(data)) is not None:
                return self._note(whole)
            raise GarbledError("an event of the stream is not JSON") from None
        if not data.isascii():
            readable(data)
        if said.type in (None, "error") and bytes(said.error) not in (b"", b"null", b"{}"):
            raise FaultError(fault_from(bytes(said.error)))
        if said.type == "error":
            raise FaultError(fault_from(data))
        if said.type is None:
            require_object(data)
        else:
            self._known |= said.type.startswith(_KNOWN)
        raw = bytes(said.usage)
        self._usage_object = raw if raw.startswith(b"{") else b""
        if self._usage_object:
            self.usage = media_usage(raw) or self.usage
        return bool(self._usage_object) or (said.type is not None and said.type.endswith(_LAST))
