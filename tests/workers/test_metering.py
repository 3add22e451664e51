"""What a deployment's measurement tells of itself: also that it goes on and measures nobody's energy."""

from __future__ import annotations

from carbon.sources.static import Static
from carbon.windows import Reading
from proxy.configuration import loads
from proxy.runtime import compiled
from proxy.workers.metering import Metered

FLEET = 'deployments: {a: {model: m, base_url: "http://127.0.0.1:1/v1", parameters_b: 8, meter: nvml}}\n'


def test_a_gpu_that_was_lost_is_seen_in_the_state_of_the_meter():
    """Both are read at 0 and 1 s, one of them at 2 s: nothing has failed, and no window is whole any more."""
    metered = Metered(compiled(loads(FLEET), Static().table()).served["a"])
    for at_s, devices in ((0.0, "AB"), (1.0, "AB"), (2.0, "A")):
        assert metered.status().flags == ()
        metered.digest([Reading(device=device, at_s=at_s, energy_j=100 * at_s) for device in devices], None, at_s)
    assert metered.status().flags == ("missing",)
