"""From a decision to an answer: its deployments are tried in order until one answers, and never one outside it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from time import perf_counter

import msgspec

from adapters._base import AdapterError, Fault, FaultError, GarbledError, Stream
from carbon.footprint import Footprint
from policies._base import Candidate, Decision
from proxy.dataplane.admit import Admission
from proxy.dataplane.call import Call
from proxy.dataplane.carriage import Facts, Hub, asked, read_answer, stream
from proxy.dataplane.peer import Peer
from proxy.dataplane.relay import Relay, Result
from proxy.dataplane.theirs import SILENT, Theirs, theirs
from proxy.exchange import Exchange
from proxy.metered import Began, Ended, Feed
from proxy.records import Attempt
from proxy.snapshot import Plan, Served

log = logging.getLogger("greenlane.attempt")
TO_THE_CLIENT = frozenset({400, 404, 405, 406, 409, 411, 412, 413, 414, 415, 416, 417, 422, 431, 451})
"""Answers of an upstream that concern the request itself: another deployment would say the same."""
ACCOUNT = frozenset({401, 402, 403})
"""Our own credentials or credit: the next deployment has others."""
_UNSENT = frozenset({"failed", "whole"})
"""Endings before which nothing has gone to the client."""
CREDENTIALS = "The upstream did not accept this proxy's credentials."


class Tried(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """The attempt that ended the exchange, and all of them."""

    served: Served | None
    peer: Peer | None
    reason: str
    """The decision's, or `fallback` where another than its first served."""
    result: Result
    attempts: tuple[Attempt, ...]
    started_s: float
    """When the last attempt was sent."""
    said: Theirs = SILENT
    """What the head of its answer says."""
    ignored: tuple[str, ...] = ()
    stream: Stream | None = None
    """Of an answer that is streamed: what is left to be written comes from it."""
    events: int = 0
    """Events that went to the client."""
    foretold: Footprint | None = None
    """What the head of a stream said it would take."""
    facts: Facts | None = None
    """What a whole answer says."""
    batch: float | None = None
    """Requests its deployment had meanwhile, where that is measured."""
    unexpressed: AdapterError | None = None
    """Why the last candidate could not be asked, where none could."""

    @property
    def response_id(self) -> str | None:
        """Of an answer the upstream stored: what `previous_response_id` will say."""
        return self.facts.response_id if self.facts is not None else getattr(self.stream, "response_id", None)


class Journey(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """What is fixed once a decision has been made."""

    exchange: Exchange
    admission: Admission
    call: Call
    plan: Plan
    decision: Decision
    hub: Hub

    def __repr__(self) -> str:
        return f"<Journey {self.admission.entry_id}>"

    @property
    def events(self) -> bool:
        """Whether it may be answered by a stream of events that we read."""
        return self.call.ask.stream or self.call.operation.api == "speech"


Begin = Callable[[list[tuple[bytes, bytes]], bytes], Footprint]
Commit = Callable[[Journey, Served, int, tuple[str, ...]], Begin]
"""Makes what sends the head of a stream with its first bytes, for the attempt of that number and what it ignored."""


async def attempt(journey: Journey, way: Way) -> Tried:
    """The decision carried out. Ends with the first answer that is not a failure another deployment could mend."""
    exchange, call, plan = journey.exchange, journey.call, journey.plan
    attempts: list[Attempt] = []
    last: Tried | None = None
    unexpressed: AdapterError | None = None
    left: list[tuple[Feed, Ended]] = []
    order, reason = journey.decision.order, journey.decision.reason
    full: list[Candidate] = []
    rest = iter(order)
    while candidate := (_next(rest, full, way) if attempts else next(rest, None)) or (await _room(journey, way, full) if full else None):
        served = plan.served[candidate.place]
        peer = way.peers[served.name]
        now_s = perf_counter()
        calm = peer.breaker.calm
        if (not calm and not peer.breaker.allows(now_s)) or (attempts and _barred(journey, candidate, way, now_s)):
            way.freed(peer)
            continue
        try:
            relay, ignored = _send(journey, served, peer, way, len(attempts) + 1)
        except AdapterError as error:
            unexpressed = error
            way.freed(peer)
            continue
        if not calm:
            peer.breaker.begin(now_s)
        peer.inflight += 1
        shares_s = _tell_meters(left, peer, Began(journey.admission.entry_id, now_s)) if left or peer.meter is not None else None
        if peer.inflight >= peer.most:
            way.trouble.add(peer.name)
        try:
            result = await relay
        finally:
            peer.inflight -= 1
            way.freed(peer)
        result, facts = _read(call, served, peer, result)
        attempts.append(Attempt(deployment=served.name, status=result.status, kind=result.kind, seconds_s=perf_counter() - now_s))
        _judge(peer, result, way, call)
        if len(attempts) > 1 or peer.troubled or way.trouble:
            _look_back(attempts, peer, way)
        last = Tried(
            served=served,
            peer=peer,
            reason=reason if candidate is order[0] else "fallback",
            result=result,
            said=theirs(result.headers, served.secret),
            attempts=tuple(attempts),
            started_s=now_s,
            ignored=ignored,
            stream=relay.stream,
            events=relay.events,
            foretold=relay.foretold,
            facts=facts,
            batch=None if peer.meter is None else _batch(peer, now_s, shares_s),
        )
        if exchange.cut or not _may_go_on(result):
            return last
        if peer.meter is not None:
            left.append((peer.meter, _over(journey, now_s)))
    return _exhausted(journey, last, unexpressed)


def _next(order: Iterator[Candidate], full: list[Candidate], way: Way) -> Candidate | None:
    """The next of the order with room for one more; those without are kept in `full`."""
    for candidate in order:
        if not way.peers[candidate.place.name].full:
            return candidate
        full.append(candidate)
    return None


async def _room(journey: Journey, way: Way, full: list[Candidate]) -> Candidate | None:
    """The first of those that were full to have a place, which is to be taken at once; None where nobody makes room in time.

    The decision left out what was full then. What fails sends all its requests elsewhere in one moment.
    """
    # while others of the order were tried some may have become free: nobody would tell of it again
    found = next((each for each in full if not way.peers[each.place.name].full), None)
    if found is None:
        name = await way.room(journey.exchange, {each.place.name: way.peers[each.place.name] for each in full})
        found = next((each for each in full if each.place.name == name), None)
    if found is not None:
        full.remove(found)
    return found


def _barred(journey: Journey, candidate: Candidate, way: Way, now_s: float) -> bool:
    """Whether a fallback comes too late for that deployment, or a reload overtook it after which it may go there no longer."""
    timeouts = journey.plan.served[candidate.place].settings.timeouts
    return now_s - journey.exchange.arrived_s > timeouts.total_s or way.forbids(journey.plan, candidate)


def _exhausted(journey: Journey, last: Tried | None, unexpressed: AdapterError | None) -> Tried:
    """Nobody is left to be tried."""
    if last is None:
        failed = Result(ending="failed", kind="unexpressed" if unexpressed else "down")
        return Tried(
            served=None,
            peer=None,
            reason=journey.decision.reason,
            result=failed,
            attempts=(),
            started_s=perf_counter(),
            unexpressed=unexpressed,
        )
    if journey.exchange.gone and not journey.exchange.cut:
        return msgspec.structs.replace(last, result=Result(ending="gone", kind="client_gone"))
    return last


def _over(journey: Journey, sent_s: float) -> Ended:
    """An attempt that failed: its prompt may have been read."""
    return Ended(journey.admission.entry_id, sent_s, None, perf_counter(), journey.call.ask.input_tokens, None, 0, None)


def _tell_meters(left: list[tuple[Feed, Ended]], peer: Peer, began: Began) -> float | None:
    """An attempt begins: the meter of the one before hears that that is over, its own that it has begun.

    The last one's end is told with its account. What `_batch` needs at its end.
    """
    while left:
        feed, ended = left.pop()
        feed.events.append(ended)
    if peer.meter is None:
        return None
    peer.meter.events.append(began)
    return peer.meter.company.changed(began.at_s, peer.inflight)


def _batch(peer: Peer, sent_s: float, shares_s: float | None) -> float | None:
    """The company an attempt had that is over; None where its deployment was not measured from the start."""
    if peer.meter is None or shares_s is None:
        return None
    now_s = perf_counter()
    peer.meter.company.changed(now_s, peer.inflight)
    return peer.meter.company.mean(sent_s, shares_s, now_s)


class Way(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What attempts need of the data plane around them; one a configuration."""

    peers: Mapping[str, Peer]
    commit: Commit
    failed: Callable[[Peer, str], None]
    """Counts a failed attempt by its kind."""
    freed: Callable[[Peer], None]
    """A place became free: whoever queues may look again."""
    room: Callable[[Exchange, Mapping[str, Peer]], Awaitable[str | None]]
    """Waits for a place at one of these deployments."""
    forbids: Callable[[Plan, Candidate], bool]
    """Whether the configuration in force says what never may be: what is not private there is asked no more."""
    trouble: set[str]
    """Names of the deployments that are down or full, kept up to date."""
    answer_bytes: int


def _send(journey: Journey, served: Served, peer: Peer, way: Way, number: int) -> tuple[Relay, tuple[str, ...]]:
    """Starts one attempt; with the members it left out. The request goes with this call: its copy of the body would live as long as the
    answer takes, 2 to 4 KB of an open stream.
    """
    call, admission = journey.call, journey.admission
    made, ignored = asked(call, served, journey.hub, admission.headers, admission.request_id)
    events = stream(call, served, journey.hub, capture=peer.usage_missing) if journey.events else None
    commit = None if events is None else way.commit(journey, served, number, ignored)
    if commit is not None and not peer.breaker.closed:
        commit = _proving(commit, peer, way)
    relay = Relay(journey.exchange, events, commit, way.answer_bytes, raw=events is not None and not call.operation.text)
    relay.watch(peer.upstream.send(made, relay))
    return relay, ignored


def _proving(commit: Begin, peer: Peer, way: Way) -> Begin:
    """The same of a probe: once it has begun to answer, nobody need wait for the end of its stream, nor for its client to hear it."""

    def begin(headers: list[tuple[bytes, bytes]], first: bytes) -> Footprint:
        peer.breaker.answers()
        if not peer.troubled:
            way.trouble.discard(peer.name)
        return commit(headers, first)

    return begin


def _read(call: Call, served: Served, peer: Peer, result: Result) -> tuple[Result, Facts | None]:
    """An answer understood: an error by what its dialect says of it (some tell a wrong key as 400), a whole one by its facts.

    A whole one that cannot be read, or says that it failed, is a failure, and another deployment may do better.
    """
    if result.kind == "status":
        fault = served.adapter.fault(result.status or 502, result.body)
        return msgspec.structs.replace(result, fault=fault, status=fault.status or result.status), None
    if result.ending != "whole":
        return result, None
    try:
        facts = read_answer(call, served, result.body, capture=peer.usage_missing)
    except FaultError as error:
        return msgspec.structs.replace(result, ending="failed", kind="in_band", fault=error.fault), None
    except GarbledError as error:
        fault = Fault(message=f"The upstream's answer could not be read: {error}.", code="upstream_error")
        return msgspec.structs.replace(result, ending="failed", kind="garbled", fault=fault), None
    except Exception:
        # an upstream may answer anything; what no reader thought of must not cost the client its other deployments
        log.exception("an answer's reader failed (%s)", served.name)
        fault = Fault(message="The upstream's answer could not be read.", code="upstream_error")
        return msgspec.structs.replace(result, ending="failed", kind="garbled", fault=fault), None
    if facts.fault is not None:
        result = msgspec.structs.replace(result, kind="in_band", fault=facts.fault)
    return result, facts


def _judge(peer: Peer, result: Result, way: Way, call: Call) -> None:
    """What the breaker and the metrics learn."""
    if result.ending == "gone" or result.kind == "stopped":
        return
    if result.kind == "ok" or _told_status(result) in TO_THE_CLIENT | {429}:
        if not peer.breaker.calm:
            peer.breaker.succeeded()
    elif call.operation.counts and result.kind == "status":
        # it may have no such operation, and clients count a great deal: that says nothing of what else it does
        peer.breaker.passed()
    else:
        peer.breaker.failed(perf_counter())
    if result.kind != "ok":
        way.failed(peer, f"status_{result.status}" if result.kind == "status" else result.kind)


def _look_back(attempts: list[Attempt], peer: Peer, way: Way) -> None:
    """After an attempt that was not the first, or while a deployment is in trouble."""
    if len(attempts) > 1:
        _absolve(attempts, way)
    if peer.troubled:
        way.trouble.add(peer.name)
    else:
        way.trouble.discard(peer.name)


def _absolve(attempts: list[Attempt], way: Way) -> None:
    """Engines answer 500 to members they did not foresee: where every deployment says so the request is at fault, not they."""
    last = attempts[-1]
    if last.kind != "status" or (last.status != 500 and last.status not in TO_THE_CLIENT):
        return
    if all(each.kind == "status" and each.status == 500 for each in attempts[:-1]):
        # those before the second were absolved with it
        for each in attempts if len(attempts) == 2 else attempts[-1:]:
            if each.status == 500:
                way.peers[each.deployment].breaker.absolved()


def _may_go_on(result: Result) -> bool:
    """Whether the next deployment may be tried: nothing has gone to the client, and another might do better."""
    return result.kind != "ok" and result.ending in _UNSENT and _told_status(result) not in TO_THE_CLIENT


def _told_status(result: Result) -> int | None:
    """The status of an error answer, or the one that an error inside a 200 stands for."""
    if result.kind == "status":
        return result.status
    return result.fault.status if result.kind == "in_band" and result.fault is not None else None


def failure(tried: Tried) -> tuple[int, Fault]:
    """The status and the error a client gets when nothing answered."""
    result = tried.result
    served = tried.served
    fault = result.fault
    status = _told_status(result)
    if served is not None and status is not None and fault is not None:
        if status in TO_THE_CLIENT:
            return status, fault
        if status == 429:
            return 429, msgspec.structs.replace(fault, type="rate_limit_error", code=fault.code or "rate_limit_exceeded")
        # what the vendor says of our credentials is not the client's business; of its own trouble it is
        message = CREDENTIALS if status in ACCOUNT else fault.message
        return 502, Fault(message=message, type="upstream_error", code="upstream_error", retry_after_s=fault.retry_after_s)
    if result.kind == "stopped" and result.fault is not None:
        return 503, msgspec.structs.replace(result.fault, type="server_error")
    if result.kind.startswith("timeout"):
        return 504, Fault(message=_text(result), type="upstream_error", code="upstream_timeout")
    return 502, Fault(message=_text(result), type="upstream_error", code="upstream_error")


def _text(result: Result) -> str:
    return result.fault.message if result.fault is not None else "The upstream could not be reached."
