"""What an exchange's ledger row shares with others: worked out once, then found again by what it depends on."""

from __future__ import annotations

from typing import Any

from carbon.footprint import Footprint
from carbon.shipped import DATA_VERSION, SPEC_VERSION
from policies._base import Decision
from proxy import __version__
from proxy.dataplane.call import Call
from proxy.dataplane.candidates import Arm, Stood
from proxy.records import Context, Counterfactual, Inputs, sample_of
from proxy.snapshot import Served, Snapshot
from proxy.store.codec import encode, identified, text
from proxy.store.spool import Preface

MOST = 1024
"""Contexts kept beside those of standing decisions. Orders that come in any sequence (least loaded of twenty) would be without end:
when it is full, they go into the rows instead."""
Rejected = tuple[tuple[str, str], ...]


class Shared(Preface):
    """A context as rows name it. `whole`: the decision's order and whom it rejected are in it."""

    __slots__ = ("id", "whole")

    def __init__(self, context: Context, *, whole: bool) -> None:
        super().__init__(encode(context))
        self.id = context.id
        self.whole = whole


class Contexts:
    """All of a process, of the configuration in force."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._by_key: dict[Any, Shared] = {}
        self._by_id: dict[int, Shared] = {}

    def of(
        self,
        snapshot: Snapshot,
        call: Call | None,
        served: Served | None,
        footprint: Footprint,
        by: tuple[Decision | None, str, str | None, Served | None, float, Arm | None],
    ) -> Shared:
        """The context of an exchange decided `by` a decision, for a reason, under a policy, compared with a counterfactual, by a router
        that takes so many joules, on one side of a holdout or the other.
        """
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._by_key.clear()
            self._by_id.clear()
        decision, reason, policy, baseline, router_j, holdout = by
        order: tuple[str, ...] | None
        rejected: Rejected | None
        order, rejected = names(decision)
        model, api, stream = (None, "", False) if call is None else (call.member.name, call.operation.api, call.ask.stream)
        of_served = served is not None and footprint.intensity is served.intensity
        # a footprint's own intensity is compared by its values, a deployment's by the deployment
        intensity = None if of_served else footprint.intensity
        unmet = () if decision is None else decision.unmet
        quality = (footprint.method, footprint.confidence, footprint.warnings)
        about = (api, stream, model, served, policy, reason, unmet, *quality, intensity, baseline, router_j, holdout)
        key: Any = (*about, order, rejected)
        found = self._by_key.get(key)
        if found is None and len(self._by_key) >= MOST and not isinstance(decision, Stood):
            order = rejected = None
            key = (*about, None, None)
            found = self._by_key.get(key)
        if found is not None:
            return found
        made = _context(snapshot, about, served, footprint, (order, rejected))
        if len(self._by_key) >= 2 * MOST:
            self._by_key.clear()
            self._by_id.clear()
        shared = self._by_id.get(made.id)
        if shared is None:
            shared = self._by_id[made.id] = Shared(made, whole=order is not None)
        self._by_key[key] = shared
        return shared


def _context(
    snapshot: Snapshot,
    about: tuple[Any, ...],
    served: Served | None,
    footprint: Footprint,
    decided: tuple[tuple[str, ...] | None, Rejected | None],
) -> Context:
    api, stream, model, _, policy, reason, unmet, *_, baseline, router_j, holdout = about
    intensity = footprint.intensity
    inputs = Inputs(
        intensity=None if intensity is None else sample_of(intensity),
        marginal=None if served is None or served.marginal is None else sample_of(served.marginal),
        profile=None if served is None else served.profile,
        order=decided[0],
        rejected=decided[1],
        unmet=unmet,
        warnings=footprint.warnings,
        counterfactual=None if baseline is None else _counterfactual(snapshot, served, baseline),
        router_j=None if served is None else router_j,
        router_g=None if served is None else router_j * snapshot.router_g_per_j,
        holdout=holdout,
        spec_version=SPEC_VERSION,
    )
    return identified(
        Context(
            0,
            api,
            stream,
            model,
            None if served is None else served.model,
            None if served is None else served.name,
            policy,
            reason,
            footprint.method,
            footprint.confidence,
            None if intensity is None else intensity.zone,
            None if intensity is None else intensity.g_per_kwh,
            snapshot.version,
            DATA_VERSION,
            __version__,
            text(inputs),
        )
    )


def names(decision: Decision | None) -> tuple[tuple[str, ...], Rejected]:
    """Whom a decision lists and whom it rejected."""
    if decision is None:
        return (), ()
    return tuple([each.place.name for each in decision.order]), tuple([(each.deployment, each.constraint) for each in decision.rejected])


def _counterfactual(snapshot: Snapshot, served: Served | None, baseline: Served) -> Counterfactual:
    stated = snapshot.config.models.get(baseline.model)
    another = served is None or served.model != baseline.model
    return Counterfactual(
        deployment=baseline.name,
        model=baseline.model,
        profile=baseline.profile,
        intensity=None if baseline.intensity is None else sample_of(baseline.intensity),
        marginal=None if baseline.marginal is None else sample_of(baseline.marginal),
        output_tokens=stated.expected_output_tokens if another and stated is not None else None,
    )
