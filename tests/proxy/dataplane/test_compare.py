"""A saving in proportion is the saving that is worked out from both sides."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.bands import Band
from carbon.calibrated import Calibrated
from carbon.footprint import Footprint, ProviderReport, Workload, measured
from carbon.profile import machine
from carbon.savings import Saving, otherwise, saving
from carbon.sources.static import Static
from proxy.access import ANYONE
from proxy.configuration import loads
from proxy.dataplane.compare import Burnt, Done, compared
from proxy.records import Tokens
from proxy.runtime import compiled

FLEET = """
policies: {green: {objective: lowest_carbon}}
deployments:
  pl: &here {model: big, upstream_model: Qwen/Qwen3-32B, base_url: "http://127.0.0.1:1/v1", zone: PL, hardware: {gpu: H100}, batch: 16}
  se: {<<: *here, zone: aws:eu-north-1}
  other: {<<: *here, zone: SE, batch: 64}
"""
SNAPSHOT = compiled(loads(FLEET), Static().table())
PLAN = SNAPSHOT.plan("chat", SNAPSHOT.models["big"], ANYONE, "green")


@given(st.integers(0, 200_000), st.integers(1, 20_000), st.integers(0, 1000), st.none() | st.floats(0.01, 60))
def test_between_deployments_that_are_alike(read, written, cached, decode_s):
    served, instead = SNAPSHOT.served["se"], SNAPSHOT.served["pl"]
    work = Workload(input_tokens=read, output_tokens=written, cached_tokens=min(cached, read), decode_s=decode_s)
    actual, other = (Footprint.of(work, each.estimator, each.intensity) for each in (served, instead))
    assert served in PLAN.alike
    done = Done(Tokens(input=read, output=written, cached=min(cached, read)), actual, decode_s)
    found = compared(PLAN, served, done)
    expected = saving(other, actual, alike=True)
    for name in ("g", "low_g", "high_g"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_other_machines_are_compared_with_all_their_bands():
    served = SNAPSHOT.served["other"]
    assert served not in PLAN.alike
    actual = Footprint.of(Workload(input_tokens=1000, output_tokens=500), served.estimator, served.intensity)
    found = compared(PLAN, served, Done(Tokens(input=1000, output=500), actual))
    alike = saving(
        Footprint.of(Workload(input_tokens=1000, output_tokens=500), SNAPSHOT.served["pl"].estimator, SNAPSHOT.served["pl"].intensity),
        actual,
        alike=True,
    )
    assert found.g == pytest.approx(alike.g)
    assert found.low_g < alike.low_g


MEASURED = Band(0.8, 1.3)


def remeasured(actual: Footprint, ratio: float) -> Footprint:
    """So many times the joules of the account, counted by a meter."""
    joules = (actual.energy_j or 0.0) * ratio
    return measured((joules * MEASURED.low, joules, joules * MEASURED.high), actual)


@given(st.integers(0, 20_000), st.integers(1, 20_000), st.none() | st.floats(0.01, 60), st.floats(0.2, 5))
def test_what_is_measured_later_is_measured_of_the_same_machine_elsewhere(read, written, decode_s, ratio):
    """An estimate that was wrong by a factor was wrong by it on both sides: nothing is saved by measuring."""
    served, instead = SNAPSHOT.served["se"], SNAPSHOT.served["pl"]
    work = Workload(input_tokens=read, output_tokens=written, decode_s=decode_s)
    tokens = Tokens(input=read, output=written)
    actual = Footprint.of(work, served.estimator, served.intensity)
    figure = remeasured(actual, ratio)
    found = compared(PLAN, served, Done(tokens, figure, decode_s), router_g=1e-9)
    estimated = compared(PLAN, served, Done(tokens, actual, decode_s), router_g=1e-9)
    assert found.g + 1e-9 == pytest.approx((estimated.g + 1e-9) * ratio, rel=1e-9)
    assert found.g == pytest.approx(
        (figure.carbon_g or 0) * (instead.intensity.g_per_kwh / served.intensity.g_per_kwh * 1.15 / 1.1 - 1) - 1e-9
    )
    # the band of what was counted, which is narrower, once; each grid's by itself
    assert found.low_g / found.g > estimated.low_g / estimated.g
    assert found.high_g / found.g < estimated.high_g / estimated.g


def test_what_a_provider_reports_is_taken_over_to_the_same_machine_alone():
    work, tokens = Workload(input_tokens=1000, output_tokens=500), Tokens(input=1000, output=500)
    report = ProviderReport(energy_j=1.0, source="neuralwatt")
    poland = SNAPSHOT.served["pl"].intensity.g_per_kwh
    for name, there_j in (("se", 1.15 / 1.1), ("other", Footprint.of(work, SNAPSHOT.served["pl"].estimator, None).energy_j)):
        served = SNAPSHOT.served[name]
        actual = Footprint.of(work, served.estimator, served.intensity, report)
        assert actual.method == "provider_reported"
        found = compared(PLAN, served, Done(tokens, actual))
        assert found.g == pytest.approx(there_j / 3.6e6 * poland - actual.carbon_g)


@pytest.mark.parametrize("fitted", ["se", "pl"])
def test_a_fit_on_one_side_alone_is_no_saving(fitted):
    """Half the estimate, as fitted here or there, says nothing of the other: it is as far from the estimate there."""
    prior = SNAPSHOT.served[fitted].estimator
    form = prior.form.scaled(0.5)
    own = Calibrated(id="cal-1", request_j=0.0, form=form, band=Band(0.8, 1.3), cross=prior, runtime=prior.runtime)
    work = Workload(input_tokens=1000, output_tokens=500)
    sides = {name: own if name == fitted else SNAPSHOT.served[name].estimator for name in ("se", "pl")}
    actual = Footprint.of(work, sides["se"], SNAPSHOT.served["se"].intensity)
    found = otherwise(work, actual, (sides["se"], sides["pl"]), SNAPSHOT.served["pl"].intensity, alike=True)
    assert found.alike
    assert found.footprint.energy_j == pytest.approx(actual.energy_j * 1.15 / 1.1)
    both = otherwise(work, actual, (own, own), SNAPSHOT.served["pl"].intensity, alike=True)
    assert both.alike is (actual.method != "calibrated")


def test_two_fits_tell_nothing_of_what_was_measured():
    """Each has an error of its own: what is alike are the machines, so the ratio is that of their estimates."""
    fits = {}
    for name, factor in (("se", 0.5), ("pl", 2.0)):
        prior = SNAPSHOT.served[name].estimator
        form = prior.form.scaled(factor)
        fits[name] = Calibrated(id=name, request_j=0.0, form=form, band=Band(0.8, 1.3), cross=prior, runtime=prior.runtime)
    work = Workload(input_tokens=1000, output_tokens=500)
    actual = remeasured(Footprint.of(work, SNAPSHOT.served["se"].estimator, SNAPSHOT.served["se"].intensity), 3.0)
    found = otherwise(work, actual, (fits["se"], fits["pl"]), SNAPSHOT.served["pl"].intensity, alike=True)
    assert (found.alike, found.ratio.method) == (True, "flops_roofline")
    assert found.footprint.energy_j == pytest.approx(actual.energy_j * 1.15 / 1.1)


def test_a_fit_changes_no_machine():
    """Of the same model on the same hardware, one deployment with a calibration in force."""
    record = SNAPSHOT.served["se"].profile
    assert machine({**record, "calibration": "cal-1", "calibration_low": 0.8}) == machine(SNAPSHOT.served["pl"].profile)


def test_what_failed_attempts_took_comes_off_with_its_own_error():
    """Independent errors: sqrt(3² + 4²) = 5 below, sqrt(5² + 12²) = 13 above."""
    charges = Burnt(g=20.0, low_g=8.0, high_g=24.0, marginal_g=2.0)
    left = charges.off(Saving(g=100.0, low_g=97.0, high_g=105.0, marginal_g=50.0))
    assert left == Saving(g=80.0, low_g=75.0, high_g=93.0, marginal_g=48.0)
    assert charges.off(Saving(g=100.0, low_g=97.0, high_g=105.0)).marginal_g is None


@pytest.mark.parametrize("charges", [Burnt(), Burnt(g=1.0, low_g=1.0, high_g=1.0)])
def test_against_what_is_not_known_nothing_is_saved_whatever_failed_before(charges):
    unknown = msgspec.structs.replace(PLAN, baseline=msgspec.structs.replace(PLAN.baseline, estimator=None))
    served = SNAPSHOT.served["other"]
    actual = Footprint.of(Workload(input_tokens=1000, output_tokens=500), served.estimator, served.intensity)
    assert compared(unknown, served, Done(Tokens(input=1000, output=500), actual), charges) is None
