"""`greenlane route`: a decision explained by the code that decides, without sending anything.

Loads, breakers and observed latencies are those of a proxy that has just started; grids are those of the shipped table, since nothing is
asked of anybody.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters._base import AdapterError
from carbon.sources.static import Static
from policies._base import Candidate
from proxy.access import ANYONE
from proxy.catalogue import Secrets, grant_for, snapshot
from proxy.config import Config, Deployment
from proxy.configuration import version
from proxy.dataplane.admit import Admission
from proxy.dataplane.ask import read
from proxy.dataplane.candidates import candidates
from proxy.dataplane.operations import OPERATIONS
from proxy.dataplane.peer import peers
from proxy.dataplane.refusals import no_candidate
from proxy.dataplane.wishes import sent_in
from proxy.errors import Refusal
from proxy.telemetry.metrics import Metrics
from proxy.upstream._base import Receiver, Request, Sending, Upstream


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment of the order, with its forecast. Unknown is null."""

    deployment: str
    model: str
    zone: str | None
    privacy: str
    g_per_kwh: float | None
    g: float | None
    g_high: float | None
    usd: float | None
    usd_high: float | None
    ttft_s: float | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    policy: str
    reason: str
    order: list[Choice]
    rejected: list[dict[str, str]]
    unmet: list[str]
    message: str | None = None
    """Why nothing may serve, where the order is empty."""


def route(
    config: Config, *, model: str, headers: Mapping[str, str], input_tokens: int, max_tokens: int | None, key: str | None = None
) -> Explanation:
    """What a chat completion of that size would be told, with the key of that name in the configuration; None: one of no team.

    A model or a wish that is wrong is told in `message`.
    """
    grant = ANYONE if key is None else grant_for(key, config)
    made = snapshot(config, Secrets(api_keys={}, keys={}), Static(basis=config.carbon.basis).table(), version(config))
    body = msgspec.json.encode({"model": model, "messages": [], **({} if max_tokens is None else {"max_tokens": max_tokens})})
    sent = {name.encode(): value.encode() for name, value in headers.items()}
    try:
        call = read(body, b"application/json", OPERATIONS[b"/v1/chat/completions"], sent_in(sent), (made, grant))
    except (Refusal, AdapterError) as error:
        return Explanation(model=model, policy="", reason="refused", order=[], rejected=[], unmet=[], message=error.message)
    call = msgspec.structs.replace(call, ask=msgspec.structs.replace(call.ask, input_tokens=input_tokens))
    plan = made.plan("chat", call.member, grant, call.wishes.policy)
    if call.wishes.limited:
        plan = plan.tightened(call.wishes.require, call.wishes.prefer, call.wishes.substitute)
    plan = msgspec.structs.replace(plan, caps_carbon=True, caps_cost=True)
    fleet = peers(made, {}, Metrics(), _nothing)
    decision = plan.prepared.decide(call.ask, candidates(call, plan, fleet, 0.0))
    message = None
    if not decision.order:
        nobody = Admission(entry_id="", request_id="", headers={}, grant=ANYONE, snapshot=made)
        message = no_candidate(call, plan, decision, nobody, fleet, 0.0).message
    return Explanation(
        model=call.member.name,
        policy=plan.policy,
        reason=decision.reason,
        order=[_choice(each, plan.served[each.place].settings, plan.served[each.place].intensity) for each in decision.order],
        rejected=[{"deployment": each.deployment, "constraint": each.constraint} for each in decision.rejected],
        unmet=list(decision.unmet),
        message=message,
    )


def _choice(candidate: Candidate, settings: Deployment, intensity: object) -> Choice:
    return Choice(
        deployment=candidate.place.name,
        model=candidate.place.model,
        zone=getattr(intensity, "zone", None),
        privacy=settings.privacy,
        g_per_kwh=candidate.g_per_kwh,
        g=candidate.g,
        g_high=candidate.g_high,
        usd=candidate.usd,
        usd_high=candidate.usd_high,
        ttft_s=candidate.ttft_s,
    )


class _Nowhere:
    """An upstream that is never asked."""

    inflight = 0

    def send(self, request: Request, receiver: Receiver) -> Sending:  # noqa: ARG002
        raise AssertionError("an explanation sends nothing")

    def close(self) -> None: ...


def _nothing(deployment: Deployment, config: Config) -> Upstream:  # noqa: ARG001 - what a peer is made with
    return _Nowhere()
