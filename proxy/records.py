"""The ledger entry: the one account line of an exchange, and its parts. Written once, never changed."""

from __future__ import annotations

import msgspec


class Tokens(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    estimated: bool = False
    """Counted by us with a tokenizer because the upstream reported nothing."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One try on one deployment. `kind` is `ok` or an error kind (`connect`, `timeout`, `reset`, `status`, `garbled`, ...)."""

    deployment: str
    status: int | None
    kind: str
    seconds_s: float


class IntensitySample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The grid figure an account used."""

    zone: str
    g_per_kwh: float
    low_g_per_kwh: float
    high_g_per_kwh: float
    basis: str
    source: str
    as_of: str
    assumed: bool = False
    """No zone was configured: WORLD was taken."""


class Carbon(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Energy and grams with their 80 % band. None throughout where nothing could be estimated."""

    energy_j: float | None = None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    carbon_g: float | None = None
    carbon_low_g: float | None = None
    carbon_high_g: float | None = None
    method: str = "none"
    confidence: str = "none"
    intensity: IntensitySample | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One exchange. `outcome`: completed, truncated, client_gone, failed, refused, cached."""

    id: str
    at_s: float
    request_id: str
    api: str
    stream: bool
    team: str | None
    key: str | None
    model_requested: str | None
    """As configured; None when the client's name is not one of ours (labels and rows come from configuration)."""
    model: str | None
    deployment: str | None
    policy: str | None
    task: str | None
    reason: str
    outcome: str
    status: int
    error: str | None
    """Our error code (`upstream_error`), never a text."""
    attempts: tuple[Attempt, ...]
    tokens: Tokens
    cost_usd: float | None
    carbon: Carbon
    forecast: Carbon | None
    duration_s: float
    ttft_s: float | None
    overhead_s: float | None
    rejected: tuple[tuple[str, str], ...]
    order: tuple[str, ...]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]
    upstream_id: str | None
    """Request id the upstream gave, for its support."""
    response_id: str | None
    """Id of a stored response (`resp_…`), so that `previous_response_id` finds its deployment."""
    config_version: str
    data_version: str
    software_version: str
    profile: dict[str, float | str | None] | None
    """The energy profile's inputs, enough to recompute the figures later."""
    provider_report: dict[str, float | str | None] | None
    """The provider's own energy object, flattened, where it sent one."""
