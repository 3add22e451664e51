"""What a calibration is made of, what it must satisfy, and the figures that follow from an accepted one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.bands import Band
from carbon.calibrated import calibrated, recorded
from carbon.calibration import Batched, BatchTerms, Calibration, Drift, Terms, drift, machine_of, missing
from carbon.components import Components, components
from carbon.energy import estimator
from carbon.footprint import Footprint, ProviderReport, Workload, rate
from carbon.intensity import Intensity
from carbon.profile import Serving, profile_from, profile_of
from carbon.roofline import Form
from carbon.stated import assumptions
from tests.carbon.measurements import DAY_S, NOW_S, PRIOR, PROFILE, TRUTH, evidence, measured

GRID = Intensity(zone="SE", g_per_kwh=36.0, low=30.0, high=50.0, basis="lifecycle", source="static", as_of="2024", licence="")
FACTS = {
    "deployment": "ours", "model": "small", "gpu": "H100", "machine": machine_of(PROFILE), "source": "measured_attributed", "data": "d",
    "fitted_at_s": NOW_S, "n": 600, "dropped": 0, "span_s": 4 * DAY_S, "token_span": 100.0, "terms": TRUTH, "fitted": TRUTH, "weight": 0.75,
    "low": 0.7, "high": 1.45, "cv_mdape": 0.03, "plain_cv_mdape": 0.4, "plain_request_j": 1.0, "plain_token_j": 0.1, "prior_error": 0.3,
    "held_out": 150, "held_out_error": 0.03, "terms_error": 0.03, "incumbent_error": 0.3, "incumbent": "flops_roofline", "accepted": True,
}  # fmt: skip
tokens = st.integers(0, 200_000)


def batched(terms: BatchTerms) -> Batched:
    errors = {"cv_mdape": 0.04, "without_cv_mdape": 0.2, "held_out_error": 0.04, "without_held_out_error": 0.2}
    return Batched(terms=terms, n=600, weight=1.0, low=0.75, high=1.35, **errors)


IN_COMPANY = BatchTerms(terms=Terms(request_j=4.0, form=Form(token=0.1, context=2e-5, prefill=0.03)), step_j=0.8, least=2.0, most=32.0)


def made(**changes: object) -> Calibration:
    return Calibration(**{**FACTS, **changes}).named()


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (measured(143), ("143 measured records of 200",)),
        (measured(600, days=0.25), ("6.0 h of 12 h",)),
        ([msgspec.structs.replace(each, input_tokens=90, cached_tokens=0, output_tokens=10) for each in measured(600)],
         ("tokens span ×1.0 of ×10",)),  # noqa: RUF001
        ([], ("nothing was measured",)),
        (measured(600), ()),
    ],
    ids=["few", "short", "alike", "none", "enough"],
)  # fmt: skip
def test_what_is_missing_is_said(records, told):
    assert missing(evidence(records)) == told


def test_a_figure_by_hand():
    """100 in, of which 50 cached, 10 out: 5 + 10·(.25 + 2e-5·105) + .03·(100 - .98·50) = 5 + 2.521 + 1.53 = 9.051 J."""
    figures = calibrated(made(), PRIOR).figures(100, 50, 10)
    assert figures == pytest.approx((9.051 * 0.7, 9.051, 9.051 * 1.45))


def test_a_figure_in_company_by_hand():
    """The same in a batch of 8: 4 + 10·(.1 + .8/8 + 2e-5·105) + .03·(100 - .98·50) = 4 + 2.021 + 1.53 = 7.551 J, with the band of that."""
    alone = calibrated(made(batched=batched(IN_COMPANY)), PRIOR)
    assert alone.figures(100, 50, 10) == pytest.approx((9.051 * 0.7, 9.051, 9.051 * 1.45))
    assert alone.at(8).figures(100, 50, 10) == pytest.approx((7.551 * 0.75, 7.551, 7.551 * 1.35))
    assert calibrated(made(), PRIOR).at(8) == calibrated(made(), PRIOR)


@pytest.mark.parametrize(("batch", "taken_for"), [(0.5, 2.0), (1.0, 2.0), (2.0, 2.0), (32.0, 32.0), (1e9, 32.0)])
def test_a_batch_beyond_those_measured_counts_as_the_nearest(batch, taken_for):
    alone = calibrated(made(batched=batched(IN_COMPANY)), PRIOR)
    assert alone.at(batch).energy_j(0, 0, 10) == pytest.approx(4 + 10 * (0.1 + 0.8 / taken_for + 2e-5 * 5))


def test_what_a_ledger_keeps_redoes_the_figure_in_company_too():
    kept = made(batched=batched(IN_COMPANY)).record()
    again, alone = recorded(kept), calibrated(made(batched=batched(IN_COMPANY)), PRIOR)
    assert again.estimator(PRIOR, 8).figures(100, 50, 10) == alone.at(8).figures(100, 50, 10)
    assert again.estimator(PRIOR).figures(100, 50, 10) == alone.figures(100, 50, 10)
    assert recorded(made().record()).estimator(PRIOR, 8).figures(100, 50, 10) == alone.figures(100, 50, 10)


def test_the_footprint_says_calibrated_with_the_prior_as_cross_check():
    made_of = calibrated(made(), PRIOR)
    found = Footprint.of(Workload(input_tokens=100, output_tokens=400), made_of, GRID)
    assert (found.method, found.cross_method, found.confidence) == ("calibrated", "flops_roofline", "medium")
    assert found.energy_j == made_of.energy_j(100, 0, 400)
    assert found.cross_j == PRIOR.energy_j(100, 0, 400)


def test_the_pace_of_a_stream_stands_above_it():
    """runtime_power goes before calibrated on the ladder, which is then its cross-check."""
    prior = estimator(profile_of(Serving(upstream_model="llama-3.1-8b", gpu="H100", total_b=8.0, batch=64.0, privacy="local")))
    found = Footprint.of(Workload(input_tokens=100, output_tokens=400, decode_s=8.0), calibrated(made(), prior), GRID)
    assert (found.method, found.cross_method) == ("runtime_power", "calibrated")


def test_what_a_provider_reports_stands_above_it():
    report = ProviderReport(energy_j=60.0, source="neuralwatt")
    found = Footprint.of(Workload(input_tokens=100, output_tokens=400), calibrated(made(), PRIOR), GRID, report)
    assert (found.method, found.cross_method, found.energy_j) == ("provider_reported", "calibrated", 60.0)


def test_a_forecast_is_the_same_grams_as_the_account():
    made_of = calibrated(made(), PRIOR)
    folded = rate(made_of, GRID)
    account = Footprint.of(Workload(input_tokens=1000, output_tokens=200, cached_tokens=300), made_of, GRID)
    assert folded.g(1000, 300, 200) == pytest.approx(account.carbon_g, rel=1e-9)
    assert folded.g_high(1000, 300, 200) == pytest.approx(account.carbon_high_g, rel=1e-9)


def test_there_is_no_estimator_of_a_calibration_that_was_not_accepted():
    with pytest.raises(ValueError, match="was not accepted"):
        calibrated(made(accepted=False), PRIOR)


@given(tokens, tokens, tokens, tokens, st.floats(0, 100), st.floats(0, 10), st.floats(0, 1e-3), st.floats(0, 1))
def test_more_tokens_never_cost_less_and_the_band_holds_the_value(fresh, cached, out, more, request_j, token, context, prefill):
    terms = Terms(request_j=request_j, form=Form(token, context, prefill, 1e-5))
    made_of = calibrated(made(terms=terms), PRIOR)
    low, value, high = made_of.figures(fresh + cached, cached, out)
    assert low <= value <= high
    for grown in ((fresh + more + cached, cached, out), (fresh + cached + more, cached + more, out), (fresh + cached, cached, out + more)):
        assert made_of.energy_j(*grown) >= value * (1 - 1e-12)


def test_the_id_is_made_of_the_content():
    assert made().id == made().id
    assert made().id != made(fitted_at_s=NOW_S + 1).id
    assert made().id.startswith("cal-")


def test_what_a_ledger_keeps_is_enough_to_redo_the_figure():
    record = made().record()
    terms = [record[f"calibration_{name}"] for name in ("token_j", "context_j", "prefill_j", "attention")]
    again = Terms(request_j=record["calibration_request_j"], form=Form(*terms))
    assert again.joules(100, 50, 10) == pytest.approx(9.051)
    assert (record["calibration_low"], record["calibration_high"]) == (0.7, 1.45)


@pytest.mark.parametrize(("factor", "alarm"), [(1.0, False), (1.2, False), (1.3, True), (0.78, True)])
def test_drift_is_the_median_of_the_last_day_over_what_is_foreseen(factor, alarm):
    day_before = [msgspec.structs.replace(each, at_s=each.at_s - 2 * DAY_S, energy_j=1e9) for each in measured(100, days=1)]
    today = [msgspec.structs.replace(each, energy_j=each.energy_j * factor) for each in measured(100, days=0.9, noise=0.01)]
    found = drift(made(), [*day_before, *today], NOW_S)
    assert found.ratio == pytest.approx(factor, rel=0.01)
    assert (found.n, found.alarm) == (100, alarm)
    assert drift(made(), today[:19], NOW_S) is None


def test_a_drifted_one_says_so_and_reaches_what_is_measured_now():
    kept = made(batched=batched(IN_COMPANY))
    for ratio, low, high in ((1.6, 1.0, 1.6), (0.5, 0.5, 1.0)):
        drifted = kept.drifted(Drift(ratio=ratio, n=50))
        assert (drifted.low, drifted.high) == pytest.approx((kept.low * low, kept.high * high))
        assert (drifted.batched.low, drifted.batched.high) == pytest.approx((0.75 * low, 1.35 * high))
        for made_of in (calibrated(drifted, PRIOR), calibrated(drifted, PRIOR).at(8)):
            found = Footprint.of(Workload(input_tokens=100, output_tokens=40), made_of, GRID)
            assert "calibration_drifted" in found.warnings
        assert drifted.record()["calibration_drift"] == ratio
        assert recorded(drifted.record()).estimator(PRIOR).figures(9, 0, 9) == calibrated(drifted, PRIOR).figures(9, 0, 9)
    assert kept.drifted(Drift(ratio=1.2, n=50)) is kept
    assert kept.drifted(None) is kept
    assert "calibration_drift" not in kept.record()


def test_drift_is_of_what_the_batch_makes_of_it():
    """Records of batches that cost twice as much are no drift where the batch is in a term."""
    batch = BatchTerms(terms=TRUTH, step_j=2.0, least=1.0, most=8.0)
    today = [msgspec.structs.replace(each, batch=4.0) for each in measured(100, days=0.9, noise=0.01)]
    dearer = [msgspec.structs.replace(each, energy_j=each.energy_j + 0.5 * each.output_tokens) for each in today]
    assert drift(made(), dearer, NOW_S).alarm
    assert drift(made(batched=batched(batch)), dearer, NOW_S).ratio == pytest.approx(1.0, rel=0.01)


def test_another_machine_model_or_building_is_another_and_another_batch_is_not():
    ours = Serving(upstream_model="llama-3.1-8b", gpu="H100", total_b=8.0, privacy="local")
    others = [{"gpu": "B200"}, {"gpu_count": 2}, {"total_b": 70.0}, {"pue": 1.5}, {"bytes_per_parameter": 1.0}]
    made_of = [profile_of(msgspec.structs.replace(ours, **other)) for other in ({}, *others)]
    assert len({machine_of(each) for each in made_of}) == len(made_of)
    assert machine_of(profile_of(msgspec.structs.replace(ours, batch=8.0))) == machine_of(PROFILE)
    assert machine_of(profile_from(msgspec.json.decode(msgspec.json.encode(PROFILE.record())))) == machine_of(PROFILE)


def test_a_figure_by_a_providers_reports_is_the_providers_undivided():
    """Its boundary is not the facility's: no host, building or idle capacity can be told apart in it."""
    theirs = made(source="provider_reported", boundary="provider_unknown")
    found = Footprint.of(Workload(input_tokens=9, output_tokens=9), calibrated(theirs, PRIOR), GRID)
    assert found.warnings == ("boundary_unknown",)
    assert components(100.0, "calibrated", PROFILE, boundary="provider_unknown") == Components(provider_j=100.0)
    assert assumptions("calibrated", PROFILE, None, boundary="provider_unknown") == ()
    assert {each.name for each in assumptions("calibrated", PROFILE, None)} == {"host_factor", "pue"}
    assert recorded(theirs.record()).boundary == "provider_unknown"
    older = {name: value for name, value in theirs.record().items() if name != "calibration_boundary"}
    assert recorded(older).boundary == "provider_unknown"


def test_idle_capacity_is_in_what_was_measured_and_no_part_of_its_own():
    parts = components(100.0, "calibrated", PROFILE)
    assert parts.gpu_idle_j == 0
    assert parts.total_j == pytest.approx(100.0)


def test_confidence_is_never_above_that_of_the_measurements():
    """x0.75-1.35 of measurements with x0.8-1.25 of the fit: r = 1.45, medium; the measurements' own is 1.34, high."""
    band = Band(0.75, 1.35).combined(Band(0.8, 1.25))
    found = Footprint.of(Workload(input_tokens=9, output_tokens=9), calibrated(made(low=band.low, high=band.high), PRIOR), GRID)
    assert found.confidence == "medium"
