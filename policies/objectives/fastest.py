"""The deployment that has been quickest to its first token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from policies._base import Ask, Candidate


class Fastest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds to the first token, as observed. What was never observed ranks last, but for one request in `try_every`."""

    try_every: Annotated[int, Meta(ge=0)] = 20
    """One request in so many goes to a deployment nobody has measured yet, while there is one: or the first that was ever
    measured would keep all the traffic. 0: none."""

    def costs(self, candidates: Sequence[Candidate], ask: Ask) -> list[float | None]:
        if self.try_every and ask.turn % self.try_every == self.try_every - 1:
            return [-1.0 if candidate.ttft_s is None else candidate.ttft_s for candidate in candidates]
        return [candidate.ttft_s for candidate in candidates]

    def reason(self, leaders: Sequence[Candidate]) -> str:
        return "unobserved" if leaders[0].ttft_s is None else "fastest"
