"""A weighted sum of carbon, cost, latency and missing quality, each against a bound that does not depend on the request's rivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from policies._base import Ask, Candidate

Weight = Annotated[float, Meta(ge=0)]
Bound = Annotated[float, Meta(gt=0)]


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much each counts; only their ratios matter."""

    carbon: Weight = 0.0
    cost: Weight = 0.0
    latency: Weight = 0.0
    quality: Weight = 0.0


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as 1; 0 counts as 0. Left out: 1 of its unit. Quality needs none: it lies in [0, 1] already."""

    carbon_g: Bound | None = None
    usd: Bound | None = None
    ttft_s: Bound | None = None


class Weighted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sum of weight times quantity over bound. Nothing is cut off at the bound, so that large requests are still told apart.

    A quantity with a weight that is unknown makes the whole unknown. A latency nobody has observed yet counts as its bound.
    """

    weights: Weights = Weights(carbon=1.0, cost=1.0, latency=1.0, quality=1.0)
    bounds: Bounds = Bounds()

    def costs(self, candidates: Sequence[Candidate], ask: Ask) -> list[float | None]:
        weights, bounds = self.weights, self.bounds
        per_g = weights.carbon / (bounds.carbon_g or 1.0)
        per_usd = weights.cost / (bounds.usd or 1.0)
        per_s = weights.latency / (bounds.ttft_s or 1.0)
        costs: list[float | None] = []
        for candidate in candidates:
            g, usd, ttft_s = candidate.g, candidate.usd, candidate.ttft_s
            quality = candidate.place.quality_for(ask.task) if weights.quality else 1.0
            if (g is None and per_g) or (usd is None and per_usd) or quality is None:
                costs.append(None)
                continue
            slowness = weights.latency if ttft_s is None else per_s * ttft_s
            costs.append(per_g * (g or 0.0) + per_usd * (usd or 0.0) + slowness + weights.quality * (1.0 - quality))
        return costs

    def reason(self, leaders: Sequence[Candidate]) -> str:  # noqa: ARG002 (the Protocol's)
        return "weighted"
