"""What a deployment's measurement tells of itself: also that it goes on and measures nobody's energy."""

from __future__ import annotations

from carbon.engine import NAMES, EngineSignals
from carbon.sources.static import Static
from carbon.windows import Reading
from proxy.configuration import loads
from proxy.runtime import compiled
from proxy.workers.measurement import Metered

FLEET = 'deployments: {a: {model: m, base_url: "http://127.0.0.1:1/v1", parameters_b: 8, meter: nvml}}\n'
PAGED = 'engine_metrics: "http://127.0.0.1:1/metrics", '


def test_a_gpu_that_was_lost_is_seen_in_the_state_of_the_meter():
    """Both are read at 0 and 1 s, one of them at 2 s: nothing has failed, and no window is whole any more."""
    metered = Metered(compiled(loads(FLEET), Static().table()).served["a"], list)
    for at_s, devices in ((0.0, "AB"), (1.0, "AB"), (2.0, "A")):
        assert metered.status().flags == ()
        metered.digest([Reading(device=device, at_s=at_s, energy_j=100 * at_s) for device in devices], None, at_s)
    assert metered.status().flags == ("missing",)


def test_an_engine_whose_page_is_not_read_lacks_every_signal():
    """Not configured is not missing; configured and not read is all of them."""
    plain, paged = (compiled(loads(text), Static().table()).served["a"] for text in (FLEET, FLEET.replace("meter:", PAGED + "meter:")))
    assert (Metered(plain, list).status().engine, Metered(plain, list).status().engine_missing) == (None, ())
    metered = Metered(paged, list)
    assert (metered.status().engine, metered.status().engine_missing) == ("waiting", tuple(NAMES))
    metered.engine_state, metered.signals = "read", EngineSignals(running=1.0, missing=("waiting",))
    assert (metered.status().engine, metered.status().engine_missing) == ("read", ("waiting",))
    metered.engine_state, metered.signals = "timeout", None
    assert (metered.status().engine, metered.status().engine_missing) == ("timeout", tuple(NAMES))
