"""What an engine's own metrics say of its work, whatever its version calls them. Pure: a page of /metrics in, numbers out.

A signal that is not on the page is None, never 0, and is listed as missing: a renamed metric must not read as an idle engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from carbon.exposition import Sample, samples

Signal = Literal[
    "running",
    "waiting",
    "prompt_tokens",
    "cached_tokens",
    "generation_tokens",
    "prefix_queries",
    "prefix_hits",
    "kv_usage",
    "preemptions",
]

NAMES: Mapping[Signal, tuple[str, ...]] = {
    "running": ("vllm:num_requests_running", "sglang:num_running_reqs", "trtllm_num_requests_running"),
    "waiting": ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "trtllm_num_requests_waiting"),
    "prompt_tokens": ("vllm:prompt_tokens_total", "vllm:prompt_tokens", "sglang:prompt_tokens_total", "trtllm_prompt_tokens_total"),
    "cached_tokens": ("vllm:prompt_tokens_cached_total", "sglang:cached_tokens_total"),
    "generation_tokens": (
        "vllm:generation_tokens_total",
        "vllm:generation_tokens",
        "sglang:generation_tokens_total",
        "trtllm_generation_tokens_total",
    ),
    "prefix_queries": ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries"),
    "prefix_hits": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits"),
    "kv_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage", "trtllm_kv_cache_utilization"),
    "preemptions": ("vllm:num_preemptions_total", "vllm:num_preemptions", "sglang:num_retracted_requests_total"),
}
"""Newest first; while a name is being withdrawn an engine says both, and the first that is there counts.

vLLM: 0.6 (V0) to 0.32 (V1), vllm/engine/metrics.py, vllm/v1/metrics/loggers.py; prometheus_client adds `_total` to counters, which V0
wrote itself. `vllm:iteration_tokens_total` is a histogram and no count. The V0 gauge `vllm:gpu_prefix_cache_hit_rate` is a mean over
its last thousand queries and stands for neither of the counters. SGLang: docs/references/production_metrics.md. TensorRT-LLM:
trtllm-serve's Prometheus page, as gateway-api-inference-extension reads it.
"""

Draft = Literal["drafted_tokens", "accepted_tokens"]
DRAFTS: Mapping[Draft, tuple[str, ...]] = {
    "drafted_tokens": ("vllm:spec_decode_num_draft_tokens_total", "trtllm_spec_decode_num_draft_tokens_total"),
    "accepted_tokens": ("vllm:spec_decode_num_accepted_tokens_total", "trtllm_spec_decode_num_accepted_tokens_total"),
}
"""Speculative decoding: on the page only of an engine that does it (vllm/v1/spec_decode/metrics.py; TensorRT-LLM's metrics collector), so
that they are never missing.
"""

COUNTERS: tuple[Signal, ...] = ("prompt_tokens", "cached_tokens", "generation_tokens", "prefix_queries", "prefix_hits", "preemptions")
REPLICA_LABELS = ("engine", "dp_rank")
"""Data-parallel engines behind one page: each has its own requests."""
COPY_LABELS = ("tp_rank", "pp_rank", "moe_ep_rank", "pid")
"""Ranks of one engine: each tells the same requests."""


class EngineSignals(msgspec.Struct, frozen=True, kw_only=True):
    """One model of an engine at one moment. Counters are since the engine started."""

    running: float | None = None
    """Requests in the batch."""
    waiting: float | None = None
    prompt_tokens: float | None = None
    """Those out of the prefix cache included (vLLM 0.32: computed 224 and cached 256 are 480); a prompt counts when it has been read."""
    cached_tokens: float | None = None
    """Of the prompt tokens."""
    generation_tokens: float | None = None
    prefix_queries: float | None = None
    """In tokens; in blocks at vLLM 0.7 and early 0.8: use it beside `prefix_hits` only."""
    prefix_hits: float | None = None
    kv_usage: float | None = None
    """0 to 1, of the fullest engine."""
    preemptions: float | None = None
    """Requests that were put out of the batch: what they had computed is computed again (vLLM V1: always; how much, no metric tells)."""
    drafted_tokens: float | None = None
    """Proposed by speculative decoding. None: it is off, or this version does not tell."""
    accepted_tokens: float | None = None
    """Of those; they are among the generated ones."""
    missing: tuple[Signal, ...] = ()


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine did between two moments. None: it does not say, or it was started in between."""

    start_s: float
    end_s: float
    running: float | None = None
    """Mean of both ends."""
    waiting: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    cached_share: float | None = None
    """Of the prompt tokens, those that came out of the prefix cache: 0 to 1."""
    preemptions: float | None = None
    rejected_share: float | None = None
    """Drafts that were computed and thrown away, over the tokens generated."""


def engine_signals(page: bytes) -> dict[str, EngineSignals]:
    """By `model_name` ("" where there is none). Raises ValueError for what is not Prometheus's text format."""
    by_model: dict[str, list[Sample]] = {}
    # Ray tells vLLM's with a prefix of its own and without the colon, which OpenTelemetry forbids (vllm/v1/metrics/ray_wrappers.py)
    page = (b"\n" + page).replace(b"\nray_vllm", b"\nvllm").replace(b"\nvllm_", b"\nvllm:")
    for sample in samples(page, (name for names in (*NAMES.values(), *DRAFTS.values()) for name in names)):
        by_model.setdefault(sample.labels.get("model_name", ""), []).append(sample)
    return {model: _signals(found) for model, found in by_model.items()}


def signals_of(found: Mapping[str, EngineSignals], model: str) -> EngineSignals:
    """Of the model by that name, or of the only one there is; else all signals are missing."""
    only = next(iter(found.values())) if len(found) == 1 else None
    return found.get(model) or only or EngineSignals(missing=tuple(NAMES))


def progress(before: EngineSignals, after: EngineSignals, start_s: float, end_s: float) -> Progress:
    """Counters that went back mean that the engine was started again: nothing is known of what they count."""
    added = {name: _added(getattr(before, name), getattr(after, name)) for name in COUNTERS}
    share = _share(added["cached_tokens"], added["prompt_tokens"])
    if share is None:
        share = _share(added["prefix_hits"], added["prefix_queries"])
    drafted, accepted = _added(before.drafted_tokens, after.drafted_tokens), _added(before.accepted_tokens, after.accepted_tokens)
    rejected = None if drafted is None or accepted is None else max(0.0, drafted - accepted)
    return Progress(
        start_s=start_s,
        end_s=end_s,
        running=_mean(before.running, after.running),
        waiting=_mean(before.waiting, after.waiting),
        prompt_tokens=added["prompt_tokens"],
        generation_tokens=added["generation_tokens"],
        cached_share=share,
        preemptions=added["preemptions"],
        rejected_share=rejected / added["generation_tokens"] if rejected is not None and added["generation_tokens"] else None,
    )


def _signals(found: list[Sample]) -> EngineSignals:
    values: dict[Signal | Draft, float] = {}
    for signal, names in (*NAMES.items(), *DRAFTS.items()):
        named = next((told for name in names if (told := [sample for sample in found if sample.name == name])), None)
        if named is not None:
            values[signal] = max(sample.value for sample in named) if signal == "kv_usage" else _sum(named)
    return EngineSignals(**values, missing=tuple(signal for signal in NAMES if signal not in values))


def _sum(told: list[Sample]) -> float:
    """Over engines and parts; of the copies of one engine the greatest, for they are not scraped at one instant."""
    if any(sample.labels.get("priority") == "" for sample in told):  # SGLang: the sum stands beside its parts
        told = [sample for sample in told if sample.labels.get("priority") == ""]
    copies: dict[tuple[tuple[str, str], ...], dict[tuple[str, ...], float]] = {}
    for sample in told:
        engine = tuple((name, sample.labels.get(name, "")) for name in REPLICA_LABELS)
        copy = tuple(sample.labels.get(name, "") for name in COPY_LABELS)
        parts = copies.setdefault(engine, {})
        parts[copy] = parts.get(copy, 0.0) + sample.value
    return sum(max(parts.values()) for parts in copies.values())


def _added(before: float | None, after: float | None) -> float | None:
    return after - before if before is not None and after is not None and after >= before else None


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else min(1.0, part / whole)


def _mean(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else 0.5 * (before + after)
