"""Joules of an answer from the power of the machine and the pace of its tokens (docs/carbon.md)."""

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
LEAST_DECODE_S = 0.03
"""Of a shorter answer the connection and the proxy, some milliseconds, would be over a tenth."""
RECENT_S = 300.0
NEWEST = 0.2
"""How long a pace is a deployment's, and the weight of the newest stream in it."""


class RuntimePower(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment's, at the facility."""

    slot_w: float
    """What one of the requests that run together takes."""
    machine_w: float
    """What all of them take."""
    prompt: Form
    """The roofline's; of it the prompt alone is used."""
    band: Band

    def figures(
        self, input_tokens: float, cached_tokens: float, output_tokens: float, decode_s: float
    ) -> tuple[float, float, float] | None:
        """Low, value and high; `decode_s` from the first token to the last. None where that tells no pace."""
        if output_tokens < LEAST_TOKENS or decode_s < LEAST_DECODE_S:
            return None
        itl_s = decode_s / (output_tokens - 1)
        if not LEAST_ITL_S <= itl_s <= MOST_ITL_S:
            return None
        prompt = self.prompt.joules(input_tokens, cached_tokens, 0)
        value = self.slot_w * itl_s * output_tokens + prompt
        return value * self.band.low, value, value * self.band.high

    def decode_s(self, input_tokens: float, cached_tokens: float, seconds_s: float) -> float:
        """From the first token to the last, at most, of an answer that came whole after so many seconds.

        The whole machine reads the prompt for as long as its joules last at that power. What the request waited is in it.
        """
        return max(0.0, seconds_s - self.prompt.joules(input_tokens, cached_tokens, 0) / self.machine_w)


class Pace:
    """Seconds a token of a deployment's latest streams: what an answer that shows no pace of its own was written at, too."""

    __slots__ = ("_at_s", "_itl_s")

    def __init__(self) -> None:
        self._itl_s: float | None = None
        self._at_s = 0.0

    def __repr__(self) -> str:
        return f"<Pace {self._itl_s} s a token>"

    def seen(self, itl_s: float, at_s: float) -> None:
        """A stream went at that pace; one that no machine could have is not counted."""
        if LEAST_ITL_S <= itl_s <= MOST_ITL_S:
            before_s = self.at(at_s)
            self._itl_s = itl_s if before_s is None else before_s + NEWEST * (itl_s - before_s)
            self._at_s = at_s

    def at(self, now_s: float) -> float | None:
        """None where no stream has told lately."""
        return self._itl_s if self._itl_s is not None and now_s - self._at_s <= RECENT_S else None


def power_share(batch: float) -> float:
    """Of the board's limit; between the two batches by the logarithm, so that a fuller batch never costs a request more."""
    at = (math.log(max(batch, SMALL_BATCH)) - math.log(SMALL_BATCH)) / (math.log(LARGE_BATCH) - math.log(SMALL_BATCH))
    return SMALL_SHARE + (LARGE_SHARE - SMALL_SHARE) * min(1.0, at)
