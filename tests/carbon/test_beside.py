"""Embodied carbon and water: beside the electricity, never in it, and absent where nobody stated them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.beside import YEAR_S, embodied_g, water_ml
from carbon.profile import EnergyProfile, Serving, profile_of

MADE = {"embodied_kg": 318.0, "embodied_source": "Chien et al., HotCarbon 2023", "lifetime_years": 5.0}


def profile(**more: object) -> EnergyProfile:
    found = profile_of(Serving(upstream_model="Qwen/Qwen3-8B", gpu="H100", batch=64, **more))
    assert found is not None
    return found


def test_ten_seconds_of_a_sixty_fourth_of_one_accelerator():
    """318 kg over five years of seconds, ten of them, a sixty-fourth: 0.31 mg."""
    assert embodied_g(profile(**MADE), 10.0) == pytest.approx(318_000 * 10 / 64 / (5 * YEAR_S))


def test_what_nobody_stated_is_unknown_and_not_zero():
    assert embodied_g(profile(), 10.0) is None
    assert water_ml(profile(), 3.6e6) is None
    assert profile().wue_source is None


def test_water_is_by_the_energy_of_the_machines():
    """1.8 kWh at the meter of a building with PUE 1.2 are 1.5 kWh of machines: 0.3 litres."""
    assert water_ml(profile(pue=1.2, wue_l_per_kwh=0.2), 1.8 * 3.6e6) == pytest.approx(300)
    assert profile(pue=1.2, wue_l_per_kwh=0.2).wue_source == "stated"


def test_a_cloud_region_has_the_water_its_provider_publishes():
    found = profile(zone="aws:ap-southeast-3")
    assert (found.wue_l_per_kwh, found.pue) == (2.75, 1.4)
    assert "Cloud_Region_Metadata" in (found.wue_source or "")
    assert profile(zone="aws:eu-west-2").wue_l_per_kwh == 0.15
    assert profile(zone="SE").wue_l_per_kwh is None


def test_the_rest_of_the_machine_can_be_stated():
    assert profile(host_factor=1.1).host_factor == 1.1
    assert profile().host_factor == 1.35


@given(st.floats(0, 1e5), st.floats(0, 1e9))
def test_neither_is_ever_negative(busy_s, energy_j):
    found = profile(**MADE, wue_l_per_kwh=1.0)
    assert embodied_g(found, busy_s) >= 0
    assert water_ml(found, energy_j) >= 0
