"""Anthropic's event stream as hub chunks.

Reference: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import FaultError, GarbledError, Json, Usage
from adapters._faults import require_object
from adapters._halves import Halves
from adapters._order import placed
from adapters._sse import EVENT_BYTES, Event, Events
from adapters._usage import ServerTools, without_usage
from adapters._web_search import SEARCHES, numbered
from adapters.anthropic.answer import (
    TIERS,
    Counts,
    StopDetails,
    arguments_of,
    citations_of,
    completion_id,
    fault_of,
    query_of,
    reason_of,
    said,
    searched_of,
    usage_of,
)


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: Json | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: Counts | None = None


class _Wire(msgspec.Struct):
    type: str = ""
    index: int | None = None
    message: _Message | None = None
    content_block: Json | None = None
    delta: _Delta | None = None
    usage: Counts | None = None
    error: Any = None


class _Block(msgspec.Struct):
    """A content block that is open."""

    kind: str
    start: Json
    call: int | None = None
    """Index among the tool calls."""
    place: tuple[int, int] = (0, 0)
    """Characters of text, and calls, that came before it."""
    pieces: list[str] = []
    """Thinking so far, to be kept verbatim."""
    signature: list[str] = []
    citations: list[Json] = []
    empty: bool = True
    """No argument has come."""


_decode = msgspec.json.Decoder(_Wire).decode


class MessagesReader:
    """A `Reader` of the Messages API. The reason to stop goes out when it comes; `ended` only at message_stop, or with the body."""

    def __init__(self, event_bytes: int = EVENT_BYTES) -> None:
        self._events = Events(event_bytes)
        self._halves = Halves()
        self._head: Json = {}
        self._blocks: dict[int, _Block] = {}
        self._counts = Counts()
        self._calls = self._thoughts = self._citations = 0
        self._characters = 0
        """Of text so far."""
        self._begun = self._searched = False
        self._queries: dict[str, list[str]] = {}
        """Of the vendor's own searches, by the id of the call."""
        self._held: FaultError | GarbledError | None = None
        self.comments = self._events.comments
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.ended = False

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    def feed(self, data: bytes) -> list[Json]:
        """What came before an error in the same bytes goes out first, if it is more than a role; the error is raised next time."""
        self._raise_held()
        begun = self._begun
        found: list[Json] = []
        try:
            for event in self._halves.joined(self._events.feed(data)):
                if event.data is not None and not self.ended:
                    self._take(_decoded(event), found)
        except (FaultError, GarbledError) as error:
            # the first chunk of a stream is the role's
            if len(found) < (1 if begun else 2):
                raise
            self._held, self.ended = error, True
        return found

    def _raise_held(self) -> None:
        if self._held is not None:
            self.ended = False
            raise self._held

    def finish(self) -> list[Json]:
        """A last event that lacks only its blank line counts; one that is cut short does not."""
        self._raise_held()
        found: list[Json] = []
        for event in (*self._halves.joined(self._events.finish()), *self._halves.rest()):
            if event.data is not None and not self.ended:
                try:
                    wire = _decode(event.data)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue
                self._take(wire, found)
        # a clean end of the body after the reason lacks no more than its last event, as other hosts' streams lack [DONE]
        self.ended = self.ended or self.finish_reason is not None
        return found

    def _take(self, wire: _Wire, found: list[Json]) -> None:
        match wire.type:
            case "error":
                raise FaultError(fault_of(wire.error))
            case "" if wire.error:
                # gateways put other dialects' errors into the stream
                raise FaultError(fault_of(wire.error))
            case "message_start":
                self._start(wire)
            case "content_block_start":
                self._open(wire, found)
            case "content_block_delta":
                self._add(wire, found)
            case "content_block_stop":
                self._close(wire, found)
            case "message_delta":
                self._turn(wire, found)
            case "message_stop":
                self._require_start()
                self.ended = True
            case _:
                pass  # ping, and what may come to be: the vendor adds events within a version

    def _start(self, wire: _Wire) -> None:
        message = wire.message
        # gateways tell the same start twice (BerriAI/litellm#32478, maximhq/bifrost#4556)
        if message is None or (self._head and (self._blocks or completion_id(message.id) != self._head["id"])):
            raise GarbledError("the stream does not begin with one message_start")
        self._head = {"id": completion_id(message.id), "object": "chat.completion.chunk", "created": 0, "model": message.model}
        if message.usage is not None:
            if message.usage.service_tier in TIERS:
                self._head["service_tier"] = TIERS[message.usage.service_tier]
            # output_tokens is provisional here: the vendor's examples begin with 1
            message.usage.output_tokens = None
            self._count(message.usage)

    def _begin(self, found: list[Json], kind: str = "text") -> None:
        """The role goes out with the first block, not with message_start: an error in between can still become a status."""
        if not self._begun:
            self._begun = True
            # an answer of calls alone has no text, and clients tell it from an empty one
            found.append(self._chunk({"role": "assistant", "content": "" if kind == "text" else None}))

    def _open(self, wire: _Wire, found: list[Json]) -> None:
        self._require_start()
        start = wire.content_block
        if wire.index is None or start is None or wire.index in self._blocks:
            raise GarbledError("a content block begins twice or has no index")
        block = _Block(str(start.get("type")), start, place=(self._characters, self._calls), pieces=[], signature=[], citations=[])
        self._begin(found, block.kind)
        self._blocks[wire.index] = block
        match block.kind:
            case "server_tool_use":
                self._searched = True
            case "web_search_tool_result":
                told = searched_of(start, self._queries.get(said(start, "tool_use_id"), []))
                found.append(self._chunk({SEARCHES: [told]}))
                if not told["failed"]:
                    self._search()
            case "text" if text := said(start, "text"):
                found.append(self._text(text))
            case "thinking" if text := said(start, "thinking"):
                block.pieces.append(text)
                found.append(self._chunk({"reasoning_content": text}))
            case "tool_use":
                block.call, self._calls = self._calls, self._calls + 1
                function = {"name": said(start, "name"), "arguments": ""}
                call = {"index": block.call, "id": said(start, "id"), "type": "function", "function": function}
                found.append(self._chunk({"tool_calls": [call]}))
            case _:
                pass

    def _add(self, wire: _Wire, found: list[Json]) -> None:
        block = self._blocks.get(-1 if wire.index is None else wire.index)
        delta = wire.delta
        if block is None or delta is None:
            raise GarbledError("a content block grows that has not begun")
        match block.kind, delta.type:
            case "text", "text_delta" if delta.text:
                found.append(self._text(delta.text))
            case "text", "citations_delta" if delta.citation is not None:
                block.citations.append(delta.citation)
            case "thinking", "thinking_delta" if delta.thinking:
                block.pieces.append(delta.thinking)
                found.append(self._chunk({"reasoning_content": delta.thinking}))
            case "thinking", "signature_delta":
                block.signature.append(delta.signature)
            case "tool_use", "input_json_delta" if delta.partial_json:
                block.empty = False
                found.append(self._argument(block, delta.partial_json))
            case "server_tool_use", "input_json_delta":
                block.pieces.append(delta.partial_json)
            case _:
                pass

    def _close(self, wire: _Wire, found: list[Json]) -> None:
        if wire.index is None or wire.index not in self._blocks:
            raise GarbledError("a content block ends that has not begun")
        self._close_block(wire.index, found)

    def _close_block(self, index: int, found: list[Json]) -> None:
        block = self._blocks[index]
        # the index stays taken; what the block held is not needed any more
        self._blocks[index] = _Block("closed", {})
        match block.kind:
            case "text":
                if told := citations_of(block.citations or block.start.get("citations"), block.place[0], self._characters):
                    found.append(self._chunk({"annotations": numbered(told, self._citations)}))
                    self._citations += len(told)
            case "server_tool_use":
                self._queries[said(block.start, "id")] = _query(block)
            case "tool_use" if block.empty:
                found.append(self._argument(block, arguments_of(block.start.get("input"))))
            case "thinking":
                signature = "".join(block.signature) or block.start.get("signature") or ""
                if signature:
                    kept = {"type": "thinking", "thinking": "".join(block.pieces), "signature": signature}
                    found.append(self._thought(kept, block))
            case "redacted_thinking":
                found.append(self._thought(block.start, block))
            case _:
                pass

    def _turn(self, wire: _Wire, found: list[Json]) -> None:
        self._require_start()
        if wire.usage is not None:
            self._count(wire.usage)
        delta = wire.delta
        if delta is None or self.finish_reason is not None:
            return
        reason = reason_of(delta.stop_reason, called=self._calls > 0, searched=self._searched)
        if reason is None:
            return
        self._begin(found)
        for index in self._blocks:
            self._close_block(index, found)
        self.finish_reason = reason
        refusal = delta.stop_details.explanation if reason == "content_filter" and delta.stop_details is not None else None
        found.append(self._chunk({} if refusal is None else {"refusal": refusal}, reason))

    def _count(self, counts: Counts) -> None:
        self._counts = self._counts.after(counts)
        self.usage = usage_of(self._counts)

    def _search(self) -> None:
        """A search that found something, before the vendor counts it: the stream may break off until then."""
        before = self._counts.server_tool_use
        self._count(Counts(server_tool_use=ServerTools(((before and before.web_search_requests) or 0) + 1)))

    def _text(self, text: str) -> Json:
        self._characters += len(text)
        return self._chunk({"content": text})

    def _thought(self, kept: Json, block: _Block) -> Json:
        # openai-python adds up lists of deltas by their index, and raises where there is none
        number, self._thoughts = self._thoughts, self._thoughts + 1
        return self._chunk({"thinking_blocks": [{"index": number, **placed(kept, *block.place)}]})

    def _argument(self, block: _Block, text: str) -> Json:
        return self._chunk({"tool_calls": [{"index": block.call, "function": {"arguments": text}}]})

    def _chunk(self, delta: Json, reason: str | None = None) -> Json:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    def _require_start(self) -> None:
        if not self._head:
            raise GarbledError("the stream does not begin with one message_start")


def _query(block: _Block) -> list[str]:
    told: Any = block.start.get("input")
    try:
        told = msgspec.json.decode("".join(block.pieces)) if block.pieces else told
    except (msgspec.DecodeError, RecursionError):
        told = None
    return query_of(told)


def _decoded(event: Event) -> _Wire:
    try:
        wire = _decode(event.data or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        plain = without_usage(event.data or b"")
        if plain is not None:
            return _decoded(event._replace(data=plain))
        raise GarbledError("an event of the stream is not what the dialect allows") from None
    if not wire.type and not wire.error:
        require_object(event.data or b"")
    return wire
