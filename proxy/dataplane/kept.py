"""Translated responses kept in memory, so that a client may go on from them by id: `previous_response_id`, `item_reference`.

Other vendors than OpenAI keep nothing. Bounded in bytes, the oldest goes first; never on disk, never for another team, and nothing of a
request with `store: false` or under a policy that asks for zero retention. What was required of where the words may go is kept with them,
and holds for whoever goes on from them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import msgspec

from adapters._base import AdapterError
from adapters._json import edited, encode, view
from policies._base import Limits
from policies.constraints import never_relaxed, strictest

_SHARE = 8
"""No response may take more than this part of the room: one large picture must not cost the other teams theirs."""
_OVERHEAD_BYTES = 1024
_RAWS = list[msgspec.Raw]
Key = tuple[str | None, str]
"""Team and id."""
FREE = Limits()


class Continued(msgspec.Struct, frozen=True):
    """What a request goes on from."""

    response_id: str | None = None
    home: str | None = None
    """The deployment that made it."""
    items: int = 0
    """Of the input, how many were put before the client's own."""
    under: Limits = FREE
    """What was required for the words that were put in, by all the requests they are of."""


class _Turn(msgspec.Struct, frozen=True):
    home: str
    previous: str | None
    items: _RAWS
    """The client's own input, and the output."""
    under: Limits
    ids: tuple[str, ...]
    size_bytes: int


class _Item(msgspec.Struct):
    type: str | None = None
    id: str | None = None


class _Response(msgspec.Struct):
    id: str
    status: Literal["completed", "incomplete"]
    output: _RAWS


class _Last(msgspec.Struct):
    response: _Response


_items_of = msgspec.json.Decoder(str | _RAWS).decode
_item_of = msgspec.json.Decoder(_Item).decode
_response_of = msgspec.json.Decoder(_Response).decode
_last_of = msgspec.json.Decoder(_Last).decode
_id_of = msgspec.json.Decoder(str | None).decode


class Kept:
    """The responses of all teams. Errors of a request are for those who read it: what cannot be understood here is left as it is."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.size_bytes = 0
        self._turns: OrderedDict[Key, _Turn] = OrderedDict()
        self._items: dict[Key, tuple[bytes, Limits]] = {}

    def __repr__(self) -> str:
        return f"<Kept {len(self._turns)} responses, {self.size_bytes} bytes>"

    def resolved(self, team: str | None, body: bytes) -> tuple[bytes, Continued]:
        """The request with what it refers to in its place, as far as it is kept."""
        if b'"previous_response_id"' not in body and b'"item_reference"' not in body:
            return body, Continued()
        try:
            members = view(body)
            own = _listed(members["input"])
            previous = _id_of(members.get("previous_response_id", b"null"))
            found = [self._told(team, item) for item in own]
        except (AdapterError, KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return body, Continued()
        told = [item for item, _ in found]
        under = strictest(*{limits for _, limits in found})
        turns = None if previous is None else self._conversation(team, previous)
        if previous is None or turns is None:
            return (body if told == own else edited(body, members, {"input": encode(told)})), Continued(under=under)
        before = [item for turn in turns for item in turn.items]
        fresh = edited(body, members, {"input": encode([*before, *told]), "previous_response_id": None})
        return fresh, Continued(previous, turns[-1].home, len(before), strictest(under, *{turn.under for turn in turns}))

    def keep(self, team: str | None, home: str, given: msgspec.Raw, continued: Continued, answer: bytes) -> None:
        """Keeps a turn: `given` is the whole input, `answer` a Response, or the last events of its stream.

        `continued` says what it goes on from and, by `under`, what was required of it.
        """
        try:
            response = _response_of(answer) if answer.startswith(b"{") else _last_of(answer[answer.rfind(b"\ndata: ") + 7 :]).response
            items = [*_listed(given), *response.output]
            named = {found: bytes(each) for each in response.output if (found := _item_of(each).id) is not None}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        known = (team, response.id) in self._turns
        # a host whose answers all have one id: what was said before must not be looked for under it
        previous = None if known or response.id == continued.response_id else continued.response_id
        items = [msgspec.Raw(bytes(each)) for each in (items if previous is None else items[continued.items :])]
        size_bytes = sum(map(len, items)) + sum(map(len, named.values())) + _OVERHEAD_BYTES
        if size_bytes > self.most_bytes // _SHARE:
            return
        if known:
            self._drop((team, response.id))
        under = never_relaxed(continued.under)
        self._turns[team, response.id] = _Turn(home, previous, items, under, tuple(named), size_bytes)
        self.size_bytes += size_bytes
        self._items |= {(team, item_id): (item, under) for item_id, item in named.items()}
        self.shrink(self.most_bytes)

    def shrink(self, most_bytes: int) -> None:
        """From now on no more than this is kept."""
        self.most_bytes = most_bytes
        while self.size_bytes > most_bytes:
            self._drop(next(iter(self._turns)))

    def _drop(self, key: Key) -> None:
        turn = self._turns.pop(key)
        self.size_bytes -= turn.size_bytes
        for item_id in turn.ids:
            self._items.pop((key[0], item_id), None)

    def _told(self, team: str | None, item: msgspec.Raw) -> tuple[msgspec.Raw, Limits]:
        """The item, or the one it refers to, and what that is under."""
        if b'"item_reference"' not in bytes(item):
            return item, FREE
        found = _item_of(item)
        kept = self._items.get((team, found.id or "")) if found.type == "item_reference" else None
        return (item, FREE) if kept is None else (msgspec.Raw(kept[0]), kept[1])

    def _conversation(self, team: str | None, response_id: str) -> list[_Turn] | None:
        """All turns until then, the first one first; None where part of it is not kept any more."""
        turns: list[_Turn] = []
        at: str | None = response_id
        while at is not None:
            turn = self._turns.get((team, at))
            if turn is None:
                return None
            self._turns.move_to_end((team, at))
            turns.append(turn)
            at = turn.previous
        return turns[::-1]


def _listed(given: bytes | msgspec.Raw) -> _RAWS:
    found = _items_of(given)
    return [msgspec.Raw(encode({"role": "user", "content": found}))] if isinstance(found, str) else found
