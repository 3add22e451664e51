"""Hub chunks as Anthropic's event stream.

The rules of that stream: blocks are numbered from 0 without gaps and only one is open at a time. Hub chunks may interleave
parallel tool calls: the first block streams live, later ones wait until it is known to be complete.
Reference: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import msgspec

from adapters._base import Fault, Json, Usage
from adapters._halves import decoded
from adapters._json import encode
from adapters._sse import block
from adapters._web_search import SEARCHES
from adapters.anthropic.door_answer import base_id, call_id, error_of, status_of, stop_of, usage_of
from adapters.anthropic.door_search import asks_to_search, blocks_of, cited_of, search_id

Kind = Literal["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result"]


class _Block:
    """One content block: what it starts with, and the deltas not written yet."""

    __slots__ = ("arguments", "kind", "opened", "pending", "refusal", "signed", "start", "thinking")

    def __init__(self, kind: Kind, start: Json) -> None:
        self.kind = kind
        self.start: Json = {"type": kind, **start}
        self.pending: list[Json] = []
        self.opened = False
        self.signed = False
        self.refusal = False
        self.thinking = ""
        self.arguments = ""

    def complete(self) -> bool:
        """Whether a later block may open. A tool call whose arguments are not yet JSON may still get the rest."""
        if self.kind != "tool_use":
            return True
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            decoded(self.arguments)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class MessagesWriter:
    """One instance a stream."""

    __slots__ = (
        *(
            "_base",
            "_calls",
            "_ending",
            "_index",
            "_queue",
            "_reason",
            "_refused",
            "_request",
            "_said",
            "_searches",
            "_sequence",
            "_started",
        ),
    )

    def __init__(self, request: Json) -> None:
        self._request = request
        self._queue: deque[_Block] = deque()
        self._calls: dict[int, _Block] = {}
        self._index = 0
        self._base = "0"
        self._started = False
        self._ending = False
        self._refused = False
        self._reason: str | None = None
        self._sequence: str | None = None
        self._said: list[str] | None = [] if asks_to_search(request) else None
        """All text so far, where it may come to be cited."""
        self._searches = 0

    def write(self, chunk: Json) -> bytes:
        out = [] if self._started else [self._start(chunk)]
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue
            self._take(choice.get("delta") or {})
            if choice.get("finish_reason") is not None:
                self._reason, self._sequence = stop_of(choice["finish_reason"], choice, self._request)
        return b"".join(out + self._due())

    def close(self, usage: Usage | None, account: bytes | None) -> bytes:
        out = [] if self._started else [self._start({})]
        self._ending = True
        out += self._due()
        reason = "refusal" if self._refused and self._reason == "end_turn" else self._reason
        delta = {"stop_reason": reason, "stop_sequence": self._sequence}
        out.append(_event("message_delta", delta=delta, usage=usage_of(usage, account)))
        if account is not None:
            # in one block with the last event: some clients stumble over a block that is only a comment
            out.append(b": greenlane " + account + b"\n")
        out.append(_event("message_stop"))
        return b"".join(out)

    def fail(self, fault: Fault) -> bytes:
        return block(error_of(fault, status_of(fault)), b"error")

    def _start(self, chunk: Json) -> bytes:
        self._started = True
        self._base = base_id(chunk.get("id"))
        message: Json = {
            "id": f"msg_{self._base}",
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model") or self._request.get("model") or "",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            # the counts come in message_delta, and replace these
            "usage": usage_of(None, None),
        }
        return _event("message_start", message=message)

    def _take(self, delta: Json) -> None:
        """Sorts one delta into blocks."""
        if delta.get("reasoning_content"):
            self._think(delta["reasoning_content"])
        for thought in delta.get("thinking_blocks") or ():
            self._thought(thought)
        for name in ("content", "refusal"):
            if delta.get(name):
                self._text(delta[name], refusal=name == "refusal")
        for call in delta.get("tool_calls") or ():
            self._call(call)
        if self._said is not None:
            self._search(delta, self._said)

    def _search(self, delta: Json, said: list[str]) -> None:
        """What the vendor searched for, and where its words are from: this is told at the last of the text."""
        said.append(delta.get("content") or "")
        last = self._queue[-1] if self._queue else None
        if delta.get("annotations") and last is not None and last.kind == "text":
            last.pending += [{"type": "citations_delta", "citation": each} for each in cited_of(delta["annotations"], "".join(said))]
        for search in delta.get(SEARCHES) or ():
            call, result = blocks_of(search, search_id(self._base, self._searches))
            self._searches += 1
            begun = _Block("server_tool_use", {**call, "input": {}})
            begun.pending.append({"type": "input_json_delta", "partial_json": encode(call["input"]).decode()})
            self._queue += (begun, _Block("web_search_tool_result", result))

    def _thinking(self) -> _Block:
        """The last block if it is thinking that may go on, else a new one."""
        if not self._queue or self._queue[-1].kind != "thinking" or self._queue[-1].signed:
            self._queue.append(_Block("thinking", {"thinking": "", "signature": ""}))
        return self._queue[-1]

    def _text(self, text: str, *, refusal: bool) -> None:
        """Text goes on in the last block, but a refusal is a block of its own, as it is in a whole answer."""
        block = self._queue[-1] if self._queue else None
        if block is None or block.kind != "text" or block.refusal != refusal:
            block = _Block("text", {"text": ""})
            block.refusal = refusal
            self._refused |= refusal
            self._queue.append(block)
        block.pending.append({"type": "text_delta", "text": text})

    def _think(self, text: str) -> None:
        thinking = self._thinking()
        thinking.thinking += text
        thinking.pending.append({"type": "thinking_delta", "thinking": text})

    def _thought(self, thought: Json) -> None:
        """A completed block: its signature ends the open thinking block, or it becomes a block of its own."""
        if thought.get("type") == "redacted_thinking":
            self._queue.append(_Block("redacted_thinking", {"data": thought.get("data") or ""}))
            return
        whole: str = thought.get("thinking") or ""
        thinking = self._thinking()
        if not whole.startswith(thinking.thinking):
            thinking.signed = True
            thinking = self._thinking()
        rest = whole[len(thinking.thinking) :]
        if rest:
            self._think(rest)
        thinking.pending.append({"type": "signature_delta", "signature": thought.get("signature") or ""})
        thinking.signed = True

    def _call(self, call: Json) -> None:
        number = call.get("index") or 0
        function = call.get("function") or {}
        known = self._calls.get(number)
        # some hosts give every parallel call the index 0: a new id there is a new call
        if known is None or (call.get("id") and function.get("name") and known.start["id"] not in ("", call["id"])):
            known = self._calls[number] = _Block("tool_use", {"id": "", "name": "", "input": {}})
            self._queue.append(known)
        known.start["id"] = known.start["id"] or call.get("id") or ""
        known.start["name"] = known.start["name"] or function.get("name") or ""
        arguments = function.get("arguments")
        if arguments:
            known.arguments += arguments
            known.pending.append({"type": "input_json_delta", "partial_json": arguments})

    def _due(self) -> list[bytes]:
        """Events that may be written now."""
        out: list[bytes] = []
        while self._queue:
            head = self._queue[0]
            if not head.opened:
                if head.kind == "tool_use" and not self._ending and not (head.start["name"] and head.start["id"]):
                    break
                head.opened = True
                if head.kind == "tool_use":
                    head.start["id"] = head.start["id"] or call_id(self._base, self._index)
                out.append(_event("content_block_start", index=self._index, content_block=head.start))
            out += [_event("content_block_delta", index=self._index, delta=delta) for delta in head.pending]
            head.pending.clear()
            if not self._ending and not head.signed and (len(self._queue) == 1 or not head.complete()):
                break
            out.append(_event("content_block_stop", index=self._index))
            self._queue.popleft()
            self._index += 1
        return out


def _event(kind: str, **members: Any) -> bytes:
    return block(encode({"type": kind, **members}), kind.encode())
