"""What a section of the configuration is, the kinds of values in it, and the part that policies, teams and keys share."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
PrivacyClass = Literal["local", "private", "vendor"]
SecretRef = Annotated[str, Meta(pattern=r"^(env|file):.+", description="env:NAME or file:PATH")]
KeyRef = Annotated[str, Meta(pattern=r"^(env:|file:|sha256:[0-9a-f]{64}$).*", description="env:NAME, file:PATH or sha256:HEX")]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A mapping of the file; a member it does not know is an error."""


class Constraints(Section, frozen=True):
    """Members of `require` (refuses) and `prefer` (steers)."""

    privacy: PrivacyClass | None = None
    """The furthest class a prompt may travel to: `local` (we operate the machine), `private` (dedicated tenancy), `vendor`."""
    regions: tuple[str, ...] | None = None
    """Where prompts may be processed: zones, cloud regions, ISO country codes and `EU`."""
    zero_retention: bool | None = None
    """Only deployments that state they keep nothing."""
    max_g: NonNegative | None = None
    """Most grams of CO2e for one request, compared with the forecast's high end."""
    max_g_per_kwh: NonNegative | None = None
    """Highest grid intensity of the deployment's zone."""
    max_usd: NonNegative | None = None
    """Most US dollars for one request: the input plus all the output it may have, and all searches of the web it may make."""
    max_ttft_s: Positive | None = None
    """Longest observed median time to the first token; one not yet observed passes."""
    min_quality: Share | None = None
    """Least quality, in [0, 1]."""
