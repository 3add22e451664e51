"""`greenlane estimate`: what a request would take, from the tables and a model's own config.json; no proxy and no network."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import msgspec

from carbon.energy import estimator
from carbon.explain import Facts
from carbon.footprint import Footprint, Workload
from carbon.hf_config import HfConfigError
from carbon.intensity import Intensity
from carbon.profile import EnergyProfile, Serving, profile_of
from carbon.shipped import DATA_VERSION
from carbon.sources._base import instant_s
from carbon.sources.static import Static
from carbon.zones import UnknownZoneError, resolve_zone
from proxy.cli.explaining import told, width
from proxy.configuration.model_files import shape_in
from proxy.controlplane.explaining import chain, figures

_ACCOUNT = ("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "carbon_low_g", "carbon_high_g", "method", "confidence")


def estimate(options: argparse.Namespace) -> int:
    """0: shown; 1: the model, its file or the zone tells nothing."""
    if options.tokens_cached > options.tokens_in:
        sys.stderr.write("greenlane: --tokens-cached is more than --tokens-in\n")
        return 1
    try:
        profile, intensity = _profile(options), _intensity(options.zone)
    except (HfConfigError, UnknownZoneError) as error:
        sys.stderr.write(f"greenlane: {error}\n")
        return 1
    if profile is None:
        sys.stderr.write(
            f"greenlane: nothing is known of {options.model}: it is in no table and has no size in its name; "
            "give --parameters or --hf-config\n"
        )
        return 1
    work = Workload(
        input_tokens=options.tokens_in, output_tokens=options.tokens_out, cached_tokens=options.tokens_cached, decode_s=options.decode_s
    )
    answer = _answer(options, profile, work, Footprint.of(work, estimator(profile), intensity))
    print(json.dumps(answer, indent=2) if options.json else told(answer, width()), end="\n" if options.json else "")
    return 0


def _profile(options: argparse.Namespace) -> EnergyProfile | None:
    """Raises HfConfigError."""
    total, _, active = (options.parameters or "").partition(":")
    return profile_of(
        Serving(
            upstream_model=options.model,
            gpu=options.gpu,
            gpu_count=options.gpus,
            total_b=float(total) if total else None,
            active_b=float(active) if active else None,
            shape=None if options.hf_config is None else shape_in(options.hf_config),
            batch=options.batch,
            pue=options.pue,
            zone=options.zone,
            privacy="vendor" if options.gpu is None else "local",
        )
    )


def _intensity(zone: str | None) -> Intensity | None:
    """Raises UnknownZoneError."""
    return Static().table().latest(None if zone is None else resolve_zone(zone).id)


def _answer(options: argparse.Namespace, profile: EnergyProfile, work: Workload, found: Footprint) -> dict[str, Any]:
    """As the proxy shows an estimate that it keeps."""
    sample = found.intensity
    facts = Facts(
        data_version=DATA_VERSION,
        method=found.method,
        energy_j=figures(found.energy_low_j, found.energy_j, found.energy_high_j),
        carbon_g=figures(found.carbon_low_g, found.carbon_g, found.carbon_high_g),
        input_tokens=work.input_tokens,
        output_tokens=work.output_tokens,
        cached_tokens=work.cached_tokens,
        decode_s=work.decode_s,
        profile=profile.record(),
        intensity=sample,
        age_s=None if sample is None else int(time.time() - instant_s(sample.as_of)),
        warnings=found.warnings,
    )
    return {
        "object": "greenlane.estimate",
        "id": "estimate",
        "model": options.model,
        "deployment": None,
        "at": None,
        "tokens": {"input": work.input_tokens, "cached": work.cached_tokens, "output": work.output_tokens},
        "account": {
            **{name: getattr(found, name) for name in _ACCOUNT},
            "intensity": None if sample is None else msgspec.to_builtins(sample),
        },
        "explanation": chain(facts),
    }
