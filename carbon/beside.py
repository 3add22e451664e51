"""What stands beside the electricity of a request: the making of the machines and the water of the building. Never added to its grams."""

from __future__ import annotations

from carbon.footprint import J_PER_KWH
from carbon.profile import EnergyProfile

YEAR_S = 365.25 * 86400.0


def embodied_g(profile: EnergyProfile, busy_s: float) -> float | None:
    """Grams of CO2e: the accelerators' share of their lifetime, divided among the requests that run together. None: not stated.

    kg · 1000 · accelerators · seconds / (batch · lifetime), SCI's M by time share (docs/carbon.md).
    """
    if profile.embodied_kg is None or profile.lifetime_years is None or busy_s < 0:
        return None
    return profile.embodied_kg * 1000.0 * profile.gpu_count * busy_s / (max(1.0, profile.batch) * profile.lifetime_years * YEAR_S)


def water_ml(profile: EnergyProfile, energy_j: float) -> float | None:
    """Millilitres at the building: WUE is per kWh of the machines, so PUE comes off first. None: not known."""
    if profile.wue_l_per_kwh is None:
        return None
    return energy_j / profile.pue / J_PER_KWH * profile.wue_l_per_kwh * 1000.0
