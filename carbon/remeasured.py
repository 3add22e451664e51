"""The arithmetic of a figure that was measured after the account: from joules at the accelerators to the facility and to grams."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose

import msgspec

from carbon.arithmetic import Line, Sheet, number
from carbon.attributed import FACILITY, HOST_COUNTED, WIDER
from carbon.explain import PRINTED, Figures, carbon_lines
from carbon.formulas import Factor, band_end
from carbon.intensity import Intensity


class Remeasured(msgspec.Struct, frozen=True, kw_only=True):
    """Lines as of any other figure."""

    formula: tuple[Line, ...]
    low_end: tuple[Line, ...]
    high_end: tuple[Line, ...]
    band: tuple[Factor, ...]
    carbon: tuple[Line, ...]


def remeasured(inputs: Mapping[str, object], joules: Figures, grid: Intensity | None) -> Remeasured | None:
    """From what a restatement keeps. None where that does not come to its joules, as by another version."""
    host_counted = "host_j" in inputs
    told = [inputs.get(name) for name in ("active_j", "idle_j", "gpu_j", "host_j" if host_counted else "host_factor", "pue")]
    if not all(isinstance(each, int | float) for each in told):
        return None
    active_j, idle_j, gpu_j, around, pue = (float(each) for each in told if isinstance(each, int | float))
    notes = inputs.get("notes")
    band = _band(notes if isinstance(notes, list) else [], host_counted=host_counted)
    value, low, high = Sheet(), Sheet(), Sheet()
    active, idle, host, building = (number(each) for each in (active_j, idle_j, around, pue))
    gpu = value.line("at the accelerators", f"{active} + {idle}", active + idle, "J")
    if host_counted:
        machine = value.line("with the host", f"{gpu} + {host}", gpu + host, "J")
        end = value.line("at the facility", f"{machine} * {building}", machine * building, "J")
    else:
        end = value.line("at the facility", f"{gpu} * {host} * {building}", gpu * host * building, "J")
    ends = (band_end(low, end, band, high=False), end, band_end(high, end, band, high=True))
    if not isclose(gpu, gpu_j, rel_tol=PRINTED) or not all(
        isclose(ours, theirs, rel_tol=PRINTED) for ours, theirs in zip(ends, (joules.low, joules.value, joules.high), strict=True)
    ):
        return None
    return Remeasured(
        formula=value.lines(),
        low_end=low.lines(),
        high_end=high.lines(),
        band=band,
        carbon=() if grid is None else carbon_lines(grid, ends),
    )


def _band(notes: list[object], *, host_counted: bool) -> tuple[Factor, ...]:
    own = (
        Factor(
            low=HOST_COUNTED.low, high=HOST_COUNTED.high, why="measured at the accelerators and the host: counters, division, the building"
        )
        if host_counted
        else Factor(
            low=FACILITY.low, high=FACILITY.high, why="measured at the accelerators: counters, division, and the way to the facility"
        )
    )
    wider = sorted((name, band) for name, band in WIDER.items() if name in notes)
    return (own, *(Factor(low=band.low, high=band.high, why=name.replace("_", " ")) for name, band in wider))
