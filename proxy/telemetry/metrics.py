"""Every instrument of Greenlane in one table, kept as plain numbers and rendered when somebody scrapes.

prometheus_client's children cost 0.4 to 1 µs an update and its `labels()` another µs; a dict of lists costs 0.15. Its exposition
is used as it is, through one custom collector. Labels come from the configuration only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
OVERHEAD_SECONDS = (0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class Instrument(NamedTuple):
    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


_MD = ("model", "deployment")
INSTRUMENTS = (
    Instrument("greenlane_requests", "counter", "Requests by HTTP status; 499: the client left.", (*_MD, "policy", "code")),
    Instrument("greenlane_request_duration_seconds", "histogram", "From the request's last byte to the answer's.", _MD, SECONDS),
    Instrument("greenlane_time_to_first_token_seconds", "histogram", "From the request's last byte to the first content.", _MD, SECONDS),
    Instrument(
        "greenlane_overhead_seconds", "histogram", "Time a request spent in the proxy before it was sent on.", _MD, OVERHEAD_SECONDS
    ),
    Instrument(
        "greenlane_tokens", "counter", "Tokens: input (cached included), cached, output (reasoning included), reasoning.", (*_MD, "kind")
    ),
    Instrument("greenlane_energy_joules", "counter", "Estimated or reported energy.", (*_MD, "method")),
    Instrument("greenlane_measured_energy_joules", "counter", "Measured at the accelerators, by whom it went to.", (*_MD, "share")),
    Instrument("greenlane_measured_host_energy_joules", "counter", "The same of the machines around them.", (*_MD, "share")),
    Instrument("greenlane_restatements_set_aside", "counter", "Measured figures that the ledger's store does not take.", ()),
    Instrument("greenlane_co2e_grams", "counter", "Emissions of that energy.", (*_MD, "method")),
    Instrument("greenlane_cost_usd", "counter", "Price by the configured rates.", _MD),
    Instrument("greenlane_upstream_errors", "counter", "Failed attempts.", ("deployment", "model", "kind")),
    Instrument("greenlane_policy_rejections", "counter", "Deployments excluded, by constraint.", ("constraint",)),
    Instrument("greenlane_avoided_co2e_grams", "gauge", "Counterfactual less actual emissions; may be negative.", _MD),
    Instrument("greenlane_grid_intensity_g_per_kwh", "gauge", "Grid intensity in use.", ("zone", "source")),
    Instrument("greenlane_grid_marginal_g_per_kwh", "gauge", "Of one kilowatt-hour more or less.", ("zone", "source")),
    Instrument("greenlane_grid_intensity_age_seconds", "gauge", "Age of that figure.", ("zone",)),
    Instrument("greenlane_calibration_age_seconds", "gauge", "Since the calibration in force was fitted.", _MD),
    Instrument("greenlane_calibration_drift_ratio", "gauge", "Measured over foreseen, median of 24 hours.", _MD),
    Instrument("greenlane_inflight", "gauge", "Requests being served.", _MD),
    Instrument("greenlane_deployment_up", "gauge", "1: its breaker is closed.", _MD),
    Instrument("greenlane_ledger_pending", "gauge", "Entries in the spool, not yet in the store.", ()),
)

Labels = tuple[str, ...]


class Histogram:
    """Counts by bucket and a sum; `observe` is two list operations."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tally:
    """What one deployment has served: counters as plain attributes, rendered under several instruments."""

    __slots__ = ("avoided_g", "by_method", "cached", "codes", "cost_usd", "input", "output", "reasoning")

    def __init__(self) -> None:
        self.input = self.cached = self.output = self.reasoning = 0
        self.cost_usd = 0.0
        self.avoided_g = 0.0
        """Signed."""
        self.by_method: dict[str, list[float]] = {}
        """Method → joules and grams."""
        self.codes: dict[tuple[str | None, int], int] = {}
        """Policy and HTTP status → requests."""


class Metrics:
    """The numbers. Counters and gauges are dicts from label values to a float; `gauges` may also be read when scraped."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[Labels, float]] = {each.name: {} for each in INSTRUMENTS if each.kind != "histogram"}
        self._histograms: dict[str, dict[Labels, Histogram]] = {each.name: {} for each in INSTRUMENTS if each.kind == "histogram"}
        self._tallies: dict[Labels, Tally] = {}
        self._bounds = {each.name: each.buckets for each in INSTRUMENTS}
        self._readers: dict[str, Callable[[], Iterable[tuple[Labels, float]]]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(self))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def numbers(self, name: str) -> dict[Labels, float]:
        """The live dict of a counter or gauge, to add to in place."""
        return self._numbers[name]

    def add(self, name: str, labels: Labels, amount: float = 1.0) -> None:
        numbers = self._numbers[name]
        numbers[labels] = numbers.get(labels, 0.0) + amount

    def histogram(self, name: str, labels: Labels) -> Histogram:
        """The child for these labels, made at its first use; keep it."""
        children = self._histograms[name]
        found = children.get(labels)
        if found is None:
            found = children[labels] = Histogram(self._bounds[name])
        return found

    def tally(self, labels: Labels) -> Tally:
        """The counters of one (model, deployment), made at their first use; they outlive a reload."""
        return self._tallies.setdefault(labels, Tally())

    def read_when_scraped(self, name: str, reader: Callable[[], Iterable[tuple[Labels, float]]]) -> None:
        """Lets a gauge be asked for instead of kept."""
        self._readers[name] = reader

    def render(self) -> bytes:
        """The text exposition. Takes milliseconds with many series: call it in a thread."""
        return generate_latest(self._registry)

    def families(self) -> Iterator[Metric]:
        for each in INSTRUMENTS:
            if each.kind == "histogram":
                yield self._histogram_family(each)
                continue
            samples = {**self._numbers[each.name], **self._tallied(each.name)}
            if each.name in self._readers:
                samples.update(self._readers[each.name]())
            kind = CounterMetricFamily if each.kind == "counter" else GaugeMetricFamily
            family = kind(each.name, each.help, labels=each.labels)
            for labels, value in samples.items():
                family.add_metric(labels, value)
            yield family

    def _tallied(self, name: str) -> dict[Labels, float]:
        """What the tallies say of one instrument."""
        found: dict[Labels, float] = {}
        for labels, tally in list(self._tallies.items()):
            if name == "greenlane_requests":
                found |= {(*labels, policy or "", str(code)): float(count) for (policy, code), count in list(tally.codes.items())}
            elif name == "greenlane_tokens":
                kinds = {"input": tally.input, "cached": tally.cached, "output": tally.output, "reasoning": tally.reasoning}
                found |= {(*labels, kind): float(count) for kind, count in kinds.items() if count}
            elif name == "greenlane_cost_usd" and tally.cost_usd:
                found[labels] = tally.cost_usd
            elif name == "greenlane_avoided_co2e_grams" and tally.avoided_g:
                found[labels] = tally.avoided_g
            elif name in ("greenlane_energy_joules", "greenlane_co2e_grams"):
                which = 0 if name == "greenlane_energy_joules" else 1
                found |= {(*labels, method): sums[which] for method, sums in list(tally.by_method.items())}
        return found

    def _histogram_family(self, each: Instrument) -> Metric:
        family = HistogramMetricFamily(each.name, each.help, labels=each.labels)
        for labels, child in list(self._histograms[each.name].items()):
            total, buckets = 0, []
            for bound, count in zip((*(str(bound) for bound in child.bounds), "+Inf"), child.counts, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric(labels, buckets, child.total)
        return family


class _Collector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()
