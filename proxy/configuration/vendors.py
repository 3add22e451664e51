"""Vendors that join the embedded fleet when asked to, with their usual key variable and one default model each.

Prices are US dollars per million tokens as of 2026-11-21, from the vendors' price lists; a price that is not listed is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.config import Deployment, Prices

Vendor = tuple[tuple[str, ...], Deployment]
"""Variables that may hold the key, the first one set is taken; and what joins."""

VENDORS: dict[str, Vendor] = {
    "openai": (
        ("OPENAI_API_KEY",),
        # developers.openai.com/api/docs/pricing
        Deployment(model="gpt-5-mini", base_url="https://api.openai.com/v1", usd_per_mtok=Prices(input=0.25, cached=0.025, output=2.00)),
    ),
    "anthropic": (
        ("ANTHROPIC_API_KEY",),
        # platform.claude.com/docs/en/models/haiku-5-5/overview; beyond 100,000 tokens it costs five times as much, so it ends there
        Deployment(
            model="claude-haiku-5-5",
            dialect="anthropic",
            base_url="https://api.anthropic.com/v1",
            usd_per_mtok=Prices(input=0.10, cached=0.01, cache_write=0.125, output=0.50),
            context_tokens=100_000,
        ),
    ),
    "gemini": (
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        # ai.google.dev/gemini-api/docs/pricing; twice this from 2027-01-01
        Deployment(
            model="gemini-3.8-flash",
            dialect="gemini",
            base_url="https://generativelanguage.googleapis.com/v1beta",
            usd_per_mtok=Prices(input=0.75, cached=0.075, output=3.75),
        ),
    ),
    "mistral": (("MISTRAL_API_KEY",), Deployment(model="mistral-small-latest", base_url="https://api.mistral.ai/v1")),
}


def key_variable(vendor: str, environ: Mapping[str, str]) -> str | None:
    """The name of the variable that holds a vendor's key, or None if none is set."""
    return next((name for name in VENDORS[vendor][0] if environ.get(name)), None)
