"""The fleet that is served where there is no configuration: what was found on this machine, vendors if asked for, simulations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from proxy.config import Config, Deployment, Hardware, Model, Parameters, Policy, Prices
from proxy.configuration.discovery import Found
from proxy.configuration.vendors import VENDORS, key_variable
from proxy.sections import Constraints

AUTO = "auto"
SIMULATION = "simulation"
_ODD = re.compile(r"[^!-+\--~]+")
_NO_TEXT = ("embeddings", "rerank")
"""Operations of a model that generates no text."""
_APIS = ("chat", "completions", "embeddings", "moderations")
_ABILITIES = ("tools", "image", "json_schema", "json_object", "logprobs", "n", "embeddings")

SIMULATIONS: dict[str, tuple[str, str, Prices]] = {
    "simulation-se": ("SE", "ttft_s=0.2&tokens_per_s=80", Prices(input=0.20, output=0.80)),
    "simulation-de": ("DE", "ttft_s=0.15&tokens_per_s=100", Prices(input=0.15, output=0.60)),
    "simulation-pl": ("PL", "ttft_s=0.1&tokens_per_s=120", Prices(input=0.10, output=0.40)),
}
"""Zone, pace and price: the cleanest is the slowest and dearest, so that each objective has its own winner."""

POLICIES = {
    "green": Policy(objective="lowest_carbon"),
    "cheap": Policy(objective="cheapest"),
    "fast": Policy(objective="fastest"),
    "private": Policy(extends="green", require=Constraints(privacy="local")),
}


def embedded(found: Sequence[Found], *, vendors: bool, environ: Mapping[str, str]) -> Config:
    """The embedded fleet. `auto` ranges over real models; over the simulation only where there is no real one at all.

    What a server here sends to its vendor's machines is a vendor's. Models that generate no text have no place beside those that do: the
    smallest of all would get every request by its carbon, and refuse it.
    """
    vendors = vendors or environ.get("GREENLANE_VENDORS") == "1"
    real = _local([one for one in found if vendors or not one.leaves])
    if vendors:
        real |= _vendors(environ)
    writing = [deployment for deployment in real.values() if deployment.apis != _NO_TEXT]
    members = tuple(dict.fromkeys(deployment.model for deployment in writing or real.values()))
    return Config(
        models={AUTO: Model(members=members or (SIMULATION,), policy="green")},
        deployments=real | _simulations(),
        policies=POLICIES,
    )


def _local(found: Sequence[Found]) -> dict[str, Deployment]:
    deployments: dict[str, Deployment] = {}
    for one in found:
        model = _ODD.sub("-", one.model.rsplit("/", 1)[-1] if one.model.startswith("/") else one.model)[:80]
        model = f"{one.server}-{model}" if model in {AUTO, SIMULATION} else model
        name = _unused(f"{one.server}-{model}"[:90], deployments)
        deployments[name] = Deployment(
            model=model,
            upstream_model=one.model,
            base_url=one.base_url,
            privacy="vendor" if one.leaves else "local",
            apis=None if one.writes else _NO_TEXT,
        )
    return deployments


def _unused(name: str, taken: Mapping[str, object]) -> str:
    return next(tried for tried in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))) if tried not in taken)


def _vendors(environ: Mapping[str, str]) -> dict[str, Deployment]:
    variables = {vendor: key_variable(vendor, environ) for vendor in VENDORS}
    return {
        vendor: msgspec.structs.replace(VENDORS[vendor].deployment, api_key=f"env:{variable}")
        for vendor, variable in variables.items()
        if variable is not None
    }


def _simulations() -> dict[str, Deployment]:
    return {
        name: Deployment(
            model=SIMULATION,
            base_url=f"sim://{name}?{pace}",
            zone=zone,
            privacy="local",
            # what the figures on its answers are worked out from, as if a model of this size had run there
            parameters_b=Parameters(total=8),
            hardware=Hardware(gpu="H100"),
            usd_per_mtok=prices,
            apis=_APIS,
            abilities=_ABILITIES,
            context_tokens=131_072,
        )
        for name, (zone, pace, prices) in SIMULATIONS.items()
    }
