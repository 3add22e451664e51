"""The ledger entry: the one account line of an exchange, and its parts. Written once, never changed.

It is written in two parts, a `Row` of its own and the `Context` it shares with others, and read as one `Entry`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from carbon.intensity import Intensity


class Tokens(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    estimated: bool = False
    """Counted by us with a tokenizer because the upstream reported nothing."""
    searches: int | None = None
    """Searches of the web that the vendor made for the answer: no tokens, but priced beside them. None: it told of none."""


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
    signal: str = "average"
    estimated: bool = False
    forecast: bool = False
    licence: str | None = None


def sample_of(intensity: Intensity) -> IntensitySample:
    """As it is kept."""
    return IntensitySample(
        zone=intensity.zone,
        g_per_kwh=intensity.g_per_kwh,
        low_g_per_kwh=intensity.low,
        high_g_per_kwh=intensity.high,
        basis=intensity.basis,
        source=intensity.source,
        as_of=intensity.as_of,
        assumed=intensity.assumed,
        signal=intensity.signal,
        estimated=intensity.estimated,
        forecast=intensity.forecast,
        licence=intensity.licence,
    )


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


class Row(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """What one exchange has of its own: the columns of the table `ledger`, in their order. Made for every request, so by position."""

    id: str
    at_s: float
    context: int
    team: str | None
    key: str | None
    task: str | None
    outcome: str
    status: int
    error: str | None
    input_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    carbon_g: float | None
    carbon_low_g: float | None
    carbon_high_g: float | None
    cost_usd: float | None
    duration_s: float
    ttft_s: float | None
    overhead_s: float | None
    attempts: int
    attempt_s: float | None
    """Of the last attempt."""
    request_id: str | None
    """None: the entry's own id."""
    upstream_id: str | None
    response_id: str | None
    detail: str | None
    """A `Detail` as JSON; None where there is nothing out of the ordinary."""
    avoided_g: float | None = None
    """Grams of what would have served instead, less those of what did; 0 where that is the same. None: not compared."""
    avoided_low_g: float | None = None
    avoided_high_g: float | None = None
    avoided_marginal_g: float | None = None


class Context(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """What the exchanges of one model, policy, decision, deployment and intensity sample have in common: the columns of the table
    `ledger_contexts`. Written once.
    """

    id: int
    """Made of the content; see `store/codec.py`."""
    api: str
    stream: bool
    model_requested: str | None
    model: str | None
    deployment: str | None
    policy: str | None
    reason: str
    method: str
    confidence: str
    zone: str | None
    intensity_g_per_kwh: float | None
    config_version: str
    data_version: str
    software_version: str
    inputs: str
    """`Inputs` as JSON."""


class Counterfactual(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What would have served without a policy that looks at carbon: by the configuration in force before the request."""

    deployment: str
    model: str
    profile: dict[str, float | str | None] | None = None
    intensity: IntensitySample | None = None
    marginal: IntensitySample | None = None
    output_tokens: int | None = None
    """What it is said to write; None: as much as was written."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Of a context: what its figures and its decision were made of."""

    intensity: IntensitySample | None = None
    marginal: IntensitySample | None = None
    profile: dict[str, float | str | None] | None = None
    order: tuple[str, ...] | None = None
    """None, as below: each row has its own."""
    rejected: tuple[tuple[str, str], ...] | None = None
    unmet: tuple[str, ...] = ()
    """Preferences that nobody met."""
    warnings: tuple[str, ...] = ()
    counterfactual: Counterfactual | None = None
    """None: the same deployment, or none to compare with."""
    router_j: float | None = None
    """What the proxy itself took for an exchange, as last measured; charged to savings."""
    router_g: float | None = None
    holdout: Literal["held", "free"] | None = None
    """Drawn for the model's default, or not drawn though the default might have served it; None: there was no draw."""
    spec_version: str | None = None
    """Of the formulas; None: of an earlier version, which did not say."""


class CrossCheck(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What our own estimate makes of an exchange whose energy the provider reported."""

    method: str
    energy_j: float


class Detail(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Of a row: what only some exchanges have."""

    attempts: tuple[Attempt, ...] | None = None
    """None where there was none, or one that succeeded with the status of the answer."""
    estimated: bool = False
    """Of the tokens."""
    forecast: Carbon | None = None
    """Without its intensity, which is the context's."""
    ignored: tuple[str, ...] = ()
    order: tuple[str, ...] | None = None
    rejected: tuple[tuple[str, str], ...] | None = None
    provider_report: dict[str, float | str | None] | None = None
    cross_check: CrossCheck | None = None
    decode_s: float | None = None
    """From the first token to the last, where a figure was made of it."""
    paced_by: str | None = None
    """Who tells that where its own stream does not: `answer`, its time as a whole; `streams`, the others of its deployment."""
    batch: float | None = None
    """Requests its deployment had meanwhile, where a figure was made of it."""
    searches: int | None = None
    """Of the web, by the vendor."""


class Restatement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A later and better figure for an entry that stays as it was written: the last one that nothing replaces is what counts."""

    id: str
    replaces: str
    """The id of the entry, or of the restatement before."""
    entry: str
    at_s: float
    method: str
    confidence: str
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    carbon_g: float | None
    carbon_low_g: float | None
    carbon_high_g: float | None
    inputs: dict[str, object]
    """What it was made of: the meter, its windows, their flags."""
    avoided_g: float | None = None
    """What the answer saved by this figure; None, as below: as was said before."""
    avoided_low_g: float | None = None
    avoided_high_g: float | None = None
    avoided_marginal_g: float | None = None


class Taken(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something an estimate took for granted beside what its method does."""

    name: str
    value: float | str
    why: str


class EstimateInputs(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Of an estimate: what its figures were made of."""

    profile: dict[str, float | str | None] | None = None
    intensity: IntensitySample | None = None
    decode_s: float | None = None
    paced_by: str | None = None
    batch: float | None = None
    spec_version: str | None = None
    provider_report: dict[str, float | str | None] | None = None
    warnings: tuple[str, ...] = ()
    taken: tuple[Taken, ...] = ()


class Estimate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A figure somebody asked for: the columns of the table `estimates`. Written once; of the prompt it keeps the length."""

    id: str
    at_s: float
    team: str | None
    key: str | None
    mode: str
    """`simulate`: nothing was sent. `run`: the prompt went through the fleet, and `entry` is its exchange."""
    model: str
    provider: str | None
    deployment: str | None
    entry: str | None
    note: str | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    tokens_estimated: bool
    inference_ms: float | None
    method: str
    confidence: str
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    carbon_g: float | None
    carbon_low_g: float | None
    carbon_high_g: float | None
    zone: str | None
    intensity_g_per_kwh: float | None
    config_version: str
    data_version: str
    software_version: str
    inputs: EstimateInputs


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
    unmet: tuple[str, ...]
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
    cross_check: CrossCheck | None
    avoided_g: float | None = None
    avoided_low_g: float | None = None
    avoided_high_g: float | None = None
    avoided_marginal_g: float | None = None
    counterfactual: Counterfactual | None = None
    router_j: float | None = None
    router_g: float | None = None
    holdout: Literal["held", "free"] | None = None
    marginal: IntensitySample | None = None
    """Of the same grid, where a live source tells it: kept beside the average, which the grams follow."""
    decode_s: float | None = None
    """From the first token to the last, where a figure was made of it."""
    paced_by: str | None = None
    batch: float | None = None
    """Requests its deployment had meanwhile (one over the mean of 1/batch), where a figure was made of it."""
    spec_version: str | None = None
    restatements: tuple[Restatement, ...] = ()
    """Oldest first."""
