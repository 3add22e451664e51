"""The configuration as the hot path uses it: one immutable value, swapped whole when the configuration changes.

In-flight requests finish under the snapshot they began with. Nothing here opens a socket or reads a clock.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters._base import Adapter, Headers, Limited, Target, Transparent
from carbon.energy import Estimator, estimator
from carbon.footprint import Rate, rate
from carbon.format import plain
from carbon.intensity import Intensity
from carbon.profile import machine, profile_from
from carbon.zones import resolve_zone
from policies._base import Limits, Objective, Place, Policy, Substitution
from policies.constraints import nearest, strictest
from policies.decide import Prepared, prepare
from policies.objectives import objective
from proxy.access import Grant, Keyring
from proxy.config import Config, Deployment
from proxy.config import Policy as PolicySettings
from proxy.factors import Factors

_CONSTANT = frozenset({"LowestCarbon", "Cheapest", "BestQuality"})
"""Objectives that look at nothing that changes from one moment to the next."""
_TURNLESS = _CONSTANT | {"LeastLoaded", "Weighted"}
"""Objectives that count no turns."""
CHATS = frozenset({"chat", "responses", "messages", "generate"})
"""Operations that can be translated through the hub."""
COUNT = "count_tokens"
"""The operation that generates nothing."""
PLANS = 8192
"""Kept at a time: 14 KB each before twenty deployments, and every key may name every policy for every operation of every model."""
DEFAULT_POLICY = "default"
"""What the headers call the choice where no policy applies: least loaded."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per token by class, per request, and per search of the web."""

    input_usd: float
    cached_usd: float
    cache_write_usd: float
    output_usd: float
    request_usd: float = 0.0
    search_usd: float | None = None
    """None: not known, and neither is then the price of an answer that took one."""

    def usd(self, input_tokens: int, cached_tokens: int, cache_write_tokens: int, output_tokens: int) -> float:
        """Price of a request; `input_tokens` includes those read from and written to a cache."""
        fresh = max(0, input_tokens - cached_tokens - cache_write_tokens)
        return (
            fresh * self.input_usd
            + cached_tokens * self.cached_usd
            + cache_write_tokens * self.cache_write_usd
            + output_tokens * self.output_usd
            + self.request_usd
        )

    def with_searches(self, usd: float, searches: int) -> float | None:
        """A price with that of so many searches of the web."""
        if not searches:
            return usd
        return None if self.search_usd is None else usd + searches * self.search_usd


class Served(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One deployment, ready to be asked."""

    name: str
    model: str
    settings: Deployment
    adapter: Adapter
    target: Target
    headers: Headers
    """Credentials and configured headers; secret."""
    secret: str | None
    """Our key there, to be taken out of whatever it tells us."""
    salts: str | None
    """What the salts of its teams are made from; None: it is sent none."""
    place: Place
    """As seen through the hub; see `place_for`."""
    identity: frozenset[str]
    """Operations whose bytes it takes as they are."""
    translated: frozenset[str]
    """Operations it serves through the hub."""
    transparent: Transparent | None
    """The adapter, where it can send a client's own bytes."""
    limited: Limited | None
    """The adapter, where its vendor's rate limits are retold to clients of other dialects."""
    estimator: Estimator | None
    intensity: Intensity | None
    marginal: Intensity | None
    """Of the same grid: what one kilowatt-hour more would emit. Known only where a live source tells it."""
    head: bytes
    """The header lines of every answer it gives under this snapshot, the intensity among them."""
    rate: Rate | None
    profile: dict[str, float | str | None] | None
    """The energy profile's inputs, as the ledger keeps them."""
    price: Price | None
    expected_output_tokens: int
    simulated: bool
    written: dict[tuple[str, Headers, bytes], tuple[bytes, Headers]] = {}
    """Path and headers of requests to it, by what they follow from; see `dataplane/carriage.py`."""

    def __repr__(self) -> str:
        return f"<Served {self.name}: {self.model} at {self.settings.base_url}>"

    def serves(self, api: str) -> bool:
        return api in self.identity or api in self.translated


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A model as a client may name it: the deployments it ranges over, substitutes last."""

    name: str
    own: tuple[Served, ...]
    substitutes: tuple[Served, ...]
    min_quality: float | None
    policy: str | None
    group: bool


class Proportion(msgspec.Struct, frozen=True, kw_only=True):
    """A saving for each gram of what happened: constant between two deployments that are alike."""

    g: float
    low: float
    high: float
    marginal: float | None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan takes from the configuration beside its policy."""

    output_ceiling_tokens: int
    default: str | None
    """The deployment a model names as its default."""
    expected_output_tokens: Mapping[str, int]
    """Of the models whose usual length is stated."""
    holdout: float


class Plan(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A merged policy over what can serve one operation of one model for one grant."""

    policy: str
    prepared: Prepared
    served: Mapping[Place, Served]
    caps_carbon: bool
    """Somebody compares the upper end of the carbon forecast: it is worked out only then."""
    caps_cost: bool
    terms: Terms
    translates: bool
    """Some of them are asked through the hub."""
    constant: bool
    """The order follows from the request's size alone while all are up: latency and turns have no say."""
    turns: bool
    """Turns have a say."""
    standing: dict[Any, Any]
    """Decisions kept for like requests; see `dataplane/candidates.py`. Bounded there."""
    baseline: Served | None
    """What would serve without Greenlane, of those that may: the counterfactual of savings."""
    baseline_output_tokens: int | None
    """What its model usually writes, where the configuration says so."""
    proportions: dict[tuple[Served, str], Proportion | None]
    """Of those that are alike: what is saved for each gram, by method. Made at first use; bounded by the deployments."""
    alike: frozenset[Served]
    """Those whose figures share what is unknown with the baseline's: the same model on the same machines, elsewhere."""
    holdout: float

    def ceiling(self, place: Place) -> int:
        """Output tokens a cost cap assumes where the request sets no cap."""
        return place.max_output_tokens or self.terms.output_ceiling_tokens

    def tightened(self, require: Limits, prefer: Limits, substitute: Substitution | None) -> Plan:
        """The plan for one request that says something of its own."""
        return plan_of(self.prepared.with_request(require, prefer, substitute), self.served, self.terms, translates=self.translates)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, eq=False, weakref=True):
    """Everything a request needs to know of the configuration."""

    version: str
    config: Config
    keyring: Keyring
    hosts: frozenset[bytes] | None
    """Host names answered to; None: any."""
    served: Mapping[str, Served]
    models: Mapping[str, Member]
    policies: Mapping[str, PolicySettings]
    """With `extends` already followed."""
    require: Limits
    prefer: Limits
    limits_of: Mapping[str, tuple[Limits, Limits]]
    """Policy name → its require and prefer."""
    router_g_per_j: float
    """Of the grid the proxy itself runs on; 0 where that is not known."""
    bounds: Mapping[str, float]
    """What a weighted objective takes for 1 where it says nothing: the most that any deployment costs for one reference request."""
    plans: dict[tuple[str, str, str | None, str | None], Plan]
    """Made at first use; at most `PLANS`."""

    def __repr__(self) -> str:
        return f"<Snapshot {self.version}: {len(self.served)} deployments>"

    def plan(self, api: str, member: Member, grant: Grant, wanted: str | None) -> Plan:
        """The merged policy for an operation on a model. `wanted` is the policy a request names, known to exist."""
        key = (api, member.name, grant.key, wanted)
        found = self.plans.get(key)
        if found is None:
            if len(self.plans) >= PLANS:
                self.plans.clear()
            found = self.plans[key] = self._plan(api, member, grant, wanted)
        return found

    def _plan(self, api: str, member: Member, grant: Grant, wanted: str | None) -> Plan:
        standing = [name for name in (self.config.policy, member.policy, *grant.policies) if name is not None]
        chosen = wanted or (standing[-1] if standing else None)
        named = [*grant.policies, *([chosen] if chosen else [])]
        floor = Limits(min_quality=member.min_quality)
        require = strictest(self.require, grant.require, floor, *(self.limits_of[name][0] for name in named))
        prefer = nearest(self.prefer, grant.prefer, *([self.limits_of[chosen][1]] if chosen else []))
        settings = self.policies[chosen] if chosen else PolicySettings()
        policy = Policy(
            name=chosen or DEFAULT_POLICY,
            objective=_objective(settings, self.bounds, group=member.group),
            require=require,
            prefer=prefer,
            substitute=settings.substitute or "down",
        )
        served: dict[Place, Served] = {}
        # another model's count would be of other tokens, and nobody lacks capacity who is not asked to generate
        substitutes = () if api == COUNT else member.substitutes
        for stand_in, group in ((False, member.own), (True, substitutes)):
            for each in group:
                if each.serves(api):
                    served[place_for(each, api, stand_in=stand_in)] = salted(adapted(each, grant.factors), grant.team)
        translates = api in CHATS and any(api not in each.identity for each in served.values())
        models = self.config.models
        terms = Terms(
            output_ceiling_tokens=self.config.limits.output_ceiling_tokens,
            default=models[member.name].default if member.name in models else None,
            expected_output_tokens={
                name: each.expected_output_tokens for name, each in models.items() if each.expected_output_tokens is not None
            },
            holdout=0.0 if api == COUNT else self.config.carbon.holdout,
        )
        return plan_of(prepare(policy, list(served)), served, terms, translates=translates)


def plan_of(prepared: Prepared, served: Mapping[Place, Served], terms: Terms, *, translates: bool) -> Plan:
    """A prepared policy with what the data plane needs beside it."""
    limits = (prepared.policy.require, prepared.policy.prefer)
    # a lone place comes first whatever it costs: what load and latency would say changes nothing
    objective_name = prepared.policy.objective.__class__.__name__
    unmoved = len(prepared.places) == 1 or objective_name in _CONSTANT
    own = [served[place] for place in prepared.places if not place.substitute]
    baseline = next((each for each in own if each.name == terms.default), own[0] if own else None)
    return Plan(
        policy=prepared.policy.name,
        prepared=prepared,
        served=served,
        caps_carbon=any(each.max_g is not None for each in limits),
        caps_cost=any(each.max_usd is not None for each in limits),
        terms=terms,
        translates=translates,
        constant=unmoved and not any(each.max_ttft_s is not None for each in limits),
        turns=objective_name not in _TURNLESS,
        standing={},
        proportions={},
        baseline=baseline,
        baseline_output_tokens=None if baseline is None else terms.expected_output_tokens.get(baseline.model),
        alike=frozenset(
            each
            for each in served.values()
            if baseline is not None and (each.model, machine(each.profile)) == (baseline.model, machine(baseline.profile))
        ),
        holdout=terms.holdout if len(own) > 1 else 0.0,
    )


def head_of(model: str, deployment: str, intensity: Intensity | None) -> bytes:
    """The header lines of every answer of a deployment on that grid."""
    lines = f"x-greenlane-model: {model}\r\nx-greenlane-deployment: {deployment}\r\n"
    if intensity is not None:
        lines += f"x-carbon-intensity-g-per-kwh: {plain(intensity.g_per_kwh)}\r\nx-carbon-zone: {intensity.zone}\r\n"
    return lines.encode("ascii", "replace")


def adapted(served: Served, factors: Factors | None) -> Served:
    """The deployment by a team's own factors; itself where there are none."""
    if factors is None:
        return served
    profile, measured = factors.profile(served.profile), served.estimator
    if profile is not None and profile is not served.profile:
        # a calibration is of one building: by another's PUE the estimate stands without it
        known = profile_from(profile)
        measured, profile = estimator(known), known.record()
    zone = None if served.settings.zone is None else resolve_zone(served.settings.zone).id
    intensity = factors.intensity(zone, served.intensity)
    head = head_of(served.model, served.name, intensity)
    per_token = rate(measured, intensity)
    return msgspec.structs.replace(served, profile=profile, estimator=measured, intensity=intensity, head=head, rate=per_token)


def salted(served: Served, team: str | None) -> Served:
    """The deployment with that team's own salt: as hard to guess as the secret it is made from, and telling no name."""
    if served.salts is None:
        return served
    salt = hmac.new(served.salts.encode(), (team or "").encode(), hashlib.sha256).hexdigest()
    return msgspec.structs.replace(served, target=msgspec.structs.replace(served.target, cache_salt=salt))


def place_for(served: Served, api: str, *, stand_in: bool) -> Place:
    """The place as one operation sees it: where the client's own bytes go through, only the host's own refusals count."""
    place = served.place
    if api in served.identity or api not in CHATS:
        place = msgspec.structs.replace(place, admits=None, refuses=frozenset(served.settings.quirks.refuses))
    return msgspec.structs.replace(place, substitute=stand_in)


def _objective(settings: PolicySettings, bounds: Mapping[str, float], *, group: bool) -> Objective:
    name = settings.objective or ("weighted" if settings.weights else "least_loaded")
    if settings.objective is None and settings.weights is None and group:
        name = "lowest_carbon"
    if name != "weighted":
        return objective(name)
    given = {**bounds, **{name: value for name, value in msgspec.structs.asdict(settings.bounds).items() if value is not None}}
    return objective("weighted", {**({"weights": settings.weights} if settings.weights else {}), "bounds": given})
