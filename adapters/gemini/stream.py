"""streamGenerateContent?alt=sse as hub chunks.

The stream has no end marker. The finish reason stands in the last event of a candidate, though older models repeat STOP in
every one, so it is told when nothing more can come: at the clean end of the body. Without any, the stream was cut.
"""

from __future__ import annotations

from adapters._base import FaultError, GarbledError, Json, Target, Usage
from adapters._halves import Halves
from adapters._sse import Event, Events
from adapters._web_search import SEARCHES, numbered
from adapters.gemini.grounding import grounded, queries_of
from adapters.gemini.models import bare
from adapters.gemini.wire import (
    FAILURES,
    Candidate,
    Ids,
    Response,
    blocked,
    completion_id,
    finish_of,
    logprobs_of,
    pieces,
    response_of,
    seed_of,
    usage_of,
    with_searches,
)


class _Choice:
    """One candidate on its way."""

    __slots__ = ("calls", "finish_reason", "grounding", "logprobs", "spoken", "text")

    def __init__(self) -> None:
        self.calls = 0
        self.spoken = False
        self.finish_reason: str | None = None
        self.text: list[str] = []
        self.grounding = b""
        """The last that was told; it is about all of the text."""
        self.logprobs: Json | None = None
        """Of an event without text; told with the finish."""


class GeminiReader:
    """A `Reader`. An error that follows content in the same bytes is raised by the next call, so that no content is lost."""

    finished = False
    """More may follow a reason."""

    def __init__(self, target: Target) -> None:
        named = bare(target.upstream_model)
        self._events = Events(target.image_event_bytes if "image" in named else target.event_bytes)
        self._head: Json = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": named}
        self._seed = b""
        self._choices: dict[int, _Choice] = {}
        self._halves = Halves()
        self._held: FaultError | GarbledError | None = None
        self._counts: Usage | None = None
        self._queries: set[str] = set()
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.ended = False

    @property
    def comments(self) -> list[bytes]:
        return self._events.comments

    def feed(self, data: bytes) -> list[Json]:
        self._raise_held()
        if self.ended:
            return []
        found: list[Json] = []
        try:
            for event in self._halves.joined(self._events.feed(data)):
                found += self._take(event)
                if self.ended:
                    break
        except (FaultError, GarbledError) as error:
            return self._with_error(found, error)
        return found

    def finish(self) -> list[Json]:
        self._raise_held()
        if self.ended:
            return []
        found: list[Json] = []
        for event in (*self._halves.joined(self._events.finish()), *self._halves.rest()):
            found += self._take(event)
        return found + self._finished()

    def _take(self, event: Event) -> list[Json]:
        if event.data is None:
            if event.raw.lstrip()[:1] in (b"{", b"["):
                # an error that did not fit the stream any more comes as bare JSON
                response_of(event.raw.strip(), "the stream")
            return []
        if event.data.strip() == b"[DONE]":
            return self._finished()
        response = response_of(event.data, "an event of the stream")
        self._note(response, event.data)
        if blocked(response):
            choice = self._choices.setdefault(0, _Choice())
            choice.finish_reason = self.finish_reason = "content_filter"
            return [] if choice.spoken else [self._first(0, choice)]
        found: list[Json] = []
        for candidate in response.candidates or ():
            found += self._said(candidate)
        return found

    def _note(self, response: Response, data: bytes) -> None:
        if not self._seed:
            self._seed = seed_of(response, data)
            self._head["id"] = completion_id(self._seed)
        if response.model_version:
            self._head["model"] = response.model_version
        self._counts = usage_of(response.usage_metadata) or self._counts
        for candidate in response.candidates or ():
            if candidate.grounding_metadata:
                self._queries |= queries_of(candidate.grounding_metadata)
        self.usage = with_searches(self._counts, self._queries, self._head["model"]) if self._queries else self._counts

    def _said(self, candidate: Candidate) -> list[Json]:
        choice = self._choices.setdefault(candidate.index, _Choice())
        found: list[Json] = []
        for piece in pieces(candidate.content, Ids(self._seed, candidate.index), choice.calls):
            delta: Json = {} if choice.spoken else {"role": "assistant", "content": None}
            choice.spoken = True
            if piece.kind == "tool_calls":
                delta["tool_calls"] = [{"index": choice.calls, **piece.value}]
                choice.calls += 1
            else:
                delta[piece.kind] = [piece.value] if piece.kind == "images" else piece.value
                if piece.kind == "content":
                    choice.text.append(piece.value)
            found.append(self._chunk(candidate.index, delta, None))
        choice.grounding = bytes(candidate.grounding_metadata) or choice.grounding
        if candidate.finish_reason is not None and candidate.finish_reason not in FAILURES and not choice.spoken:
            found.append(self._first(candidate.index, choice))
        logprobs = logprobs_of(candidate.logprobs_result)
        if logprobs is not None:
            last = next((chunk["choices"][0] for chunk in reversed(found) if chunk["choices"][0]["delta"].get("content")), None)
            if last is not None:
                last["logprobs"] = logprobs
            else:
                choice.logprobs = logprobs
        if candidate.finish_reason is not None and candidate.finish_reason != "FINISH_REASON_UNSPECIFIED":
            choice.finish_reason = self._reason(candidate.finish_reason, choice, found)
        return found

    def _reason(self, told: str, choice: _Choice, found: list[Json]) -> str | None:
        try:
            self.finish_reason = finish_of(told, calls=choice.calls > 0)
        except FaultError as error:
            # raised at once if nothing came with it, else by the next call
            if not found:
                raise
            self._hold(error)
            return choice.finish_reason
        return self.finish_reason

    def _finished(self) -> list[Json]:
        """The finishing chunk of every candidate that has a reason; a stream with none stays unended."""
        if self._held is not None:
            self._raise_held()
        found = []
        for index, choice in sorted(self._choices.items()):
            if choice.finish_reason is not None:
                for name, told in (grounded(choice.grounding, "".join(choice.text)) if choice.grounding else {}).items():
                    found.append(self._chunk(index, {name: told if name == SEARCHES else numbered(told, 0)}, None))
                found.append(self._chunk(index, {}, choice.finish_reason, choice.logprobs))
        # of several candidates, one that was cut off is not finished by the others' reasons
        self.ended = bool(found) and all(choice.finish_reason is not None for choice in self._choices.values())
        return found

    def _first(self, index: int, choice: _Choice) -> Json:
        choice.spoken = True
        return self._chunk(index, {"role": "assistant", "content": None}, None)

    def _chunk(self, index: int, delta: Json, reason: str | None, logprobs: Json | None = None) -> Json:
        choice: Json = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return {**self._head, "choices": [choice]}

    def _with_error(self, found: list[Json], error: FaultError | GarbledError) -> list[Json]:
        if not found:
            raise error
        self._hold(error)
        return found

    def _hold(self, error: FaultError | GarbledError) -> None:
        self._held, self.ended = self._held or error, True

    def _raise_held(self) -> None:
        held = self._held
        if held is not None:
            self.ended = False
            raise held
