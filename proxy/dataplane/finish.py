"""The end of an exchange: what the client still gets, and the account that is kept before its last byte goes out."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, time
from typing import NamedTuple

import msgspec

from adapters._base import Fault, Usage
from carbon.footprint import Footprint, ProviderReport
from proxy.dataplane import answer, refusals
from proxy.dataplane.admit import Admission
from proxy.dataplane.attempt import ACCOUNT, CREDENTIALS, TO_THE_CLIENT, Journey, Tried, failure
from proxy.dataplane.call import Call
from proxy.dataplane.candidates import arm_of
from proxy.dataplane.carriage import Facts, read_answer, reply, retold
from proxy.dataplane.compare import NOTHING_BURNT, Burnt, burnt, forfeited
from proxy.dataplane.counting import Counter, estimated
from proxy.dataplane.kept import Kept
from proxy.dataplane.pace import written
from proxy.dataplane.peer import Peer
from proxy.dataplane.relay import Result
from proxy.dataplane.searching import with_searches
from proxy.dataplane.settle import (
    COUNTED,
    NO_TOKENS,
    NOTHING,
    Account,
    Ending,
    Settler,
    account,
    forecast,
    report_in,
    reported,
    told,
)
from proxy.dataplane.theirs import hidden, theirs
from proxy.exchange import Exchange
from proxy.records import Attempt, Tokens
from proxy.snapshot import Served
from proxy.telemetry.ages import instant_s

EVENTS = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
HEADER_BYTES = 1000
"""Our header lines stay under 1 KiB in all."""
JSON = b"content-type: application/json\r\n"
_UNTOUCHED = frozenset({"connect", "dns", "tls", "timeout_connect", "status", "down", "unexpressed", "closed"})
"""Kinds of failure after which no work was done; after any other some was, and nobody knows how much."""


THEIR_SAY = TO_THE_CLIENT - {404, 405}
"""What an upstream says of a count that is asked of it. That it has no such operation, or is in trouble, is not the client's business."""


class Outcome(NamedTuple):
    """How an exchange ended, in its entry's words."""

    status: int
    outcome: str
    error: str | None = None
    response_id: str | None = None


class Finish:
    """Ends exchanges. One a process."""

    def __init__(self, settler: Settler, counter: Counter, kept: Kept) -> None:
        self._settler = settler
        self._counter = counter
        self._kept = kept

    def commit(
        self, journey: Journey, served: Served, number: int, ignored: tuple[str, ...]
    ) -> Callable[[list[tuple[bytes, bytes]], bytes], Footprint]:
        """What sends the head of a stream with its first bytes, and gives what that foretold: called at the attempt's commit point."""

        def send(headers: list[tuple[bytes, bytes]], first: bytes) -> Footprint:
            call = journey.call
            footprint = forecast(call, served) if call.operation.text else Footprint(intensity=served.intensity)
            decision = journey.decision
            reason = decision.reason if served.name == decision.order[0].place.name else "fallback"
            head = self._head(journey, served, (number, ignored, reason), footprint, None)
            said = theirs(headers, served.secret)
            kind = EVENTS if call.operation.text else said.content_type
            lines = said.passed_on if served.limited is None else _with_limits(call, served, headers)
            journey.exchange.start(200, head + kind + lines, first)
            return footprint

        return send

    def finish(self, journey: Journey, tried: Tried) -> None:
        """Ends the exchange as the attempt ended."""
        match tried.result.ending:
            case "whole":
                self._whole(journey, tried)
            case "streamed":
                self._streamed(journey, tried)
            case "truncated":
                self._truncated(journey, tried)
            case "gone":
                self._gone(journey, tried)
            case "failed":
                self._failed(journey, tried)

    def _whole(self, journey: Journey, tried: Tried) -> None:
        served, peer, facts, call = tried.served, tried.peer, tried.facts, journey.call
        if served is None or peer is None or facts is None:
            raise ValueError("a whole answer comes from somewhere")
        result = tried.result
        text = call.operation.text
        if facts.usage is None and facts.fault is not None:
            # some work was done, and nobody knows how much
            worked = Account(tokens=NO_TOKENS, footprint=Footprint(intensity=served.intensity), cost_usd=None)
        elif text and (facts.usage is None or _partial(facts.usage)):
            if not facts.text:
                facts = self._reread(journey, served, peer, result)
            worked = self._account(journey, tried, facts.usage, facts.text, facts.report)
            facts = msgspec.structs.replace(facts, usage=_usage(worked.tokens))
        else:
            worked = self._account(journey, tried, facts.usage, b"", facts.report)
        if facts.fault is not None:
            worked = self._lost(journey, tried, worked)
        shown = told(journey.admission.entry_id, worked, served, journey.plan.policy, tried.reason)
        body = reply(call, served, journey.hub, result.body, facts, shown)
        if journey.hub.kept:
            self._keep(journey, served, body)
        if facts.fault is None:
            how = Outcome(200, "completed", response_id=facts.response_id)
        else:
            body = refusals.scrubbed_error(body, served.secret)
            how = Outcome(200, "failed", refusals.code_of(refusals.scrubbed(facts.fault, served.secret).code), facts.response_id)
        self._settle(journey, tried, worked, how)
        head = self._head(journey, served, (len(tried.attempts), tried.ignored, tried.reason), worked.footprint, worked)
        kind = JSON if text else tried.said.content_type
        lines = tried.said.passed_on if served.limited is None else _with_limits(call, served, result.headers)
        journey.exchange.respond(200, b"%b%b%b" % (head, kind, lines), body)

    def _reread(self, journey: Journey, served: Served, peer: Peer, result: Result) -> Facts:
        """The answer once more with its text, because it reports no usage; from now on the text is kept at once."""
        peer.usage_missing = True
        return read_answer(journey.call, served, result.body, capture=True)

    def _streamed(self, journey: Journey, tried: Tried) -> None:
        served, peer, stream = tried.served, tried.peer, tried.stream
        if served is None or peer is None:
            raise ValueError("a stream comes from somewhere")
        if stream is None:
            self._settle(journey, tried, self._account(journey, tried, None, b"", None), Outcome(200, "completed"))
            journey.exchange.end()
            return
        missing = journey.call.operation.text and (stream.usage is None or _partial(stream.usage))
        peer.usage_missing = peer.usage_missing or missing
        worked = self._account(journey, tried, stream.usage, stream.text, report_in(stream.comments))
        if missing:
            stream.usage = _usage(worked.tokens)
        shown = told(journey.admission.entry_id, worked, served, journey.plan.policy, tried.reason)
        last = stream.close(shown)
        if journey.hub.kept:
            self._keep(journey, served, last)
        self._settle(journey, tried, worked, Outcome(200, "completed", response_id=getattr(stream, "response_id", None)))
        journey.exchange.end(last)

    def _keep(self, journey: Journey, served: Served, answer: bytes) -> None:
        call, grant = journey.call, journey.admission.grant
        if grant is not None and call.operation.api not in served.identity:
            continued = msgspec.structs.replace(call.continued, under=journey.plan.prepared.policy.require)
            self._kept.keep(grant.team, served.name, call.members["input"], continued, answer)

    def _truncated(self, journey: Journey, tried: Tried) -> None:
        fault = tried.result.fault or Fault(message="The upstream broke the stream.")
        if fault.status in ACCOUNT:
            fault = Fault(message=CREDENTIALS, code="upstream_error")
        fault = refusals.scrubbed(fault, _secret(tried))
        stream = tried.stream
        usage = None if stream is None else stream.usage
        worked = self._account(journey, tried, usage, b"" if stream is None else stream.text, None)
        worked = self._lost(journey, tried, worked)
        self._settle(journey, tried, worked, Outcome(200, "truncated", refusals.code_of(fault.code)))
        if stream is None:
            journey.exchange.abort()
        else:
            journey.exchange.end(stream.fail(fault))

    def _lost(self, journey: Journey, tried: Tried, worked: Account) -> Account:
        """The account of an answer that broke off or failed: it earns no credit."""
        if tried.served is None:
            return worked
        router_g = self._settler.router_j * journey.admission.snapshot.router_g_per_j
        lost = forfeited(journey.plan, tried.served, worked.footprint, self._burnt(journey, tried), router_g)
        return msgspec.structs.replace(worked, saving=lost, against=None)

    def _gone(self, journey: Journey, tried: Tried) -> None:
        stream = tried.stream
        if stream is None or tried.result.first_s is None:
            # how much was generated before the client left is not known
            served = tried.served
            worked = Account(tokens=NO_TOKENS, footprint=Footprint(intensity=None if served is None else served.intensity), cost_usd=None)
        else:
            worked = self._account(journey, tried, stream.usage, stream.text, None)
        self._settle(journey, tried, worked, Outcome(499, "client_gone"))

    def _failed(self, journey: Journey, tried: Tried) -> None:
        status, fault = failure(tried)
        if journey.call.operation.counts and status not in THEIR_SAY:
            self.counted(journey.exchange, journey.admission, journey.call, journey.plan.policy, tried.attempts)
            return
        fault = refusals.scrubbed(fault, _secret(tried))
        if fault.param is not None and tried.served is not None:
            fault = retold(fault, journey.call, tried.served, journey.hub)
        kind = tried.result.kind
        worked = NOTHING if kind in _UNTOUCHED else Account(tokens=NO_TOKENS, footprint=Footprint(), cost_usd=None)
        self._settle(journey, tried, worked, Outcome(status, "failed", refusals.code_of(fault.code)))
        named = b"" if tried.served is None else tried.served.head
        head = named + answer.refused(journey.admission, journey.plan.policy, len(tried.attempts), worked=kind not in _UNTOUCHED)
        operation, admission = journey.call.operation, journey.admission
        body = operation.door.error(fault, status, admission.request_id)
        served = tried.served
        lines = answer.claude_id(operation, admission)
        if served is None or served.limited is None:
            lines += tried.said.passed_on
        else:
            lines += _with_limits(journey.call, served, tried.result.headers)
        if fault.retry_after_s is not None and b"retry-after:" not in lines:
            lines += b"retry-after: %d\r\n" % max(1, round(fault.retry_after_s))
        journey.exchange.respond(status, head + JSON + lines, body)

    def counted(self, exchange: Exchange, admission: Admission, call: Call, policy: str, attempts: tuple[Attempt, ...] = ()) -> None:
        """Answers a count with one of our own. Raises AdapterError for a request that is not what the API takes."""
        body = estimated(call.tree(), self._counter)
        ending = Ending(status=200, outcome="completed", reason="estimated", policy=policy, attempts=attempts)
        self._settler.settle(admission, call, None, COUNTED, ending, exchange.arrived_s)
        head = answer.counted(admission, policy, len(attempts)) + answer.claude_id(call.operation, admission)
        exchange.respond(200, head + JSON, body)

    def _account(
        self, journey: Journey, tried: Tried, usage: Usage | None, text: bytes | bytearray, report: ProviderReport | None
    ) -> Account:
        served = tried.served
        if served is None:
            return NOTHING
        operation = journey.call.operation
        if usage is None and not operation.text:
            if operation.counts:
                return COUNTED
            return Account(tokens=NO_TOKENS, footprint=Footprint(intensity=served.intensity), cost_usd=None)
        tokens, estimator = self._told(journey, tried, usage, text), served.estimator
        if journey.call.ask.most_searches:
            tokens = with_searches(tokens, journey.call.ask, served)
        paced = None
        if estimator is not None and estimator.runtime is not None:
            paced = written(journey.call, tried, estimator.runtime, tokens, perf_counter())
        charges = NOTHING_BURNT if len(tried.attempts) < 2 else self._burnt(journey, tried)
        against = (journey.plan, charges, self._settler.router_j * journey.admission.snapshot.router_g_per_j)
        if report is not None and served.secret:
            report = msgspec.structs.replace(report, raw=_without(report.raw, served.secret))
        return account(served, tokens, report, (paced, tried.batch), against)

    def _burnt(self, journey: Journey, tried: Tried) -> Burnt:
        """What attempts took that failed before this one."""
        before = tried.attempts[:-1]
        names = {each.deployment for each in before}
        known = {each.name: (each, forecast(journey.call, each)) for each in journey.plan.served.values() if each.name in names}
        return burnt(before, _UNTOUCHED, known)

    def _told(self, journey: Journey, tried: Tried, usage: Usage | None, text: bytes | bytearray) -> Tokens:
        """Tokens as the upstream reported them; what it did not report is counted."""
        call = journey.call
        if usage is not None and usage.input_tokens is not None and (usage.output_tokens is not None or not call.operation.text):
            return reported(usage, usage.input_tokens)
        output = None if usage is None else usage.output_tokens
        if output is None:
            # a stream that ended before its last counts came, or a host that leaves them out
            output = self._counter.tokens(bytes(text)) if text else tried.events
        if usage is not None and usage.input_tokens is not None:
            return msgspec.structs.replace(reported(usage, usage.input_tokens), output=output, estimated=True)
        counted = self._counter.tokens(bytes(call.members.get("messages", call.body)))
        return Tokens(input=counted, output=output, estimated=True, searches=None if usage is None else usage.searches)

    def _head(
        self,
        journey: Journey,
        served: Served,
        how: tuple[int, tuple[str, ...], str],
        footprint: Footprint,
        worked: Account | None,
    ) -> bytes:
        """The header lines of an answer of a deployment. A stream's has no account yet.

        `how`: at which attempt, with which members ignored, and for which reason.
        """
        attempts, ignored, reason = how
        admission, operation = journey.admission, journey.call.operation
        cost_usd, word = (None, "forecast-") if worked is None else (worked.cost_usd, "")
        head = answer.answered(admission, (served.head, journey.plan.policy, reason, attempts), footprint, cost_usd, word)
        if operation.claude:
            head += answer.claude_id(operation, admission)
        if admission.verbose or journey.call.wishes.verbose:
            rejected = tuple(f"{each.deployment}={each.constraint}" for each in journey.decision.rejected)
            room_bytes = HEADER_BYTES - len(head)
            saved = None if worked is None else worked.saving
            head += answer.verbose((footprint, saved), admission.snapshot, (rejected, ignored), room_bytes, time())
        if worked is not None and admission.snapshot.config.carbon.emissions_scope_2_header:
            head += answer.scope_2(footprint)
        return head

    def _settle(
        self,
        journey: Journey,
        tried: Tried,
        worked: Account,
        how: Outcome,
    ) -> None:
        foretold = None
        if journey.call.ask.stream and tried.served is not None:
            foretold = tried.foretold if journey.call.operation.text else None
            foretold = forecast(journey.call, tried.served) if foretold is None else foretold
        ending = Ending(
            status=how.status,
            outcome=how.outcome,
            reason=tried.reason,
            policy=journey.plan.policy,
            error=how.error,
            first_s=tried.result.first_s,
            response_id=how.response_id,
            attempts=tried.attempts,
            decision=journey.decision,
            ignored=tried.ignored,
            forecast=foretold,
            overhead_s=tried.started_s - journey.exchange.arrived_s if len(tried.attempts) == 1 else None,
            upstream_id=tried.said.upstream_id,
            holdout=arm_of(journey.plan, journey.decision) if journey.plan.holdout else None,
            baseline=None if worked.saving is None else journey.plan.baseline,
        )
        self._settler.settle(journey.admission, journey.call, tried, worked, ending, journey.exchange.arrived_s)


def _with_limits(call: Call, served: Served, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The same, and the upstream's rate limits under the names that the clients of other dialects know."""
    lines = theirs(headers, served.secret).passed_on
    if call.operation.claude or b"ratelimit-" not in lines or served.limited is None:
        return lines
    return lines + hidden(b"".join([b"%b: %b\r\n" % header for header in served.limited.limits(headers, _until_s)]), served.secret)


def _without(told: dict[str, float | str | None], secret: str) -> dict[str, float | str | None]:
    """A provider's own report as entries keep it, without what quotes our key."""
    return {name: value for name, value in told.items() if secret not in name and not (isinstance(value, str) and secret in value)}


def _until_s(instant: str) -> float:
    return instant_s(instant) - time()


def _secret(tried: Tried) -> str | None:
    return None if tried.served is None else tried.served.secret


def _partial(usage: Usage) -> bool:
    """Whether a count is missing: it is counted here, and told with the one that is not."""
    return usage.input_tokens is None or usage.output_tokens is None


def _usage(tokens: Tokens) -> Usage:
    return Usage(input_tokens=tokens.input, cached_tokens=tokens.cached, cache_write_tokens=tokens.cache_write, output_tokens=tokens.output)
