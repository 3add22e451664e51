"""What could serve a call now: each statically eligible deployment with its forecast, price, latency and load."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal

import msgspec

from policies._base import Ask, Candidate, Decision, Limits, Rejection
from policies._score import rounded
from policies.constraints import barrier
from proxy.dataplane.call import Call
from proxy.dataplane.peer import Peer
from proxy.dataplane.searching import expected
from proxy.snapshot import Plan, Served

AFFINITIES = 20_000
HELD = "holdout"
"""The reason of a decision for the model's default, drawn at random to measure."""
Arm = Literal["held", "free"]
_LENGTHS = (8192, 2048, 512, 128)


def candidates(call: Call, plan: Plan, peers: Mapping[str, Peer], now_s: float, home: str | None = None) -> list[Candidate]:
    """One candidate for each place the plan admits, with what this call would mean there. `home`: where its prefix was served."""
    ask = call.ask
    tokens, out = ask.input_tokens, ask.expected_output_tokens
    capped = ask.max_output_tokens
    caps_carbon, caps_cost = plan.caps_carbon, plan.caps_cost
    searches = ask.most_searches > 0
    found = []
    for place in plan.prepared.places:
        served = plan.served[place]
        peer = peers[served.name]
        rate, price, intensity = served.rate, served.price, served.intensity
        usd = None if price is None else tokens * price.input_usd + out * price.output_usd + price.request_usd
        usd_high = None
        if caps_cost and price is not None:
            usd_high = price.usd(tokens, 0, 0, capped if capped is not None else plan.ceiling(place) * ask.choices)
        if searches and price is not None and usd is not None:
            least, most = expected(ask, served)
            usd = price.with_searches(usd, least)
            usd_high = None if usd_high is None else price.with_searches(usd_high, most)
        found.append(
            Candidate(
                place=place,
                g=None if rate is None else rate.g(tokens, 0, out),
                g_high=None if rate is None or not caps_carbon else rate.g_high(tokens, 0, out),
                g_per_kwh=None if intensity is None or intensity.assumed else intensity.g_per_kwh,
                usd=usd,
                usd_high=usd_high,
                ttft_s=peer.ttft_s,
                load=peer.inflight / peer.unit,
                affinity=home is not None and served.name == home,
                down=not (peer.breaker.closed or peer.breaker.allows(now_s)),
                full=peer.inflight >= peer.most,
            )
        )
    return found


class Stood(Decision, frozen=True, kw_only=True, gc=False):
    """A decision that is kept, with what its exchanges have in common in the ledger: by what else that depends on; see `contexts.py`."""

    contexts: dict[Any, Any]
    excluded: tuple[tuple[tuple[str], int], ...]
    """How many of its deployments each constraint excluded, as `greenlane_policy_rejections` labels them: counted with every use."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A decision that holds for every like request while all its deployments are up."""

    decision: Decision
    tied: tuple[Candidate, ...]
    """Those that cost the same and meet the same preferences as the first, itself included: among them the less loaded wins."""
    names: frozenset[str]
    """The deployments it speaks of."""
    led: dict[str, Stood]
    """The same led by another of those that are tied, by its name."""


Key = tuple[int, int, int | None, frozenset[str], frozenset[str], str | None, int]


def key_of(ask: Ask) -> Key:
    """What a standing decision depends on, beside the plan."""
    return (ask.input_tokens, ask.expected_output_tokens, ask.max_output_tokens, ask.needs, ask.members, ask.task, ask.choices)


def standing(plan: Plan, ask: Ask, found: list[Candidate], decision: Decision) -> Standing | None:
    """The decision as one to be kept; None where another moment could decide otherwise even if all stay up."""
    order = decision.order
    if (
        not order
        or len(order) + len(decision.rejected) < len(found)
        or any(each.constraint in ("down", "full") for each in decision.rejected)
    ):
        return None
    costs = rounded(plan.prepared.policy.objective.costs(order, ask))
    wished = [wish.met_by(order, ask) for wish in plan.prepared.wishes]
    met = [(each.place.substitute, *hits) for each, *hits in zip(order, *wished, strict=True)]
    tied = tuple(each for each, cost, wishes in zip(order, costs, met, strict=True) if wishes == met[0] and cost == costs[0])
    return Standing(decision=_stood(decision, order), tied=tied, names=frozenset(each.place.name for each in found), led={})


def _stood(decision: Decision, order: tuple[Candidate, ...]) -> Stood:
    counts = Counter((each.constraint.partition(":")[0],) for each in decision.rejected)
    excluded = tuple(counts.items())
    return Stood(order=order, reason=decision.reason, rejected=decision.rejected, unmet=decision.unmet, contexts={}, excluded=excluded)


def recalled(kept: Standing, peers: Mapping[str, Peer], trouble: AbstractSet[str]) -> Decision | None:
    """The kept decision, led by the less loaded of those that cost the same; None while any of its deployments is in `trouble`."""
    if trouble and not trouble.isdisjoint(kept.names):
        return None
    if len(kept.tied) == 1:
        return kept.decision
    first = min(kept.tied, key=lambda each: (peers[each.place.name].load, each.place.order))
    if first is kept.decision.order[0]:
        return kept.decision
    led = kept.led.get(first.place.name)
    if led is None:
        rest = tuple(each for each in kept.decision.order if each is not first)
        led = kept.led[first.place.name] = _stood(kept.decision, (first, *rest))
    return led


def narrowed(decision: Decision, require: Limits, served: Mapping[str, Served]) -> Decision:
    """The decision less those places of which another configuration says what never may be: `require` forbids it of them there."""
    rejected = list(decision.rejected)
    order = []
    for each in decision.order:
        there = served.get(each.place.name)
        constraint = None if there is None else barrier(there.place, require)
        if constraint is None:
            order.append(each)
        else:
            rejected.append(Rejection(deployment=each.place.name, constraint=constraint))
    if len(order) == len(decision.order):
        return decision
    return Decision(order=tuple(order), reason=decision.reason, rejected=tuple(rejected), unmet=decision.unmet)


def held_out(plan: Plan, decision: Decision) -> Decision:
    """The decision led by what would serve without Greenlane, if that is one of its order; what it may not serve, it never does."""
    name = None if plan.baseline is None else plan.baseline.name
    first = next((each for each in decision.order if each.place.name == name), None)
    if first is None:
        return decision
    rest = tuple(each for each in decision.order if each is not first)
    return Decision(order=(first, *rest), reason=HELD, rejected=decision.rejected, unmet=decision.unmet)


def arm_of(plan: Plan, decision: Decision) -> Arm | None:
    """On which side of the holdout a decision is; None: what would serve without Greenlane may not serve this, so nothing was drawn."""
    if decision.reason == HELD:
        return "held"
    name = None if plan.baseline is None else plan.baseline.name
    return "free" if any(each.place.name == name for each in decision.order) else None


class Affinity:
    """Where a prompt's beginning was served last, so that its prefix cache is met again. Bounded; never across teams."""

    __slots__ = ("_homes",)

    def __init__(self) -> None:
        self._homes: OrderedDict[tuple[str | None, str, int], str] = OrderedDict()

    def home(self, team: str | None, model: str, prompt: bytes) -> str | None:
        """The deployment that saw the longest known beginning of this prompt."""
        for length in _LENGTHS:
            if len(prompt) > length:
                found = self._homes.get((team, model, hash(prompt[:length])))
                if found is not None:
                    return found
        return None

    def remember(self, team: str | None, model: str, prompt: bytes, deployment: str) -> None:
        homes = self._homes
        for length in _LENGTHS:
            if len(prompt) > length:
                key = (team, model, hash(prompt[:length]))
                homes[key] = deployment
                homes.move_to_end(key)
        while len(homes) > AFFINITIES:
            homes.popitem(last=False)
