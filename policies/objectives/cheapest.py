"""The deployment where this request is expected to cost least."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from policies._base import Ask, Candidate


class Cheapest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars forecast for this request: its input and the output that is expected, not the worst case a cap compares."""

    def costs(self, candidates: Sequence[Candidate], ask: Ask) -> list[float | None]:  # noqa: ARG002 (the Protocol's)
        return [candidate.usd for candidate in candidates]

    def reason(self, leaders: Sequence[Candidate]) -> str:  # noqa: ARG002
        return "cheapest"
