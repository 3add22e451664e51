"""The deployment where this request is expected to emit least."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from policies._base import Ask, Candidate


class LowestCarbon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Grams of CO2e forecast for this request: its energy there, on that grid, now."""

    def costs(self, candidates: Sequence[Candidate], ask: Ask) -> list[float | None]:  # noqa: ARG002 (the Protocol's)
        return [candidate.g for candidate in candidates]

    def reason(self, leaders: Sequence[Candidate]) -> str:  # noqa: ARG002
        return "lowest-carbon"
