"""Joules and grams of one workload: the only place where grams are computed. Forecast and account are the same call."""

from __future__ import annotations

from math import exp, hypot, log
from typing import NamedTuple, Protocol

import msgspec

from carbon.bands import confidence, disagree
from carbon.calibrated import Calibrated
from carbon.energy import Estimator, Method, Proportional
from carbon.intensity import Intensity
from carbon.roofline import UNCACHED_SHARE

J_PER_KWH = 3.6e6

REPORTED_LOW, REPORTED_HIGH = 0.85, 1.15
"""The band of a provider's figure whose boundary is stated, and below, of one that says not what it includes (docs/carbon.md)."""
UNSTATED_LOW, UNSTATED_HIGH = 0.6, 1.8

TOKENS_ESTIMATED = 1.1
"""The band widens by this where nobody reported the tokens and we counted them."""


class Workload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was, or will be, computed. `output_tokens` include reasoning, `input_tokens` include the cached ones."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    estimated: bool = False
    """Counted by us because the upstream reported nothing."""
    decode_s: float | None = None
    """From its first token to its last; None: nothing tells."""


class ProviderReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of one answer. Its energy is used; its grams are kept as evidence: their basis is not known."""

    energy_j: float
    source: str
    """`neuralwatt`, `greenpt`."""
    carbon_g: float | None = None
    grid_g_per_kwh: float | None = None
    grid: str | None = None
    boundary: str | None = None
    """What its energy includes; None: it does not say."""
    raw: dict[str, float | str | None] = {}
    """Its object, flattened with dots."""


class Footprint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Energy at the facility and CO2e of one workload, each with its 80 % band. None is unknown, never zero."""

    energy_j: float | None = None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    carbon_g: float | None = None
    carbon_low_g: float | None = None
    carbon_high_g: float | None = None
    method: Method = "none"
    confidence: str = "none"
    """`high`, `medium`, `low` or `very-low`, by the energy's band; `none` where there is no figure or no work."""
    intensity: Intensity | None = None
    cross_method: Method | None = None
    cross_j: float | None = None
    """What the next method that qualifies makes of the same workload."""
    warnings: tuple[str, ...] = ()
    """`tokens_estimated`, `boundary_unknown`, `calibration_drifted`, `method_disagreement`."""

    @staticmethod
    def of(
        workload: Workload,
        estimator: Estimator | None,
        intensity: Intensity | None,
        report: ProviderReport | None = None,
        spread: Spread | None = None,
    ) -> Footprint:
        """The footprint by the highest method there is. Without estimator and report, or with negative tokens, all is unknown.

        `spread`: of the `rate` of this estimator and this intensity, where there is one: it saves the logarithms.
        """
        i, c, o = workload.input_tokens, workload.cached_tokens, workload.output_tokens
        sane = i >= 0 and c >= 0 and o >= 0
        own = estimator.figures(i, c, o) if estimator is not None and sane else None
        if workload.decode_s is not None and own is not None and estimator is not None and estimator.runtime is not None:
            paced = estimator.runtime.figures(i, c, o, workload.decode_s)
            if paced is not None:
                return _paced(workload, paced, (estimator.method, own), intensity, report)
        if report is not None:
            return _reported(report, intensity, None if own is None or estimator is None else (estimator.method, own))
        if own is None or estimator is None:
            return Footprint(intensity=intensity)
        low, value, high = own
        warnings = estimator.warnings if isinstance(estimator, Calibrated) else ()
        if workload.estimated:
            low, high, warnings, spread = low / TOKENS_ESTIMATED, high * TOKENS_ESTIMATED, ("tokens_estimated", *warnings), None
        cross = estimator.cross
        if cross is None:
            return _footprint(estimator.method, (low, value, high), intensity, None, warnings, spread)
        other = cross.figures(i, c, o)
        if disagree(own, other):
            warnings = (*warnings, "method_disagreement")
        return _footprint(estimator.method, (low, value, high), intensity, (cross.method, other[1]), warnings, spread)


def measured(joules: tuple[float, float, float], before: Footprint) -> Footprint:
    """What was accounted, by joules that were measured at the facility since: low, value, high. The grid stays the one of the account."""
    low, value, high = joules
    cross = None if before.energy_j is None or before.method == "none" else (before.method, before.energy_j)
    own = (
        None
        if cross is None or before.energy_low_j is None or before.energy_high_j is None
        else (before.energy_low_j, cross[1], before.energy_high_j)
    )
    warnings = ("method_disagreement",) if own is not None and disagree((low, value, high), own) else ()
    return _footprint("measured_attributed", joules, before.intensity, cross, warnings)


def elsewhere(here: Footprint, factor: float, intensity: Intensity | None) -> Footprint:
    """What took so many joules here, as so many times as many on another grid; of the same method, with the same band."""
    low, value, high = here.energy_low_j, here.energy_j, here.energy_high_j
    if low is None or value is None or high is None:
        return Footprint(intensity=intensity)
    return _footprint(here.method, (low * factor, value * factor, high * factor), intensity, None, ())


NO_WORK = Footprint(energy_j=0.0, energy_low_j=0.0, energy_high_j=0.0, carbon_g=0.0, carbon_low_g=0.0, carbon_high_g=0.0)
"""Of an answer for which nothing was computed: a refusal, a cached reply, OPTIONS."""


class Spread(NamedTuple):
    """Grams of one joule with both ends, where the joules' band is one of constant factors, and what that band is called."""

    low_g_per_j: float
    g_per_j: float
    high_g_per_j: float
    confidence: str


class Rate(Protocol):
    """Grams of a workload before it runs: `Footprint.of` for one estimator and one intensity, folded together. Tokens not negative."""

    @property
    def spread(self) -> Spread | None:
        """None where the band depends on the tokens."""
        ...

    def g(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float: ...

    def g_high(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        """The upper end of the 80 % band, which caps are compared with."""
        ...


class ProportionalRate(msgspec.Struct, frozen=True, kw_only=True):
    """One form in grams, and the factor of its upper end: a dozen multiplications and additions."""

    token: float
    context: float
    prefill: float
    attention: float
    """Prefill times attention, per token of input."""
    high: float
    spread: Spread | None

    def g(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        if cached_tokens > input_tokens:
            return self.g(input_tokens, input_tokens, output_tokens)
        decode = self.token + self.context * (input_tokens + 0.5 * output_tokens)
        return output_tokens * decode + (self.prefill + self.attention * input_tokens) * (input_tokens - UNCACHED_SHARE * cached_tokens)

    def g_high(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.high * self.g(input_tokens, cached_tokens, output_tokens)


class CalibratedRate(msgspec.Struct, frozen=True, kw_only=True):
    """A proportional one, and what a request costs by itself."""

    request_g: float
    tokens: ProportionalRate
    spread: Spread | None

    def g(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.request_g + self.tokens.g(input_tokens, cached_tokens, output_tokens)

    def g_high(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.tokens.high * self.g(input_tokens, cached_tokens, output_tokens)


class GeneralRate(msgspec.Struct, frozen=True, kw_only=True):
    """Of a band that is no constant factor (the vendor prior): its upper end costs a few logarithms."""

    estimator: Estimator
    intensity: Intensity
    g_per_j: float
    spread: Spread | None = None

    def g(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.estimator.energy_j(input_tokens, cached_tokens, output_tokens) * self.g_per_j

    def g_high(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return _grams(self.estimator.figures(input_tokens, cached_tokens, output_tokens), self.intensity)[2]


def rate(estimator: Estimator | None, intensity: Intensity | None) -> Rate | None:
    """Made once per deployment and intensity sample. None where either is unknown."""
    if estimator is None or intensity is None:
        return None
    if not isinstance(estimator, Proportional | Calibrated) or intensity.g_per_kwh <= 0:
        return GeneralRate(estimator=estimator, intensity=intensity, g_per_j=intensity.g_per_kwh / J_PER_KWH)
    form, band = estimator.form, estimator.band
    spread = Spread(*_grams((band.low, 1.0, band.high), intensity), confidence(band.low, band.high))
    g_per_j = spread.g_per_j
    in_grams = form.scaled(g_per_j)
    tokens = ProportionalRate(
        token=in_grams.token,
        context=in_grams.context,
        prefill=in_grams.prefill,
        attention=in_grams.prefill * in_grams.attention,
        high=spread.high_g_per_j / g_per_j,
        spread=spread,
    )
    if isinstance(estimator, Calibrated):
        return CalibratedRate(request_g=estimator.request_j * g_per_j, tokens=tokens, spread=spread)
    return tokens


def _reported(report: ProviderReport, intensity: Intensity | None, own: tuple[Method, tuple[float, float, float]] | None) -> Footprint:
    """As given: no host, idle or PUE factor is put on top of a boundary that is not stated."""
    value = report.energy_j
    stated = report.boundary is not None
    low, high = (REPORTED_LOW, REPORTED_HIGH) if stated else (UNSTATED_LOW, UNSTATED_HIGH)
    figures = (value * low, value, value * high)
    warnings = () if stated else ("boundary_unknown",)
    if own is None:
        return _footprint("provider_reported", figures, intensity, None, warnings)
    method, others = own
    if disagree(figures, others):
        warnings = (*warnings, "method_disagreement")
    return _footprint("provider_reported", figures, intensity, (method, others[1]), warnings)


def _paced(
    workload: Workload,
    paced: tuple[float, float, float],
    next_best: tuple[Method, tuple[float, float, float]],
    intensity: Intensity | None,
    report: ProviderReport | None,
) -> Footprint:
    """By runtime_power, with the method below it as its cross-check; or, where a provider reports, as the cross-check of that."""
    if report is not None:
        return _reported(report, intensity, ("runtime_power", paced))
    low, value, high = paced
    method, others = next_best
    warnings = ("method_disagreement",) if disagree(paced, others) else ()
    if workload.estimated:
        low, high, warnings = low / TOKENS_ESTIMATED, high * TOKENS_ESTIMATED, ("tokens_estimated", *warnings)
    return _footprint("runtime_power", (low, value, high), intensity, (method, others[1]), warnings)


def _footprint(
    method: Method,
    joules: tuple[float, float, float],
    intensity: Intensity | None,
    cross: tuple[Method, float] | None,
    warnings: tuple[str, ...],
    spread: Spread | None = None,
) -> Footprint:
    low, value, high = joules
    cross_method, cross_j = (None, None) if cross is None else cross
    low_g: float | None
    g: float | None
    high_g: float | None
    if spread is not None and value > 0:
        low_g, g, high_g, label = value * spread[0], value * spread[1], value * spread[2], spread[3]
    else:
        low_g, g, high_g = (None, None, None) if intensity is None else _grams(joules, intensity)
        label = confidence(low, high)
    return Footprint(
        energy_j=value,
        energy_low_j=low,
        energy_high_j=high,
        carbon_g=g,
        carbon_low_g=low_g,
        carbon_high_g=high_g,
        method=method,
        confidence=label,
        intensity=intensity,
        cross_method=cross_method,
        cross_j=cross_j,
        warnings=warnings,
    )


def _grams(joules: tuple[float, float, float], intensity: Intensity) -> tuple[float, float, float]:
    """Low, value and high in grams: independent log-normal factors, each side by itself; the plain extremes where one end is zero."""
    low, value, high = joules
    g_per_kwh, low_g_per_kwh = intensity.g_per_kwh, intensity.low
    g = value * g_per_kwh / J_PER_KWH
    if low <= 0 or low_g_per_kwh <= 0:
        return low * low_g_per_kwh / J_PER_KWH, g, high * intensity.high / J_PER_KWH
    down = hypot(log(value / low), log(g_per_kwh / low_g_per_kwh))
    up = hypot(log(high / value), log(intensity.high / g_per_kwh))
    return g * exp(-down), g, g * exp(up)


def grams(energy_j: float, g_per_kwh: float) -> float:
    """Of so much energy at a rate without a band, such as a marginal one."""
    return energy_j * g_per_kwh / J_PER_KWH
