"""A request that was understood; and, of clients that send many of a kind, what they have in common.

Reading a body costs 8 µs. Of a kind that is known it is compared instead: what `ask.read` made of the first holds for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from adapters import _multipart
from adapters._base import Headers, Json
from adapters._json import View, span, tree
from policies._base import Ask
from proxy.dataplane.kept import Continued
from proxy.dataplane.operations import Operation
from proxy.dataplane.wishes import Wishes
from proxy.snapshot import Member, Served
from proxy.upstream._base import Request

BYTES_PER_TOKEN = 4
PARTS = b'"type"'
"""Without it a body has neither parts nor tools: one search instead of seven."""
PROMPT = {"chat": "messages", "messages": "messages", "responses": "input", "completions": "prompt", "generate": "prompt"}
"""The member that differs with every request: what was said so far."""
_VARYING = frozenset({"user", "metadata", "seed", "safety_identifier", "prompt_cache_key", "previous_response_id"})
"""Members that often do as well: with one of them nothing is remembered."""
ALIKE = 8
"""Kinds of request remembered of one client."""
ALIKE_BYTES = 1024
"""Of their members; with more (tools, schemas) nothing is remembered."""
ROADS = 32
"""Deployments, of each kind, to which its road is remembered."""
ROAD_BYTES = 4096
"""What stands around the prompt on all of them: a thousand heads may have eight kinds each, and every deployment a name of its own."""
SIZES = 64
"""Of the requests of a kind, each with its `Ask`."""


class Call(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """A request that is well formed: its body, and what is asked."""

    operation: Operation
    body: bytes
    view: View | None
    """Top-level members as they were read. None where nobody has read them, but `like` knows where they are."""
    content_type: bytes
    form_model: _multipart.Field | None
    member: Member
    ask: Ask
    wishes: Wishes
    wants_usage: bool
    """The client asked for the usage chunk."""
    continuous_usage: bool
    previous_response_id: str | None
    continued: Continued = Continued()
    """What it goes on from, where that is kept here and stands in its input already."""
    like: Alike | None = None
    """The kind it is of, where it was known by that alone."""

    def __repr__(self) -> str:
        return f"<Call {self.operation.api} {self.member.name}, {len(self.body)} bytes>"

    @property
    def members(self) -> View:
        """Top-level members as bytes; of a form body, the model alone."""
        if self.view is not None:
            return self.view
        return {} if self.like is None else self.like.members(self.body)

    def tree(self) -> Json:
        """The body decoded whole, for translation."""
        return tree(self.body)


class _Said(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message of text: nothing nests in it, no part, no tool, nothing that a host would have to be spared."""

    role: str
    content: str | None = None
    name: str | None = None
    refusal: str | None = None


_said = msgspec.json.Decoder(list[_Said]).decode
_words = msgspec.json.Decoder(str).decode
_PLAIN_PROMPT: Mapping[str, Callable[[bytes], object]] = {"chat": _said, "messages": _said, "completions": _words, "responses": _words}
"""Read a prompt of nothing but text, and fail at any other. Text is checked for UTF-8 by them."""


class Road(NamedTuple):
    """How the requests of a kind go to one deployment, all but their ids and their prompt."""

    path: bytes
    headers: Headers
    own: Headers
    """The client's own lines that go with them, behind their id."""
    around: tuple[bytes, bytes] | None
    """What stands before the prompt and behind it there; None: what the client wrote."""
    ignored: tuple[str, ...]
    """Members left out because they are inert hints there."""

    def __repr__(self) -> str:
        return f"<Road {self.path!r}>"


class Alike:
    """Requests of one client that differ in their prompt alone, which is text: what was read of one holds for the others.

    Such a body has the very bytes of the first before its prompt and behind it, and one whole value of JSON between them.
    """

    __slots__ = ("_asks", "_like", "_name", "_rest", "_roads", "_start", "_view", "_words", "after", "before")

    def __init__(self, like: Call, at: tuple[int, int], name: str) -> None:
        start, stop = at
        self.before, self.after = like.body[:start], like.body[stop:]
        self._start, self._rest, self._name = start, stop - len(like.body), name
        self._words = _PLAIN_PROMPT[like.operation.api]
        self._view = {member: msgspec.Raw(bytes(value)) for member, value in like.members.items() if member != name}
        self._like = msgspec.structs.replace(like, body=b"", view=None)
        self._asks: dict[int, Ask] = {}
        self._roads: dict[Served, Road] = {}

    def __repr__(self) -> str:
        return f"<Alike {self._like.operation.api} {self._like.member.name}>"

    def call(self, body: bytes) -> Call | None:
        """The call of a body that begins and ends alike; None where its prompt is more than text, or is not JSON."""
        try:
            self._words(body[self._start : self._rest])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        like = self._like
        tokens = rounded_up(max(1, len(body) // BYTES_PER_TOKEN))
        ask = self._asks.get(tokens)
        if ask is None:
            if len(self._asks) >= SIZES:
                self._asks.clear()
            ask = self._asks[tokens] = msgspec.structs.replace(like.ask, input_tokens=tokens)
        return Call(
            operation=like.operation,
            body=body,
            view=None,
            content_type=like.content_type,
            form_model=None,
            member=like.member,
            ask=ask,
            wishes=like.wishes,
            wants_usage=like.wants_usage,
            continuous_usage=like.continuous_usage,
            previous_response_id=None,
            like=self,
        )

    def members(self, body: bytes) -> View:
        """The members of such a body."""
        return {**self._view, self._name: msgspec.Raw(body[self._start : self._rest])}

    def sent(self, call: Call, served: Served, request_id: str) -> tuple[Request, tuple[str, ...]] | None:
        """The request of such a call to a deployment, and what is left out of it; None where its road is not known."""
        road = self._roads.get(served)
        if road is None:
            return None
        body, around = call.body, road.around
        if around is not None:
            body = b"".join((around[0], body[self._start : self._rest], around[1]))
        return Request(b"POST", road.path, road.headers, body, ((b"x-request-id", request_id.encode()), *road.own)), road.ignored

    def learn(self, call: Call, served: Served, made: Request, ignored: tuple[str, ...]) -> None:
        """Takes the road of a request that changed nothing in its prompt, and would not have in another."""
        prompt = call.body[self._start : self._rest]
        around: tuple[bytes, bytes] | None = None
        if made.body is not call.body:
            at = span(made.body, self._name, prompt)
            if at is None:
                return
            before, after = made.body[: at[0]], made.body[at[1] :]
            # deployments that are asked alike share one copy
            copies = {road.around: road.around for road in self._roads.values() if road.around is not None}
            around = copies.setdefault((before, after), (before, after))
            if sum(len(start) + len(end) for start, end in copies) > ROAD_BYTES:
                self._roads.clear()
        if len(self._roads) >= ROADS:
            self._roads.clear()
        self._roads[served] = Road(made.path, made.headers, made.own[1:], around, ignored)


Kinds = list[Alike]


def kind_of(call: Call) -> Alike | None:
    """The kind a call is of; None where there is more to look at than a prompt of text: members of every request's own, parts, tools."""
    operation, body, members = call.operation, call.body, call.members
    name, words = PROMPT.get(operation.api, ""), _PLAIN_PROMPT.get(operation.api)
    if (
        words is None
        or name not in members
        or operation.model is not None
        or not _VARYING.isdisjoint(members)
        or has_parts(body, operation)
    ):
        return None
    prompt = bytes(members[name])
    at = span(body, name, prompt)
    if at is None or len(body) - len(prompt) > ALIKE_BYTES or b"\\" in body[: at[0]] or b"\\" in body[at[1] :]:
        return None  # a name written with escapes might be the one that was meant
    try:
        words(prompt)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Alike(call, at, name)


def has_parts(body: bytes, operation: Operation) -> bool:
    """Whether anything in the body may be a part or a tool. Both come in arrays, and a chat of plain text has one array alone:

    a byte is found sixteen at a time, a word one at a time, which is 17 µs of 40 KB.
    """
    if operation.api == "chat" and body.find(b"[", body.find(b"[") + 1) < 0:
        return False
    return PARTS in body


def rounded_up(tokens: int) -> int:
    """To five significant bits, at most 6 % more: the estimate is no better than that, and like requests then decide alike."""
    shift = tokens.bit_length() - 5
    return tokens if shift <= 0 else -(-tokens >> shift) << shift
