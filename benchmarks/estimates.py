"""What one figure costs in memory: the forecast of a candidate, and the account of an answer by each method.

`python -m benchmarks.estimates` prints the table; a whole run puts it into the report.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from time import thread_time

import msgspec

from benchmarks.places import HERE
from benchmarks.results import Estimate
from benchmarks.stacks import KEY
from carbon.calibrated import Calibrated
from carbon.calibration import Batched, BatchTerms, Terms
from carbon.energy import Proportional
from carbon.footprint import Footprint, ProviderReport, Workload, rate
from carbon.sources.static import Static
from proxy.configuration import load, loads
from proxy.dataplane.admit import Admission
from proxy.dataplane.ask import read
from proxy.dataplane.candidates import candidates
from proxy.dataplane.operations import OPERATIONS
from proxy.dataplane.peer import peers
from proxy.runtime import compiled
from proxy.snapshot import Served, Snapshot
from proxy.telemetry.metrics import Metrics

REPEATS, BATCHES = 2000, 25
FORECAST_GOAL_US, ACCOUNT_GOAL_US = 2.0, 10.0
FORECAST, ACCOUNT = "forecast of a candidate", "account"
FLEET = """
deployments:
  ours: {model: small, base_url: "http://127.0.0.1:9/v1", zone: DE, hardware: {gpu: H100, count: 2}, parameters_b: 32, batch: 64}
  theirs: {model: small, base_url: "https://api.openai.com/v1", upstream_model: gpt-5-mini, zone: US}
  named: {model: small, base_url: "http://127.0.0.1:9/v1", upstream_model: nobody-knows-7b, zone: SE}
"""
REPORT = ProviderReport(energy_j=120.0, source="neuralwatt", raw={"energy_joules": 120.0})


def measured() -> tuple[Estimate, ...]:
    """Each the least of many batches, in processor time of this thread."""
    found = [Estimate(what=f"{FORECAST}, of twenty", took_us=_forecast_us(), goal_us=FORECAST_GOAL_US)]
    work = Workload(input_tokens=420, output_tokens=57, cached_tokens=128)
    for served in compiled(loads(FLEET), Static().table()).served.values():
        estimator, intensity = served.estimator, served.intensity
        method = Footprint.of(work, estimator, intensity).method

        def account(estimator=estimator, intensity=intensity) -> None:
            Footprint.of(work, estimator, intensity)

        def reported(estimator=estimator, intensity=intensity) -> None:
            Footprint.of(work, estimator, intensity, REPORT)

        found.append(Estimate(what=f"{ACCOUNT} by {method}", took_us=least_us(account), goal_us=ACCOUNT_GOAL_US))
        if served.name == "ours":
            found.append(Estimate(what=f"{ACCOUNT} by runtime_power", took_us=least_us(paced_by(served)), goal_us=ACCOUNT_GOAL_US))
            found += _by_calibration(served, work)
            found.append(Estimate(what=f"{ACCOUNT} by provider_reported", took_us=least_us(reported), goal_us=ACCOUNT_GOAL_US))
    return tuple(found)


def paced_by(served: Served) -> Callable[[], object]:
    """Of a stream at 20 ms a token."""
    work = Workload(input_tokens=420, output_tokens=57, cached_tokens=128, decode_s=1.12)
    assert Footprint.of(work, served.estimator, served.intensity).method == "runtime_power"
    return lambda: Footprint.of(work, served.estimator, served.intensity)


def _by_calibration(served: Served, work: Workload) -> list[Estimate]:
    """As cheap as the form it stands on: the figures, the grams of a forecast, the account."""
    prior, intensity = served.estimator, served.intensity
    assert isinstance(prior, Proportional)
    fitted = Calibrated(id="cal-0", request_j=5.0, form=prior.form, band=prior.band, cross=prior)
    errors = {"cv_mdape": 0.05, "without_cv_mdape": 0.2, "held_out_error": 0.05, "without_held_out_error": 0.2}
    terms = BatchTerms(terms=Terms(request_j=5.0, form=prior.form), step_j=3.0, least=1.0, most=64.0)
    knowing = msgspec.structs.replace(fitted, batched=Batched(terms=terms, n=600, weight=1.0, low=0.8, high=1.25, **errors))
    folded = rate(fitted, intensity)
    assert folded is not None
    figures_us, grams_us = least_us(lambda: fitted.figures(420, 128, 57)), least_us(lambda: folded.g(420, 0, 57))
    return [
        Estimate(what="figures by calibrated", took_us=figures_us, goal_us=FORECAST_GOAL_US),
        Estimate(what="grams of a forecast by calibrated", took_us=grams_us, goal_us=FORECAST_GOAL_US),
        Estimate(what=f"{ACCOUNT} by calibrated", took_us=least_us(lambda: Footprint.of(work, fitted, intensity)), goal_us=ACCOUNT_GOAL_US),
        Estimate(
            what=f"{ACCOUNT} by calibrated in its batch",
            took_us=least_us(lambda: Footprint.of(work, knowing.at(7.5), intensity)),
            goal_us=ACCOUNT_GOAL_US,
        ),
    ]


def _forecast_us() -> float:
    """A candidate with its forecast, price, latency and load, as a decision is made of them, of a policy over twenty."""
    os.environ.setdefault("GREENLANE_BENCH_KEY", KEY)
    snapshot: Snapshot = compiled(load(str(HERE / "greenlane.yaml")), Static().table())
    metrics = Metrics()
    by_name = peers(snapshot, {}, metrics, lambda *_: None)  # type: ignore[arg-type, return-value]  # nothing is sent
    grant = snapshot.keyring.admit({b"authorization": b"Bearer " + KEY.encode()})
    admission = Admission(entry_id="", request_id="", headers={}, grant=grant, snapshot=snapshot)
    body = b'{"model":"mock","messages":[{"role":"user","content":"' + b"x" * 1500 + b'"}],"max_tokens":64}'
    operation = OPERATIONS[b"/v1/chat/completions"]
    call = read(body, b"application/json", operation, {}, (snapshot, None))
    plan = snapshot.plan(operation.api, call.member, grant, None)
    assert admission.grant is grant
    assert len(candidates(call, plan, by_name, 0.0)) == 20
    return least_us(lambda: candidates(call, plan, by_name, 0.0)) / 20


def least_us(call: Callable[[], object]) -> float:
    """Processor time of one call."""
    gc.collect()
    gc.disable()
    least_s = float("inf")
    for _ in range(BATCHES):
        began_s = thread_time()
        for _ in range(REPEATS):
            call()
        least_s = min(least_s, thread_time() - began_s)
    gc.enable()
    return 1e6 * least_s / REPEATS


if __name__ == "__main__":
    for each in measured():
        print(f"{each.took_us:6.2f} µs  (goal {each.goal_us:g})  {each.what}")
