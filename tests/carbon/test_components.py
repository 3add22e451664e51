"""The parts of a figure, and that they add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.components import Components, components
from carbon.energy import LADDER, estimator
from carbon.profile import Serving, profile_of

LLAMA = profile_of(Serving(upstream_model="llama", total_b=8, gpu="H100", gpu_count=1, batch=64, privacy="local"))
assert LLAMA


def test_the_worked_example_in_parts():
    """48.9 J at the GPU. Machine: .35 of it, 17.1. Idle: .15 of both, 9.9. Building: .15 of all three, 11.4. Together 87.3."""
    found = components(estimator(LLAMA).energy_j(100, 0, 400), "flops_roofline", LLAMA)
    assert found is not None
    assert (found.gpu_active_j, found.host_j, found.gpu_idle_j, found.facility_j) == pytest.approx((48.92, 17.12, 9.91, 11.39), abs=0.01)
    assert (found.router_j, found.provider_j) == (None, None)
    assert found.total_j == pytest.approx(87.32, abs=0.01)


def test_the_proxys_own_share_comes_on_top():
    """Ten watts for 200 microseconds: 2 mJ."""
    found = components(87.0, "flops_roofline", LLAMA, router_cpu_s=0.0002)
    assert found is not None
    assert found.router_j == pytest.approx(0.002)
    assert found.total_j == pytest.approx(87.002)


def test_a_providers_figure_is_not_divided():
    assert components(107.0, "provider_reported", LLAMA, 0.001) == Components(provider_j=107.0, router_j=0.01)
    assert components(107.0, "provider_reported", None) == Components(provider_j=107.0)


def test_measured_energy_has_its_idle_share_in_it():
    found = components(100.0, "measured_attributed", LLAMA)
    assert found is not None
    assert found.gpu_idle_j == 0
    assert found.total_j == pytest.approx(100)


def test_nothing_known_has_no_parts():
    assert components(0.0, "none", LLAMA) is None
    assert components(1.0, "token_proxy", None) is None


MODELS = st.sampled_from(["qwen3-32b", "qwen3-235b-a22b", "gpt-4o", "wonder-70b"])
SERVINGS = st.builds(Serving, upstream_model=MODELS, pue=st.none() | st.floats(1, 3), gpu=st.sampled_from([None, "H100", "L40S"]))


@given(SERVINGS, st.sampled_from(LADDER), st.integers(0, 10**6), st.integers(0, 10**6), st.none() | st.floats(0, 10))
def test_the_parts_add_up_to_the_whole(serving, method, read, written, cpu_s):
    profile = profile_of(serving)
    assert profile is not None
    energy_j = estimator(profile).energy_j(read, 0, written)
    found = components(energy_j, method, profile, cpu_s)
    assert found is not None
    assert found.total_j == pytest.approx(energy_j + 10 * (cpu_s or 0), rel=1e-9, abs=0)
    assert all(joules is None or joules >= 0 for joules in (found.gpu_active_j, found.gpu_idle_j, found.host_j, found.facility_j))
