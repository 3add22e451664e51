"""Energy that a provider reports in its answer: Neuralwatt's `energy` and GreenPT's `impact`, in bodies, chunks and SSE comments.

What is not a plausible figure is no report: a wrong unit, a negative, a zero, text where a number belongs.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from carbon.footprint import J_PER_KWH, ProviderReport

MOST_J = 1e9
"""278 kWh: no single answer costs that."""
MOST_G = 1e6
MOST_G_PER_KWH = 5e3
COMMENT_BYTES = 64 * 1024
"""A longer comment is not read."""
RAW_MEMBERS, RAW_DEPTH, RAW_TEXT = 64, 3, 200
"""Bounds of what is kept of the provider's own object: members, levels, characters of a text."""

ENERGY_UNITS = {"wms": 1e-3, "mws": 1e-3, "mj": 1e-3, "ws": 1.0, "j": 1.0, "kj": 1e3, "mwh": 3.6, "wh": 3.6e3, "kwh": J_PER_KWH}
"""Joules in each; a watt for a millisecond is a millijoule."""
EMISSION_UNITS = {"ugco2e": 1e-6, "mgco2e": 1e-3, "gco2e": 1.0, "kgco2e": 1e3}
"""Grams in each."""


def from_body(body: dict[str, Any]) -> ProviderReport | None:
    """The report in a whole answer (chat, completions, embeddings, rerank), if there is a plausible one."""
    energy, impact = body.get("energy"), body.get("impact")
    found = _neuralwatt(energy) if isinstance(energy, dict) else None
    return _greenpt(impact) if found is None and isinstance(impact, dict) else found


def from_comment(line: bytes) -> ProviderReport | None:
    """The report in an SSE comment line, `: energy {...}`, with or without its colon and line end.

    `: impact {...}` is what GreenPT says in the last chunk of a stream, beside its usage.
    """
    if len(line) > COMMENT_BYTES:
        return None
    word, _, rest = line.strip().removeprefix(b":").strip().partition(b" ")
    if word not in (b"energy", b"impact"):
        return None
    try:
        report = msgspec.json.decode(rest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return from_body({word.decode(): report})


def reported_j(raw: dict[str, float | str | None]) -> float | None:
    """The joules in a report as it was kept, flattened."""
    body: dict[str, Any] = {name: value for name, value in raw.items() if "." not in name}
    body["energy"] = {"total": raw.get("energy.total"), "unit": raw.get("energy.unit")}
    found = _neuralwatt(body) or _greenpt(body)
    return None if found is None else found.energy_j


def _neuralwatt(energy: dict[str, Any]) -> ProviderReport | None:
    """Documented at portal.neuralwatt.com/docs; shape as its public clients read it. The boundary is not documented.

    Where joules and kilowatt-hours contradict each other the joules count: what is derived of them is the likelier slip.
    """
    energy_j = _number(energy.get("energy_joules"), MOST_J)
    if not energy_j:
        energy_kwh = _number(energy.get("energy_kwh"), MOST_J / J_PER_KWH)
        energy_j = None if energy_kwh is None else energy_kwh * J_PER_KWH
    if not energy_j:
        return None
    grid = energy.get("grid_id")
    return ProviderReport(
        energy_j=energy_j,
        source="neuralwatt",
        carbon_g=_number(energy.get("carbon_g_co2eq"), MOST_G),
        grid_g_per_kwh=_number(energy.get("grid_carbon_intensity_gco2perkwhr"), MOST_G_PER_KWH),
        grid=grid if isinstance(grid, str) and 0 < len(grid) <= RAW_TEXT else None,
        raw=_flat(energy),
    )


def _greenpt(impact: dict[str, Any]) -> ProviderReport | None:
    """Version 20250922. The grid and the boundary are not stated."""
    energy_j = _quantity(impact.get("energy"), ENERGY_UNITS, MOST_J)
    if not energy_j:
        return None
    return ProviderReport(
        energy_j=energy_j,
        source="greenpt",
        carbon_g=_quantity(impact.get("emissions"), EMISSION_UNITS, MOST_G),
        raw=_flat(impact),
    )


def _quantity(member: Any, units: dict[str, float], most: float) -> float | None:
    """`{"total": 5680, "unit": "Wms"}` in the base unit."""
    if not isinstance(member, dict) or not isinstance(member.get("unit"), str):
        return None
    factor = units.get(member["unit"].lower())
    total = _number(member.get("total"), math.inf)
    if factor is None or total is None or total * factor > most:
        return None
    return total * factor


def _number(value: Any, most: float) -> float | None:
    """A finite number from 0 to `most`; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= most and value < math.inf else None


def _flat(member: dict[str, Any]) -> dict[str, float | str | None]:
    found: dict[str, float | str | None] = {}
    _flatten(member, "", RAW_DEPTH, found)
    return found


def _flatten(member: dict[str, Any], prefix: str, depth: int, found: dict[str, float | str | None]) -> None:
    for name, value in member.items():
        if len(found) >= RAW_MEMBERS:
            return
        key = f"{prefix}{name}"[:RAW_TEXT]
        if isinstance(value, dict) and depth > 1:
            _flatten(value, f"{key}.", depth - 1, found)
        elif value is None:
            found[key] = None
        elif isinstance(value, bool):
            found[key] = "true" if value else "false"
        elif isinstance(value, str):
            found[key] = value[:RAW_TEXT]
        elif isinstance(value, int | float) and abs(value) < 1e300:
            found[key] = float(value)
