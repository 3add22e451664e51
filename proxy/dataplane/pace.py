"""How long a machine wrote an answer: what its account by `runtime_power` is made of, for streamed and whole answers alike."""

from __future__ import annotations

from typing import Literal, NamedTuple

from carbon.runtime import LEAST_DECODE_S, LEAST_TOKENS, RuntimePower
from proxy.dataplane.attempt import Tried
from proxy.dataplane.call import Call
from proxy.records import Tokens

ToldBy = Literal["stream", "answer", "streams"]
"""Its own stream; the time the whole answer took; or the other streams of its deployment."""


class Written(NamedTuple):
    """Seconds from the first token to the last, and who tells them."""

    decode_s: float
    by: ToldBy


def written(call: Call, tried: Tried, runtime: RuntimePower, tokens: Tokens, now_s: float) -> Written | None:
    """None where nothing tells it: no tokens, several answers at a time, an answer that broke off.

    A stream tells it itself, unless its client held it up: bytes that wait for a reader come at the reader's pace. A whole answer was
    written in no more than its time less that of its prompt; what it waited for a place is in that, unless streams of the deployment
    told lately how fast it goes.
    """
    peer, result = tried.peer, tried.result
    gaps = 0 if tokens.output is None else tokens.output - 1
    if peer is None or tokens.input is None or gaps < LEAST_TOKENS - 1 or _side_by_side(call):
        return None
    if result.ending == "streamed" and result.first_s is not None:
        most_s = now_s - result.first_s
        if not result.held_up:
            if most_s >= LEAST_DECODE_S:
                peer.pace.seen(most_s / gaps, now_s)
            return Written(most_s, "stream")
    elif result.ending == "whole":
        most_s = runtime.decode_s(tokens.input, tokens.cached or 0, now_s - tried.started_s)
    else:
        return None
    itl_s = peer.pace.at(now_s)
    if itl_s is not None and itl_s * gaps < most_s:
        return Written(itl_s * gaps, "streams")
    return Written(most_s, "answer") if result.ending == "whole" else None


def _side_by_side(call: Call) -> bool:
    """Whether several answers are written at a time: their tokens do not follow each other."""
    members = call.members
    return call.ask.choices != 1 or "best_of" in members or ("prompt" in members and bytes(members["prompt"]).startswith(b"["))
