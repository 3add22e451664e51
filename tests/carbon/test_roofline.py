"""Joules from parameters, precision and batch, against the worked example."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.roofline import ACCELERATORS, REFERENCE, Form, Load, form, form_on, gpus_for, read_b

LLAMA = Load(total_b=8, active_b=8, bytes_per_parameter=2, batch=64)


def test_the_worked_example():
    """Llama-3.1-8B in bf16 on one H100, batch 64, 100 in, 400 out, so a context of 300 on average.

    Weights read: .217 J/GB x 2 bytes x 8 / 64 = .0543 J. Work: 1.32 pJ x 2 x 8 = .0211 J. Cache read: .106 J/GB x 98 kB x 300 = .0031 J.
    Constant of one GPU: .0385 J. Sum .117 J a token of output (ML.ENERGY measured .1186); 46.8 J for 400.
    Prefill: 100 x .0211 J = 2.1 J. Together 48.9 J = .0136 Wh at the GPU, x 1.785 = .0243 Wh at the facility.
    """
    found = form(LLAMA, "H100")
    assert found.token == pytest.approx(0.0543 + 0.0211 + 0.0385, abs=1e-4)
    assert found.context * 300 == pytest.approx(0.0031, abs=5e-5)
    assert found.token + found.context * 300 == pytest.approx(0.1186, rel=0.02)
    assert found.joules(100, 0, 0) == pytest.approx(2.1, abs=0.02)
    assert found.joules(100, 0, 400) == pytest.approx(48.9, abs=0.1)
    assert found.scaled(1.35 * 1.15 * 1.15).joules(100, 0, 400) / 3600 == pytest.approx(0.0243, abs=5e-5)


def test_the_worked_example_of_the_form_before():
    """Llama-3.1-8B in bf16 on one H100, batch 64, 100 in, 400 out, so a context of 300 on average.

    Weights read: .263 J/GB x 2 bytes x 8 / 64 = .0658 J. Work: 2.3 pJ x 2 x 8 = .0368 J. Cache read: .073 J/GB x 98 kB x 300 = .0021 J.
    Constant: .036 J. Sum .141 J a token of output; 56.3 J for 400.
    Prefill: 100 x .0368 J x (1 + 100 / 49,800) = 3.7 J. Together 60 J = .0167 Wh at the GPU, x 1.79 = .030 Wh at the facility.
    """
    found = form_on(LLAMA, REFERENCE["H100"])
    assert found.token == pytest.approx(0.0658 + 0.0368 + 0.036, abs=1e-4)
    assert found.context * 300 == pytest.approx(0.0021, abs=5e-5)
    assert found.token + found.context * 300 == pytest.approx(0.141, abs=5e-4)
    assert found.joules(100, 0, 0) == pytest.approx(3.7, abs=0.02)
    assert found.joules(100, 0, 400) == pytest.approx(60.0, abs=0.1)
    assert found.joules(100, 0, 400) / 3600 == pytest.approx(0.0167, abs=5e-5)
    assert found.scaled(1.35 * 1.15 * 1.15).joules(100, 0, 400) / 3600 == pytest.approx(0.030, abs=5e-4)


def test_attention_makes_long_prompts_dearer_than_their_tokens():
    """d_model = 2048 x 8^.34 = 4154; at 12 x 4154 = 49,840 tokens of input the attention term doubles the prefill."""
    found = form(LLAMA, "H100")
    assert found.joules(49_840, 0, 0) == pytest.approx(2 * found.prefill * 49_840, rel=1e-3)


def test_a_batch_touches_more_experts_than_a_token():
    """1 of 4 active: a batch of 2 reads 1 + 3 x (1 - .75) = 1.75 of 4; dense models read all of theirs always."""
    experts = Load(total_b=4, active_b=1, bytes_per_parameter=2, batch=2)
    assert read_b(experts) == pytest.approx(1.75)
    assert read_b(msgspec.structs.replace(experts, batch=1)) == 1
    assert read_b(LLAMA) == 8


def test_cached_input_costs_a_fiftieth():
    found = form(LLAMA, "H100")
    assert found.joules(1000, 1000, 0) == pytest.approx(0.02 * found.joules(1000, 0, 0))
    assert found.joules(1000, 5000, 0) == found.joules(1000, 1000, 0)


def test_each_gpu_of_a_replica_costs_its_constant():
    """.0385 J an H100 and token, .0362 J a B200: seven more cost .27 and .25 J a token, and nothing for the prompt."""
    for gpu, constant in (("H100", 0.0385), ("B200", 0.0362)):
        one, eight = (form(Load(total_b=8, active_b=8, bytes_per_parameter=2, batch=64, gpu_count=n), gpu) for n in (1, 8))
        assert eight.token - one.token == pytest.approx(7 * constant)
        assert (eight.prefill, eight.context) == (one.prefill, one.context)


def test_the_a100_is_as_it_was():
    assert ACCELERATORS["A100"] == REFERENCE["A100"]


def test_steps_cost_on_the_a100_by_gpu_and_batch():
    """3.36 J a GPU and step: two more GPUs at batch 64 cost .105 J a token."""
    one, three = (form(Load(total_b=8, active_b=8, bytes_per_parameter=2, batch=64, gpu_count=n), "A100") for n in (1, 3))
    assert three.token - one.token == pytest.approx(3.36 * 2 / 64)


@pytest.mark.parametrize(("total_b", "bytes_", "gpus"), [(8, 2, 1), (70, 2, 4), (32, 2, 1), (34, 2, 2), (671, 1, 16), (0.1, 2, 1)])
def test_enough_gpus_for_the_weights_and_a_fifth(total_b, bytes_, gpus):
    """70B: 1.2 x 140 GB / 80 GB = 2.1 -> 3 -> 4."""
    assert gpus_for(total_b, bytes_) == gpus


TOKENS = st.integers(0, 200_000)
LOADS = st.builds(
    lambda total, share, bytes_, batch, count: Load(
        total_b=total, active_b=total * share, bytes_per_parameter=bytes_, batch=batch, gpu_count=count
    ),
    st.floats(0.1, 2000),
    st.floats(0.01, 1),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.floats(1, 1024),
    st.integers(1, 64),
)
GPUS = st.sampled_from(["A100", "H100", "B200"])


@given(LOADS, GPUS, TOKENS, TOKENS, st.integers(1, 1000))
def test_more_tokens_cost_more_and_more_cached_cost_less(load, gpu, read, written, more):
    found = form(load, gpu)
    base = found.joules(read, 0, written)
    assert found.joules(read + more, 0, written) > base
    assert found.joules(read, 0, written + more) > base
    assert found.joules(read + more, more, written) < found.joules(read + more, 0, written)


@given(LOADS, GPUS, TOKENS, TOKENS, st.floats(1.01, 4))
def test_more_active_parameters_cost_more_and_larger_batches_less(load, gpu, read, written, factor):
    base = form(load, gpu).joules(read, 0, written)
    busier = form(msgspec.structs.replace(load, active_b=min(load.active_b * factor, load.total_b)), gpu)
    fuller = form(msgspec.structs.replace(load, batch=load.batch * factor), gpu)
    assert busier.joules(read, 0, written) >= base * (1 - 1e-12)
    assert fuller.joules(read, 0, written) <= base * (1 + 1e-12)


@given(TOKENS, TOKENS, TOKENS)
def test_a_scaled_form_gives_scaled_joules(read, cached, written):
    found = Form(0.1, 1e-6, 0.03, 1e-5)
    assert found.scaled(1.79).joules(read, cached, written) == pytest.approx(1.79 * found.joules(read, cached, written))
