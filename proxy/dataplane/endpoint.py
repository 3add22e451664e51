"""The journey of an inference request, top to bottom: admit, ask, candidates, decision, attempt, relay, settle.

Each step turns one immutable value into the next; every error before the commit point becomes an answer in the client's dialect.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from random import random
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from adapters._base import AdapterError
from policies._base import Ask, Candidate, Decision
from policies.constraints import barrier, strictest
from proxy.config import Limits
from proxy.dataplane import answer
from proxy.dataplane.admit import Admission, admit, admit_again, greet
from proxy.dataplane.ask import read, through_hub
from proxy.dataplane.attempt import Journey, Tried, Way, attempt
from proxy.dataplane.call import PROMPT, Call
from proxy.dataplane.candidates import Affinity, Key, candidates, held_out, key_of, narrowed, recalled, standing
from proxy.dataplane.carriage import Hub
from proxy.dataplane.continuity import Continuity, Look
from proxy.dataplane.counting import Counter
from proxy.dataplane.finish import Finish
from proxy.dataplane.kept import FREE, Kept
from proxy.dataplane.operations import Operation, canonical, operation_of
from proxy.dataplane.peer import Peer
from proxy.dataplane.refusals import body_of, no_candidate, preflight
from proxy.dataplane.settle import NOTHING, Ending, Settler
from proxy.dataplane.steps import Steps
from proxy.dataplane.waiting import WaitingRoom
from proxy.errors import Refusal
from proxy.exchange import Exchange, date_line
from proxy.snapshot import Plan, Snapshot
from proxy.telemetry.metrics import Metrics

log = logging.getLogger("greenlane.endpoint")
STANDING = 2048
"""Decisions kept a plan."""
STOOD = 65_536
"""Candidates in all of them together, at some 400 bytes: every key of every model has a plan of its own."""
TURNS = 4096
"""Sets of deployments whose turns are counted."""
MEMBERS = 40
"""A request with more members than any API has is decided by itself."""
QUEUE_S = 60.0
"""A request waits for a free place as long as it would wait for a first byte."""


_NOBODY: frozenset[str] = frozenset()
COUNTED_INSTEAD = frozenset({"model_not_found", "no_eligible_deployment", "unsupported_parameter", "unavailable"})
"""Why no deployment counts a request's tokens: it is done here then."""


class Around(NamedTuple):
    """What the data plane asks of the process around it."""

    accepting: Callable[[], bool]
    """Whether the ledger's spool has room for new work."""
    look: Look
    """The ledger's answer to who made a response."""
    now: Callable[[], datetime]


class DataPlane:
    """Answers the inference routes. Holds what changes at run time: the snapshot in force, the peers, who waits."""

    def __init__(self, snapshot: Snapshot, peers: dict[str, Peer], settler: Settler, metrics: Metrics, around: Around) -> None:
        self.snapshot = snapshot
        self.peers = peers
        self.limits: Limits = snapshot.config.limits
        self.counter = Counter()
        self.settler = settler
        self.metrics = metrics
        self.waiting = WaitingRoom(self.limits.queue)
        self.affinity = Affinity()
        self.inflight = 0
        self.trouble: set[str] = set()
        """Deployments that are down or full."""
        self._around = around
        self.continuity = Continuity(around.look)
        self.budgets = settler.budgets
        self.kept = Kept(self.limits.kept_responses_bytes)
        self.finish = Finish(settler, self.counter, self.kept)
        self._turns: dict[tuple[str, frozenset[str]], int] = {}
        self._among: dict[str, frozenset[str]] = {}
        """Who competed last for a model's requests."""
        self._stood = 0
        """Candidates in the decisions kept since they were last forgotten."""
        self._way = self._way_of(snapshot, peers)
        self._peers = weakref.WeakKeyDictionary[Snapshot, Mapping[str, Peer]]({snapshot: peers})
        self._errors = metrics.numbers("greenlane_upstream_errors")

    def swap(self, snapshot: Snapshot, peers: dict[str, Peer]) -> None:
        """From now on requests begin under this snapshot; those under way keep theirs."""
        self._peers[snapshot] = peers
        self.snapshot, self.peers, self.limits = snapshot, peers, snapshot.config.limits
        self._stood = 0
        self._way = self._way_of(snapshot, peers)
        self.waiting.limit = self.limits.queue
        self.kept.shrink(self.limits.kept_responses_bytes)

    # what the connection asks for: proxy.gateway.Gateway

    def route(self, method: bytes, path: bytes) -> Operation | None:
        operation = operation_of(path)
        if operation is None and method == b"OPTIONS":
            return PREFLIGHT
        return operation

    def canonical(self, path: bytes) -> bytes:
        return canonical(path)

    def admit(self, exchange: Exchange, operation: Operation | None) -> None:
        greeted = greet(exchange, self.snapshot)
        exchange.notes = greeted
        if operation is None:
            admit(greeted)
            return
        if exchange.method == b"OPTIONS":
            return
        if exchange.method != b"POST":
            raise Refusal(405, "method_not_allowed", "This path takes POST.", headers=b"allow: POST, OPTIONS\r\n")
        exchange.notes = admit(greeted)
        if operation.api and not self._around.accepting():
            raise Refusal(503, "unavailable", "The ledger cannot take more entries at the moment.", headers=b"retry-after: 5\r\n")

    def memo(self, notes: Any, fields: Mapping[bytes, bytes]) -> Any:
        return msgspec.structs.replace(notes, headers=fields, kinds=[])

    def admit_again(self, exchange: Exchange, notes: Any) -> bool:
        """Lets in a request with the head of one that was, as `notes` say; False where it must be looked at anew."""
        if notes.snapshot is not self.snapshot or not self._around.accepting():
            return False
        exchange.notes = admit_again(notes, exchange.fields)
        return True

    def serve(self, exchange: Exchange) -> None:
        if exchange.method == b"OPTIONS":
            exchange.respond(204, preflight(exchange.notes, inference=bool(operation_of(exchange.path))), b"")
            return
        Steps(self._journey(exchange, exchange.notes, exchange.state))()

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        admission = exchange.notes or greet(exchange, self.snapshot)
        operation = exchange.state if isinstance(exchange.state, Operation) else operation_of(exchange.path)
        self.metrics.add("greenlane_requests", ("", "", "", str(refusal.status)))
        head = answer.refused(admission) + answer.claude_id(operation, admission)
        exchange.respond(
            refusal.status,
            head + refusal.headers + b"content-type: application/json\r\n",
            body_of(operation, refusal, admission.request_id),
        )

    def adorn(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        greeted = greet(exchange, self.snapshot)
        exchange.notes = greeted
        lines = answer.refused(greeted).replace(b"x-greenlane-reason: refused", b"x-greenlane-reason: control") + date_line()
        found = [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n") if line]
        return [(name, value) for name, value in found]

    # the journey

    async def _journey(self, exchange: Exchange, admission: Admission, operation: Operation) -> None:
        self.inflight += 1
        call: Call | None = None
        try:
            call = self._read(exchange, admission, operation)
            plan = self._plan(call, admission)
            hub = Hub(call, admission.entry_id, kept=operation.api == "responses" and self._keeps(call, plan))
            if plan.translates and operation.api != "chat":
                call = self._through_hub(call, plan, hub)
            key, decision = self._standing(call, plan, admission)
            if decision is None:
                decision = await self._decide(exchange, call, plan, admission, key)
                if decision is None:
                    return
            elif decision.rejected:
                self.settler.rejections(decision)
            if plan.holdout and random() < plan.holdout:  # noqa: S311 - a sample, not a secret
                decision = held_out(plan, decision)
            way, snapshot = self._way, admission.snapshot
            if snapshot is not self.snapshot:
                way, decision = self._way_of(snapshot, self._peers_of(snapshot)), self._still(call, plan, admission, decision)
            journey = Journey(exchange=exchange, admission=admission, call=call, plan=plan, decision=decision, hub=hub)
            self._finished(journey, await attempt(journey, way))
        except Refusal as refusal:
            self._refused(exchange, admission, call, refusal)
        except AdapterError as error:
            self._refused(exchange, admission, call, Refusal(error.status, error.code, error.message, param=error.param))
        except Exception:
            log.exception("a request failed inside the proxy (%s)", admission.entry_id)
            if not exchange.started:
                self._refused(exchange, admission, call, Refusal(500, "internal_error", "Something went wrong in the proxy."))
            elif not exchange.ended:
                exchange.abort()
        finally:
            self.inflight -= 1

    def _read(self, exchange: Exchange, admission: Admission, operation: Operation) -> Call:
        headers = admission.headers
        coding = headers.get(b"content-encoding")
        body = exchange.body if coding in (None, b"identity") else inflated(exchange.body, coding or b"", self.limits.body_bytes)
        exchange.body = b""
        to, content_type = (admission.snapshot, admission.grant), headers.get(b"content-type", b"")
        if operation.api != "responses":
            return read(body, content_type, operation, admission.sent, to, admission.kinds)
        body, continued = self.kept.resolved(None if admission.grant is None else admission.grant.team, body)
        call = read(body, content_type, operation, admission.sent, to, admission.kinds)
        if continued.under != FREE:
            # never relaxed, nor by the request after it: the earlier words go where they might go then
            tight = msgspec.structs.replace(call.wishes, require=strictest(call.wishes.require, continued.under))
            call = msgspec.structs.replace(call, wishes=tight)
        if continued.response_id is None:
            return call
        return msgspec.structs.replace(call, continued=continued, previous_response_id=continued.response_id)

    def _keeps(self, call: Call, plan: Plan) -> bool:
        declined = bytes(call.members.get("store", b"true")) == b"false" or plan.prepared.policy.require.zero_retention
        return bool(self.kept.most_bytes) and not declined

    def _plan(self, call: Call, admission: Admission) -> Plan:
        grant = admission.grant
        if grant is not None and grant.budget is not None and grant.team is not None:
            self.budgets.check(grant.team, grant.budget, self._around.now())
        if grant is None:
            raise Refusal(401, "invalid_api_key", "No API key was given.")
        plan = admission.snapshot.plan(call.operation.api, call.member, grant, call.wishes.policy)
        wishes = call.wishes
        return plan.tightened(wishes.require, wishes.prefer, wishes.substitute) if wishes.limited else plan

    def _standing(self, call: Call, plan: Plan, admission: Admission) -> tuple[Key | None, Decision | None]:
        """What a decision for this call is kept under, if it can be, and the one that is kept and holds."""
        if not plan.constant or call.previous_response_id is not None or call.ask.most_searches or len(call.ask.members) > MEMBERS:
            return None, None
        key = key_of(call.ask)
        kept = plan.standing.get(key)
        return key, None if kept is None else recalled(kept, self._peers_of(admission.snapshot), self.trouble)

    async def _decide(self, exchange: Exchange, call: Call, plan: Plan, admission: Admission, key: Key | None) -> Decision | None:
        """The decision, kept under its key; waits while everything is full. None: the client left meanwhile."""
        peers = self._peers_of(admission.snapshot)
        home = None
        if call.previous_response_id is not None:
            team = admission.grant.team if admission.grant else None
            home = call.continued.home
            if home is None:
                home = await asyncio.get_running_loop().create_task(self.continuity.home(team, call.previous_response_id))
            if exchange.gone:
                self._gone(exchange, admission, call, plan)
                return None
        began_s, place = perf_counter(), None
        while True:
            found = candidates(call, plan, peers, perf_counter(), self._home(call, plan, admission))
            if home is not None:
                there = [each for each in found if each.place.name == home]
                # what is kept here goes with the request: where its deployment may not serve this one, others may
                found = there if there or call.continued.home is None else found
            decision = self._in_turn(call, plan, found) if plan.turns else plan.prepared.decide(call.ask, found)
            if decision.rejected:
                self.settler.rejections(decision)
            if place is not None and not (decision.order and decision.order[0].place.name == place.name):
                self.waiting.freed(place)  # of no use here: whoever is next must look too
            if decision.order:
                # a plan of one request's own wishes goes with it
                self._keep(plan, call.ask, None if call.wishes.limited else key, found, decision)
                return decision
            busy = frozenset(each.deployment for each in decision.rejected if each.constraint == "full")
            left_s = QUEUE_S - (perf_counter() - began_s)
            if busy and left_s > 0 and not (self.waiting.full and place is None):
                place = await self.waiting.wait(busy, left_s, partial(_when_gone, exchange), again=place is not None)
                exchange.on_gone = None
                if exchange.gone and not exchange.cut:
                    if place is not None:
                        self.waiting.freed(place)
                    self._gone(exchange, admission, call, plan)
                    return None
                if place is not None:
                    continue
            refusal = no_candidate(call, plan, decision, admission, peers, perf_counter())
            refusal.policy, refusal.decision = plan.policy, decision
            raise refusal

    def _still(self, call: Call, plan: Plan, admission: Admission, decision: Decision) -> Decision:
        """The decision of a request that a reload overtook: it ends under its own configuration, but nothing private follows it to a place
        that is private no longer. Raises Refusal where none is left.
        """
        left = narrowed(decision, plan.prepared.policy.require, self.snapshot.served)
        peers = self._peers_of(admission.snapshot)
        if not left.order or left.order[0] is not decision.order[0]:
            self.waiting.freed(peers[decision.order[0].place.name])  # whoever waits for it may still go there
        if left.order:
            return left
        refusal = no_candidate(call, plan, left, admission, peers, perf_counter())
        refusal.policy, refusal.decision = plan.policy, left
        raise refusal

    def _keep(self, plan: Plan, ask: Ask, key: Key | None, found: list[Candidate], decision: Decision) -> None:
        """Keeps the decision for like requests, if it will hold for them."""
        if key is None:
            return
        if len(plan.standing) >= STANDING:
            plan.standing.clear()
        kept = standing(plan, ask, found, decision)
        if kept is None:
            return
        self._stood += 2 + len(found)  # what a decision takes beside them is as much as two
        if self._stood > STOOD:
            self._stood = 0
            for each in self.snapshot.plans.values():
                each.standing.clear()
        plan.standing[key] = kept

    def _through_hub(self, call: Call, plan: Plan, hub: Hub) -> Call:
        """The call with what its translation will need. Raises AdapterError where it cannot be translated and nobody takes it as it is."""
        try:
            return through_hub(call, hub.request())
        except AdapterError as error:
            if all(call.operation.api not in served.identity for served in plan.served.values()):
                raise
            # those that speak the client's dialect may still take it; for the others the member at fault stands in the way
            ask = msgspec.structs.replace(call.ask, members=call.ask.members | {error.param or call.operation.api})
            return msgspec.structs.replace(call, ask=ask)

    def _way_of(self, snapshot: Snapshot, peers: Mapping[str, Peer]) -> Way:
        limits = snapshot.config.limits
        return Way(
            peers=peers,
            commit=self.finish.commit,
            failed=self._count_failure,
            freed=self.waiting.freed,
            room=self._room,
            forbids=self._forbids,
            trouble=self.trouble,
            answer_bytes=limits.answer_bytes,
        )

    async def _room(self, exchange: Exchange, peers: Mapping[str, Peer]) -> str | None:
        """The name of the one of these that has a place: to be taken before anything is awaited. None: none in time, or the client left."""
        end_s, again = perf_counter() + QUEUE_S, False
        while not self.waiting.full or again:
            place = await self.waiting.wait(peers.keys(), end_s - perf_counter(), partial(_when_gone, exchange), again=again)
            exchange.on_gone = None
            if place is None:
                break
            over = exchange.gone or exchange.cut
            if place is peers[place.name] and not over:
                return place.name
            # whoever is next must look; after a reload another may bear the name
            self.waiting.freed(place)
            if over:
                break
            again = True
        return None

    def _forbids(self, plan: Plan, candidate: Candidate) -> bool:
        there = self.snapshot.served.get(candidate.place.name)
        return there is not None and barrier(there.place, plan.prepared.policy.require) is not None

    def _finished(self, journey: Journey, tried: Tried) -> None:
        """Ends the exchange as its attempts ended. Raises where there was none."""
        call, admission = journey.call, journey.admission
        if tried.served is None:
            raise tried.unexpressed or Refusal(503, "unavailable", "Every deployment is down.", headers=b"retry-after: 5\r\n")
        if not journey.plan.constant:
            # where the order follows from the request's size, nobody asks for it
            self._remember(call, journey.plan, admission, tried)
        if call.operation.api == "responses" and tried.response_id is not None and admission.grant is not None:
            self.continuity.remember(admission.grant.team, tried.response_id, tried.served.name)
        self.finish.finish(journey, tried)

    def _peers_of(self, snapshot: Snapshot) -> Mapping[str, Peer]:
        """The peers a snapshot was made with: a reload makes new ones beside them."""
        return self.peers if snapshot is self.snapshot else self._peers.get(snapshot, self.peers)

    def _in_turn(self, call: Call, plan: Plan, found: list[Candidate]) -> Decision:
        """The decision at the turn of those who compete: each set of deployments of a model has a counter.

        Who competes is known from the decision alone, so it is made for those of the last one, and again where they are others.
        """
        among = self._among.get(call.member.name, _NOBODY)
        decision = self._at_turn(call, plan, found, among)
        competing = frozenset([each.place.name for each in decision.order])
        if competing != among:
            decision = self._at_turn(call, plan, found, competing)
        if competing:
            self._among[call.member.name] = competing
            key = (call.member.name, competing)
            turn = self._turns.get(key, 0)
            if len(self._turns) >= TURNS:
                self._turns.clear()
            self._turns[key] = turn + 1
        return decision

    def _at_turn(self, call: Call, plan: Plan, found: list[Candidate], among: frozenset[str]) -> Decision:
        turn = self._turns.get((call.member.name, among), 0)
        return plan.prepared.decide(msgspec.structs.replace(call.ask, turn=turn) if turn else call.ask, found)

    def _home(self, call: Call, plan: Plan, admission: Admission) -> str | None:
        prompt = None if len(plan.prepared.places) < 2 else _beginning(call)
        if prompt is None or admission.grant is None:
            return None
        return self.affinity.home(admission.grant.team, call.member.name, prompt)

    def _remember(self, call: Call, plan: Plan, admission: Admission, tried: Tried) -> None:
        prompt = None if len(plan.prepared.places) < 2 else _beginning(call)
        if prompt is None or tried.served is None or admission.grant is None:
            return
        self.affinity.remember(admission.grant.team, call.member.name, prompt, tried.served.name)

    def _count_failure(self, peer: Peer, kind: str) -> None:
        labels = (peer.name, peer.served.model, kind)
        self._errors[labels] = self._errors.get(labels, 0.0) + 1.0

    def _refused(self, exchange: Exchange, admission: Admission, call: Call | None, refusal: Refusal) -> None:
        """Answers an admitted request with an error of ours, and keeps its entry."""
        if call is not None and call.operation.counts and refusal.code in COUNTED_INSTEAD:
            try:
                self._counted(exchange, admission, call)
            except Refusal as other:
                refusal = other
            except AdapterError as error:
                refusal = Refusal(error.status, error.code, error.message, param=error.param)
            else:
                return
        told = (refusal.policy, refusal.decision)
        ending = Ending(status=refusal.status, outcome="refused", reason="refused", policy=told[0], error=refusal.code, decision=told[1])
        self.settler.settle(admission, call, None, NOTHING, ending, exchange.arrived_s)
        operation = call.operation if call is not None else exchange.state
        head = answer.refused(admission, refusal.policy or "") + answer.claude_id(operation, admission) + refusal.headers
        body = body_of(operation, refusal, admission.request_id)
        exchange.respond(refusal.status, head + b"content-type: application/json\r\n", body)

    def _counted(self, exchange: Exchange, admission: Admission, call: Call) -> None:
        """Counts a request that no deployment may or can count.

        Raises Refusal where none may serve its message either: then there is nothing to count for.
        """
        operation = msgspec.structs.replace(call.operation, api="messages")
        plan = self._plan(msgspec.structs.replace(call, operation=operation), admission)
        if not plan.prepared.places:
            decision = plan.prepared.decide(call.ask, ())
            refusal = no_candidate(call, plan, decision, admission, self.peers, perf_counter())
            refusal.policy, refusal.decision = plan.policy, decision
            raise refusal
        self.finish.counted(exchange, admission, call, plan.policy)

    def _gone(self, exchange: Exchange, admission: Admission, call: Call, plan: Plan) -> None:
        ending = Ending(status=499, outcome="client_gone", reason="refused", policy=plan.policy)
        self.settler.settle(admission, call, None, NOTHING, ending, exchange.arrived_s)


def _beginning(call: Call) -> bytes | None:
    """What a prefix cache knows a conversation by; None of what is no conversation."""
    name = PROMPT.get(call.operation.api)
    prompt = None if name is None else call.members.get(name)
    return None if prompt is None else bytes(prompt)


def inflated(body: bytes, coding: bytes, limit_bytes: int) -> bytes:
    """A gzip or deflate body, bounded. Raises Refusal 413 (too large when inflated), 415 (another coding), 400 (broken)."""
    codings = [each.strip() for each in coding.lower().split(b",") if each.strip() not in (b"", b"identity")]
    if not codings:
        return body
    if len(codings) > 1 or codings[0] not in (b"gzip", b"x-gzip", b"deflate"):
        raise Refusal(415, "unsupported_media_type", "The content coding is not known; gzip and deflate are.")
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = inflater.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise Refusal(400, "invalid_request_error", "The body is not valid gzip or deflate.") from None
    if len(plain) > limit_bytes:
        raise Refusal(413, "too_large", f"The body is larger than {limit_bytes} bytes when inflated.")
    if not inflater.eof or inflater.unused_data:
        raise Refusal(400, "invalid_request_error", "The compressed body is cut short or followed by other bytes.")
    return plain


def _when_gone(exchange: Exchange, leave: Callable[[], None]) -> None:
    exchange.on_gone = leave


PREFLIGHT = Operation(api="", path=b"")
"""OPTIONS on a path that is not inference."""
