"""Where the energy of one footprint went: accelerators, idle capacity, the rest of the machine, the building, this proxy.

Worked out on demand from what a record keeps, never on the path of a request.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from carbon.calibration import Boundary
from carbon.energy import Method
from carbon.profile import EnergyProfile

ROUTER_W = 10.0
"""Of one busy core with its share of memory and board (docs/carbon.md)."""


class Components(msgspec.Struct, frozen=True, kw_only=True):
    """Joules. What is known adds up to the energy of the footprint and this proxy's; None is unknown, never zero."""

    gpu_active_j: float | None = None
    gpu_idle_j: float | None = None
    """Capacity that is kept ready and not used, the machines around it included."""
    host_j: float | None = None
    """Processors, memory, fans and network of the machines at work."""
    facility_j: float | None = None
    """Cooling and power supply of the building."""
    router_j: float | None = None
    """This proxy's."""
    provider_j: float | None = None
    """What a provider reports without saying what it includes: all but the router's share, undivided."""

    @property
    def total_j(self) -> float:
        parts = (self.gpu_active_j, self.gpu_idle_j, self.host_j, self.facility_j, self.router_j, self.provider_j)
        return sum(joules for joules in parts if joules is not None)


def components(
    energy_j: float, method: Method, profile: EnergyProfile | None, router_cpu_s: float | None = None, boundary: Boundary = "facility"
) -> Components | None:
    """The parts of a footprint's `energy_j`, by the factors of the profile it was made with; None where nothing is known of it.

    `router_cpu_s`: processor seconds the proxy spent on the exchange. `boundary`: of the calibration it was made by; by a provider's the
    joules are the provider's, undivided.
    """
    if boundary != "facility" and method == "calibrated":
        method = "provider_reported"
    router_j = None if router_cpu_s is None else ROUTER_W * router_cpu_s
    match method:
        case "provider_reported":
            return Components(provider_j=energy_j, router_j=router_j)
        case "measured_attributed" | "calibrated":
            idle_factor = 1.0  # idle power is in what was measured, and its share in the account
        case "runtime_power" | "flops_roofline" | "vendor_prior" | "token_proxy":
            idle_factor = 1.0 if profile is None else profile.idle_factor
        case "none":
            return None
        case _:
            assert_never(method)
    if profile is None:
        return None
    machine = energy_j / profile.pue
    working = machine / idle_factor
    active = working / profile.host_factor
    return Components(
        gpu_active_j=active,
        gpu_idle_j=machine - working,
        host_j=working - active,
        facility_j=energy_j - machine,
        router_j=router_j,
    )
