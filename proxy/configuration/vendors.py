"""Vendors that join the embedded fleet when asked to, with their usual key variable and one default model each.

Prices are US dollars per million tokens, and of one search of the web where the vendor makes them; each row says where they were read and
when. A price that is not listed is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from proxy.config import Deployment, Prices

CLOUD = re.compile(r".*[:-]cloud")
"""Names of models that an Ollama of one's own sends to its vendor's machines (https://docs.ollama.com/cloud)."""


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """What joins, and where its model, price and limits are from."""

    keys: tuple[str, ...]
    """Variables that may hold the key; the first one that is set is taken."""
    deployment: Deployment
    source: str
    read_on: str
    """A day, as 2026-11-21."""
    search_source: str | None = None
    """Where the price of a search was read, on 2026-11-22."""


VENDORS: dict[str, Vendor] = {
    # beyond 272,000 tokens of input it costs twice as much, so it ends there
    "openai": Vendor(
        keys=("OPENAI_API_KEY",),
        deployment=Deployment(
            model="gpt-5.6-luna",
            base_url="https://api.openai.com/v1",
            usd_per_mtok=Prices(input=0.20, cached=0.02, cache_write=0.25, output=1.20),
            usd_per_search=0.01,
            context_tokens=272_000,
        ),
        search_source="https://developers.openai.com/api/docs/pricing ($10 per 1,000 calls), as quoted in pydantic/genai-prices#630",
        source="https://developers.openai.com/api/docs/models/gpt-5.6-luna",
        read_on="2026-11-21",
    ),
    # beyond 100,000 tokens it costs five times as much, so it ends there
    "anthropic": Vendor(
        keys=("ANTHROPIC_API_KEY",),
        deployment=Deployment(
            model="claude-haiku-5-5",
            dialect="anthropic",
            base_url="https://api.anthropic.com/v1",
            usd_per_mtok=Prices(input=0.10, cached=0.01, cache_write=0.125, output=0.50),
            usd_per_search=0.01,
            context_tokens=100_000,
        ),
        search_source="https://platform.claude.com/docs/en/about-claude/pricing ($10 per 1,000), as quoted in langfuse/langfuse#15856",
        source="https://platform.claude.com/docs/en/models/haiku-5-5/overview",
        read_on="2026-11-21",
    ),
    # twice this from 2027-01-01; the first 5,000 searches of a month are free
    "gemini": Vendor(
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        deployment=Deployment(
            model="gemini-3.8-flash",
            dialect="gemini",
            base_url="https://generativelanguage.googleapis.com/v1beta",
            usd_per_mtok=Prices(input=0.75, cached=0.075, output=3.75),
            usd_per_search=0.014,
            context_tokens=1_048_576,
        ),
        search_source="https://ai.google.dev/gemini-api/docs/pricing ($14 per 1,000 queries), as quoted in iyulab/TokenMeter v0.13.0",
        source="https://ai.google.dev/gemini-api/docs/pricing; limits: LiteLLM's announcement, BerriAI/litellm discussion 39357",
        read_on="2026-11-21",
    ),
    # a dated name: what `mistral-small-latest` costs changes with what it is
    "mistral": Vendor(
        keys=("MISTRAL_API_KEY",),
        deployment=Deployment(
            model="mistral-small-2603",
            base_url="https://api.mistral.ai/v1",
            usd_per_mtok=Prices(input=0.15, output=0.60),
            context_tokens=256_000,
        ),
        source="https://whichllm.io/models/mistral-mistral-small-2603 (models.dev); the vendor's own page was not seen",
        read_on="2026-11-21",
    ),
}


def key_variable(vendor: str, environ: Mapping[str, str]) -> str | None:
    """The name of the variable that holds a vendor's key, or None if none is set."""
    return next((name for name in VENDORS[vendor].keys if environ.get(name)), None)
