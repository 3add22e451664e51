"""A measured figure, redone from what its restatement keeps."""

from __future__ import annotations

import msgspec
import pytest

from carbon.attributed import FACILITY, Attributed
from carbon.explain import Figures
from carbon.footprint import Footprint, measured
from carbon.remeasured import remeasured
from carbon.sources.static import Static
from tests.carbon.test_explain import checked

SWEDEN = Static().table().latest("SWE")
TOLD = Attributed(
    id="a",
    energy_j=784.622,
    low_j=None,
    high_j=None,
    active_j=423.45,
    idle_j=361.172,
    windows=4,
    band=FACILITY,
    notes=("weights_unfitted",),
)
INPUTS = {"active_j": 423.45, "idle_j": 361.172, "gpu_j": 784.622, "host_factor": 1.35, "pue": 1.1, "notes": ["weights_unfitted"]}


def test_a_calculator_comes_to_what_was_measured():
    """784.6 J at the accelerators, times 1.35 and 1.1: 1,165 J; at 35.9 g/kWh 0.0116 g."""
    low, value, high = TOLD.at_facility(1.35, 1.1)
    found = remeasured(INPUTS, Figures(low=low, value=value, high=high), SWEDEN)
    for lines, figure in ((found.formula, value), (found.low_end, low), (found.high_end, high)):
        checked(lines)
        assert lines[-1].result == pytest.approx(figure, rel=1e-4)
    checked(found.carbon)
    account = measured((low, value, high), Footprint(intensity=SWEDEN))
    by_name = {line.name: line.result for line in found.carbon}
    assert by_name["carbon"] == pytest.approx(account.carbon_g, rel=1e-4)
    assert by_name["low end"] == pytest.approx(account.carbon_low_g, rel=1e-4)
    assert by_name["high end"] == pytest.approx(account.carbon_high_g, rel=1e-4)
    assert [each.why for each in found.band][1:] == ["weights unfitted"]


def test_a_host_that_was_counted_is_added_and_not_assumed():
    """784.6 J at the accelerators and 200 J around them, times 1.1: 1,083 J."""
    low, value, high = msgspec.structs.replace(TOLD, host_j=200.0).at_facility(1.35, 1.1)
    inputs = {name: each for name, each in INPUTS.items() if name != "host_factor"} | {"host_j": 200.0}
    found = remeasured(inputs, Figures(low=low, value=value, high=high), SWEDEN)
    for lines, figure in ((found.formula, value), (found.low_end, low), (found.high_end, high)):
        checked(lines)
        assert lines[-1].result == pytest.approx(figure, rel=1e-4)
    assert value == pytest.approx(1083.08, rel=1e-4)
    assert "host" in found.band[0].why


@pytest.mark.parametrize("change", [{"pue": 1.2}, {"gpu_j": 1.0}, {"idle_j": None}, {"notes": None}, {"active_j": "much"}])
def test_what_does_not_come_to_the_figure_is_not_explained(change):
    low, value, high = TOLD.at_facility(1.35, 1.1)
    assert remeasured(INPUTS | change, Figures(low=low, value=value, high=high), SWEDEN) is None
