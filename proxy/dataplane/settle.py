"""The account of an exchange: usage to tokens, tokens to energy, grams and price, all of it to a ledger entry, metrics and a log line.

Runs exactly once for every admitted exchange and never waits. The figures come from the same `Footprint.of` as the forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from time import perf_counter

import msgspec

from adapters._base import Usage
from carbon.footprint import NO_WORK, Footprint, ProviderReport, Workload
from carbon.meters.provider import from_comment
from carbon.shipped import DATA_VERSION
from policies._base import Candidate, Decision
from proxy import __version__
from proxy.dataplane.admit import Admission
from proxy.dataplane.ask import Call
from proxy.dataplane.attempt import Tried
from proxy.dataplane.budget import Budgets
from proxy.dataplane.peer import Peer
from proxy.records import Attempt, Carbon, Entry, IntensitySample, Tokens
from proxy.snapshot import Served
from proxy.telemetry.logs import Line, RequestLog
from proxy.telemetry.metrics import Metrics

NO_TOKENS = Tokens()
NAMED = 256
"""Decisions whose names are kept."""
Names = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]


class Account(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """What one answer cost."""

    tokens: Tokens
    footprint: Footprint
    cost_usd: float | None
    report: ProviderReport | None = None


NOTHING = Account(tokens=NO_TOKENS, footprint=NO_WORK, cost_usd=0.0)
"""Of a request that no upstream worked on."""


class Ending(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """How the exchange ended, for its entry."""

    status: int
    outcome: str
    reason: str
    policy: str | None
    error: str | None = None
    first_s: float | None = None
    response_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    decision: Decision | None = None
    ignored: tuple[str, ...] = ()
    overhead_s: float | None = None
    forecast: Footprint | None = None
    upstream_id: str | None = None


def forecast(call: Call, served: Served) -> Footprint:
    """What the call is expected to cost on a deployment: the same function as the account, with expected tokens."""
    ask = call.ask
    return Footprint.of(
        Workload(input_tokens=ask.input_tokens, output_tokens=ask.expected_output_tokens), served.estimator, served.intensity
    )


def account(served: Served, tokens: Tokens, report: ProviderReport | None, seconds_s: float | None) -> Account:
    """Energy, grams and price of what a deployment did. Unknown tokens leave everything unknown, unless the provider reports."""
    footprint = Footprint(intensity=served.intensity)
    cost = None
    if tokens.input is not None and tokens.output is not None:
        workload = Workload(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cached_tokens=tokens.cached or 0,
            estimated=tokens.estimated,
            seconds_s=seconds_s,
        )
        footprint = Footprint.of(workload, served.estimator, served.intensity, report)
        if served.price is not None:
            cost = served.price.usd(tokens.input, tokens.cached or 0, tokens.cache_write or 0, tokens.output)
    elif report is not None:
        footprint = Footprint.of(Workload(input_tokens=0, output_tokens=0), None, served.intensity, report)
    return Account(tokens=tokens, footprint=footprint, cost_usd=cost, report=report)


def reported(usage: Usage, input_tokens: int) -> Tokens:
    """Tokens as the upstream reported them."""
    return Tokens(
        input=input_tokens,
        cached=usage.cached_tokens,
        cache_write=usage.cache_write_tokens,
        output=usage.output_tokens if usage.output_tokens is not None else 0,
        reasoning=usage.reasoning_tokens,
    )


def report_in(comments: list[bytes]) -> ProviderReport | None:
    """The last energy report among a stream's comment lines."""
    for line in reversed(comments):
        if (found := from_comment(line)) is not None:
            return found
    return None


def told(entry_id: str, account: Account, served: Served, policy: str, reason: str) -> bytes:
    """The object of `usage.greenlane`: JSON in one line, five significant digits (more would claim what the bands deny).

    Unknown is null.
    """
    footprint = account.footprint
    intensity = footprint.intensity
    energy_j, carbon_g, cost_usd = footprint.energy_j, footprint.carbon_g, account.cost_usd
    if energy_j is not None and carbon_g is not None and cost_usd is not None and intensity is not None:
        named = (served.model, served.name, policy)
        form = _form(named, reason, footprint.method, footprint.confidence, intensity.zone, intensity.g_per_kwh)
        wh = (energy_j / 3600, (footprint.energy_low_j or 0.0) / 3600, (footprint.energy_high_j or 0.0) / 3600)
        return form % (entry_id.encode(), *wh, carbon_g, footprint.carbon_low_g, footprint.carbon_high_g, cost_usd)
    method, confidence = ("null", "null") if energy_j is None else (f'"{footprint.method}"', f'"{footprint.confidence}"')
    zone, grid = ("null", "null") if intensity is None else (f'"{intensity.zone}"', f"{intensity.g_per_kwh:g}")
    return (
        f'{{"id":"{entry_id}","model":{_quoted(served.model)},"deployment":{_quoted(served.name)},"policy":{_quoted(policy)},"reason":"{reason}",'
        f'"energy_wh":{_wh(footprint.energy_j)},"energy_low_wh":{_wh(footprint.energy_low_j)},"energy_high_wh":{_wh(footprint.energy_high_j)},'
        f'"carbon_g":{_short(footprint.carbon_g)},"carbon_low_g":{_short(footprint.carbon_low_g)},"carbon_high_g":{_short(footprint.carbon_high_g)},'
        f'"method":{method},"confidence":{confidence},"zone":{zone},"intensity_g_per_kwh":{grid},'
        f'"cost_usd":{_short(account.cost_usd)}}}'
    ).encode()


@lru_cache(maxsize=4096)
def _form(named: tuple[str, str, str], reason: str, method: str, confidence: str, zone: str, grid: float) -> bytes:
    """The object of all answers that differ in their id and figures alone: filling it in costs 1.5 µs, writing it anew 4."""
    model, deployment, policy = [_quoted(name).replace("%", "%%") for name in named]
    return (
        f'{{"id":"%b","model":{model},"deployment":{deployment},"policy":{policy},"reason":"{reason}","energy_wh":%.5g,"energy_low_wh":%.5g,"energy_high_wh":%.5g,'
        f'"carbon_g":%.5g,"carbon_low_g":%.5g,"carbon_high_g":%.5g,'
        f'"method":"{method}","confidence":"{confidence}","zone":"{zone}","intensity_g_per_kwh":{grid:g},"cost_usd":%.5g}}'
    ).encode()


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _wh(joules: float | None) -> str:
    return "null" if joules is None else f"{joules / 3600:.5g}"


def _short(value: float | None) -> str:
    return "null" if value is None else f"{value:.5g}"


class Settler:
    """Writes entries, counts, logs. One a process."""

    def __init__(self, metrics: Metrics, log: RequestLog, keep: Callable[[Entry], None], wall: Callable[[], float]) -> None:
        self._metrics = metrics
        self._log = log
        self._keep = keep
        self.budgets = Budgets()
        self._wall = wall
        self._requests = metrics.numbers("greenlane_requests")
        self._named: dict[int, tuple[Decision, Names]] = {}

    def settle(
        self, admission: Admission, call: Call | None, tried: Tried | None, account: Account, ending: Ending, arrived_s: float
    ) -> None:
        """Keeps the entry (before the answer's last byte goes out), then counts and logs. Never waits, never raises."""
        duration_s = perf_counter() - arrived_s
        served = tried.served if tried is not None else None
        ttft_s = None if ending.first_s is None else ending.first_s - arrived_s
        entry = self._entry(admission, call, served, account, ending, (duration_s, ttft_s))
        self._keep(entry)
        if entry.team is not None:
            self.budgets.add(entry.team, entry.carbon.carbon_g, entry.cost_usd)
        self._count(entry, tried.peer if tried is not None else None, account)
        self._log.write(
            Line(
                entry.at_s,
                entry.id,
                entry.request_id,
                entry.key,
                entry.model,
                entry.deployment,
                entry.policy,
                entry.reason,
                entry.status,
                entry.outcome,
                duration_s,
                ttft_s,
                entry.tokens.input,
                entry.tokens.output,
                entry.carbon.energy_j,
                entry.carbon.carbon_g,
            )
        )

    def _entry(
        self,
        admission: Admission,
        call: Call | None,
        served: Served | None,
        account: Account,
        ending: Ending,
        seconds_s: tuple[float, float | None],
    ) -> Entry:
        grant = admission.grant
        decision = ending.decision
        estimator = served.estimator if served is not None else None
        rejected, order = ((), ()) if decision is None else self._names(decision)
        return Entry(
            id=admission.entry_id,
            at_s=self._wall(),
            request_id=admission.request_id,
            api=call.operation.api if call is not None else "",
            stream=call.ask.stream if call is not None else False,
            team=grant.team if grant is not None else None,
            key=grant.key if grant is not None else None,
            model_requested=call.member.name if call is not None else None,
            model=served.model if served is not None else None,
            deployment=served.name if served is not None else None,
            policy=ending.policy,
            task=call.wishes.task if call is not None else None,
            reason=ending.reason,
            outcome=ending.outcome,
            status=ending.status,
            error=ending.error,
            attempts=ending.attempts,
            tokens=account.tokens,
            cost_usd=account.cost_usd,
            carbon=carbon_of(account.footprint),
            forecast=None if ending.forecast is None else carbon_of(ending.forecast),
            duration_s=seconds_s[0],
            ttft_s=seconds_s[1],
            overhead_s=ending.overhead_s,
            rejected=rejected,
            order=order,
            ignored=ending.ignored,
            warnings=account.footprint.warnings,
            upstream_id=ending.upstream_id,
            response_id=ending.response_id,
            config_version=admission.snapshot.version,
            data_version=DATA_VERSION,
            software_version=__version__,
            profile=None if estimator is None else profile_record(served),
            provider_report=None if account.report is None else account.report.raw,
        )

    def _names(self, decision: Decision) -> Names:
        """Whom a decision rejected and whom it lists. Kept, since a standing decision comes thousands of times: 1.5 µs of 20 names."""
        kept = self._named.get(id(decision))
        # what is kept holds the decision, so that its id cannot have gone to another
        if kept is not None:
            return kept[1]
        found = (
            tuple([(each.deployment, each.constraint) for each in decision.rejected]),
            tuple([each.place.name for each in decision.order]),
        )
        if len(self._named) >= NAMED:
            self._named.clear()
        self._named[id(decision)] = (decision, found)
        return found

    def _count(self, entry: Entry, peer: Peer | None, account: Account) -> None:
        if peer is None:
            labels = (entry.model_requested or "", "", entry.policy or "", str(entry.status))
            self._requests[labels] = self._requests.get(labels, 0.0) + 1.0
            return
        tally = peer.tally
        codes = tally.codes
        code = (entry.policy, entry.status)
        codes[code] = codes.get(code, 0) + 1
        peer.duration.observe(entry.duration_s)
        if entry.ttft_s is not None:
            peer.first_token.observe(entry.ttft_s)
            peer.observe_ttft(entry.ttft_s)
        if entry.overhead_s is not None:
            peer.overhead.observe(entry.overhead_s)
        tokens = account.tokens
        tally.input += tokens.input or 0
        tally.cached += tokens.cached or 0
        tally.output += tokens.output or 0
        tally.reasoning += tokens.reasoning or 0
        tally.cost_usd += account.cost_usd or 0.0
        footprint = account.footprint
        if footprint.energy_j:
            sums = tally.by_method.get(footprint.method)
            if sums is None:
                sums = tally.by_method[footprint.method] = [0.0, 0.0]
            sums[0] += footprint.energy_j
            sums[1] += footprint.carbon_g or 0.0

    def rejections(self, decision: Decision) -> None:
        """Counts what a decision excluded, by constraint."""
        for each in decision.rejected:
            self._metrics.add("greenlane_policy_rejections", (each.constraint.partition(":")[0],))


def carbon_of(footprint: Footprint) -> Carbon:
    intensity = footprint.intensity
    return Carbon(
        energy_j=footprint.energy_j,
        energy_low_j=footprint.energy_low_j,
        energy_high_j=footprint.energy_high_j,
        carbon_g=footprint.carbon_g,
        carbon_low_g=footprint.carbon_low_g,
        carbon_high_g=footprint.carbon_high_g,
        method=footprint.method,
        confidence=footprint.confidence,
        intensity=None
        if intensity is None
        else IntensitySample(
            zone=intensity.zone,
            g_per_kwh=intensity.g_per_kwh,
            low_g_per_kwh=intensity.low,
            high_g_per_kwh=intensity.high,
            basis=intensity.basis,
            source=intensity.source,
            as_of=intensity.as_of,
            assumed=intensity.assumed,
        ),
    )


def profile_record(served: Served | None) -> dict[str, float | str | None] | None:
    """The inputs of the energy figures, enough to recompute them."""
    return None if served is None else served.profile


def reason_of(decision: Decision, candidate: Candidate | None) -> str:
    """The decision's reason, or `fallback` where another than its first served."""
    return decision.reason if candidate is None or not decision.order or candidate is decision.order[0] else "fallback"
