"""Hub chunks as the Responses API's event stream: every item is added, filled and done, in the order of its life.

An item closes when another begins; a call whose arguments are not yet JSON stays open beside it, because hub chunks may
interleave parallel calls. `sequence_number` counts from 0 without gaps; there is no `[DONE]`.
Reference: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from adapters._base import Fault, Json, Usage
from adapters._custom import unwrapped
from adapters._halves import decoded
from adapters._json import encode
from adapters._order import bare
from adapters._sse import block
from adapters._web_search import SEARCHES
from adapters.responses.answer import (
    Status,
    annotations_of,
    base_of,
    call_item,
    ended,
    error_body,
    failed,
    head_of,
    logprobs_of,
    message_item,
    reasoning_item,
    search_item,
    text_part,
    usage_of,
    wants_summary,
)
from adapters.responses.tools import Called, called

_CUT = ("length", "content_filter")


class _Log:
    """The events of one stream, numbered as they are written."""

    __slots__ = ("number", "out")

    def __init__(self) -> None:
        self.number = 0
        self.out: list[bytes] = []

    def add(self, kind: str, **members: Any) -> None:
        told = {"type": kind, "sequence_number": self.number, **members}
        self.number += 1
        self.out.append(block(encode(told), kind.encode()))

    def drain(self) -> bytes:
        out, self.out = self.out, []
        return b"".join(out)


class _Item(Protocol):
    """One output item on its way."""

    index: int

    def complete(self) -> bool:
        """Whether it may be closed before the stream's end."""
        ...

    def done(self, log: _Log, status: Status) -> Json:
        """Writes the events of its end; the finished item."""
        ...


class _Message:
    __slots__ = ("_annotations", "_id", "_logprobs", "_parts", "_text", "_type", "index")

    def __init__(self, index: int, base: str, log: _Log) -> None:
        self.index = index
        self._annotations: list[Json] = []
        self._id = f"msg_{base}_{index}"
        self._parts: list[Json] = []
        self._type = ""
        self._text: list[str] = []
        self._logprobs: list[Json] = []
        log.add("response.output_item.added", output_index=index, item=message_item(self._id, "in_progress", []))

    def complete(self) -> bool:
        return True

    def take(self, kind: str, text: str, logprobs: list[Json], log: _Log) -> None:
        """More of an `output_text` or a `refusal`."""
        if kind != self._type:
            self._end_part(log)
            self._type = kind
            part = text_part("", []) if kind == "output_text" else {"type": "refusal", "refusal": ""}
            log.add("response.content_part.added", **self._place(), part=part)
        self._text.append(text)
        if kind == "output_text":
            self._logprobs += logprobs
            log.add("response.output_text.delta", **self._place(), delta=text, logprobs=logprobs)
        else:
            log.add("response.refusal.delta", **self._place(), delta=text)

    def annotate(self, annotation: Json, log: _Log) -> None:
        if self._type == "output_text":
            number = len(self._annotations)
            self._annotations.append(annotation)
            log.add("response.output_text.annotation.added", **self._place(), annotation_index=number, annotation=annotation)

    def weigh(self, logprobs: list[Json]) -> None:
        """Logprobs of text that has been told already."""
        if self._type == "output_text":
            self._logprobs += logprobs

    def done(self, log: _Log, status: Status) -> Json:
        self._end_part(log)
        item = message_item(self._id, status, self._parts)
        log.add("response.output_item.done", output_index=self.index, item=item)
        return item

    def _place(self) -> Json:
        return {"item_id": self._id, "output_index": self.index, "content_index": len(self._parts)}

    def _end_part(self, log: _Log) -> None:
        if not self._type:
            return
        text = "".join(self._text)
        if self._type == "output_text":
            part = text_part(text, self._logprobs, self._annotations)
            log.add("response.output_text.done", **self._place(), text=text, logprobs=self._logprobs)
        else:
            part = {"type": "refusal", "refusal": text}
            log.add("response.refusal.done", **self._place(), refusal=text)
        log.add("response.content_part.done", **self._place(), part=part)
        self._parts.append(part)
        self._type, self._text, self._logprobs, self._annotations = "", [], [], []


class _Reasoning:
    __slots__ = ("_blocks", "_id", "_summarized", "_text", "_unsigned", "index")

    def __init__(self, index: int, base: str, log: _Log, *, summarized: bool) -> None:
        self.index = index
        self._id = f"rs_{base}_{index}"
        self._summarized = summarized
        self._text: list[str] = []
        self._unsigned = ""
        self._blocks: list[Json] = []
        item = reasoning_item(self._id, "in_progress", "", [], summarized=summarized)
        log.add("response.output_item.added", output_index=index, item=item)

    def complete(self) -> bool:
        return True

    def take(self, text: str, log: _Log) -> None:
        if not self._text:
            if self._summarized:
                log.add("response.reasoning_summary_part.added", **self._place(), part={"type": "summary_text", "text": ""})
            else:
                log.add("response.content_part.added", **self._place(), part={"type": "reasoning_text", "text": ""})
        self._text.append(text)
        self._unsigned += text
        kind = "response.reasoning_summary_text.delta" if self._summarized else "response.reasoning_text.delta"
        log.add(kind, **self._place(), delta=text)

    def sign(self, thought: Json, log: _Log) -> None:
        """A completed block: kept for the way back; what of its text has not been told yet is told."""
        whole = thought.get("thinking") or ""
        if whole.startswith(self._unsigned) and (rest := whole[len(self._unsigned) :]):
            self.take(rest, log)
        self._unsigned = ""
        self._blocks.append(bare(thought))

    def done(self, log: _Log, status: Status) -> Json:
        text = "".join(self._text)
        if text and self._summarized:
            log.add("response.reasoning_summary_text.done", **self._place(), text=text)
            log.add("response.reasoning_summary_part.done", **self._place(), part={"type": "summary_text", "text": text})
        elif text:
            log.add("response.reasoning_text.done", **self._place(), text=text)
            log.add("response.content_part.done", **self._place(), part={"type": "reasoning_text", "text": text})
        item = reasoning_item(self._id, status, text, self._blocks, summarized=self._summarized)
        log.add("response.output_item.done", output_index=self.index, item=item)
        return item

    def _place(self) -> Json:
        index = {"summary_index": 0} if self._summarized else {"content_index": 0}
        return {"item_id": self._id, "output_index": self.index, **index}


class _Call:
    """A call is added once its name is known; the arguments of a custom tool are told whole, because they are unwrapped."""

    __slots__ = ("_added", "_base", "_item_id", "_names", "_tool", "arguments", "call_id", "index", "name")

    def __init__(self, index: int, base: str, names: dict[str, Called]) -> None:
        self.index = index
        self._base = base
        self._names = names
        self._tool = Called("")
        self._added = False
        self._item_id = ""
        self.call_id = self.name = self.arguments = ""

    def complete(self) -> bool:
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            decoded(self.arguments)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    def take(self, call: Json, log: _Log) -> None:
        function = call.get("function") or {}
        self.call_id = self.call_id or call.get("id") or ""
        self.name = self.name or function.get("name") or ""
        told = function.get("arguments") or ""
        self.arguments += told
        if not self._added:
            if not (self.name and self.call_id):
                return
            self._add(log)
            told = self.arguments
        if told and not self._tool.custom:
            log.add("response.function_call_arguments.delta", item_id=self._item_id, output_index=self.index, delta=told)

    def _add(self, log: _Log) -> None:
        self._added = True
        self._tool = self._names.get(self.name) or Called(self.name)
        item = self._item("in_progress", "")
        self.call_id, self._item_id = item["call_id"], item["id"]
        log.add("response.output_item.added", output_index=self.index, item=item)

    def done(self, log: _Log, status: Status) -> Json:
        late = not self._added
        if late:
            self._add(log)
        place = {"item_id": self._item_id, "output_index": self.index}
        arguments = self.arguments or "{}"
        if self._tool.custom:
            text = unwrapped(arguments)
            log.add("response.custom_tool_call_input.delta", **place, delta=text)
            log.add("response.custom_tool_call_input.done", **place, input=text)
        else:
            if late or not self.arguments:
                # whoever adds up the deltas must get the same arguments
                log.add("response.function_call_arguments.delta", **place, delta=arguments)
            log.add("response.function_call_arguments.done", **place, name=self._tool.name, arguments=arguments)
        item = self._item(status, arguments)
        log.add("response.output_item.done", output_index=self.index, item=item)
        return item

    def _item(self, status: Status, arguments: str) -> Json:
        return call_item(f"{self._base}_{self.index}", self._tool, self.call_id, arguments, status)


class ResponsesWriter:
    """One instance a stream."""

    __slots__ = ("_base", "_calls", "_finish", "_head", "_log", "_names", "_open", "_output", "_request", "_size")

    def __init__(self, request: Json) -> None:
        self._request = request
        self._names = called(request)
        self._log = _Log()
        self._head: Json | None = None
        self._base = "0"
        self._open: list[_Item] = []
        self._calls: dict[int, _Call] = {}
        self._output: dict[int, Json] = {}
        self._size = 0
        self._finish: str | None = None

    def write(self, chunk: Json) -> bytes:
        self._begin(chunk)
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue
            self._take(choice.get("delta") or {}, choice)
            self._finish = choice.get("finish_reason") or self._finish
        return self._log.drain()

    def close(self, usage: Usage | None, account: bytes | None) -> bytes:
        head = self._begin({})
        for item in list(self._open):
            self._end(item, "incomplete" if self._finish in _CUT else "completed")
        output = [self._output[index] for index in sorted(self._output)]
        response = ended(head, output, self._finish, usage_of(usage, account))
        if account is not None:
            # in one block with the last event: some clients stumble over a block that is only a comment
            self._log.out.append(b": greenlane " + account + b"\n")
        self._log.add(f"response.{response['status']}", response=response)
        return self._log.drain()

    def fail(self, fault: Fault) -> bytes:
        # two events, as OpenAI sends them: Codex reads the first only, the official clients raise at the second
        output = [self._output[index] for index in sorted(self._output)]
        self._log.add("response.failed", response=failed(self._begin({}), output, fault))
        # flat as the reference has it, and nested as the service sends it: openai-python raises only on the nested one
        error = error_body(fault)
        self._log.add("error", code=fault.code, message=fault.message, param=fault.param, error=error)
        return self._log.drain()

    def _begin(self, chunk: Json) -> Json:
        if self._head is None:
            self._head = head_of(chunk, self._request)
            self._base = base_of(chunk, self._request)
            self._log.add("response.created", response=self._head)
            self._log.add("response.in_progress", response=self._head)
        return self._head

    def _take(self, delta: Json, choice: Json) -> None:
        if delta.get("reasoning_content"):
            self._reasoning().take(delta["reasoning_content"], self._log)
        for thought in delta.get("thinking_blocks") or ():
            self._reasoning().sign(thought, self._log)
        if delta.get("content"):
            self._message().take("output_text", delta["content"], logprobs_of(choice), self._log)
        elif choice.get("logprobs") and self._open and isinstance(self._open[-1], _Message):
            self._open[-1].weigh(logprobs_of(choice))
        for annotation in annotations_of(delta):
            self._message().annotate(annotation, self._log)
        for search in delta.get(SEARCHES) or ():
            self._searched(search)
        if delta.get("refusal"):
            self._message().take("refusal", delta["refusal"], [], self._log)
        for call in delta.get("tool_calls") or ():
            item = self._call(call)
            if item in self._open:  # what follows a complete call is white space
                item.take(call, self._log)

    def _reasoning(self) -> _Reasoning:
        last = self._open[-1] if self._open else None
        if isinstance(last, _Reasoning):
            return last
        item = _Reasoning(self._next(), self._base, self._log, summarized=wants_summary(self._request))
        self._open.append(item)
        return item

    def _message(self) -> _Message:
        last = self._open[-1] if self._open else None
        if isinstance(last, _Message):
            return last
        item = _Message(self._next(), self._base, self._log)
        self._open.append(item)
        return item

    def _call(self, call: Json) -> _Call:
        number = call.get("index") or 0
        known = self._calls.get(number)
        named = (call.get("function") or {}).get("name")
        # some hosts give every parallel call the index 0: a new id there is a new call
        if known is None or (call.get("id") and named and known.call_id not in ("", call["id"])):
            known = self._calls[number] = _Call(self._next(), self._base, self._names)
            self._open.append(known)
        return known

    def _searched(self, search: Json) -> None:
        """A search is told whole, where it comes. It closes nothing: citations count all characters of a message, which may go on."""
        index = self._size
        self._size += 1
        place: Json = {"output_index": index, "item_id": f"ws_{self._base}_{index}"}
        begun = search_item(place["item_id"], search, self._request, status="in_progress")
        item = self._output[index] = search_item(place["item_id"], search, self._request)
        self._log.add("response.output_item.added", output_index=index, item=begun)
        for stage in ("in_progress", "searching") if search["failed"] else ("in_progress", "searching", "completed"):
            self._log.add(f"response.web_search_call.{stage}", **place)
        self._log.add("response.output_item.done", output_index=index, item=item)

    def _next(self) -> int:
        """The index of the next item; those that are complete end before it begins."""
        for item in list(self._open):
            if item.complete():
                self._end(item, "completed")
        self._size += 1
        return self._size - 1

    def _end(self, item: _Item, status: Status) -> None:
        self._open.remove(item)
        self._output[item.index] = item.done(self._log, status)
