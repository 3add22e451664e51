"""What a figure takes for granted, and what its warnings mean, in words."""

from __future__ import annotations

import msgspec

from carbon.calibration import Boundary
from carbon.energy import VENDOR_BATCH, VENDOR_HIGH_BATCH, VENDOR_LOW_BATCH, Method
from carbon.intensity import LIFECYCLE_CONSTANT, LIFECYCLE_SLOPE, Intensity
from carbon.profile import HOST_FACTOR, EnergyProfile


class Assumption(msgspec.Struct, frozen=True, kw_only=True):
    """Something assumed rather than stated or measured, and what would settle it."""

    name: str
    value: float | str
    why: str


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    meaning: str


MEANINGS = {
    "tokens_estimated": "Nobody reported the tokens: they were counted here, with a vocabulary that is not the model's own.",
    "boundary_unknown": "The provider does not say what its energy includes, so nothing is put on top of it and the band is wide.",
    "calibration_drifted": "The last 24 hours measured another figure than the calibration foresees: its band was widened to reach it.",
    "method_disagreement": "Two methods that qualify lie further apart than their joint 95 % band allows: at least one is wrong.",
}


def warned(codes: tuple[str, ...]) -> tuple[Warned, ...]:
    return tuple(Warned(code=code, meaning=MEANINGS.get(code, "A warning of another version.")) for code in codes)


def assumptions(
    method: Method, profile: EnergyProfile | None, intensity: Intensity | None, *, estimated: bool = False, boundary: Boundary = "facility"
) -> tuple[Assumption, ...]:
    """Of a published method: a provider's figure takes nothing of the profile for granted, nor does a calibration of that `boundary`."""
    found: list[Assumption] = []
    if profile is not None and method == "calibrated" and boundary == "facility":
        found += assumed_of_measured(profile, profile.host_factor)
    elif profile is not None and method not in ("provider_reported", "measured_attributed", "calibrated"):
        found += _of_model(method, profile) + _of_machine(method, profile)
    if estimated:
        found.append(Assumption(name="tokens", value="counted here", why="the upstream reported none"))
    return (*found, *(() if intensity is None else _of_grid(intensity)))


PACED = {
    "answer": "seconds of the whole answer less those of reading its prompt; what it waited for a place is in them",
    "streams": "at the pace of the deployment's latest streams, which its own time does not contradict",
}


def paced(method: Method, decode_s: float | None, by: str | None) -> tuple[Assumption, ...]:
    """How long an answer was written, where that counts and its own stream does not tell."""
    return (
        ()
        if method != "runtime_power" or decode_s is None or by is None
        else (Assumption(name="decode_s", value=decode_s, why=PACED.get(by, by)),)
    )


def _of_model(method: Method, profile: EnergyProfile) -> list[Assumption]:
    match profile.kind:
        case "range":
            size = f"{profile.active_low_b:g} to {profile.active_high_b:g}"
            return [Assumption(name="parameters_b", value=size, why="closed weights: a range others have estimated, active in 1e9")]
        case "size":
            why = "what the model's name says; state `parameters_b`, or a name that is known"
            return [Assumption(name="parameters_b", value=profile.total_b, why=why)]
        case "parameters":
            pass
    if method not in ("flops_roofline", "runtime_power"):
        return []
    found = []
    if profile.bytes_from == "assumed":
        why = "16 bits; state `parameters_b.bytes_per_parameter`, or a name that tells"
        found.append(Assumption(name="bytes_per_parameter", value=profile.bytes_per_parameter, why=why))
    unknown = [name for name, value in (("kv_bytes", profile.kv_bytes), ("d_model", profile.d_model)) if value is None]
    why = "usual of models of that size; `hf_config` tells it"
    return found + [Assumption(name=name, value="by the parameters", why=why) for name in unknown]


def _of_machine(method: Method, profile: EnergyProfile) -> list[Assumption]:
    found = []
    if method == "vendor_prior":
        batch = f"{VENDOR_BATCH:g} [{VENDOR_LOW_BATCH:g} to {VENDOR_HIGH_BATCH:g}]"
        found.append(Assumption(name="batch", value=batch, why="requests that run together at a vendor: nobody tells"))
        found.append(Assumption(name="gpu", value="H100", why="what a vendor runs on, nobody tells"))
    elif method in ("flops_roofline", "runtime_power"):
        if profile.batch_from == "assumed":
            found.append(Assumption(name="batch", value=profile.batch, why="requests that run together; state `batch`"))
        if profile.gpu_from == "assumed":
            why = "coefficients of another accelerator, or none is stated; state `hardware`"
            found.append(Assumption(name="gpu", value=profile.gpu, why=why))
        if profile.gpu_count_from == "assumed":
            why = "of 80 GB, as many as hold the weights and a fifth more; state `hardware.count`"
            found.append(Assumption(name="gpu_count", value=profile.gpu_count, why=why))
    if method != "token_proxy":
        found += _of_host(profile.host_factor)
        found.append(Assumption(name="idle_factor", value=profile.idle_factor, why="capacity kept ready, a published mean"))
    return found + _of_building(profile)


def _of_host(host_factor: float) -> list[Assumption]:
    if host_factor != HOST_FACTOR:
        return []
    return [Assumption(name="host_factor", value=host_factor, why="machine over accelerators, a published mean")]


def _of_building(profile: EnergyProfile) -> list[Assumption]:
    if profile.pue_from == "stated":
        return []
    why = {
        "team": "the team's own",
        "organisation": "the organisation's own",
        "region": "published for that cloud region",
        "provider": "the provider's mean",
        "assumed": "usual of clouds; state `pue`",
    }[profile.pue_from]
    return [Assumption(name="pue", value=profile.pue, why=why)]


def assumed_of_measured(profile: EnergyProfile | None, host_factor: float | None) -> tuple[Assumption, ...]:
    """Of joules that were measured: what was put on top of them. `host_factor` None: the machine was counted as well."""
    host = [] if host_factor is None else _of_host(host_factor)
    return (*host, *(() if profile is None else _of_building(profile)))


def _of_grid(intensity: Intensity) -> list[Assumption]:
    found = []
    if intensity.assumed:
        found.append(Assumption(name="zone", value=intensity.zone, why="no zone is stated: the world's mean"))
    if intensity.basis == "lifecycle-estimated":
        why = f"published as direct: {LIFECYCLE_CONSTANT:g} + {LIFECYCLE_SLOPE:g} * that"
        found.append(Assumption(name="intensity", value=intensity.basis, why=why))
    elif intensity.estimated:
        found.append(Assumption(name="intensity", value="estimated", why="its source modelled it"))
    if intensity.forecast:
        found.append(Assumption(name="intensity", value="forecast", why="predicted, not observed"))
    return found
