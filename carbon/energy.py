"""From a profile to joules: the ladder of methods, each as a closed form in the tokens, and the band each may claim.

The ladder, first that qualifies: provider_reported, measured_attributed, runtime_power, calibrated, flops_roofline, vendor_prior,
token_proxy. The first is in the answer itself (footprint.py), the next three need measurements, the last three are here.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Literal, Protocol

import msgspec

from carbon.bands import Band
from carbon.profile import PUE, EnergyProfile
from carbon.roofline import REFERENCE, UNCACHED_SHARE, Form, Load, form, form_on
from carbon.runtime import RuntimePower, power_share

Method = Literal[
    "provider_reported", "measured_attributed", "runtime_power", "calibrated", "flops_roofline", "vendor_prior", "token_proxy", "none"
]
LADDER: tuple[Method, ...] = (
    "provider_reported",
    "measured_attributed",
    "runtime_power",
    "calibrated",
    "flops_roofline",
    "vendor_prior",
    "token_proxy",
)
"""Best first. A lower method never stands in for a higher one that qualifies."""

ACCELERATOR_BANDS = {"A100": Band(0.67, 1.60), "H100": Band(1 / 1.46, 1.46), "B200": Band(1 / 1.49, 1.49)}
"""Of the roofline at the accelerators, batch stated: errors on families that the fit has not seen (docs/accuracy.md)."""
PUE_ASSUMED = Band(1.07 / PUE, 1.45 / PUE)
HOST_AND_IDLE = Band(0.734, 1.591)
"""The rest of the way to the facility; with PUE_ASSUMED it is the 1.3 to 3 of profile.HOST_FACTOR."""
BATCH_UNKNOWN = Band(1 / 3.5, 3.5)
"""In place of all of these where the batch is assumed."""
RUNTIME_BAND = Band(0.65, 1.4)
"""Of runtime_power at the accelerators."""
GPU_UNKNOWN = Band(1 / 1.5, 2.0)
"""Beside them, where the accelerator is none of those fitted: the spread between A100 and B200."""
TOKEN_PROXY = Band(1 / 3.5, 6.0)

WH_PER_1K_TOKENS = ((8.0, 0.031, 0.009), (30.0, 0.066, 0.034), (100.0, 0.285, 0.114), (inf, 0.81, 0.34))
"""Up to so many 1e9 parameters: facility Wh per 1,000 output tokens, per 1,000 input tokens (docs/carbon.md)."""
J_PER_WH = 3600.0

VENDOR_LOW_BATCH, VENDOR_BATCH, VENDOR_HIGH_BATCH = 1024.0, 256.0, 64.0
VENDOR_LOW_FACTOR, VENDOR_LOW_PUE = 1.2, 1.09
"""Machine over accelerators in the best case (no idle capacity), and the best building."""
VENDOR_HIGH_FACTOR, VENDOR_HIGH_PUE = 1.7 * 1.4, 1.25
"""And in the worst."""
LEAST_LOW, LEAST_HIGH = 0.5, 2.0
"""The prior never claims to know better than this; its own limits are wider but for very long contexts read from cache."""


class Estimator(Protocol):
    """Joules at the facility from tokens. Methods take input, cached (part of input) and output tokens, none negative."""

    @property
    def method(self) -> Method: ...

    @property
    def runtime(self) -> RuntimePower | None:
        """A higher method that qualifies once the pace of an answer's tokens was seen."""
        ...

    @property
    def cross(self) -> Estimator | None:
        """The next method that qualifies too."""
        ...

    def energy_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float: ...

    def low_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float: ...

    def high_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float: ...

    def figures(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> tuple[float, float, float]:
        """Low, value and high."""
        ...


class Proportional(msgspec.Struct, frozen=True, kw_only=True):
    """A form with a band of constant factors: the roofline and the token proxy."""

    method: Method
    form: Form
    band: Band
    cross: Estimator | None = None
    runtime: RuntimePower | None = None

    def energy_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.form.joules(input_tokens, cached_tokens, output_tokens)

    def low_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.energy_j(input_tokens, cached_tokens, output_tokens) * self.band.low

    def high_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.energy_j(input_tokens, cached_tokens, output_tokens) * self.band.high

    def figures(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> tuple[float, float, float]:
        value = self.form.joules(input_tokens, cached_tokens, output_tokens)
        return value * self.band.low, value, value * self.band.high


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """Closed weights: the geometric mean of bf16 and fp8 serving, between the best and the worst that can be imagined.

    Flat, because a forecast is made of it for every candidate: precision changes a form's `token` only, and there is no attention term.
    """

    bf16_token: float
    fp8_token: float
    context: float
    prefill: float
    low_token: float
    low_context: float
    low_prefill: float
    high_token: float
    high_context: float
    high_prefill: float
    cross: Estimator | None = None
    runtime: RuntimePower | None = None
    method: Method = "vendor_prior"

    def energy_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        if cached_tokens > input_tokens:
            return self.energy_j(input_tokens, input_tokens, output_tokens)
        prefill = self.prefill * (input_tokens - UNCACHED_SHARE * cached_tokens)
        context = self.context * (input_tokens + 0.5 * output_tokens)
        return sqrt((output_tokens * (self.bf16_token + context) + prefill) * (output_tokens * (self.fp8_token + context) + prefill))

    def low_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.figures(input_tokens, cached_tokens, output_tokens)[0]

    def high_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.figures(input_tokens, cached_tokens, output_tokens)[2]

    def figures(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> tuple[float, float, float]:
        if cached_tokens > input_tokens:
            return self.figures(input_tokens, input_tokens, output_tokens)
        read, context = input_tokens - UNCACHED_SHARE * cached_tokens, input_tokens + 0.5 * output_tokens
        value = self.energy_j(input_tokens, cached_tokens, output_tokens)
        low = output_tokens * (self.low_token + self.low_context * context) + self.low_prefill * read
        high = output_tokens * (self.high_token + self.high_context * context) + self.high_prefill * read
        least, most = value * LEAST_LOW, value * LEAST_HIGH
        return (low, value, high) if low <= least and high >= most else (min(low, least), value, max(high, most))


def estimator(profile: EnergyProfile) -> Estimator:
    """The first method of the ladder the profile qualifies for, with the next that does as its cross-check."""
    proxy = _token_proxy(profile)
    match profile.kind:
        case "parameters":
            return _flops_roofline(profile, proxy)
        case "range":
            return _vendor_prior(profile, proxy)
        case "size":
            return proxy


def load_of(profile: EnergyProfile) -> Load:
    """The model as the roofline takes it."""
    return Load(
        total_b=profile.total_b,
        active_b=profile.active_b,
        bytes_per_parameter=profile.bytes_per_parameter,
        batch=profile.batch,
        gpu_count=profile.gpu_count,
        kv_bytes=profile.kv_bytes,
        d_model=profile.d_model,
    )


def _flops_roofline(profile: EnergyProfile, cross: Estimator) -> Proportional:
    facility = profile.host_factor * profile.idle_factor * profile.pue
    load = load_of(profile)
    band = _to_facility(ACCELERATOR_BANDS[profile.gpu], profile) if profile.batch_from == "stated" else BATCH_UNKNOWN
    if profile.gpu_from == "assumed":
        band = band.combined(GPU_UNKNOWN)
    at_facility = form(load, profile.gpu).scaled(facility)
    runtime = runtime_power(profile, at_facility)
    return Proportional(method="flops_roofline", form=at_facility, band=band, cross=cross, runtime=runtime)


def runtime_power(profile: EnergyProfile, prompt: Form) -> RuntimePower | None:
    """None where the batch is not stated, or the accelerator not by a name we know. `prompt`: the roofline's form at the facility."""
    if profile.tdp_w is None or profile.batch_from != "stated":
        return None
    facility = profile.host_factor * profile.idle_factor * profile.pue
    slot_w = power_share(profile.batch) * profile.tdp_w * profile.gpu_count / profile.batch
    machine_w = slot_w * profile.batch * facility
    return RuntimePower(slot_w=slot_w * facility, machine_w=machine_w, prompt=prompt, band=_to_facility(RUNTIME_BAND, profile))


def _to_facility(at_accelerators: Band, profile: EnergyProfile) -> Band:
    band = at_accelerators.combined(HOST_AND_IDLE)
    return band.combined(PUE_ASSUMED) if profile.pue_from == "assumed" else band


def _vendor_prior(profile: EnergyProfile, cross: Estimator) -> Prior:
    """Batch 256 [64, 1024], one GPU a replica, no attention term in the prefill (the limits cover it)."""
    known = profile.pue_from != "assumed"
    facility = profile.host_factor * profile.idle_factor * profile.pue
    low_factor = VENDOR_LOW_FACTOR * (profile.pue if known else VENDOR_LOW_PUE)
    high_factor = VENDOR_HIGH_FACTOR * (profile.pue if known else VENDOR_HIGH_PUE)
    bf16 = _vendor_form(profile, profile.active_b, 2.0, VENDOR_BATCH, "H100").scaled(facility)
    fp8 = _vendor_form(profile, profile.active_b, 1.0, VENDOR_BATCH, "H100").scaled(facility)
    low = _vendor_form(profile, profile.active_low_b, 1.0, VENDOR_LOW_BATCH, "B200").scaled(low_factor)
    high = _vendor_form(profile, profile.active_high_b, 2.0, VENDOR_HIGH_BATCH, "H100").scaled(high_factor)
    return Prior(
        bf16_token=bf16.token,
        fp8_token=fp8.token,
        context=bf16.context,
        prefill=bf16.prefill,
        low_token=low.token,
        low_context=low.context,
        low_prefill=low.prefill,
        high_token=high.token,
        high_context=high.context,
        high_prefill=high.prefill,
        cross=cross,
    )


def _vendor_form(profile: EnergyProfile, active_b: float, bytes_per_parameter: float, batch: float, gpu: str) -> Form:
    load = Load(total_b=profile.total_b, active_b=active_b, bytes_per_parameter=bytes_per_parameter, batch=batch)
    return msgspec.structs.replace(form_on(load, REFERENCE[gpu]), attention=0.0)


def _token_proxy(profile: EnergyProfile) -> Proportional:
    """By class of the dense model of like effort: the geometric mean of total and active parameters."""
    size_b = sqrt(profile.total_b * profile.active_b)
    output_wh, input_wh = next((out, read) for most_b, out, read in WH_PER_1K_TOKENS if size_b <= most_b)
    joules = J_PER_WH / 1000 * profile.pue / PUE
    return Proportional(method="token_proxy", form=Form(output_wh * joules, 0.0, input_wh * joules), band=TOKEN_PROXY)
