"""What the types cannot say: that names refer to something, that URLs can be called, that groups do not go in circles.

Pure: looks at a Config alone. Secrets are in `credentials.py`, since they need the environment.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from proxy.config import Config, Policy
from proxy.configuration import addresses, registries
from proxy.configuration.findings import Finding
from proxy.configuration.problems import Path, nearest
from proxy.sections import Constraints
from proxy.teams import OwnFactors

_NAME = re.compile(r"[!-+\--~]{1,100}")
"""Printable ASCII less space and comma: a name becomes a header value and a metric label."""


def check(config: Config) -> list[Finding]:
    """Everything that is wrong or odd between the parts of a configuration."""
    return [
        *_names(config),
        *_deployments(config),
        *_counted_twice(config),
        *_models(config),
        *_policies(config),
        *_teams_and_keys(config),
        *_regions(config),
        *_server(config),
    ]


def models_of(config: Config) -> dict[str, None]:
    """Every model a request may name, in the order of the file: written under `models`, or implied by a deployment."""
    return dict.fromkeys([*config.models, *(deployment.model for deployment in config.deployments.values())])


def objective_of(config: Config, name: str) -> str | None:
    """The objective of a policy, its own or inherited; None if there is none or the chain is broken."""
    seen: set[str] = set()
    policy: Policy | None = config.policies.get(name)
    while policy is not None and policy.objective is None and policy.extends is not None and policy.extends not in seen:
        seen.add(policy.extends)
        policy = config.policies.get(policy.extends)
    return policy.objective if policy is not None else None


def _unknown(path: Path, what: str, name: str | None, known: Iterable[str]) -> Iterator[Finding]:
    known = list(known)
    if name is None or name in known:
        return
    listed = f"; there are {', '.join(sorted(known))}" if 0 < len(known) <= 10 else "" if known else "; there are none"
    yield Finding(path, f"{what} {name!r} is not known{listed}", nearest(name, known))


def _names(config: Config) -> Iterator[Finding]:
    sections: dict[str, Mapping[str, object]] = {
        "models": config.models,
        "deployments": config.deployments,
        "policies": config.policies,
        "teams": config.teams,
        "keys": config.keys,
    }
    rule = "a name is 1 to 100 printable ASCII characters without spaces and commas"
    for section, members in sections.items():
        yield from (Finding((section, name), rule) for name in members if not _NAME.fullmatch(name))
    for name, deployment in config.deployments.items():
        if not _NAME.fullmatch(deployment.model):
            yield Finding(("deployments", name, "model"), rule)
    for name in models_of(config):
        model, _, policy = name.rpartition("/")
        if model and policy in config.policies:
            path = ("models", name) if name in config.models else ("deployments",)
            message = f"the model name {name!r} ends like the choice of a policy (MODEL/POLICY): it hides policy {policy!r} of {model!r}"
            yield Finding(path, message, warning=True)


def _deployments(config: Config) -> Iterator[Finding]:
    dialects, groups = registries.dialects(), {name for name, model in config.models.items() if model.members is not None}
    if not config.deployments:
        yield Finding(("deployments",), "there are no deployments: no request can be served", warning=True)
    for name, deployment in config.deployments.items():
        path: Path = ("deployments", name)
        if deployment.model in groups:
            yield Finding((*path, "model"), f"{deployment.model!r} is a group (it has members) and has no deployments of its own")
        yield from _unknown((*path, "dialect"), "the dialect", deployment.dialect, dialects)
        yield from addresses.check(path, deployment)
        if deployment.dialect == "azure" and deployment.api_version is None:
            yield Finding((*path, "api_version"), "is missing: Azure wants one in every request (such as 2024-10-21)")
        for index, ability in enumerate(deployment.abilities or ()):
            yield from _unknown((*path, "abilities", index), "the ability", ability, registries.abilities())
        for index, api in enumerate(deployment.apis or ()):
            yield from _unknown((*path, "apis", index), "the operation", api, registries.apis())
        yield from _zone((*path, "zone"), deployment.zone)
        if deployment.meter is not None:
            found = registries.meter_findings(deployment.meter)
            yield from (Finding((*path, "meter", *where), message, meant) for where, message, meant in found)
        elif deployment.engine_metrics is not None:
            yield Finding((*path, "engine_metrics"), "changes nothing: the deployment has no meter", warning=True)
        parameters = deployment.parameters_b
        if parameters is not None and not isinstance(parameters, int | float) and (parameters.active or 0) > parameters.total:
            yield Finding((*path, "parameters_b", "active"), "cannot be more than total")


def _counted_twice(config: Config) -> Iterator[Finding]:
    """Meters of two deployments that count the same joules: each of them would charge its own requests with all of them."""
    first: dict[str, str] = {}
    for name, deployment in config.deployments.items():
        if deployment.meter is None or any(True for _ in registries.meter_findings(deployment.meter)):
            continue
        for what in registries.counted_by(deployment.meter):
            other = first.setdefault(what, name)
            if other != name:
                message = f"is counted for {other!r} too: both charge their requests with all of it"
                yield Finding(("deployments", name, "meter"), message, warning=True)


def _models(config: Config) -> Iterator[Finding]:
    known = models_of(config)
    served = {deployment.model for deployment in config.deployments.values()}
    groups = {name for name, model in config.models.items() if model.members is not None}
    for name, model in config.models.items():
        path: Path = ("models", name)
        yield from _unknown((*path, "policy"), "the policy", model.policy, config.policies)
        for setting, others in (("members", model.members or ()), ("substitutes", model.substitutes)):
            for index, other in enumerate(others):
                where = (*path, setting, index)
                yield from _unknown(where, "the model", other, known)
                if other == name:
                    yield Finding(where, f"{name!r} cannot be one of its own {setting}")
                elif other in groups:
                    yield Finding(where, f"{other!r} is a group; {setting} are models with deployments")
                elif others.index(other) != index:
                    yield Finding(where, f"{other!r} is listed twice", warning=True)
        of = [each for each, deployment in config.deployments.items() if deployment.model in (model.members or (name,))]
        yield from _unknown((*path, "default"), f"the deployment of {name!r}", model.default, of)
        if model.min_quality is not None:
            yield from _floor((*path, "min_quality"), model.min_quality, _qualities(config, model.members or (name,)))
        if model.members is not None and not model.members:
            yield Finding((*path, "members"), "is empty: a group needs at least one member")
        if model.members is None and name not in served and not model.substitutes:
            yield Finding(path, "no deployment serves it, and it has no members or substitutes", nearest(name, served))


def _qualities(config: Config, members: Iterable[str]) -> list[float]:
    """The best that each deployment of these models is said to be, of those that say."""
    said = [deployment.quality for deployment in config.deployments.values() if deployment.model in members]
    return [max(each.values(), default=0.0) if isinstance(each, dict) else each for each in said if each is not None]


def _floor(path: Path, least: float, qualities: Sequence[float]) -> Iterator[Finding]:
    if not qualities:
        yield Finding(path, "leaves nobody out: no deployment says its quality", warning=True)
    elif max(qualities) < least:
        yield Finding(path, "leaves everybody out: no deployment is said to be as good", warning=True)


def _policies(config: Config) -> Iterator[Finding]:
    yield from _unknown(("policy",), "the policy", config.policy, config.policies)
    objectives = registries.objectives()
    for name, policy in config.policies.items():
        path: Path = ("policies", name)
        yield from _unknown((*path, "extends"), "the policy", policy.extends, config.policies)
        yield from _unknown((*path, "objective"), "the objective", policy.objective, objectives)
        circle = _circle(config, name)
        if circle:
            yield Finding((*path, "extends"), f"goes in a circle: {' -> '.join(circle)}")
        elif policy.weights is not None and objective_of(config, name) != "weighted":
            yield Finding((*path, "weights"), "are used by the objective weighted only", warning=True)
        if policy.weights is not None and not any(policy.weights.values()):
            yield Finding((*path, "weights"), "at least one must be above 0")


def _circle(config: Config, name: str) -> list[str]:
    """The way from a policy back to itself; empty if it does not lead there."""
    way = [name]
    while (policy := config.policies.get(way[-1])) is not None and policy.extends is not None:
        if policy.extends == name:
            return [*way, name]
        if policy.extends in way:
            return []
        way.append(policy.extends)
    return []


def _teams_and_keys(config: Config) -> Iterator[Finding]:
    for name, organisation in config.organisations.items():
        yield from _factors(config, ("organisations", name, "carbon"), organisation.carbon)
    for name, team in config.teams.items():
        yield from _unknown(("teams", name, "policy"), "the policy", team.policy, config.policies)
        yield from _unknown(("teams", name, "organisation"), "the organisation", team.organisation, config.organisations)
        if team.budget is not None and team.budget.g is None and team.budget.usd is None:
            yield Finding(("teams", name, "budget"), "limits nothing: it needs g or usd")
        yield from _factors(config, ("teams", name, "carbon"), team.carbon)
    known = models_of(config)
    for name, key in config.keys.items():
        path: Path = ("keys", name)
        yield from _unknown((*path, "team"), "the team", key.team, config.teams)
        yield from _unknown((*path, "policy"), "the policy", key.policy, config.policies)
        for index, model in enumerate(key.models or ()):
            yield from _unknown((*path, "models", index), "the model", model, known)


def _factors(config: Config, path: Path, told: OwnFactors) -> Iterator[Finding]:
    if told.g_per_kwh is None:
        return
    for name in ("source", "as_of"):
        if getattr(told, name) is None:
            yield Finding((*path, name), "is missing: every entry says where g_per_kwh is from, and of when")
    if told.as_of is not None and not _is_day(told.as_of):
        yield Finding((*path, "as_of"), "is no day")
    if told.basis != config.carbon.basis == "direct":
        yield Finding((*path, "basis"), "a lifecycle figure cannot be made a direct one, which carbon.basis asks for")
    if isinstance(told.g_per_kwh, dict):
        for zone in told.g_per_kwh:
            yield from _zone((*path, "g_per_kwh", zone), zone)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _regions(config: Config) -> Iterator[Finding]:
    places: list[tuple[Path, tuple[str, ...] | None]] = []

    def of(path: Path, require: Constraints, prefer: Constraints) -> None:
        places.append(((*path, "require", "regions"), require.regions))
        places.append(((*path, "prefer", "regions"), prefer.regions))

    of((), config.require, config.prefer)
    for name, policy in config.policies.items():
        of(("policies", name), policy.require, policy.prefer)
    for name, team in config.teams.items():
        of(("teams", name), team.require, team.prefer)
    for name, key in config.keys.items():
        of(("keys", name), key.require, key.prefer)
    for name, deployment in config.deployments.items():
        places.append((("deployments", name, "residency"), deployment.residency))
    for path, regions in places:
        if regions is not None and not regions and path[-1] == "regions":
            yield Finding(path, "is empty: no deployment is in none of the regions", warning=path[-2] == "prefer")
        for index, region in enumerate(regions or ()):
            near = registries.unknown_region(region)
            if near is not None:
                message = f"the region {region!r} is not known (a zone, a cloud region, an ISO country code or EU)"
                yield Finding((*path, index), message, " or ".join(near) or None)


def _zone(path: Path, zone: str | None) -> Iterator[Finding]:
    near = registries.unknown_zone(zone) if zone is not None else None
    if near is not None:
        yield Finding(path, f"the zone {zone!r} is not known", " or ".join(near) or None)


def _sources(config: Config) -> Iterator[Finding]:
    if not config.carbon.sources:
        yield Finding(("carbon", "sources"), "is empty: every intensity is unknown, and with it every gram", warning=True)
    for index, source in enumerate(config.carbon.sources):
        path: Path = ("carbon", "sources", index)
        if isinstance(source, str):
            yield from _unknown(path, "the source", source, registries.sources())
            if wanting := registries.source_wanting(source):
                yield Finding(path, f"needs settings: {{{source}: {{{', '.join(f'{name}: ...' for name in wanting)}}}}}")
        elif len(named := registries.sources_in(source)) != 1:
            yield Finding(path, f"is one source with its settings, not {len(named)}")
        else:
            yield from (Finding((*path, named[0], *where), message) for where, message in registries.source_findings(source))


def _server(config: Config) -> Iterator[Finding]:
    yield from addresses.check_ledger(config.ledger.url)
    yield from _sources(config)
    server = config.server
    yield from _zone(("server", "zone"), server.zone)
    if (server.tls_certificate_file is None) != (server.tls_key_file is None):
        missing = "tls_certificate_file" if server.tls_certificate_file is None else "tls_key_file"
        yield Finding(("server", missing), "is missing: TLS needs the certificate and its key")
    for index, origin in enumerate(server.cors.origins):
        if origin != "*" and not re.fullmatch(r"https?://[^/?#@\s]+", origin):
            yield Finding(("server", "cors", "origins", index), "an origin is written https://HOST[:PORT], without a path, or *")
    if not config.keys and not is_loopback(server.host):
        message = "without keys anybody who reaches this address could spend your money; only loopback is served"
        yield Finding(("server", "host"), message, warning=True)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
