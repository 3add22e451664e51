"""What is known of a deployment's energy: the inputs of a figure, from its settings and the shipped tables."""

from __future__ import annotations

import math
import re
from typing import Literal

import msgspec

from carbon import models, shipped
from carbon.hf_config import Architecture
from carbon.roofline import gpus_for
from carbon.zones import UnknownZoneError, resolve_zone

HOST_FACTOR = 1.35
"""Machine over accelerators, and below: idle capacity. With PUE 1.15 together 1.79 [1.3-3], from Google's 58/25/10/8 % split."""
IDLE_FACTOR = 1.15
PUE = 1.15
"""A cloud building nobody has told us of, [1.07-1.45]; 1.5 is usual for a room of one's own, to be configured."""

BATCH_OWN, BATCH_VENDOR = 64.0, 256.0
"""Requests run together, where nobody says: on machines of one's own, at a vendor."""

BYTES = 2.0
"""Of a parameter, where nobody says: 16 bits."""

GPU_NAME = re.compile(r"(?<![A-Z0-9])(A100|H100|B200)(?![0-9])")

NEARLY = 0.1
"""A stated total this near (as a share) to the one we know is the same model's."""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration tells of a deployment; sizes in 1e9 parameters. None: it does not say."""

    upstream_model: str
    gpu: str | None = None
    gpu_count: int | None = None
    total_b: float | None = None
    active_b: float | None = None
    bytes_per_parameter: float | None = None
    shape: Architecture | None = None
    """Counted from the model's config.json; what is stated beside it stands above it."""
    batch: float | None = None
    pue: float | None = None
    privacy: Literal["local", "private", "vendor"] = "vendor"
    host_factor: float | None = None
    wue_l_per_kwh: float | None = None
    embodied_kg: float | None = None
    embodied_source: str | None = None
    lifetime_years: float | None = None
    zone: str | None = None
    """As written; a cloud region has a PUE of its own."""


class EnergyProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a figure is computed from, and whether it was stated: numbers and words only, so that a ledger can keep it."""

    kind: Literal["parameters", "range", "size"]
    """Known parameters, an estimated range of them (closed weights), or no more than the size a name states."""
    model: str
    total_b: float
    active_b: float
    """Of a range, the geometric mean."""
    active_low_b: float
    active_high_b: float
    bytes_per_parameter: float = 2.0
    bytes_from: Literal["known", "assumed"] = "known"
    """Known: stated, or of the model's name, file or table row."""
    gpu: str = "H100"
    """The accelerator whose coefficients are used."""
    gpu_from: Literal["stated", "assumed"] = "assumed"
    gpu_count: float = 1.0
    gpu_count_from: Literal["stated", "assumed"] = "stated"
    tdp_w: float | None = None
    """Of the accelerator that is stated, which may be another than the one whose coefficients are used; None: not known."""
    batch: float = BATCH_VENDOR
    batch_from: Literal["stated", "assumed"] = "assumed"
    kv_bytes: float | None = None
    d_model: float | None = None
    host_factor: float = HOST_FACTOR
    idle_factor: float = IDLE_FACTOR
    pue: float = PUE
    pue_from: Literal["stated", "team", "organisation", "region", "provider", "assumed"] = "assumed"
    wue_l_per_kwh: float | None = None
    """Water; None: not known."""
    wue_source: str | None = None
    embodied_kg: float | None = None
    """CO2e of making one accelerator with its share of the machine; None: not stated, for nothing is assumed of it."""
    embodied_source: str | None = None
    lifetime_years: float | None = None

    def record(self) -> dict[str, float | str | None]:
        """For a ledger; `profile_from` reads it back."""
        return msgspec.structs.asdict(self)


_OF_THE_BUILDING = frozenset({"pue", "pue_from", "wue_l_per_kwh", "wue_source", "embodied_kg", "embodied_source", "lifetime_years"})
_OF_THE_SETTINGS = frozenset({"bytes_from", "gpu_count_from"})


def machine(record: dict[str, float | str | None] | None) -> dict[str, float | str | None]:
    """Of a recorded profile, all but the building and what was measured: where that is the same, so is one error in our figures."""
    apart = _OF_THE_BUILDING | _OF_THE_SETTINGS
    return {name: value for name, value in (record or {}).items() if name not in apart and not name.startswith("calibration")}


class _Building(msgspec.Struct, frozen=True):
    pue: float
    pue_from: Literal["stated", "region", "provider", "assumed"]


def profile_of(serving: Serving) -> EnergyProfile | None:
    """The inputs of this deployment's figures; None where neither settings, tables nor the model's name tell its size."""
    found = _of_model(serving)
    if found is None:
        return None
    wue_l_per_kwh, wue_source = _water(serving)
    return msgspec.structs.replace(
        found,
        host_factor=serving.host_factor or found.host_factor,
        wue_l_per_kwh=wue_l_per_kwh,
        wue_source=wue_source,
        embodied_kg=serving.embodied_kg,
        embodied_source=serving.embodied_source,
        lifetime_years=serving.lifetime_years,
    )


def _of_model(serving: Serving) -> EnergyProfile | None:
    row = models.known(serving.upstream_model)
    if serving.total_b is not None or serving.shape is not None or isinstance(row, shipped.OpenModel):
        return _parametric(serving, row if isinstance(row, shipped.OpenModel) else None)
    building = _building(serving)
    if row is not None:
        return EnergyProfile(
            kind="range",
            model=row.name,
            total_b=row.total_b,
            active_b=math.sqrt(row.active_low_b * row.active_high_b),
            active_low_b=row.active_low_b,
            active_high_b=row.active_high_b,
            pue=building.pue,
            pue_from=building.pue_from,
        )
    size = models.size_of(serving.upstream_model)
    if size is None:
        return None
    return EnergyProfile(
        kind="size",
        model=serving.upstream_model,
        total_b=size.total_b,
        active_b=size.active_b,
        active_low_b=size.active_b,
        active_high_b=size.active_b,
        pue=building.pue,
        pue_from=building.pue_from,
    )


def tdp_w(gpu: str) -> float | None:
    """Power limit of an accelerator by its name as people or drivers write it; of several rows that fit, the one that says most."""
    words = set(re.findall(r"[A-Z0-9]+", gpu.upper()))
    found = [row for row in shipped.profiles().accelerators if words.issuperset(row.name.split())]
    return max(found, key=lambda row: len(row.name.split())).tdp_w if found else None


def moved(profile: EnergyProfile, zone: str) -> EnergyProfile:
    """The same machines elsewhere: with the PUE of that place, unless theirs was stated."""
    if profile.pue_from in ("stated", "team", "organisation"):
        return profile
    there = Serving(upstream_model=profile.model, zone=zone)
    building, water = _building(there), _water(there)
    return msgspec.structs.replace(profile, pue=building.pue, pue_from=building.pue_from, wue_l_per_kwh=water[0], wue_source=water[1])


def profile_from(record: dict[str, float | str | None]) -> EnergyProfile:
    """The profile a ledger kept. Raises msgspec.ValidationError if it is none."""
    return msgspec.convert(record, EnergyProfile)


def _parametric(serving: Serving, row: shipped.OpenModel | None) -> EnergyProfile:
    shape = serving.shape
    if shape is not None:
        serving = _counted(serving, shape)
    if row is not None and serving.total_b is not None and abs(serving.total_b - row.total_b) > NEARLY * row.total_b:
        row = None
    size = _stated_size(serving, row)
    known = serving.bytes_per_parameter or models.bytes_of(serving.upstream_model) or (row and row.bytes_per_parameter)
    precision = known or BYTES
    gpu = GPU_NAME.search((serving.gpu or "").upper())
    own = serving.gpu is not None or serving.privacy != "vendor"
    building = _building(serving)
    return EnergyProfile(
        kind="parameters",
        model=serving.upstream_model if row is None else row.name,
        total_b=size.total_b,
        active_b=size.active_b,
        active_low_b=size.active_b,
        active_high_b=size.active_b,
        bytes_per_parameter=precision,
        bytes_from="known" if known else "assumed",
        gpu=gpu[1] if gpu else "H100",
        gpu_from="stated" if gpu else "assumed",
        tdp_w=None if serving.gpu is None else tdp_w(serving.gpu),
        gpu_count=serving.gpu_count or gpus_for(size.total_b, precision),
        gpu_count_from="assumed" if serving.gpu_count is None else "stated",
        # a mean below 1 counts hours in which nobody was served; a request that runs, runs with itself at least
        batch=max(1.0, serving.batch) if serving.batch else BATCH_OWN if own else BATCH_VENDOR,
        batch_from="stated" if serving.batch else "assumed",
        kv_bytes=shape.kv_bytes if shape is not None else None if row is None else row.kv_bytes,
        d_model=shape.hidden_size if shape is not None else None if row is None else row.d_model,
        pue=building.pue,
        pue_from=building.pue_from,
    )


def _counted(serving: Serving, shape: Architecture) -> Serving:
    """What is not stated, from the shape; the active parameters of a total that is stated alone only where that total is its."""
    precision = serving.bytes_per_parameter or shape.bytes_per_parameter
    total_b, active_b = serving.total_b or shape.total_b, serving.active_b
    if active_b is None and abs(total_b - shape.total_b) <= NEARLY * shape.total_b:
        active_b = shape.active_b
    return msgspec.structs.replace(serving, total_b=total_b, active_b=active_b, bytes_per_parameter=precision)


def _stated_size(serving: Serving, row: shipped.OpenModel | None) -> models.Size:
    """Settings first; the active parameters of a total stated alone are those of the model, or of its name, if that total is theirs."""
    if serving.total_b is None:
        total_b, known_b = (row.total_b, row.active_b) if row else (0.0, 0.0)
        return models.Size(total_b, min(serving.active_b or known_b, total_b))
    if serving.active_b is not None:
        return models.Size(serving.total_b, min(serving.active_b, serving.total_b))
    if row is not None:
        active_b = serving.total_b if row.active_b == row.total_b else row.active_b
        return models.Size(serving.total_b, min(active_b, serving.total_b))
    named = models.size_of(serving.upstream_model)
    if named and named.active_b < named.total_b and abs(serving.total_b - named.total_b) <= NEARLY * named.total_b:
        return models.Size(serving.total_b, named.active_b)
    return models.Size(serving.total_b, serving.total_b)


def _building(serving: Serving) -> _Building:
    if serving.pue is not None:
        return _Building(serving.pue, "stated")
    row = _row_of(shipped.profiles().pue, serving.zone)
    return _Building(PUE, "assumed") if row is None else _Building(row.value, "region" if ":" in row.scope else "provider")


def _water(serving: Serving) -> tuple[float | None, str | None]:
    if serving.wue_l_per_kwh is not None:
        return serving.wue_l_per_kwh, "stated"
    row = _row_of(shipped.profiles().wue, serving.zone)
    return (None, None) if row is None else (row.value, f"{row.source} ({row.year})")


def _row_of(rows: tuple[shipped.BuildingRow, ...], written: str | None) -> shipped.BuildingRow | None:
    """The row of a zone's region, else of its provider."""
    known = {row.scope: row for row in rows}
    try:
        zone = resolve_zone(written or "WORLD").id
    except UnknownZoneError:
        return None
    return known.get(zone) or (known.get(zone.partition(":")[0]) if ":" in zone else None)
