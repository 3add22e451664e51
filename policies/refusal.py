"""What an empty order means to the client: try again, ask for less, or change the policy."""

from __future__ import annotations

from typing import Literal

import msgspec

from policies._base import Decision
from policies.constraints import SETTLED

CAPACITY = frozenset({"down", "full"})
WINDOW = frozenset({"context", "max_output_tokens"})


class Refusal(msgspec.Struct, frozen=True):
    """`unavailable`: something eligible exists and is full or down (503). `member`: every deployment that the policy allows lacks
    something that the request names (400). `context`: it is too long for all of them (400). `constraints`: the policy (422).
    """

    kind: Literal["unavailable", "member", "context", "constraints"]
    names: tuple[str, ...] = ()
    """For `member`: the members and abilities that stood in the way, sorted."""


def refusal(decision: Decision) -> Refusal | None:
    """Return why nothing can serve; None where something can."""
    if decision.order:
        return None
    # A substitute that may not serve and a place the policy forbids say nothing about what the request could do better.
    against = {rejection.constraint for rejection in decision.rejected} - SETTLED - {"substitute"}
    if against & CAPACITY:
        return Refusal("unavailable")
    named = {constraint.partition(":")[2] for constraint in against if constraint.startswith(("member:", "ability:"))}
    tried = {constraint for constraint in against if ":" not in constraint}
    if not against or tried - WINDOW:
        return Refusal("constraints")
    return Refusal("member", tuple(sorted(named))) if named else Refusal("context")
