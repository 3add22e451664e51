"""Joules from the pace of a stream, by hand, and when they may be published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon import shipped
from carbon.energy import LADDER, estimator
from carbon.footprint import Footprint, ProviderReport, Workload
from carbon.profile import Serving, profile_of, tdp_w
from carbon.runtime import Pace, RuntimePower, power_share

STATED = Serving(upstream_model="llama", total_b=8, gpu="H100", gpu_count=1, batch=64, privacy="local", pue=1.15)
FACILITY = 1.35 * 1.15 * 1.15


def runtime(serving: Serving) -> RuntimePower | None:
    profile = profile_of(serving)
    assert profile is not None
    return estimator(profile).runtime


def account(serving: Serving, work: Workload, report: ProviderReport | None = None) -> Footprint:
    profile = profile_of(serving)
    assert profile is not None
    return Footprint.of(work, estimator(profile), None, report)


def test_the_worked_example():
    """400 tokens in 399 gaps of 11 ms on one H100 with 64 at a time: .83 x 700 W / 64 = 9.08 W, x 4.4 s = 39.9 J. Prompt 2.1 J.

    42.1 J at the accelerators, 75.1 J at the facility; x .607 to x 1.80, the building being stated.
    """
    found = runtime(STATED)
    assert found is not None
    low, value, high = found.figures(100, 0, 400, 399 * 0.011)
    assert value == pytest.approx((0.83 * 700 / 64 * 4.4 + 2.11) * FACILITY, rel=1e-3)
    assert (low / value, high / value) == pytest.approx((0.5884, 1.7727), rel=1e-3)


def test_the_prompt_of_a_whole_answer_is_taken_off_its_time():
    """21.1 mJ a token (2.11 J of a hundred, with their attention): 1000 tokens 21.5 J, which the machine takes 37 ms for at 581 W."""
    found = runtime(STATED)
    assert found is not None
    assert found.decode_s(1000, 0, 5.0) == pytest.approx(5.0 - 21.5 / (0.83 * 700), abs=1e-4)
    assert found.decode_s(1000, 1000, 5.0) == pytest.approx(5.0 - 0.02 * 21.5 / (0.83 * 700), abs=1e-4)
    assert found.decode_s(100_000, 0, 0.01) == 0.0


def test_a_pace_follows_the_latest_streams_and_is_forgotten():
    pace = Pace()
    assert pace.at(0.0) is None
    pace.seen(0.020, 10.0)
    pace.seen(0.030, 11.0)
    assert pace.at(12.0) == pytest.approx(0.022)
    for odd in (0.0005, 2.0, -1.0):
        pace.seen(odd, 13.0)
    assert pace.at(311.0) == pytest.approx(0.022)
    assert pace.at(311.1) is None
    pace.seen(0.050, 400.0)
    assert pace.at(400.0) == 0.050


@pytest.mark.parametrize(("batch", "share"), [(1, 0.65), (8, 0.65), (16, 0.71), (32, 0.77), (64, 0.83), (1024, 0.83)])
def test_fuller_machines_draw_more(batch, share):
    """Between 8 and 64, a third of the way at 16, two thirds at 32."""
    assert power_share(batch) == pytest.approx(share)


def test_it_is_published_above_the_roofline_which_checks_it():
    work = Workload(input_tokens=100, output_tokens=400, decode_s=4.389)
    found, without = account(STATED, work), account(STATED, Workload(input_tokens=100, output_tokens=400))
    assert (found.method, found.cross_method, found.warnings) == ("runtime_power", "flops_roofline", ())
    assert found.cross_j == without.energy_j
    assert (without.method, without.cross_method) == ("flops_roofline", "token_proxy")
    assert LADDER.index(found.method) < LADDER.index(without.method)


def test_a_pace_that_contradicts_the_roofline_is_published_with_a_warning():
    """Nine tenths of a second a token: 69 times the roofline's joules."""
    found = account(STATED, Workload(input_tokens=100, output_tokens=400, decode_s=359.1))
    assert (found.method, found.warnings) == ("runtime_power", ("method_disagreement",))


def test_a_providers_report_stands_above_it_and_is_checked_by_it():
    work = Workload(input_tokens=100, output_tokens=400, decode_s=4.389)
    found = account(STATED, work, ProviderReport(energy_j=80.0, source="neuralwatt"))
    assert (found.method, found.cross_method) == ("provider_reported", "runtime_power")


def test_tokens_counted_by_us_widen_it():
    work = Workload(input_tokens=100, output_tokens=400, decode_s=4.389, estimated=True)
    found, reported = account(STATED, work), account(STATED, Workload(input_tokens=100, output_tokens=400, decode_s=4.389))
    assert reported.energy_high_j is not None
    assert found.energy_high_j == pytest.approx(reported.energy_high_j * 1.1)
    assert found.warnings == ("tokens_estimated",)


@pytest.mark.parametrize(
    ("output_tokens", "decode_s"), [(7, 0.1), (0, 1.0), (400, 0.0), (400, 0.39), (400, -1.0), (400, 400.0), (8, 0.029), (400, None)]
)
def test_what_shows_no_pace_is_left_to_the_roofline(output_tokens, decode_s):
    found = account(STATED, Workload(input_tokens=100, output_tokens=output_tokens, decode_s=decode_s))
    assert found.method == "flops_roofline"


@pytest.mark.parametrize(
    "serving",
    [
        Serving(upstream_model="llama", total_b=8, batch=64),
        Serving(upstream_model="llama", total_b=8, gpu="H100"),
        Serving(upstream_model="llama", total_b=8, gpu="Gaudi", batch=64),
        Serving(upstream_model="gpt-4o", gpu="H100", batch=64),
        Serving(upstream_model="wonder-8b", gpu="H100", batch=64),
    ],
    ids=["no accelerator", "no batch", "unknown accelerator", "closed model", "size alone"],
)
def test_it_is_not_claimed_without_its_inputs(serving):
    assert runtime(serving) is None
    assert account(serving, Workload(input_tokens=100, output_tokens=400, decode_s=4.4)).method != "runtime_power"


@pytest.mark.parametrize(
    ("written", "watts"),
    [
        ("H100", 700),
        ("NVIDIA H100 80GB HBM3", 700),
        ("h100-pcie", 350),
        ("NVIDIA A100-SXM4-80GB", 400),
        ("NVIDIA L40S", 350),
        ("L4", 72),
        ("H200", 700),
        ("B200", 1000),
        ("AMD Instinct MI300X", 750),
        ("GeForce RTX 4090", 450),
        ("Gaudi 3", None),
        ("", None),
    ],
)
def test_an_accelerator_is_known_by_the_names_people_write(written, watts):
    assert tdp_w(written) == watts


def test_power_limits_are_those_of_boards():
    for row in shipped.profiles().accelerators:
        assert 50 <= row.tdp_w <= 1500
        assert row.name == row.name.upper()


@given(st.integers(0, 10**5), st.integers(32, 10**5), st.floats(0.0011, 0.8), st.floats(1, 1024), st.floats(1.01, 4))
def test_it_grows_with_time_and_tokens_and_falls_with_the_batch(read, written, itl_s, batch, factor):
    one, fuller = (runtime(Serving(upstream_model="x", total_b=8, gpu="H100", gpu_count=1, batch=b)) for b in (batch, batch * factor))
    assert one
    assert fuller
    base = one.figures(read, 0, written, itl_s * (written - 1))
    assert base is not None
    low, value, high = base
    assert 0 < low <= value <= high
    longer = one.figures(read + 10, 0, written, itl_s * (written - 1) * 1.1)
    assert longer is not None
    assert longer[1] > value
    shared = fuller.figures(read, 0, written, itl_s * (written - 1))
    assert shared is not None
    assert shared[1] <= value * (1 + 1e-12)
