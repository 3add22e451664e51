"""What EcoLogits makes of an answer: a second opinion on closed models, never the published figure. Optional (`greenlane[ecologits]`).

Its ranges come from its guesses of parameters alone, at a batch of 64 on H100, without prompts: its band is far narrower than its error.
For records on demand: a call takes up to milliseconds, and the first one loads the package.
"""

from __future__ import annotations

import importlib.metadata
import math
from typing import Any

import msgspec

from carbon.footprint import J_PER_KWH

PROVIDERS = {
    "openai": "openai",
    "azure": "openai",
    "anthropic": "anthropic",
    "gemini": "google_genai",
    "mistral": "mistralai",
    "cohere": "cohere",
}
"""Dialects and vendors by the names EcoLogits has for them."""


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """Energy at the facility, with the provider's PUE as EcoLogits has it; without building the hardware."""

    energy_low_j: float
    energy_j: float
    """The geometric mean of its two ends."""
    energy_high_j: float
    source: str
    """`ecologits 0.11.3`."""
    warnings: tuple[str, ...] = ()
    """Its codes: `model-arch-not-released`, `model-arch-multimodal`."""


def opinion(provider: str, model: str, output_tokens: int, seconds_s: float | None) -> Opinion | None:
    """None where EcoLogits is not installed, does not know the model, or answers with anything but a positive range."""
    if provider not in PROVIDERS or output_tokens <= 0:
        return None
    try:
        from ecologits.tracers.utils import llm_impacts
    except ImportError:
        return None
    latency_s = math.inf if seconds_s is None else seconds_s  # it takes the lesser of this and its own estimate
    found = llm_impacts(provider=PROVIDERS[provider], model_name=model, output_token_count=output_tokens, request_latency=latency_s)
    if found.errors or found.usage is None or found.usage.energy is None:
        return None
    low_kwh, high_kwh = _ends(found.usage.energy.value)
    if not 0 < low_kwh <= high_kwh < math.inf:
        return None
    return Opinion(
        energy_low_j=low_kwh * J_PER_KWH,
        energy_j=math.sqrt(low_kwh * high_kwh) * J_PER_KWH,
        energy_high_j=high_kwh * J_PER_KWH,
        source=f"ecologits {importlib.metadata.version('ecologits')}",
        warnings=tuple(str(each.code) for each in found.warnings or ()),
    )


def _ends(value: Any) -> tuple[float, float]:
    """Of a range or of a plain number."""
    return float(getattr(value, "min", value)), float(getattr(value, "max", value))
