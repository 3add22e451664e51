"""OpenAI's chat and text completion streams for a client that speaks the same: the bytes go through.

What is held back: the usage chunk (the client's only if it asked) and `[DONE]`, because the account must go out with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from adapters._alike import Alike
from adapters._base import Fault, FaultError, GarbledError, Usage
from adapters._chat import error_body
from adapters._faults import complains, in_band, readable
from adapters._halves import decoded, mended
from adapters._json import encode, with_member
from adapters._sse import EVENT_BYTES, Events, block
from adapters._usage import Counts, usage_from

CAPTURE_BYTES = 4 * 1024 * 1024
_LF, _CR = b"\n\r"
"""As numbers: a byte is found faster than a piece of one."""


_DONE = b"data: [DONE]\n\n"
_NONE = msgspec.Raw(b"")


class _Text(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    delta: _Text | None = None
    text: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Counts | None = None
    error: msgspec.Raw = _NONE
    object: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_AnswerChoice] | None = None
    usage: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE
    energy: msgspec.Raw = _NONE
    impact: msgspec.Raw = _NONE


class _AnswerChoice(msgspec.Struct):
    finish_reason: str | None = None
    message: _Text | None = None
    text: str | None = None


class Whole(NamedTuple):
    """What a whole answer says, from one look at it."""

    usage: Usage | None
    finish_reason: str | None
    text: bytes
    usage_object: bytes
    """As it stands in the answer; empty where it is absent or null."""
    reports: bool
    """There may be a provider's own energy report in it."""


class _BriefChoice(msgspec.Struct):
    finish_reason: str | None = None


class _BriefChunk(msgspec.Struct):
    """A chunk whose text nobody needs: it is passed over rather than made, 0.2 µs of 1.3."""

    choices: list[_BriefChoice] | None = None
    usage: Counts | None = None
    error: msgspec.Raw = _NONE
    object: str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_brief = msgspec.json.Decoder(_BriefChunk).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_usage_of = msgspec.json.Decoder(Counts).decode


class ChatStream:
    """A `Stream` over chat or text completion chunks. Usage that comes inside the last choice is moved to its own chunk."""

    __slots__ = (
        "_bare",
        "_choices",
        "_continuous",
        "_decode",
        "_events",
        "_fault",
        "_finals",
        "_known",
        "_last",
        "_usage_chunk",
        "_usual",
        "_wants_usage",
        "alike",
        "capture",
        "ended",
        "finish_reason",
        "started",
        "text",
        "usage",
    )

    def __init__(
        self, *, wants_usage: bool, capture: bool, continuous: bool = False, event_bytes: int = EVENT_BYTES, choices: int = 1
    ) -> None:
        self._events = Events(event_bytes)
        self._wants_usage = wants_usage
        self._continuous = continuous
        self._decode: Callable[[bytes], Any] = _decode if capture else _decode_brief
        self._fault: FaultError | GarbledError | None = None
        self._known = Alike()
        self.alike = self._known.holds
        self._usual = False
        """The last chunk had nothing but words, which nobody needs."""
        self._usage_chunk: bytes | None = None
        self._choices = choices
        self._finals = 0
        """Choices that have told why they ended."""
        self._last = b""
        self._bare = b""
        """The last chunk without choices that has no usage either."""
        self.capture = capture
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.ended = False
        self.started = False
        self.text = bytearray()

    @property
    def finished(self) -> bool:
        return self._finals >= self._choices

    @property
    def comments(self) -> list[bytes]:
        """Those of the stream; and an energy report that came as a member of a last chunk, in the form of a comment."""
        found = self._events.comments
        for payload in (self._last, self._bare, self._usage_chunk or b""):
            if b'"impact"' in payload or b'"energy"' in payload:
                found = [*found, *_reports(payload)]
        return found

    def feed(self, data: bytes) -> bytes:
        if self._fault is not None:
            self.ended = False
            raise self._fault
        if self.ended:
            return b""
        self._known.on = False
        if data.endswith(b"\n\n") and data.startswith(b"data: {") and not self._events.held and _CR not in data:
            if data.find(_LF) == len(data) - 2:
                return self._one(data)
            if (whole := self._run(data)) is not None:
                return whole
        elif data == _DONE and not self._events.held:
            self.ended = True
            return b""
        out: list[bytes] = []
        begun = self.started
        try:
            self._take(data, out)
        except (FaultError, GarbledError) as error:
            return self._before(error, out, begun=begun)
        return b"".join(out)

    def _one(self, data: bytes) -> bytes:
        """One whole event."""
        if not self._plain(data[6:-2]):
            return self._special(data[6:-2], data)
        if self._usual:
            self._known.learn(data)
        return data

    def _take(self, data: bytes, out: list[bytes]) -> None:
        for event in self._events.feed(data):
            if event.data is None:
                # a block with only `id:` or `retry:` makes the official client fail; a comment before the first event can wait
                if self.started and event.raw.startswith(b":") and not self._events.numbered:
                    out.append(event.raw)
            elif event.data.strip() == b"[DONE]":
                self.ended = True
                break
            else:
                out.append(event.raw if self._plain(event.data) else self._special(event.data, event.raw))

    def _before(self, error: FaultError | GarbledError, out: list[bytes], *, begun: bool) -> bytes:
        """What came in one read with an error, but before it; the next call raises it.

        Words count as they would had they come in a read of their own. Where the stream had not begun and none came (a role alone),
        nothing goes to the client, and another deployment may still answer.
        """
        if not out or not (begun or _worded(out)):
            raise error
        self._fault, self.ended = error, True
        return b"".join(out)

    def _run(self, data: bytes) -> bytes | None:
        """Several whole events in one read; None where one of them is not a lone data line."""
        pieces = data.split(b"\n\n")[:-1]
        if any(not piece.startswith(b"data: ") or _LF in piece or len(piece) == 6 for piece in pieces):
            return None
        out: list[bytes] = []
        changed, begun = False, self.started
        for piece in pieces:
            payload = piece[6:]
            if payload.strip() == b"[DONE]":
                self.ended = changed = True
                break
            raw = piece + b"\n\n"
            try:
                if not self._plain(payload):
                    raw = self._special(payload, raw)
                    changed = True
            except (FaultError, GarbledError) as error:
                return self._before(error, out, begun=begun)
            out.append(raw)
        return b"".join(out) if changed else data

    def finish(self) -> bytes:
        if self._fault is not None:
            self.ended = False
            raise self._fault
        out = []
        for event in self._events.finish():
            if event.data is None:
                continue
            if event.data.strip() == b"[DONE]":
                self.ended = True
            elif not self.ended:
                # the blank line that the end of the body cut off is ours to add
                raw = block(event.data)
                try:
                    out.append(raw if self._plain(event.data) else self._special(event.data, raw))
                except GarbledError:
                    if not self.finished:
                        raise
        if self.finished:
            self.ended = True
        return b"".join(out)

    def close(self, account: bytes | None) -> bytes:
        out = b""
        if self._wants_usage:
            chunk = self._usage_chunk or self._made_usage_chunk()
            if chunk is not None:
                out = block(chunk if account is None else _accounted(chunk, account))
        return out + (b"" if account is None else b": greenlane " + account + b"\n") + b"data: [DONE]\n\n"

    def fail(self, fault: Fault) -> bytes:
        return block(error_body(fault))

    def _plain(self, payload: bytes) -> bool:
        """Notes what a chunk says; False where it is not to be forwarded as it came."""
        try:
            chunk = self._decode(payload)
        except msgspec.ValidationError:
            return False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if (whole := mended(payload)) is not None:
                return self._plain(whole)
            raise GarbledError("an event of the stream is not JSON") from None
        if not payload.isascii():
            readable(payload)
        if chunk.usage is not None or chunk.error is not _NONE:
            return False
        choices = chunk.choices
        self._usual = not self.capture
        if choices:
            self.started = True
            for choice in choices:
                if choice.finish_reason:
                    self.finish_reason = choice.finish_reason
                    self._finals += 1
                    self._last = payload
                    self._usual = False
                if self.capture:
                    self._keep(choice)
                    self._last = self._last or payload
        elif chunk.object == "error" or choices is None:
            return False
        else:
            self.started = True
            self._bare = payload
            self._usual = False
        return True

    def _keep(self, choice: _Choice) -> None:
        delta = choice.delta
        text = choice.text if delta is None else (delta.content or "") + (delta.reasoning_content or "")
        if text and len(self.text) < CAPTURE_BYTES:
            self.text += text.encode("utf-8", "replace")

    def _special(self, payload: bytes, raw: bytes) -> bytes:
        """A chunk with usage, an error, or one whose members have unexpected types."""
        try:
            chunk: Any = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if (whole := mended(payload)) is not None:
                return self._special(whole, raw)
            raise GarbledError("an event of the stream is not JSON") from None
        if not isinstance(chunk, dict):
            raise GarbledError("an event of the stream is not an object")
        error = chunk.get("error") or (chunk if chunk.get("object") == "error" or complains(chunk) else None)
        if error:
            raise FaultError(in_band(error))
        self.started = True
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and isinstance(choice.get("finish_reason"), str) and choice["finish_reason"]:
                self.finish_reason = choice["finish_reason"]
                self._finals += 1
                self._last = payload
        usage = chunk.get("usage")
        if not isinstance(usage, dict):
            return raw
        try:
            self.usage = usage_from(msgspec.convert(usage, Counts)) or self.usage
        except msgspec.ValidationError:
            return raw
        if not choices:
            self._usage_chunk = payload
            return b""
        if self._continuous:
            return raw
        # the host puts usage into a chunk with a choice: ours carries it, as OpenAI's own stream does, if it was asked for
        self._usage_chunk = encode({**chunk, "choices": []})
        return block(encode({name: value for name, value in chunk.items() if name != "usage"}))

    def _made_usage_chunk(self) -> bytes | None:
        usage = self.usage
        if usage is None or usage.input_tokens is None or usage.output_tokens is None:
            return None
        # of a host that tells no reason to end any other chunk does: clients want to read an id in each
        known = self._last or self._known.like[6:]
        last: dict[str, Any] = msgspec.json.decode(known) if known else {}
        counts = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
        head = {name: last[name] for name in ("id", "object", "created", "model") if name in last}
        return encode({**head, "choices": [], "usage": {**counts, "total_tokens": usage.input_tokens + usage.output_tokens}})


def _reports(payload: bytes) -> list[bytes]:
    """A chunk's own energy report (Neuralwatt's `energy`, GreenPT's `impact`), as a comment line."""
    chunk: Any = msgspec.json.decode(payload)
    return [b": %b %b" % (name.encode(), encode(chunk[name])) for name in ("energy", "impact") if isinstance(chunk.get(name), dict)]


def _worded(out: list[bytes]) -> bool:
    """Whether any of these events adds to an answer: more than a role and empty text."""
    for event in Events().feed(b"".join(out)):
        chunk: Any = decoded(event.data) if event.data is not None else None
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            said = choice["delta"] if isinstance(choice.get("delta"), dict) else choice
            if any(said.get(name) for name in ("content", "text", "reasoning_content", "reasoning", "tool_calls", "refusal", "audio")):
                return True
    return False


def _accounted(chunk: bytes, account: bytes) -> bytes:
    members = msgspec.json.decode(chunk, type=dict[str, msgspec.Raw])
    usage = with_member(bytes(members["usage"]), b"greenlane", account)
    return encode({**members, "usage": msgspec.Raw(usage)})


def answer_facts(body: bytes, *, capture: bool) -> tuple[Usage | None, str | None, bytes]:
    """The first three of `whole`."""
    return whole(body, capture=capture)[:3]


def whole(body: bytes, *, capture: bool, choices: bool = False) -> Whole:
    """Usage, last finish_reason and (if asked) the text of a whole chat or text completion.

    `choices`: it must have some, be it an empty list. Raises FaultError where a 200 holds only an error, GarbledError where it is
    not such an object.
    """
    try:
        answer = _decode_answer(body)
    except msgspec.ValidationError:
        return _lenient_facts(body, choices=choices)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if (plain := mended(body)) is not None:
            return whole(plain, capture=capture, choices=choices)
        raise GarbledError("the answer is not JSON") from None
    if not answer.choices and bytes(answer.error) not in (b"", b"null", b"{}"):
        raise FaultError(in_band(msgspec.json.decode(answer.error)))
    if choices and answer.choices is None:
        raise GarbledError("the answer has no choices")
    reason, text = None, []
    for choice in answer.choices or ():
        reason = choice.finish_reason or reason
        if capture:
            said = choice.message
            text.append(choice.text or "" if said is None else (said.content or "") + (said.reasoning_content or ""))
    if not body.isascii():
        readable(body)
    raw = bytes(answer.usage)
    usage_object = raw if raw.startswith(b"{") else b""
    try:
        usage = usage_from(_usage_of(usage_object)) if usage_object else None
    except msgspec.ValidationError:
        usage = None
    said_bytes = "".join(text).encode("utf-8", "replace") if text else b""
    return Whole(usage, reason, said_bytes, usage_object, bool(bytes(answer.energy) or bytes(answer.impact)))


def _lenient_facts(body: bytes, *, choices: bool) -> Whole:
    try:
        found: Any = decoded(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise GarbledError("the answer is not JSON") from None
    if not isinstance(found, dict):
        raise GarbledError("the answer is not an object")
    try:
        usage = usage_from(msgspec.convert(found.get("usage"), Counts | None))
    except msgspec.ValidationError:
        usage = None
    said = found.get("choices")
    if choices and not isinstance(said, list):
        raise GarbledError("the answer has no choices")
    reasons = [choice.get("finish_reason") for choice in said if isinstance(choice, dict)] if isinstance(said, list) else []
    reason = next((reason for reason in reversed(reasons) if isinstance(reason, str)), None)
    raw = encode(found["usage"]) if isinstance(found.get("usage"), dict) else b""
    return Whole(usage, reason, b"", raw, reports="energy" in found or "impact" in found)
