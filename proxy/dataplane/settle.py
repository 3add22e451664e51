"""The account of an exchange: usage to tokens, tokens to energy, grams and price, all of it to a ledger entry, metrics and a log line.

Runs exactly once for every admitted exchange and never waits. The figures come from the same `Footprint.of` as the forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any

import msgspec
from msgspec.structs import astuple

from adapters._base import Usage
from carbon.calibrated import Calibrated
from carbon.energy import Estimator
from carbon.footprint import NO_WORK, Footprint, ProviderReport, Workload
from carbon.meters.provider import from_comment
from carbon.savings import Saving
from policies._base import Decision
from proxy.dataplane.admit import Admission
from proxy.dataplane.attempt import Tried
from proxy.dataplane.budget import Budgets
from proxy.dataplane.call import Call
from proxy.dataplane.candidates import Arm, Stood
from proxy.dataplane.compare import Burnt, Done, compared
from proxy.dataplane.contexts import Contexts, Shared, names
from proxy.dataplane.pace import Written
from proxy.dataplane.peer import Peer
from proxy.metered import Ended
from proxy.records import Attempt, Carbon, CrossCheck, Detail, Row, Tokens
from proxy.snapshot import Plan, Served
from proxy.store.codec import text
from proxy.store.spool import Preface
from proxy.telemetry.logs import Line, RequestLog
from proxy.telemetry.metrics import Metrics

NO_TOKENS = Tokens()
ROUTER_J = 0.002
"""Of an exchange, until it has been measured: 0.2 ms of a core that takes 10 W with its share of the machine."""


class Account(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """What one answer cost."""

    tokens: Tokens
    footprint: Footprint
    cost_usd: float | None
    report: ProviderReport | None = None
    saving: Saving | None = None
    paced: Written | None = None
    batch: float | None = None
    """Where a figure was made of it."""
    against: tuple[Plan, Burnt, float] | None = None
    """What it was compared with; see `account`."""


NOTHING = Account(tokens=NO_TOKENS, footprint=NO_WORK, cost_usd=0.0)
"""Of a request that no upstream worked on."""
COUNTED = Account(tokens=Tokens(input=0, cached=0, cache_write=0, output=0, reasoning=0), footprint=NO_WORK, cost_usd=0.0)
"""Of a count of tokens, whoever made it: no model read or wrote any, and vendors charge nothing. Known, so that sums know it too."""


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
    baseline: Served | None = None
    """What the saving is measured against; it may be who served."""
    holdout: Arm | None = None


def forecast(call: Call, served: Served) -> Footprint:
    """What the call is expected to cost on a deployment: the same function as the account, with expected tokens."""
    ask = call.ask
    return Footprint.of(
        Workload(input_tokens=ask.input_tokens, output_tokens=ask.expected_output_tokens),
        served.estimator,
        served.intensity,
        spread=None if served.rate is None else served.rate.spread,
    )


def account(
    served: Served,
    tokens: Tokens,
    report: ProviderReport | None,
    seen: tuple[Written | None, float | None],
    against: tuple[Plan, Burnt, float] | None = None,
) -> Account:
    """Energy, grams and price of what a deployment did. Unknown tokens leave everything unknown, unless the provider reports.

    `seen`: how long it was written, and the batch it was served in, where those are told. `against`: the plan whose counterfactual it is
    compared with, the grams that failed attempts took, and those of the proxy itself.
    """
    paced, batch = seen
    estimator = served.estimator
    if batch is not None:
        estimator, batch = _in_company(estimator, batch)
    footprint = Footprint(intensity=served.intensity)
    cost = None
    if tokens.input is not None and tokens.output is not None:
        workload = Workload(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cached_tokens=tokens.cached or 0,
            estimated=tokens.estimated,
            decode_s=None if paced is None else paced.decode_s,
        )
        spread = None if served.rate is None or estimator is not served.estimator else served.rate.spread
        footprint = Footprint.of(workload, estimator, served.intensity, report, spread)
        if served.price is not None:
            cost = served.price.usd(tokens.input, tokens.cached or 0, tokens.cache_write or 0, tokens.output)
            if tokens.searches:
                cost = served.price.with_searches(cost, tokens.searches)
    elif report is not None:
        footprint = Footprint.of(Workload(input_tokens=0, output_tokens=0), None, served.intensity, report)
    if paced is not None and footprint.method != "runtime_power" and footprint.cross_method != "runtime_power":
        paced = None
    decode_s = None if paced is None else paced.decode_s
    saving = None if against is None else compared(against[0], served, Done(tokens, footprint, decode_s), *against[1:])
    return Account(
        tokens=tokens, footprint=footprint, cost_usd=cost, report=report, saving=saving, paced=paced, batch=batch, against=against
    )


def least_usd(served: Served | None, tokens: Tokens) -> float | None:
    """What an answer cost at least whose searches are of unknown price: a budget must not be spent past by adding one."""
    if served is None or served.price is None or tokens.input is None or tokens.output is None:
        return None
    return served.price.usd(tokens.input, tokens.cached or 0, tokens.cache_write or 0, tokens.output)


def _in_company(estimator: Estimator | None, batch: float) -> tuple[Estimator | None, float | None]:
    """Of a calibration that knows what a batch does, the estimator in it; of any other, itself and no batch."""
    if not isinstance(estimator, Calibrated) or estimator.batched is None:
        return estimator, None
    return estimator.at(batch), batch


def reported(usage: Usage, input_tokens: int) -> Tokens:
    """Tokens as the upstream reported them; a reader takes no impossible ones."""
    return Tokens(
        input=input_tokens,
        cached=usage.cached_tokens,
        cache_write=usage.cache_write_tokens,
        output=usage.output_tokens if usage.output_tokens is not None else 0,
        reasoning=usage.reasoning_tokens,
        searches=usage.searches,
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

    def __init__(self, metrics: Metrics, log: RequestLog, keep: Callable[[Row, Preface], None], wall: Callable[[], float]) -> None:
        self._metrics = metrics
        self._log = log
        self._keep = keep
        self.budgets = Budgets()
        self.router_j = ROUTER_J
        """What the proxy takes for an exchange; measured anew now and then by whoever owns this."""
        self.settled = 0
        self._wall = wall
        self._requests = metrics.numbers("greenlane_requests")
        self._contexts = Contexts()

    def settle(
        self, admission: Admission, call: Call | None, tried: Tried | None, account: Account, ending: Ending, arrived_s: float
    ) -> None:
        """Keeps the entry (before the answer's last byte goes out), then counts and logs. Never waits, never raises."""
        self.settled += 1
        duration_s = perf_counter() - arrived_s
        served = tried.served if tried is not None else None
        ttft_s = None if ending.first_s is None else ending.first_s - arrived_s
        shared = self._shared(admission, call, served, account.footprint, ending)
        row = self._row(admission, call, account, ending, (shared, duration_s, ttft_s))
        self._keep(row, shared)
        if row.team is not None:
            self.budgets.add(row.team, row.carbon_g, least_usd(served, account.tokens) if row.cost_usd is None else row.cost_usd)
        peer = tried.peer if tried is not None else None
        if peer is not None and peer.meter is not None and tried is not None:
            peer.meter.events.append(ended(row, call, tried, account))
        if peer is not None and tried is not None and ending.first_s is not None:
            # its own: neither the wait for a place nor what attempts before it took
            peer.observe_ttft(ending.first_s - tried.started_s)
        self._count(row, call, ending, peer, account)
        self._log.write(
            Line(
                row.at_s,
                row.id,
                admission.request_id,
                row.key,
                served.model if served is not None else None,
                served.name if served is not None else None,
                ending.policy,
                ending.reason,
                ending.status,
                ending.outcome,
                duration_s,
                ttft_s,
                row.input_tokens,
                row.output_tokens,
                row.energy_j,
                row.carbon_g,
            )
        )

    def _shared(self, admission: Admission, call: Call | None, served: Served | None, footprint: Footprint, ending: Ending) -> Shared:
        """What the row has in common with others. A standing decision belongs to one plan: it keeps them by what the plan leaves open."""
        decision = ending.decision
        by = (decision, ending.reason, ending.policy, ending.baseline, self.router_j, ending.holdout)
        if decision.__class__ is not Stood or call is None or served is None or footprint.intensity is not served.intensity:
            return self._contexts.of(admission.snapshot, call, served, footprint, by)
        kept: dict[Any, Shared] = decision.contexts
        key = (served, call.ask.stream, ending.reason, footprint.method, footprint.confidence, footprint.warnings, self.router_j)
        found = kept.get(key)
        if found is None:
            found = kept[key] = self._contexts.of(admission.snapshot, call, served, footprint, by)
        return found

    def _row(
        self, admission: Admission, call: Call | None, account: Account, ending: Ending, by: tuple[Shared, float, float | None]
    ) -> Row:
        shared, duration_s, ttft_s = by
        grant, tokens, footprint, attempts = admission.grant, account.tokens, account.footprint, ending.attempts
        entry_id, request_id = admission.entry_id, admission.request_id
        last = attempts[-1] if attempts else None
        ordinary = (
            (last is None or (last.kind == "ok" and last.status == ending.status and len(attempts) == 1))
            and ending.forecast is None
            and account.report is None
            and footprint.method != "runtime_power"
            and account.batch is None
            and not (ending.ignored or tokens.estimated or tokens.searches)
            and shared.whole
        )
        return Row(
            entry_id,
            self._wall(),
            shared.id,
            None if grant is None else grant.team,
            None if grant is None else grant.key,
            None if call is None else call.wishes.task,
            ending.outcome,
            ending.status,
            ending.error,
            tokens.input,
            tokens.cached,
            tokens.cache_write,
            tokens.output,
            tokens.reasoning,
            footprint.energy_j,
            footprint.energy_low_j,
            footprint.energy_high_j,
            footprint.carbon_g,
            footprint.carbon_low_g,
            footprint.carbon_high_g,
            account.cost_usd,
            duration_s,
            ttft_s,
            ending.overhead_s,
            len(attempts),
            None if last is None else last.seconds_s,
            None if request_id == entry_id else request_id,
            ending.upstream_id,
            ending.response_id,
            None if ordinary else detail_of(account, ending, shared),
            *((None, None, None, None) if account.saving is None else astuple(account.saving)),
        )

    def _count(self, row: Row, call: Call | None, ending: Ending, peer: Peer | None, account: Account) -> None:
        if peer is None:
            labels = ("" if call is None else call.member.name, "", ending.policy or "", str(ending.status))
            self._requests[labels] = self._requests.get(labels, 0.0) + 1.0
            return
        tally, code = peer.tally, (ending.policy, ending.status)
        try:
            tally.codes[code] += 1
        except KeyError:
            tally.codes[code] = 1
        peer.duration.observe(row.duration_s)
        if row.ttft_s is not None:
            peer.first_token.observe(row.ttft_s)
        if row.overhead_s is not None:
            peer.overhead.observe(row.overhead_s)
        tokens = account.tokens
        if tokens.input:
            tally.input += tokens.input
        if tokens.cached:
            tally.cached += tokens.cached
        if tokens.output:
            tally.output += tokens.output
        if tokens.reasoning:
            tally.reasoning += tokens.reasoning
        if account.cost_usd:
            tally.cost_usd += account.cost_usd
        if account.saving is not None:
            tally.avoided_g += account.saving.g
        footprint = account.footprint
        if footprint.energy_j:
            sums = tally.by_method.get(footprint.method)
            if sums is None:
                sums = tally.by_method[footprint.method] = [0.0, 0.0]
            sums[0] += footprint.energy_j
            sums[1] += footprint.carbon_g or 0.0

    def rejections(self, decision: Decision) -> None:
        """Counts what a decision excluded, by constraint."""
        if isinstance(decision, Stood):
            for labels, times in decision.excluded:
                self._metrics.add("greenlane_policy_rejections", labels, times)
            return
        for each in decision.rejected:
            self._metrics.add("greenlane_policy_rejections", (each.constraint.partition(":")[0],))


def ended(row: Row, call: Call | None, tried: Tried, account: Account) -> Ended:
    """What the deployment's meter is told of an exchange that is over."""
    input_tokens = row.input_tokens if row.input_tokens is not None else 0 if call is None else call.ask.input_tokens
    return Ended(
        row.id,
        tried.started_s,
        tried.result.first_s,
        # a wait behind it is none of its time
        tried.started_s + tried.attempts[-1].seconds_s,
        input_tokens,
        row.cached_tokens,
        row.output_tokens or 0,
        account.footprint,
        None if tried.served is None else tried.served.profile,
        tried.batch,
        None
        if tried.served is None or account.saving is None or account.against is None
        else _again(tried.served, account, account.against),
    )


def _again(served: Served, account: Account, against: tuple[Plan, Burnt, float]) -> Callable[[Footprint], Saving | None]:
    """What the answer saved by another figure of its own."""
    decode_s = None if account.paced is None else account.paced.decode_s

    def saved(figure: Footprint) -> Saving | None:
        return compared(against[0], served, Done(account.tokens, figure, decode_s), *against[1:])

    return saved


def detail_of(account: Account, ending: Ending, shared: Shared) -> str:
    """What is out of the ordinary in an exchange, as JSON."""
    order, rejected = (None, None) if shared.whole else names(ending.decision)
    forecast, own = ending.forecast, account.footprint
    checked = None
    if (account.report is not None or own.method == "runtime_power") and own.cross_method is not None and own.cross_j is not None:
        checked = CrossCheck(method=own.cross_method, energy_j=own.cross_j)
    return text(
        Detail(
            attempts=ending.attempts or None,
            estimated=account.tokens.estimated,
            forecast=None
            if forecast is None
            else Carbon(
                energy_j=forecast.energy_j,
                energy_low_j=forecast.energy_low_j,
                energy_high_j=forecast.energy_high_j,
                carbon_g=forecast.carbon_g,
                carbon_low_g=forecast.carbon_low_g,
                carbon_high_g=forecast.carbon_high_g,
                method=forecast.method,
                confidence=forecast.confidence,
            ),
            ignored=ending.ignored,
            order=order,
            rejected=rejected,
            provider_report=None if account.report is None else account.report.raw,
            cross_check=checked,
            decode_s=None if account.paced is None else account.paced.decode_s,
            paced_by=None if account.paced is None or account.paced.by == "stream" else account.paced.by,
            batch=account.batch,
            searches=account.tokens.searches,
        )
    )
