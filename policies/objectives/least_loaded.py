"""The deployment with least to do, but the one that knows the prompt's beginning while it has little more to do."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from policies._base import Ask, Candidate
from policies._score import pull


class LeastLoaded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Load, less what a prefix already cached is worth (`policies._score.pull`)."""

    def costs(self, candidates: Sequence[Candidate], ask: Ask) -> list[float | None]:  # noqa: ARG002 (the Protocol's)
        return [pull(candidate) for candidate in candidates]

    def reason(self, leaders: Sequence[Candidate]) -> str:
        first = leaders[0]
        kept = first.affinity and any(candidate.load < first.load for candidate in leaders)
        return "affinity" if kept else "least-loaded"
