"""What a fit to one's own measurements is: the records it is made of, what it must satisfy, and how it drifts.

The fitting itself is in calibrating.py, the figures that follow from it in calibrated.py; nothing here needs more than the standard
library. One calibration is of one deployment of one model on one machine, and is never changed: a better one replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from statistics import median
from typing import Literal, Self

import msgspec

from carbon.bands import Band
from carbon.profile import EnergyProfile
from carbon.roofline import UNCACHED_SHARE, Form

SPEC_VERSION = "1"
LEAST_RECORDS = 200
LEAST_TOKEN_SPAN = 10.0
"""The largest request over the smallest, one in a hundred left out at either end."""
LEAST_SPAN_S = 12 * 3600.0
PRIOR_RECORDS = 200
"""The prior counts as much as so many records."""
NARROWEST = Band(0.8, 1.25)
"""No calibration claims to know better; a median residual of a day outside of it is an alarm."""
BETTER = 0.95
"""Of the incumbent's median error on the day held out: a fit that does not get below changes nothing."""
DAY_S = 86400.0
LEAST_OF_DAY = 20
"""Records below which nothing is said of a day."""
_MACHINE = ("kind", "model", "total_b", "active_b", "bytes_per_parameter", "gpu", "gpu_count", "tdp_w", "host_factor", "pue")

Source = Literal["measured_attributed", "provider_reported"]
"""Whose joules."""
Boundary = Literal["facility", "provider_stated", "provider_unknown"]
"""Where they end: by a meter of ours at the facility, by a provider's report where that says, or nobody knows. Never mixed in one fit."""
BOUNDARIES: Mapping[Boundary, Source] = {
    "facility": "measured_attributed",
    "provider_stated": "provider_reported",
    "provider_unknown": "provider_reported",
}
"""Better first."""


class Measured(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One exchange whose energy was measured, and is above zero. `input_tokens` include the cached ones, `output_tokens` the reasoning."""

    id: str
    at_s: float
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    energy_j: float
    batch: float | None = None
    """Requests that were served together, itself among them: one over the mean of 1/batch while it ran; None: not known."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one deployment on one machine."""

    deployment: str
    model: str
    gpu: str
    machine: str
    """See `machine_of`."""
    boundary: Boundary
    band: Band
    """Of one measurement: a fit to measurements is never surer than they are."""
    records: tuple[Measured, ...]

    @property
    def source(self) -> Source:
        return BOUNDARIES[self.boundary]

    @property
    def span_s(self) -> float:
        return max((each.at_s for each in self.records), default=0.0) - min((each.at_s for each in self.records), default=0.0)

    @property
    def token_span(self) -> float:
        tokens = sorted(each.tokens for each in self.records if each.tokens > 0)
        edge = len(tokens) // 100
        return tokens[-1 - edge] / tokens[edge] if tokens else 1.0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Joules of one request: what it costs by itself, and what its tokens do. No term is negative, so more tokens never cost less."""

    request_j: float
    form: Form

    def joules(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.request_j + self.form.joules(input_tokens, cached_tokens, output_tokens)


class BatchTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Terms of work whose batch is known: reading the weights, and idle power, are shared by those who are served together."""

    terms: Terms
    """Without the step."""
    step_j: float
    """Per output token, over the batch."""
    least: float
    """The smallest and largest batch it was fitted to, one in a hundred left out at either end: none beyond is taken for more."""
    most: float

    def inside(self, batch: float) -> float:
        return min(max(batch, self.least), self.most)

    def at(self, batch: float) -> Terms:
        token = self.terms.form.token + self.step_j / self.inside(batch)
        form = self.terms.form
        return Terms(request_j=self.terms.request_j, form=Form(token, form.context, form.prefill, form.attention))


class Batched(msgspec.Struct, frozen=True, kw_only=True):
    """What a calibration makes of a known batch, where that was better on records it had not seen."""

    terms: BatchTerms
    n: int
    """Records with a batch."""
    weight: float
    """Of the fit, as the calibration's."""
    low: float
    high: float
    cv_mdape: float
    """As the calibration's; below, of the three terms over the same records."""
    without_cv_mdape: float
    held_out_error: float
    without_held_out_error: float

    @property
    def band(self) -> Band:
        return Band(self.low, self.high)


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """One fit and the verdict on it. Joules are those of its source; errors are medians of |foreseen / measured - 1|."""

    id: str = ""
    """Made of all the rest."""
    deployment: str
    model: str
    gpu: str
    machine: str
    source: Source
    boundary: Boundary = "facility"
    spec_version: str = SPEC_VERSION
    data: str
    """Digest of the records."""
    fitted_at_s: float
    n: int
    """Records used; below, those left out because they lie over five median deviations from what the others say."""
    dropped: int
    span_s: float
    token_span: float
    terms: Terms
    fitted: Terms
    """Before it was drawn to the prior."""
    weight: float
    """Of the fit; the rest is the prior's, at the level of what was measured. 1 where records it had not seen are foreseen better so."""
    prior_level: float = 1.0
    """What was measured over what the prior foresees, in the middle: the prior was drawn to at so many times its figures."""
    batched: Batched | None = None
    """In place of `terms` and the band, of work whose batch is known."""
    low: float
    high: float
    cv_mdape: float
    """Five-fold, of the three terms as they are in force; below, of `a + b·tokens`, and of the prior over the same records."""
    plain_cv_mdape: float
    plain_request_j: float
    plain_token_j: float
    prior_error: float
    held_out: int
    """Records of the last day, which the fit had not seen when it was tried."""
    held_out_error: float
    """By the batch where that is in use; of a fit to all before that day. Below, of these terms, which have seen it; of the incumbent."""
    terms_error: float
    incumbent_error: float
    incumbent: str
    """Id of the calibration that was in force, or the method of the prior."""
    accepted: bool
    overtaken: str | None = None
    """The id of one that came into force while this was fitted: then this is not accepted, whatever it was better than."""
    drift: float | None = None
    """Of one in force: measured over foreseen in the last 24 hours, where that is an alarm. Never kept: see `drifted`."""

    @property
    def why(self) -> str:
        if self.overtaken is not None:
            return f"overtaken by {self.overtaken}, which came into force meanwhile"
        share = f"{100 * self.held_out_error:.1f} % against the {100 * self.incumbent_error:.1f} % of {self.incumbent}"
        return f"{'better' if self.accepted else 'not better by 5 %'} on the last day: {share}"

    @property
    def band(self) -> Band:
        return Band(self.low, self.high)

    def foreseen(self, record: Measured) -> float:
        """Joules of a record's work, by its batch where that is known and in use."""
        return foreseen(self.terms, None if self.batched is None else self.batched.terms, record)

    def drifted(self, found: Drift | None) -> Self:
        """A calibration as it was kept, under a drift: with an alarm its band reaches as far as what is measured now.

        Its figures stay: what a fit to the day would make of other days is not known before it is tried.
        """
        if found is None or not found.alarm:
            return self
        ratio = float(f"{found.ratio:.2g}")
        batched, low, high = self.batched, self.low * min(1.0, ratio), self.high * max(1.0, ratio)
        if batched is not None:
            batched = msgspec.structs.replace(batched, low=batched.low * min(1.0, ratio), high=batched.high * max(1.0, ratio))
        return msgspec.structs.replace(self, drift=ratio, low=low, high=high, batched=batched)

    def named(self) -> Self:
        """With the id that its content makes."""
        content = msgspec.msgpack.encode(msgspec.structs.replace(self, id=""))
        return msgspec.structs.replace(self, id="cal-" + blake2b(content, digest_size=8).hexdigest())

    def record(self) -> dict[str, float | str | None]:
        """For a ledger entry's profile: enough to work its figure out again."""
        form = self.terms.form
        more = {} if self.batched is None else _of_batch(self.batched)
        if self.drift is not None:
            more["calibration_drift"] = self.drift
        return {
            "calibration": self.id,
            "calibration_source": self.source,
            "calibration_boundary": self.boundary,
            "calibration_fitted_at_s": self.fitted_at_s,
            "calibration_n": float(self.n),
            "calibration_cv_mdape": self.cv_mdape,
            "calibration_request_j": self.terms.request_j,
            "calibration_token_j": form.token,
            "calibration_context_j": form.context,
            "calibration_prefill_j": form.prefill,
            "calibration_attention": form.attention,
            "calibration_low": self.low,
            "calibration_high": self.high,
            **more,
        }


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """The median of measured over foreseen in the last 24 hours."""

    ratio: float
    n: int

    @property
    def alarm(self) -> bool:
        return not NARROWEST.low <= self.ratio <= NARROWEST.high


def drift(calibration: Calibration, records: Sequence[Measured], now_s: float) -> Drift | None:
    """None where too little was measured in that time to say."""
    today = [each for each in records if now_s - DAY_S <= each.at_s <= now_s]
    ratios = [each.energy_j / joules for each in today if (joules := calibration.foreseen(each)) > 0]
    return Drift(ratio=median(ratios), n=len(ratios)) if len(ratios) >= LEAST_OF_DAY else None


def of(terms: Terms, record: Measured) -> float:
    """Joules the terms foresee of a record's work."""
    return terms.joules(record.input_tokens, record.cached_tokens, record.output_tokens)


def foreseen(terms: Terms, by_batch: BatchTerms | None, record: Measured) -> float:
    """By the batch where it is known and in a term, else by the others."""
    return of(terms if by_batch is None or record.batch is None else by_batch.at(record.batch), record)


def missing(evidence: Evidence) -> tuple[str, ...]:
    """What keeps the evidence from being fitted, in words; empty where nothing does."""
    count, span_s, tokens = len(evidence.records), evidence.span_s, evidence.token_span
    lacks: list[str] = []
    if not count:
        return ("nothing was measured",)
    if count < LEAST_RECORDS:
        lacks.append(f"{count} measured records of {LEAST_RECORDS}")
    if tokens < LEAST_TOKEN_SPAN:
        lacks.append(f"tokens span ×{tokens:.1f} of ×{LEAST_TOKEN_SPAN:g}")  # noqa: RUF001 - as in every table
    if span_s < LEAST_SPAN_S:
        lacks.append(f"{span_s / 3600:.1f} h of {LEAST_SPAN_S / 3600:g} h")
    return tuple(lacks)


def machine_of(profile: EnergyProfile) -> str:
    """Digest of what figures of a deployment depend on. Where it changes, what was measured before says nothing of what comes.

    The batch is not in it: what it is stated to be changes no measurement.
    """
    values = [float(each) if isinstance(each, int) else each for each in (getattr(profile, name) for name in _MACHINE)]
    return blake2b(msgspec.json.encode(values), digest_size=8).hexdigest()


def digest(records: Sequence[Measured]) -> str:
    return blake2b(msgspec.msgpack.encode(records), digest_size=16).hexdigest()


def uncached(record: Measured) -> float:
    """Input tokens by what they cost: a cached one 2 % of one that is computed, as in the roofline."""
    return record.input_tokens - UNCACHED_SHARE * min(record.cached_tokens, record.input_tokens)


def _of_batch(batched: Batched) -> dict[str, float | str | None]:
    terms, form = batched.terms, batched.terms.terms.form
    return {
        "calibration_batch_request_j": terms.terms.request_j,
        "calibration_batch_token_j": form.token,
        "calibration_batch_step_j": terms.step_j,
        "calibration_batch_context_j": form.context,
        "calibration_batch_prefill_j": form.prefill,
        "calibration_batch_attention": form.attention,
        "calibration_batch_least": terms.least,
        "calibration_batch_most": terms.most,
        "calibration_batch_low": batched.low,
        "calibration_batch_high": batched.high,
    }
