"""From a checked configuration to a Snapshot: names are resolved, policies merged, profiles and prices worked out, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from adapters import adapters
from adapters._base import Adapter, Headers, Limited, Quirks, Target, Transparent
from adapters.openai import HOSTS
from carbon.calibrated import calibrated
from carbon.calibration import Calibration, machine_of
from carbon.energy import Estimator, estimator
from carbon.footprint import grams, rate
from carbon.intensity import Intensity, Table, on_basis
from carbon.profile import EnergyProfile, Serving, profile_from, profile_of
from carbon.zones import resolve_regions, resolve_zone
from policies._base import Limits, Place, Privacy
from policies.constraints import nearest, strictest
from proxy.access import Grant, Keyring
from proxy.config import Config, Deployment, Model, Parameters
from proxy.config import Policy as PolicySettings
from proxy.configuration.model_files import shape_in
from proxy.factors import Factors
from proxy.sections import Constraints
from proxy.snapshot import CHATS, COUNT, Member, Price, Served, Snapshot, head_of
from proxy.teams import OwnFactors

LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"::1"})
REFERENCE_INPUT_TOKENS, REFERENCE_OUTPUT_TOKENS = 1000, 500
_PRIVACY = {"local": Privacy.LOCAL, "private": Privacy.PRIVATE, "vendor": Privacy.VENDOR}
ROOTS = {"anthropic": "/v1", "gemini": "/v1beta"}
"""Path of a `base_url` that is a host alone, as the vendors' own clients take it: nobody has these APIs at the root of a host."""
_NATIVE_RESPONSES = ("api.openai.com",)
"""Hosts whose Responses API is used without being listed under `apis`; elsewhere it is translated through chat."""


class Secrets(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What the references of a configuration resolved to. Never shown."""

    api_keys: Mapping[str, str]
    """Deployment → the key we send."""
    keys: Mapping[str, str]
    """SHA-256 in hex of a client's key → its name."""
    salts: Mapping[str, str] = {}
    """Deployment → what its teams' salts are made from."""

    def __repr__(self) -> str:
        return f"<Secrets: {len(self.api_keys)} of deployments, {len(self.keys)} of clients>"


def snapshot(
    config: Config, secrets: Secrets, table: Table, version: str, calibrations: Mapping[str, Calibration] = MappingProxyType({})
) -> Snapshot:
    """The configuration made ready. Its names were checked before; a wrong one raises KeyError or UnknownZoneError here.

    `calibrations`: by deployment, those in force; one of another machine than the deployment has now is let lie.
    """
    dialects = adapters()
    served = {
        name: _served(name, order, config, dialects[deployment.dialect], (secrets, table, calibrations.get(name)))
        for order, (name, deployment) in enumerate(config.deployments.items())
    }
    policies = {name: _extended(name, config.policies) for name in config.policies}
    hosts = config.server.hosts
    return Snapshot(
        version=version,
        config=config,
        keyring=Keyring({digest: grant_for(name, config) for digest, name in secrets.keys.items()}),
        hosts=frozenset(host.lower().encode() for host in hosts) if hosts is not None else None if secrets.keys else LOOPBACK,
        served=served,
        models=_models(config, served),
        policies=policies,
        require=limits(config.require),
        prefer=limits(config.prefer),
        limits_of={name: _policy_limits(name, config.policies) for name in config.policies},
        router_g_per_j=_router(config, table),
        bounds=_bounds(served.values()),
        plans={},
    )


def regridded(made: Snapshot, table: Table) -> Snapshot:
    """The same configuration with the grids as they are now: intensities, and what follows from them.

    The bounds of weighted objectives stay: they are the catalogue's, or an hour's wind would change what a preference means.
    """
    served = {name: _on_grid(each, table) for name, each in made.served.items()}
    router = _router(made.config, table)
    return msgspec.structs.replace(made, served=served, models=_models(made.config, served), router_g_per_j=router, plans={})


def _router(config: Config, table: Table) -> float:
    found = table.latest(None if config.server.zone is None else resolve_zone(config.server.zone).id)
    return 0.0 if found is None else grams(1.0, found.g_per_kwh)


def recalibrated(made: Snapshot, calibrations: Mapping[str, Calibration]) -> Snapshot:
    """The same configuration with these calibrations in force. Its bounds stay, as with the grids."""
    served = {name: _by_calibration(each, calibrations.get(name)) for name, each in made.served.items()}
    return msgspec.structs.replace(made, served=served, models=_models(made.config, served), plans={})


def _by_calibration(served: Served, calibration: Calibration | None) -> Served:
    if served.profile is None:
        return served
    measured, record = _estimator(profile_from(served.profile), calibration)
    if record == served.profile:
        return served
    return msgspec.structs.replace(served, estimator=measured, profile=record, rate=rate(measured, served.intensity))


def _estimator(profile: EnergyProfile, calibration: Calibration | None) -> tuple[Estimator, dict[str, float | str | None]]:
    """How the deployment's energy is worked out, and what a ledger keeps of that."""
    prior = estimator(profile)
    if calibration is None or not calibration.accepted or calibration.machine != machine_of(profile):
        return prior, profile.record()
    return calibrated(calibration, prior), {**profile.record(), **calibration.record()}


def _on_grid(served: Served, table: Table) -> Served:
    intensity, marginal = _grid(served.settings, table)
    if (intensity, marginal) == (served.intensity, served.marginal):
        return served
    head = head_of(served.model, served.name, intensity)
    return msgspec.structs.replace(served, intensity=intensity, marginal=marginal, head=head, rate=rate(served.estimator, intensity))


def _grid(settings: Deployment, table: Table) -> tuple[Intensity | None, Intensity | None]:
    """Average and marginal of where a deployment is."""
    zone = None if settings.zone is None else resolve_zone(settings.zone).id
    return table.latest(zone), None if zone is None else table.marginal.get(zone)


def limits(given: Constraints) -> Limits:
    """Constraints as policies compare them. Raises UnknownZoneError for a region nobody knows."""
    return Limits(
        privacy=None if given.privacy is None else _PRIVACY[given.privacy],
        regions=None if given.regions is None else resolve_regions(given.regions),
        zero_retention=given.zero_retention,
        max_g=given.max_g,
        max_g_per_kwh=given.max_g_per_kwh,
        max_usd=given.max_usd,
        max_ttft_s=given.max_ttft_s,
        min_quality=given.min_quality,
    )


def _served(name: str, order: int, config: Config, adapter: Adapter, facts: tuple[Secrets, Table, Calibration | None]) -> Served:
    secrets, table, calibration = facts
    key = secrets.api_keys.get(name)
    settings = config.deployments[name]
    url = urlsplit(settings.base_url)
    simulated = url.scheme == "sim"
    quirks = settings.quirks if settings.quirks != Quirks() else HOSTS.get(url.hostname or "", settings.quirks)
    settings = msgspec.structs.replace(settings, quirks=quirks)
    identity, translated = _operations(settings, adapter, url.hostname or "")
    profile = energy_profile(settings)
    measured, record = (None, None) if profile is None else _estimator(profile, calibration)
    intensity, marginal = _grid(settings, table)
    model = config.models.get(settings.model, Model())
    return Served(
        name=name,
        model=settings.model,
        settings=settings,
        adapter=adapter,
        target=Target(
            upstream_model=settings.upstream_model or settings.model,
            base_path=url.path.rstrip("/") or ROOTS.get(settings.dialect, ""),
            api_version=settings.api_version,
            max_output_tokens=settings.max_output_tokens,
            quirks=quirks,
            event_bytes=config.limits.event_bytes,
            image_event_bytes=config.limits.image_event_bytes,
        ),
        headers=_headers(settings, adapter, key),
        secret=key,
        salts=secrets.salts.get(name),
        place=_place(name, order, settings, adapter),
        identity=identity,
        translated=translated,
        transparent=adapter if isinstance(adapter, Transparent) else None,
        limited=adapter if isinstance(adapter, Limited) else None,
        estimator=measured,
        intensity=intensity,
        marginal=marginal,
        head=head_of(settings.model, name, intensity),
        rate=rate(measured, intensity),
        profile=record,
        price=_price(settings),
        expected_output_tokens=model.expected_output_tokens or config.limits.expected_output_tokens,
        simulated=simulated,
    )


def _operations(settings: Deployment, adapter: Adapter, host: str) -> tuple[frozenset[str], frozenset[str]]:
    """What goes through as it is, and what is translated. Whoever has Anthropic's messages may be asked to count their tokens as well."""
    identity, translated = _stated(settings, adapter, host)
    return (identity | {COUNT} if "messages" in identity else identity), translated


def _stated(settings: Deployment, adapter: Adapter, host: str) -> tuple[frozenset[str], frozenset[str]]:
    speaks_openai = adapter.open_members
    native = adapter.apis if speaks_openai else adapter.apis & {"messages"}
    if settings.apis is not None:
        wanted = frozenset(settings.apis)
        identity = (native | ({"messages"} if speaks_openai else frozenset())) & wanted
        # in OpenAI's dialect the hub's requests go to chat completions, in others wherever the dialect generates
        through_hub = "chat" in wanted or (not speaks_openai and bool(wanted & CHATS))
        return identity, frozenset(CHATS - identity if through_hub else ()) | ((adapter.apis & wanted) - identity - CHATS)
    identity = native
    if speaks_openai and not (host.endswith(_NATIVE_RESPONSES) or adapter.name == "azure" or host.endswith(".openai.azure.com")):
        identity = identity - {"responses"}
    return identity, (CHATS - identity) | (adapter.apis - identity - CHATS if not speaks_openai else frozenset())


def _place(name: str, order: int, settings: Deployment, adapter: Adapter) -> Place:
    quality = settings.quality
    by_task = quality if isinstance(quality, dict) else {}
    stated = settings.abilities
    names = [*(settings.residency or ()), *([settings.zone] if settings.zone and settings.residency is None else [])]
    dropped = frozenset(settings.quirks.drops)
    # kept in Germany and in France means kept in the EU, and not kept in Germany: only what all have in common is certain
    regions = frozenset[str].intersection(*map(_region_names, names)) if names else frozenset[str]()
    return Place(
        name=name,
        model=settings.model,
        privacy=_PRIVACY[settings.privacy],
        regions=regions,
        zero_retention=settings.zero_retention,
        quality=by_task.get("default") if isinstance(quality, dict) else quality,
        quality_by_task={task: value for task, value in by_task.items() if task != "default"},
        weight=settings.weight,
        context_tokens=settings.context_tokens,
        max_output_tokens=settings.max_output_tokens,
        lacks=ABILITIES - (frozenset(stated) if stated is not None else adapter.abilities),
        refuses=frozenset(member for member, support in adapter.members.items() if support == "refused") - dropped
        | frozenset(settings.quirks.refuses),
        admits=None
        if adapter.open_members
        else frozenset(member for member, support in adapter.members.items() if support != "refused") | dropped,
        order=order,
    )


ABILITIES = frozenset({"tools", "image", "audio", "document", "json_schema", "json_object", "logprobs", "n", "reasoning"})


def _region_names(written: str) -> frozenset[str]:
    """All names a zone answers to; a bare region such as EU only its own."""
    try:
        return resolve_zone(written).names
    except ValueError:
        return resolve_regions([written])


def energy_profile(settings: Deployment) -> EnergyProfile | None:
    """What is known of a deployment's energy, by its settings."""
    parameters = settings.parameters_b
    sizes = parameters if isinstance(parameters, Parameters) else None if parameters is None else Parameters(total=parameters)
    serving = Serving(
        upstream_model=settings.upstream_model or settings.model,
        gpu=settings.hardware.gpu if settings.hardware else None,
        gpu_count=settings.hardware.count if settings.hardware else None,
        total_b=sizes.total if sizes else None,
        active_b=sizes.active if sizes else None,
        bytes_per_parameter=sizes.bytes_per_parameter if sizes else None,
        shape=None if settings.hf_config is None else shape_in(settings.hf_config),
        batch=settings.batch,
        pue=settings.pue,
        host_factor=settings.host_factor,
        wue_l_per_kwh=settings.wue_l_per_kwh,
        embodied_kg=settings.embodied.kg if settings.embodied else None,
        embodied_source=settings.embodied.source if settings.embodied else None,
        lifetime_years=settings.embodied.lifetime_years if settings.embodied else None,
        zone=None if settings.zone is None else resolve_zone(settings.zone).id,
        privacy=settings.privacy,
    )
    return profile_of(serving)


def _price(settings: Deployment) -> Price | None:
    prices = settings.usd_per_mtok
    if prices is None and settings.usd_per_request is None:
        return None
    plain = prices.input if prices else 0.0
    return Price(
        input_usd=plain / 1e6,
        cached_usd=(plain if prices is None or prices.cached is None else prices.cached) / 1e6,
        cache_write_usd=(plain if prices is None or prices.cache_write is None else prices.cache_write) / 1e6,
        output_usd=(prices.output if prices else 0.0) / 1e6,
        request_usd=settings.usd_per_request or 0.0,
        # on our own machine nobody charges for one
        search_usd=0.0 if settings.usd_per_search is None and settings.privacy == "local" else settings.usd_per_search,
    )


def _headers(settings: Deployment, adapter: Adapter, key: str | None) -> Headers:
    own = tuple((name.lower().encode(), value.encode()) for name, value in settings.headers.items())
    return (adapter.authorize(key) if key else ()) + own


def _models(config: Config, served: Mapping[str, Served]) -> dict[str, Member]:
    of: dict[str, list[Served]] = {}
    for each in served.values():
        of.setdefault(each.model, []).append(each)
    names = list(dict.fromkeys([*config.models, *of]))
    found = {}
    for name in names:
        settings = config.models.get(name, Model())
        members = (name,) if settings.members is None else settings.members
        own = tuple(each for member in members for each in of.get(member, ()))
        found[name] = Member(
            name=name,
            own=own,
            substitutes=tuple(each for other in settings.substitutes for each in of.get(other, ())),
            # a floor where nobody's quality is told would leave a group that never serves; the check of the file warns of it
            min_quality=settings.min_quality if any(each.settings.quality is not None for each in own) else None,
            policy=settings.policy,
            group=settings.members is not None,
        )
    return found


def _bounds(served: Iterable[Served]) -> dict[str, float]:
    """Carbon and price of the reference request where they are highest: fixed by the catalogue, not by who competes."""
    known = tuple(served)
    grams = [each.rate.g(REFERENCE_INPUT_TOKENS, 0, REFERENCE_OUTPUT_TOKENS) for each in known if each.rate is not None]
    dollars = [each.price.usd(REFERENCE_INPUT_TOKENS, 0, 0, REFERENCE_OUTPUT_TOKENS) for each in known if each.price is not None]
    return {name: max(values) for name, values in (("carbon_g", grams), ("usd", dollars)) if values and max(values) > 0}


def _lineage(name: str, policies: Mapping[str, PolicySettings]) -> list[PolicySettings]:
    """The policy and what it extends, farthest ancestor first."""
    line: list[PolicySettings] = []
    at: str | None = name
    while at is not None:
        line.insert(0, policies[at])
        at = policies[at].extends
    return line


def _extended(name: str, policies: Mapping[str, PolicySettings]) -> PolicySettings:
    line = _lineage(name, policies)
    objective = next((each.objective for each in reversed(line) if each.objective is not None), None)
    weights = next((each.weights for each in reversed(line) if each.weights is not None), None)
    substitute = next((each.substitute for each in reversed(line) if each.substitute is not None), None)
    return msgspec.structs.replace(policies[name], extends=None, objective=objective, weights=weights, substitute=substitute)


def _policy_limits(name: str, policies: Mapping[str, PolicySettings]) -> tuple[Limits, Limits]:
    line = _lineage(name, policies)
    return strictest(*(limits(each.require) for each in line)), nearest(*(limits(each.prefer) for each in line))


def grant_for(name: str, config: Config) -> Grant:
    """What the key of that name may do."""
    key = config.keys[name]
    team = config.teams[key.team]
    return Grant(
        key=name,
        team=key.team,
        policies=tuple(policy for policy in (team.policy, key.policy) if policy is not None),
        require=strictest(limits(team.require), limits(key.require)),
        prefer=nearest(limits(team.prefer), limits(key.prefer)),
        models=None if key.models is None else frozenset(key.models),
        explain=key.explain,
        budget=team.budget,
        factors=_factors(key.team, config),
    )


def _factors(team: str, config: Config) -> Factors | None:
    """A team's, before its organisation's; None where neither has any."""
    settings, basis = config.teams[team], config.carbon.basis
    name = settings.organisation
    theirs = OwnFactors() if name is None else config.organisations[name].carbon
    own, shared = _own("team", team, settings.carbon, basis), _own("organisation", name or "", theirs, basis)
    if own is None or shared is None:
        return own or shared
    return own.before(shared)


def _own(kind: Literal["team", "organisation"], name: str, told: OwnFactors, basis: Literal["lifecycle", "direct"]) -> Factors | None:
    """On the fleet's basis, which all that is compared must have."""
    if told == OwnFactors():
        return None

    def sample(g_per_kwh: float) -> Intensity | None:
        given = Intensity(
            zone="WORLD",
            g_per_kwh=g_per_kwh,
            low=g_per_kwh * (1 - told.band),
            high=g_per_kwh * (1 + told.band),
            basis=told.basis,
            source=f"{kind} {name}: {told.source}",
            as_of=f"{told.as_of}T23:59:59Z",
            licence=f"the {kind}'s own",
        )
        return on_basis(given, basis)

    figures = told.g_per_kwh
    if not isinstance(figures, dict):
        return Factors(pue=told.pue, pue_from=kind, everywhere=None if figures is None else sample(figures))
    by_zone = {resolve_zone(zone).id: made for zone, value in figures.items() if (made := sample(value)) is not None}
    return Factors(pue=told.pue, pue_from=kind, by_zone=by_zone)
