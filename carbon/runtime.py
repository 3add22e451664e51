"""Joules of a streamed answer from the power of the machine and the pace of its tokens (docs/carbon.md)."""

from __future__ import annotations

import math

import msgspec

from carbon.bands import Band
from carbon.roofline import Form

SMALL_BATCH, LARGE_BATCH = 8.0, 64.0
SMALL_SHARE, LARGE_SHARE = 0.65, 0.83
"""Power drawn over the board's limit while a batch decodes: medians of ML.ENERGY v3 on H100 (all batches .74; 5 to 95 %: .52 to .95)."""
LEAST_TOKENS = 8
"""Below that, first and last token may have come in one packet."""
LEAST_ITL_S, MOST_ITL_S = 1e-3, 1.0
"""A pace outside of this is the network's, not a machine's."""


class RuntimePower(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment's, at the facility."""

    slot_w: float
    """What one of the requests that run together takes."""
    prompt: Form
    """The roofline's; of it the prompt alone is used."""
    band: Band

    def figures(
        self, input_tokens: float, cached_tokens: float, output_tokens: float, decode_s: float
    ) -> tuple[float, float, float] | None:
        """Low, value and high; `decode_s` from the first token to the last. None where that tells no pace."""
        if output_tokens < LEAST_TOKENS:
            return None
        itl_s = decode_s / (output_tokens - 1)
        if not LEAST_ITL_S <= itl_s <= MOST_ITL_S:
            return None
        prompt = self.prompt.joules(input_tokens, cached_tokens, 0)
        value = self.slot_w * itl_s * output_tokens + prompt
        return value * self.band.low, value, value * self.band.high


def power_share(batch: float) -> float:
    """Of the board's limit; between the two batches by the logarithm, so that a fuller batch never costs a request more."""
    at = (math.log(max(batch, SMALL_BATCH)) - math.log(SMALL_BATCH)) / (math.log(LARGE_BATCH) - math.log(SMALL_BATCH))
    return SMALL_SHARE + (LARGE_SHARE - SMALL_SHARE) * min(1.0, at)
