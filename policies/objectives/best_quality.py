"""The deployment whose configured quality is highest, for the request's task where that is told apart."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from policies._base import Ask, Candidate


class BestQuality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is missing to a quality of 1."""

    def costs(self, candidates: Sequence[Candidate], ask: Ask) -> list[float | None]:
        return [None if (quality := each.place.quality_for(ask.task)) is None else 1.0 - quality for each in candidates]

    def reason(self, leaders: Sequence[Candidate]) -> str:  # noqa: ARG002
        return "best-quality"
