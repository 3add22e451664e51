"""Engines' own metrics under the names of several versions. A signal that is not there is missing, and never 0.

`pages/vllm_0.32_*.txt` are a real engine's: vLLM 0.32.0 on a CPU, two requests running and then none, without the histograms' buckets.
The other pages have the names and labels of vLLM 0.6 (V0), 0.8 and 0.9 (V1), of vLLM under Ray, of
SGLang 0.5 and of trtllm-serve, as their sources give them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.engine import NAMES, EngineSignals, Progress, engine_signals, progress, signals_of

PAGES = Path(__file__).parent / "pages"
V06 = b"""# HELP vllm:num_requests_running Number of requests currently running on GPU.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 4.0
vllm:num_requests_swapped{model_name="m"} 1.0
vllm:num_requests_waiting{model_name="m"} 2.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.25
vllm:gpu_prefix_cache_hit_rate{model_name="m"} -1.0
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{model_name="m"} 3.0
vllm:prompt_tokens_total{model_name="m"} 1000.0
vllm:generation_tokens_total{model_name="m"} 500.0
vllm:iteration_tokens_total_sum{model_name="m"} 9.0
"""
V08 = b"""vllm:num_requests_running{model_name="m"} 4.0
vllm:num_requests_waiting{model_name="m"} 0.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.25
vllm:gpu_prefix_cache_queries_total{model_name="m"} 800.0
vllm:gpu_prefix_cache_hits_total{model_name="m"} 200.0
vllm:num_preemptions_total{model_name="m"} 0.0
vllm:prompt_tokens_total{model_name="m"} 1000.0
vllm:generation_tokens_total{model_name="m"} 500.0
"""
V09 = b"""vllm:num_requests_running{engine="0",model_name="m"} 4.0
vllm:num_requests_running{engine="1",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:gpu_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:gpu_prefix_cache_queries_total{engine="0",model_name="m"} 800.0
vllm:gpu_prefix_cache_hits_total{engine="0",model_name="m"} 200.0
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 800.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 200.0
vllm:num_preemptions_total{engine="0",model_name="m"} 0.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 1000.0
vllm:prompt_tokens_total{engine="1",model_name="m"} 100.0
vllm:generation_tokens_total{engine="0",model_name="m"} 500.0
vllm:generation_tokens_total{engine="1",model_name="m"} 50.0
"""
SGLANG = b"""sglang:num_running_reqs{engine_type="unified",model_name="m",pp_rank="0",priority="",tp_rank="0"} 4.0
sglang:num_running_reqs{engine_type="unified",model_name="m",pp_rank="0",priority="",tp_rank="1"} 3.0
sglang:num_running_reqs{engine_type="unified",model_name="m",pp_rank="0",priority="1",tp_rank="0"} 4.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 3.0
sglang:token_usage{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 0.28
sglang:prompt_tokens_total{is_streaming="false",model_name="m"} 4096.0
sglang:prompt_tokens_total{is_streaming="true",model_name="m"} 4.0
sglang:cached_tokens_total{cache_source="device",model_name="m"} 3000.0
sglang:cached_tokens_total{cache_source="host",model_name="m"} 168.0
sglang:generation_tokens_total{model_name="m"} 7557572.0
"""
RAY = b"""# TYPE ray_vllm_num_requests_running gauge
ray_vllm_num_requests_running{Component="core_worker",ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 4.0
ray_vllm_num_requests_running{Component="core_worker",ReplicaId="b",WorkerId="2",engine="0",model_name="m"} 3.0
ray_vllm_num_requests_waiting{ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 1.0
ray_vllm_kv_cache_usage_perc{ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 0.5
ray_vllm_prefix_cache_queries{ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 800.0
ray_vllm_prefix_cache_queries_total{ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 800.0
ray_vllm_prefix_cache_hits_total{ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 200.0
ray_vllm_num_preemptions_total{ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 0.0
ray_vllm_prompt_tokens_total{ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 1100.0
ray_vllm_generation_tokens_total{ReplicaId="a",WorkerId="1",engine="0",model_name="m"} 550.0
"""
TRTLLM = b"""trtllm_num_requests_running{engine_type="pytorch",model_name="m"} 3.0
trtllm_num_requests_waiting{engine_type="pytorch",model_name="m"} 1.0
trtllm_kv_cache_utilization{engine_type="pytorch",model_name="m"} 0.4
trtllm_prompt_tokens_total{engine_type="pytorch",model_name="m"} 10.0
trtllm_generation_tokens_total{engine_type="pytorch",model_name="m"} 20.0
"""


def test_a_real_engine_at_work():
    """vLLM 0.32.0: 60 tokens of three requests that are over and 491 of two that run; nothing is missing."""
    assert engine_signals((PAGES / "vllm_0.32_busy.txt").read_bytes()) == {
        "tiny": EngineSignals(
            running=2.0,
            waiting=0.0,
            prompt_tokens=480.0,
            cached_tokens=256.0,
            generation_tokens=551.0,
            prefix_queries=480.0,
            prefix_hits=256.0,
            kv_usage=0.0058651026392961825,
            preemptions=0.0,
        )
    }


def test_a_real_engine_between_two_readings():
    """860 - 551 tokens; no prompt was read, so no share of one was cached."""
    before, after = (engine_signals((PAGES / f"vllm_0.32_{state}.txt").read_bytes())["tiny"] for state in ("busy", "idle"))
    assert progress(before, after, 10.0, 12.0) == Progress(
        start_s=10.0, end_s=12.0, running=1.0, waiting=0.0, prompt_tokens=0.0, generation_tokens=309.0, preemptions=0.0
    )


@pytest.mark.parametrize(
    ("page", "signals"),
    [
        (
            V06,
            EngineSignals(
                running=4,
                waiting=2,
                prompt_tokens=1000,
                generation_tokens=500,
                kv_usage=0.25,
                preemptions=3,
                missing=("cached_tokens", "prefix_queries", "prefix_hits"),
            ),
        ),
        (
            V08,
            EngineSignals(
                running=4,
                waiting=0,
                prompt_tokens=1000,
                generation_tokens=500,
                prefix_queries=800,
                prefix_hits=200,
                kv_usage=0.25,
                preemptions=0,
                missing=("cached_tokens",),
            ),
        ),
        (
            V09,
            EngineSignals(
                running=7,
                waiting=1,
                prompt_tokens=1100,
                generation_tokens=550,
                prefix_queries=800,
                prefix_hits=200,
                kv_usage=0.5,
                preemptions=0,
                missing=("cached_tokens",),
            ),
        ),
        (
            RAY,
            EngineSignals(
                running=7,
                waiting=1,
                prompt_tokens=1100,
                generation_tokens=550,
                prefix_queries=800,
                prefix_hits=200,
                kv_usage=0.5,
                preemptions=0,
                missing=("cached_tokens",),
            ),
        ),
        (
            RAY.replace(b"ray_", b""),
            EngineSignals(
                running=7,
                waiting=1,
                prompt_tokens=1100,
                generation_tokens=550,
                prefix_queries=800,
                prefix_hits=200,
                kv_usage=0.5,
                preemptions=0,
                missing=("cached_tokens",),
            ),
        ),
        (
            SGLANG,
            EngineSignals(
                running=4,
                waiting=3,
                prompt_tokens=4100,
                cached_tokens=3168,
                generation_tokens=7557572,
                kv_usage=0.28,
                missing=("prefix_queries", "prefix_hits", "preemptions"),
            ),
        ),
        (
            TRTLLM,
            EngineSignals(
                running=3,
                waiting=1,
                prompt_tokens=10,
                generation_tokens=20,
                kv_usage=0.4,
                missing=("cached_tokens", "prefix_queries", "prefix_hits", "preemptions"),
            ),
        ),
    ],
    ids=["vLLM 0.6", "vLLM 0.8", "vLLM 0.9", "vLLM under Ray", "vLLM without its colon", "SGLang", "TensorRT-LLM"],
)
def test_each_version_is_read_by_its_names(page, signals):
    assert engine_signals(page) == {"m": signals}


def test_models_are_told_apart():
    page = b'vllm:num_requests_running{model_name="a"} 1\nvllm:num_requests_running{model_name="b"} 2\nvllm:num_requests_waiting 5\n'
    found = engine_signals(page)
    assert {model: signals.running for model, signals in found.items()} == {"a": 1, "b": 2, "": None}
    assert signals_of(found, "b").running == 2
    assert signals_of(found, "other").missing == tuple(NAMES)
    assert signals_of({"only": found["a"]}, "other").running == 1


@pytest.mark.parametrize("page", [b"", b"process_cpu_seconds_total 1\n", b"[]", b'{"detail":"Not Found"}'])
def test_a_page_of_something_else_has_no_signal(page):
    assert signals_of(engine_signals(page), "m") == EngineSignals(missing=tuple(NAMES))


DRAFTING = """vllm:generation_tokens_total{{model_name="m"}} {written}
vllm:num_preemptions_total{{model_name="m"}} {out}
vllm:spec_decode_num_drafts_total{{model_name="m"}} 40.0
vllm:spec_decode_num_draft_tokens_total{{engine="0",model_name="m"}} {drafted}
vllm:spec_decode_num_accepted_tokens_total{{engine="0",model_name="m"}} {accepted}
vllm:spec_decode_num_accepted_tokens_per_pos_total{{engine="0",model_name="m",position="0"}} 9.0
"""


@pytest.mark.parametrize("engine", ["vllm:", "trtllm_"])
def test_drafts_that_were_thrown_away_are_told_and_never_missing(engine):
    """Of 120 drafts 50 were accepted while 100 tokens were generated: 0.7 for each of them. Without speculation nothing is said of it."""

    def at(**counts):
        page = DRAFTING.format(**counts).replace("vllm:spec", f"{engine}spec")
        return engine_signals(page.encode())["m"]

    before, after = at(written=10.0, out=1.0, drafted=30.0, accepted=20.0), at(written=110.0, out=3.0, drafted=150.0, accepted=70.0)
    assert (after.drafted_tokens, after.accepted_tokens) == (150.0, 70.0)
    found = progress(before, after, 0.0, 1.0)
    assert (found.rejected_share, found.preemptions) == (pytest.approx(0.7), 2.0)
    plain = engine_signals(V08)["m"]
    assert plain.drafted_tokens is None
    assert "drafted_tokens" not in plain.missing
    assert progress(plain, plain, 0.0, 1.0).rejected_share is None


def test_a_signal_that_is_no_number_is_missing():
    assert (
        "running"
        in engine_signals(b'vllm:num_requests_running{model_name="m"} NaN\nvllm:num_requests_waiting{model_name="m"} 0\n')["m"].missing
    )


def test_a_page_that_is_broken_is_an_error():
    with pytest.raises(ValueError, match="Invalid labels"):
        engine_signals(b'vllm:num_requests_running{model_name=m} 1\nvllm:num_requests_running{model_name="m"\n')


def test_an_engine_that_was_started_again_tells_nothing_of_the_time_between():
    before = EngineSignals(running=1, prompt_tokens=1000, cached_tokens=10, generation_tokens=500)
    after = EngineSignals(running=3, prompt_tokens=10, cached_tokens=0, generation_tokens=600)
    assert progress(before, after, 0, 1) == Progress(start_s=0, end_s=1, running=2, generation_tokens=100)


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ({"prompt_tokens": 0, "cached_tokens": 0}, {"prompt_tokens": 100, "cached_tokens": 25}, 0.25),
        ({"prefix_queries": 0, "prefix_hits": 0}, {"prefix_queries": 100, "prefix_hits": 50}, 0.5),
        ({"prompt_tokens": 0, "cached_tokens": 0, "prefix_queries": 0, "prefix_hits": 0}, {"prompt_tokens": 0, "cached_tokens": 0}, None),
        ({"prefix_hits": 0}, {"prefix_hits": 9}, None),
    ],
)
def test_the_cached_share_is_told_by_whatever_counters_there_are(before, after, share):
    assert progress(EngineSignals(**before), EngineSignals(**after), 0, 1).cached_share == share


@given(st.sets(st.sampled_from(sorted(NAMES))))
def test_what_is_missing_is_exactly_what_is_none(present):
    page = "".join(f'{NAMES[signal][-1]}{{model_name="m"}} 7\n' for signal in present).encode()
    signals = signals_of(engine_signals(page), "m")
    assert set(signals.missing) == set(NAMES) - present
    assert {signal for signal in NAMES if getattr(signals, signal) is not None} == present
