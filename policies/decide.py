"""From an ask and its candidates to a decision. `prepare` settles what no request changes; `Prepared.decide` is the hot path."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import itemgetter
from typing import NamedTuple

import msgspec

from policies import constraints
from policies._base import Ask, Candidate, Decision, Limits, Place, Policy, Rejection, Substitution
from policies._score import UNKNOWN, Key, missed, ranked, rounded
from policies.constraints import Check

REFUSED = "refused"
_UNWISHED = itemgetter(1, 2, 3)
"""What of a key decides where nobody prefers anything."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What any of the places cannot do: a request that asks for none of it fits them all, and none is looked at for it."""

    lacks: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    admits: frozenset[str] | None = None
    """What all of them admit; None: they admit everything."""
    context_tokens: int | None = None
    max_output_tokens: int | None = None

    @classmethod
    def of(cls, places: Sequence[Place]) -> Needs:
        admits = [place.admits for place in places if place.admits is not None]
        return cls(
            lacks=frozenset().union(*(place.lacks for place in places)),
            refuses=frozenset().union(*(place.refuses for place in places)),
            admits=frozenset.intersection(*admits) if admits else None,
            context_tokens=min((place.context_tokens for place in places if place.context_tokens is not None), default=None),
            max_output_tokens=min((place.max_output_tokens for place in places if place.max_output_tokens is not None), default=None),
        )

    def fit(self, ask: Ask) -> bool:
        """Whether `constraints.unfit` would pass all of the places. False may be a false alarm, True never is."""
        return (
            self.lacks.isdisjoint(ask.needs)
            and self.refuses.isdisjoint(ask.members)
            and (self.admits is None or ask.members <= self.admits)
            and (self.context_tokens is None or constraints.window_tokens(ask) <= self.context_tokens)
            and (self.max_output_tokens is None or constraints.choice_tokens(ask) <= self.max_output_tokens)
        )


class Field(NamedTuple):
    """Who competes, who waits behind them, and whether substitutes may serve this request at all."""

    compete: Sequence[Candidate]
    behind: Sequence[Candidate] = ()
    may_substitute: bool = True


class Prepared(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A policy over the places of one model (its own deployments and its substitutes). Made by `prepare`, once a configuration."""

    policy: Policy
    given: tuple[Place, ...]
    places: tuple[Place, ...]
    """Those that nothing constant excludes, in the order of the configuration: make candidates for these."""
    rejected: tuple[Rejection, ...]
    """Those that are excluded whatever the request."""
    rank: Mapping[Place, int]
    needs: Needs
    by_task: tuple[Check, ...]
    """`min_quality`, where a place's quality depends on the task."""
    demands: tuple[Check, ...]
    """What is left of `require` for each request: the caps."""
    wishes: tuple[Check, ...]
    has_own: bool
    has_substitutes: bool

    def decide(self, ask: Ask, candidates: Sequence[Candidate]) -> Decision:
        """Order these candidates. Pure: the same input gives the same decision, in whatever order the candidates come.

        Raises ValueError rather than order a candidate of a place that is not one of `places`: it never passed the barrier.
        """
        eligible, rejected = self._eligible(ask, candidates)
        up = [candidate for candidate in eligible if not (candidate.down or candidate.full)]
        try:
            field = self._field(ask, eligible, up) if self.has_substitutes else Field(up)
            misses, unmet = missed(self.wishes, field.compete, ask)
            costs = rounded(self.policy.objective.costs(field.compete, ask))
            keys = ranked(field.compete, misses, costs, self.rank)
            behind = self._order(ask, field.behind) if field.behind else ()
        except KeyError as foreign:
            raise ValueError(f"policy {self.policy.name!r} was prepared for other places") from foreign
        leading = [field.compete[key[-1]] for key in keys]
        if not leading:
            reason = REFUSED
        elif leading[0].place.substitute:
            reason = _stood_in(eligible)
        else:
            reason = self._reason(leading, keys, unmet)
        order = (*leading, *behind)
        if len(order) < len(eligible):
            rejected += _without_capacity(eligible, order, may_substitute=field.may_substitute)
        return Decision(
            order=order,
            reason=reason,
            rejected=(*self.rejected, *rejected) if rejected else self.rejected,
            unmet=unmet if leading else (),
        )

    def with_request(self, require: Limits, prefer: Limits, substitute: Substitution | None = None) -> Prepared:
        """The same for one request that tightens `require`, has preferences of its own or declines substitutes (`never`).

        Any other `substitute` changes nothing: a request cannot ask for more. Where many requests say the same, keep the result.
        """
        policy = msgspec.structs.replace(
            self.policy,
            require=constraints.tighten(self.policy.require, require),
            prefer=constraints.nearest(self.policy.prefer, prefer),
            substitute="never" if substitute == "never" else self.policy.substitute,
        )
        return prepare(policy, self.given)

    def _eligible(self, ask: Ask, candidates: Sequence[Candidate]) -> tuple[Sequence[Candidate], list[Rejection]]:
        left: Sequence[Candidate] = candidates
        rejected: list[Rejection] = []
        for check in self.by_task:
            left, failed = _sifted(left, check, ask)
            rejected += failed
        if not self.needs.fit(ask):
            wanting = [constraints.unfit(candidate.place, ask) for candidate in left]
            rejected += [Rejection(each.place.name, what) for each, what in zip(left, wanting, strict=True) if what is not None]
            left = [each for each, what in zip(left, wanting, strict=True) if what is None]
        for check in self.demands:
            left, failed = _sifted(left, check, ask)
            rejected += failed
        return left, rejected

    def _field(self, ask: Ask, eligible: Sequence[Candidate], up: Sequence[Candidate]) -> Field:
        mode = self.policy.substitute
        if mode == "any":
            return Field(up)
        own = [candidate for candidate in up if not candidate.place.substitute]
        if mode == "never":
            return Field(own, may_substitute=False)
        others = [candidate for candidate in up if candidate.place.substitute]
        if own:
            better = self._better(ask, own, others)
            return Field(own + better, [candidate for candidate in others if candidate not in better])
        # Own deployments that this request may not use are not a lack of capacity: nobody asked for another model then.
        if self.has_own and all(candidate.place.substitute for candidate in eligible):
            return Field((), may_substitute=False)
        return Field(others)

    def _better(self, ask: Ask, own: Sequence[Candidate], others: Sequence[Candidate]) -> list[Candidate]:
        """Return the substitutes that are strictly greener (or cheaper) than the own deployment that would serve. Unknown is not."""
        if not others or self.policy.substitute not in {"greener", "cheaper"}:
            return []
        quantity = "g" if self.policy.substitute == "greener" else "usd"
        to_beat, *offers = rounded([getattr(each, quantity) for each in (self._order(ask, own)[0], *others)])
        return [candidate for candidate, offer in zip(others, offers, strict=True) if offer < to_beat < UNKNOWN]

    def _order(self, ask: Ask, group: Sequence[Candidate]) -> list[Candidate]:
        misses, _ = missed(self.wishes, group, ask)
        keys = ranked(group, misses, rounded(self.policy.objective.costs(group, ask)), self.rank)
        return [group[key[-1]] for key in keys]

    def _reason(self, leading: Sequence[Candidate], keys: Sequence[Key], unmet: Sequence[str]) -> str:
        if unmet:
            return "preference-unmet"
        if len(leading) == 1:
            return "only"
        misses, cost = keys[0][:2]
        if keys[-1][0] > misses:
            if min(keys, key=_UNWISHED)[0] > misses:
                return "preferred"
            leading = leading[: bisect_left(keys, (misses + 1,))]
        return "least-loaded" if cost == UNKNOWN else self.policy.objective.reason(leading)


def _sifted(group: Sequence[Candidate], check: Check, ask: Ask) -> tuple[Sequence[Candidate], list[Rejection]]:
    met = check.met_by(group, ask)
    if False not in met:
        return group, []
    rejected = [Rejection(candidate.place.name, check.name) for candidate, good in zip(group, met, strict=True) if not good]
    return list(compress(group, met)), rejected


def _stood_in(eligible: Sequence[Candidate]) -> str:
    """Why a substitute comes first: own deployments are full, or are down, or it is better and the policy lets it compete."""
    own = [candidate for candidate in eligible if not candidate.place.substitute]
    overflows = all(candidate.down or candidate.full for candidate in own) and any(candidate.full for candidate in own)
    return "overflow" if overflows else "substituted"


def _without_capacity(eligible: Sequence[Candidate], order: Sequence[Candidate], *, may_substitute: bool) -> list[Rejection]:
    kept = set(map(id, order))
    return [
        Rejection(
            candidate.place.name,
            "substitute" if candidate.place.substitute and not may_substitute else "down" if candidate.down else "full",
        )
        for candidate in eligible
        if id(candidate) not in kept
    ]


def prepare(policy: Policy, places: Iterable[Place]) -> Prepared:
    """Apply everything that no request changes: privacy, regions, retention, and quality where it is the same for every task."""
    given = tuple(sorted(places, key=lambda place: (place.order, place.name)))
    admitted: list[Place] = []
    rejected: list[Rejection] = []
    for place in given:
        failed = constraints.barrier(place, policy.require) or constraints.poor(place, policy.require)
        if failed is None:
            admitted.append(place)
        else:
            rejected.append(Rejection(place.name, failed))
    active = constraints.checks(policy.require)
    told_apart = any(place.quality_by_task for place in admitted)
    return Prepared(
        policy=policy,
        given=given,
        places=tuple(admitted),
        rejected=tuple(rejected),
        rank={place: position for position, place in enumerate(admitted)},
        needs=Needs.of(admitted),
        by_task=tuple(check for check in active if told_apart and check.name == "min_quality"),
        demands=tuple(check for check in active if check.name not in constraints.SETTLED),
        wishes=constraints.checks(policy.prefer),
        has_own=any(not place.substitute for place in given),
        has_substitutes=any(place.substitute for place in admitted),
    )


def decide(ask: Ask, candidates: Sequence[Candidate], policy: Policy) -> Decision:
    """`prepare` and `decide` at once, for where speed does not matter: `greenlane route`, tests."""
    prepared = prepare(policy, (candidate.place for candidate in candidates))
    return prepared.decide(ask, [candidate for candidate in candidates if candidate.place in prepared.rank])
