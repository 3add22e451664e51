"""Factors of a team's or its organisation's own: the PUE of a contract, the intensity of a grid. What they do not say stays the fleet's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from carbon.intensity import Intensity

Profile = dict[str, float | str | None]


class Factors(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Of one team, on the basis that all its figures are compared on."""

    pue: float | None = None
    pue_from: Literal["team", "organisation"] = "team"
    everywhere: Intensity | None = None
    by_zone: Mapping[str, Intensity] = {}
    """By the zone's id."""

    def before(self, others: Factors) -> Factors:
        """These, and what they do not say by the others. A figure for everywhere leaves nothing to them."""
        return Factors(
            pue=others.pue if self.pue is None else self.pue,
            pue_from=others.pue_from if self.pue is None else self.pue_from,
            everywhere=others.everywhere if self.everywhere is None else self.everywhere,
            by_zone=self.by_zone if self.everywhere is not None else {**others.by_zone, **self.by_zone},
        )

    def profile(self, before: Profile | None) -> Profile | None:
        """The energy profile in their building."""
        if before is None or self.pue is None:
            return before
        return {**before, "pue": self.pue, "pue_from": self.pue_from}

    def intensity(self, zone: str | None, before: Intensity | None) -> Intensity | None:
        """Theirs of a deployment in that zone, by the name it had; the fleet's where they have none."""
        own = self.by_zone.get(zone, self.everywhere) if zone is not None else self.everywhere
        if own is None:
            return before
        named = before.zone if before is not None else zone or own.zone
        return msgspec.structs.replace(own, zone=named)
