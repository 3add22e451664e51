"""Joules of one request at the accelerators, from parameters, precision and batch (docs/carbon.md); and as a form in its tokens."""

from __future__ import annotations

import math

import msgspec


class Accelerator(msgspec.Struct, frozen=True, kw_only=True):
    """Coefficients fitted to measurements."""

    read_j_per_gb: float
    flop_pj: float
    kv_j_per_gb: float
    token_j: float = 0.0
    """Per output token, however many accelerators share the work."""
    gpu_token_j: float = 0.0
    """Per output token and accelerator: what each one of a replica spends on it beside its share of the arithmetic."""
    step_j: float = 0.0
    """Per accelerator and step of the batch."""


ACCELERATORS = {
    "A100": Accelerator(read_j_per_gb=0.169, flop_pj=8.8, kv_j_per_gb=0.0, token_j=0.0043, step_j=3.36),
    "H100": Accelerator(read_j_per_gb=0.217, flop_pj=1.32, kv_j_per_gb=0.106, gpu_token_j=0.0385),
    "B200": Accelerator(read_j_per_gb=0.252, flop_pj=0.728, kv_j_per_gb=0.206, gpu_token_j=0.0362),
}
"""A100: 157 ML.ENERGY v2 measurements. H100, B200: 113 and 130 of v3, by `make accuracy`, which checks these numbers (docs/accuracy.md)."""

REFERENCE = {
    "A100": ACCELERATORS["A100"],
    "H100": Accelerator(read_j_per_gb=0.263, flop_pj=2.3, kv_j_per_gb=0.073, token_j=0.036),
    "B200": Accelerator(read_j_per_gb=0.257, flop_pj=1.4, kv_j_per_gb=0.305, token_j=0.012),
}
"""The form before: its constant falls once a token, whatever the number of accelerators. The vendor prior's figures are made of it."""

CACHED_SHARE = 0.02
"""What reading a cached input token costs, of computing it (docs/carbon.md)."""

UNCACHED_SHARE = 1.0 - CACHED_SHARE

GPU_MEMORY_GB = 80.0
"""The smallest of the three; what a guessed number of GPUs is sized for."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it is run. Parameters in 1e9."""

    total_b: float
    active_b: float
    bytes_per_parameter: float
    batch: float
    gpu_count: float = 1.0
    kv_bytes: float | None = None
    """Cache per token of context; None: by the usual of models of that size."""
    d_model: float | None = None


class Form(msgspec.Struct, frozen=True):
    """Joules = out·(token + context·(in + out/2)) + prefill·(1 + attention·in)·(uncached + .02·cached)."""

    token: float
    context: float
    prefill: float
    attention: float = 0.0

    def joules(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        """Non-negative tokens; of cached tokens, no more count than there is input."""
        if cached_tokens > input_tokens:
            return self.joules(input_tokens, input_tokens, output_tokens)
        decode = self.token + self.context * (input_tokens + 0.5 * output_tokens)
        prefill = self.prefill * (1.0 + self.attention * input_tokens)
        return output_tokens * decode + prefill * (input_tokens - UNCACHED_SHARE * cached_tokens)

    def scaled(self, factor: float) -> Form:
        return Form(self.token * factor, self.context * factor, self.prefill * factor, self.attention)


def form(load: Load, gpu: str) -> Form:
    """At the accelerators alone: no host, no idle, no building."""
    return form_on(load, ACCELERATORS[gpu])


def form_on(load: Load, chip: Accelerator) -> Form:
    flop_j = chip.flop_pj * 2 * load.active_b * 1e-3
    read_j = chip.read_j_per_gb * load.bytes_per_parameter * read_b(load) / load.batch
    kv_bytes = 60e3 * math.sqrt(load.active_b / 3) if load.kv_bytes is None else load.kv_bytes
    d_model = 2048 * math.pow(load.active_b, 0.34) if load.d_model is None else load.d_model
    return Form(
        token=read_j + flop_j + chip.token_j + load.gpu_count * (chip.gpu_token_j + chip.step_j / load.batch),
        context=chip.kv_j_per_gb * kv_bytes * 1e-9,
        prefill=flop_j,
        attention=1 / (12 * d_model),
    )


def read_b(load: Load) -> float:
    """1e9 parameters read in one step: all experts that a batch touches."""
    if load.total_b <= load.active_b:
        return load.active_b
    untouched = math.pow(1 - load.active_b / load.total_b, max(0.0, load.batch - 1))
    return load.active_b + (load.total_b - load.active_b) * (1 - untouched)


def gpus_for(total_b: float, bytes_per_parameter: float) -> int:
    """GPUs that hold the weights and a fifth more, a power of two."""
    least = max(1, math.ceil(1.2 * total_b * bytes_per_parameter / GPU_MEMORY_GB))
    return int(2 ** math.ceil(math.log2(least)))
