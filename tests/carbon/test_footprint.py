"""A workload's energy and grams: forecast and account, unknown and zero."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.energy import LADDER, estimator
from carbon.footprint import NO_WORK, Footprint, ProviderReport, Workload, grams, measured, rate
from carbon.intensity import Intensity
from carbon.profile import Serving, profile_of
from carbon.sources.static import Static

TABLE = Static().table()
STOCKHOLM = TABLE.latest("aws:eu-north-1")
WORLD = TABLE.latest(None)
LLAMA = profile_of(Serving(upstream_model="llama", total_b=8, gpu="H100", gpu_count=1, batch=64, privacy="local"))
GPT = profile_of(Serving(upstream_model="gpt-4o"))
SIZED = profile_of(Serving(upstream_model="wonder-8b"))
assert LLAMA
assert GPT
assert SIZED
CHAT = Workload(input_tokens=100, output_tokens=400)
REPORT = ProviderReport(energy_j=107.0, source="neuralwatt", carbon_g=9.9, grid_g_per_kwh=48.0, grid="FI")


def grid(g: float, low: float, high: float) -> Intensity:
    return Intensity(
        zone="X", g_per_kwh=g, low=low, high=high, basis="lifecycle", source="test", as_of="2026-01-01T00:00:00Z", licence="none"
    )


def test_the_worked_example_in_grams():
    """87.324 J = .0242566 Wh x 34.9 g/kWh = .00084655 g.

    Band: energy x .6102 to x 1.9009, grid x .8 to x 1.2. Down sqrt(ln .6102^2 + ln 1.25^2) = .5421 -> x .5815;
    up sqrt(ln 1.9009^2 + ln 1.2^2) = .6676 -> x 1.9496.
    """
    found = Footprint.of(CHAT, estimator(LLAMA), STOCKHOLM)
    assert (found.energy_low_j, found.energy_j, found.energy_high_j) == pytest.approx((53.28, 87.32, 165.99), abs=0.01)
    assert found.carbon_g == pytest.approx(0.00084655, abs=1e-8)
    assert found.carbon_low_g == pytest.approx(0.00084655 * 0.5815, rel=1e-3)
    assert found.carbon_high_g == pytest.approx(0.00084655 * 1.9496, rel=1e-3)
    assert (found.method, found.confidence, found.intensity, found.warnings) == ("flops_roofline", "medium", STOCKHOLM, ())
    assert (found.cross_method, found.cross_j) == ("token_proxy", pytest.approx(0.4 * 0.031 * 3600 + 0.1 * 0.009 * 3600))


def test_without_any_method_everything_is_unknown_and_nothing_zero():
    found = Footprint.of(CHAT, None, STOCKHOLM)
    assert found == Footprint(intensity=STOCKHOLM)
    assert (found.energy_j, found.energy_high_j, found.carbon_g, found.method, found.confidence) == (None, None, None, "none", "none")


def test_without_an_intensity_the_energy_is_known_and_the_grams_are_not():
    found = Footprint.of(CHAT, estimator(LLAMA), None)
    assert found.energy_j == pytest.approx(87.32, abs=0.01)
    assert (found.carbon_low_g, found.carbon_g, found.carbon_high_g, found.intensity) == (None, None, None, None)


def test_garbled_token_counts_are_unknown():
    assert Footprint.of(Workload(input_tokens=-1, output_tokens=4), estimator(LLAMA), STOCKHOLM).energy_j is None
    assert Footprint.of(Workload(input_tokens=1, output_tokens=-4), estimator(GPT), STOCKHOLM).energy_j is None
    assert Footprint.of(Workload(input_tokens=1, output_tokens=4, cached_tokens=-1), estimator(GPT), STOCKHOLM).energy_j is None


def test_no_work_is_zero_and_no_method():
    assert (NO_WORK.energy_j, NO_WORK.carbon_g, NO_WORK.carbon_high_g, NO_WORK.method, NO_WORK.confidence) == (0, 0, 0, "none", "none")


def test_a_rate_without_a_band_is_per_kilowatt_hour():
    assert grams(7.2e6, 250) == 500


def test_what_is_measured_has_the_account_before_it_as_its_cross_check():
    before = Footprint.of(Workload(input_tokens=1000, output_tokens=500), estimator(LLAMA), STOCKHOLM)
    found = measured((1.0, 2.0, 4.0), before)
    assert (found.method, found.energy_low_j, found.energy_j, found.energy_high_j) == ("measured_attributed", 1, 2, 4)
    assert (found.cross_method, found.cross_j, found.intensity) == (before.method, before.energy_j, STOCKHOLM)
    assert found.warnings == ("method_disagreement",)
    assert found.carbon_g == pytest.approx(2 / 3.6e6 * STOCKHOLM.g_per_kwh)
    for nothing in (NO_WORK, Footprint(intensity=STOCKHOLM)):
        assert (measured((1.0, 2.0, 4.0), nothing).cross_method, measured((1.0, 2.0, 4.0), nothing).warnings) == (None, ())


@pytest.mark.parametrize("profile", [LLAMA, GPT, SIZED])
def test_no_tokens_cost_nothing(profile):
    found = Footprint.of(Workload(input_tokens=0, output_tokens=0), estimator(profile), STOCKHOLM)
    assert (found.energy_low_j, found.energy_j, found.energy_high_j) == (0, 0, 0)
    assert (found.carbon_low_g, found.carbon_g, found.carbon_high_g, found.confidence) == (0, 0, 0, "very-low")


def test_tokens_counted_by_us_widen_the_band_by_a_tenth_and_say_so():
    reported = Footprint.of(CHAT, estimator(LLAMA), STOCKHOLM)
    counted = Footprint.of(msgspec.structs.replace(CHAT, estimated=True), estimator(LLAMA), STOCKHOLM)
    assert reported.energy_low_j is not None
    assert reported.energy_high_j is not None
    assert counted.energy_j == reported.energy_j
    assert counted.energy_low_j == pytest.approx(reported.energy_low_j / 1.1)
    assert counted.energy_high_j == pytest.approx(reported.energy_high_j * 1.1)
    assert counted.warnings == ("tokens_estimated",)


def test_a_providers_energy_is_taken_as_given_and_its_grams_are_not():
    """107 J x 34.9 / 3.6e6 = .001037 g: no host or building factor on top, an unstated boundary widens to x .6 to x 1.8."""
    found = Footprint.of(CHAT, estimator(LLAMA), STOCKHOLM, REPORT)
    assert (found.energy_low_j, found.energy_j, found.energy_high_j) == pytest.approx((64.2, 107.0, 192.6))
    assert found.carbon_g == pytest.approx(107 * 34.9 / 3.6e6)
    assert (found.method, found.confidence, found.warnings) == ("provider_reported", "medium", ("boundary_unknown",))
    assert (found.cross_method, found.cross_j) == ("flops_roofline", pytest.approx(87.32, abs=0.01))


def test_a_stated_boundary_narrows_a_providers_figure():
    found = Footprint.of(CHAT, None, STOCKHOLM, msgspec.structs.replace(REPORT, boundary="facility"))
    assert (found.energy_low_j, found.energy_high_j) == pytest.approx((107 * 0.85, 107 * 1.15))
    assert (found.confidence, found.warnings, found.cross_method) == ("high", (), None)


def test_a_report_counts_even_where_tokens_and_model_are_unknown():
    assert Footprint.of(Workload(input_tokens=-1, output_tokens=0), None, None, REPORT).energy_j == 107.0


def test_methods_that_disagree_are_published_with_a_warning():
    """10,000 J reported against 87 J by roofline: ln 115 = 4.7, far beyond 1.96 joint sigmas."""
    found = Footprint.of(CHAT, estimator(LLAMA), STOCKHOLM, msgspec.structs.replace(REPORT, energy_j=10_000.0))
    assert found.energy_j == 10_000.0
    assert found.warnings == ("boundary_unknown", "method_disagreement")


def test_an_assumed_zone_travels_with_the_figure():
    found = Footprint.of(CHAT, estimator(LLAMA), WORLD)
    assert found.intensity is not None
    assert found.intensity.assumed
    assert found.carbon_g == pytest.approx(0.0242566 * 0.4729, rel=1e-3)


def test_a_grid_at_zero_grams_gives_zero_up_to_its_high_end():
    """87.32 J x 1.9009 x 20 g/kWh / 3.6e6 = .000922 g."""
    zero = grid(0, 0, 20)
    found = Footprint.of(CHAT, estimator(LLAMA), zero)
    assert (found.carbon_low_g, found.carbon_g) == (0, 0)
    assert found.carbon_high_g == pytest.approx(87.324 * 1.9009 * 20 / 3.6e6, rel=1e-3)
    made = rate(estimator(LLAMA), zero)
    assert made is not None
    assert (made.g(100, 0, 400), made.g_high(100, 0, 400)) == (0, pytest.approx(found.carbon_high_g))


def test_there_is_no_rate_without_estimator_or_intensity():
    assert rate(None, STOCKHOLM) is None
    assert rate(estimator(LLAMA), None) is None


SERVINGS = st.builds(
    Serving,
    upstream_model=st.sampled_from(["qwen3-32b", "qwen3-235b-a22b", "gpt-oss-120b", "gpt-4o", "gpt-5-nano", "wonder-70b"]),
    gpu=st.sampled_from([None, "A100", "H100", "B200", "L40S", "Gaudi"]),
    batch=st.none() | st.floats(1, 1024),
)
TOKENS = st.integers(0, 200_000)
GRIDS = st.sampled_from([STOCKHOLM, WORLD, grid(0, 0, 20), grid(5, 0, 20), grid(1e-3, 1e-4, 900)])


@given(SERVINGS, GRIDS, TOKENS, TOKENS, TOKENS)
def test_forecast_and_account_are_one_figure(serving, intensity, read, cached, written):
    profile = profile_of(serving)
    assert profile is not None
    made = rate(estimator(profile), intensity)
    assert made is not None
    found = Footprint.of(Workload(input_tokens=read, cached_tokens=cached, output_tokens=written), estimator(profile), intensity)
    assert made.g(read, cached, written) == pytest.approx(found.carbon_g, rel=1e-9, abs=1e-300)
    assert made.g_high(read, cached, written) == pytest.approx(found.carbon_high_g, rel=1e-9, abs=1e-300)


@given(SERVINGS, GRIDS, TOKENS, TOKENS, TOKENS, st.booleans(), st.none() | st.floats(1e-6, 1e9))
def test_the_spread_of_its_rate_changes_no_figure(serving, intensity, read, cached, written, estimated, reported_j):
    profile = profile_of(serving)
    assert profile is not None
    work = Workload(input_tokens=read, cached_tokens=cached, output_tokens=written, estimated=estimated)
    report = None if reported_j is None else ProviderReport(energy_j=reported_j, source="greenpt")
    made = rate(estimator(profile), intensity)
    assert made is not None
    assert (made.spread is None) == (profile.kind == "range" or intensity.g_per_kwh == 0)
    found = Footprint.of(work, estimator(profile), intensity, report, made.spread)
    plain = Footprint.of(work, estimator(profile), intensity, report)
    grams = ("carbon_g", "carbon_low_g", "carbon_high_g")
    assert [getattr(found, name) for name in grams] == [pytest.approx(getattr(plain, name), rel=1e-12) for name in grams]
    assert msgspec.structs.replace(found, **dict.fromkeys(grams)) == msgspec.structs.replace(plain, **dict.fromkeys(grams))


@given(SERVINGS, GRIDS, TOKENS, TOKENS, TOKENS, st.booleans(), st.none() | st.floats(1e-6, 1e9))
def test_a_footprint_holds_its_invariants(serving, intensity, read, cached, written, estimated, reported_j):
    profile = profile_of(serving)
    assert profile is not None
    work = Workload(input_tokens=read, cached_tokens=cached, output_tokens=written, estimated=estimated)
    report = None if reported_j is None else ProviderReport(energy_j=reported_j, source="greenpt")
    found = Footprint.of(work, estimator(profile), intensity, report)
    assert None not in (found.energy_low_j, found.carbon_low_g)
    assert 0 <= found.energy_low_j <= found.energy_j <= found.energy_high_j < math.inf
    assert 0 <= found.carbon_low_g <= found.carbon_g * (1 + 1e-12)
    assert found.carbon_g <= found.carbon_high_g * (1 + 1e-12) < math.inf
    assert found.carbon_g == pytest.approx(found.energy_j / 3.6e6 * intensity.g_per_kwh)
    assert found.confidence in {"high", "medium", "low", "very-low"}
    assert (found.method == "provider_reported") == (report is not None)
    assert msgspec.json.encode(found) == msgspec.json.encode(Footprint.of(work, estimator(profile), intensity, report))


@given(
    SERVINGS,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.none() | st.floats(-1, 1000),
    st.sampled_from([None, REPORT]),
)
def test_a_figure_never_claims_more_than_its_inputs_allow(serving, read, written, decode_s, report):
    """Each method only with what it needs; what checks a figure is a lower one."""
    profile = profile_of(serving)
    assert profile is not None
    found = Footprint.of(Workload(input_tokens=read, output_tokens=written, decode_s=decode_s), estimator(profile), STOCKHOLM, report)
    allowed = {
        "provider_reported": report is not None,
        "runtime_power": profile.tdp_w is not None and serving.batch is not None and decode_s is not None and decode_s > 0 and written >= 8,
        "flops_roofline": profile.kind == "parameters",
        "vendor_prior": profile.kind == "range",
        "token_proxy": profile.kind == "size",
    }
    assert allowed[found.method]
    assert (found.method == "provider_reported") == (report is not None)
    if found.cross_method is not None:
        assert LADDER.index(found.method) < LADDER.index(found.cross_method)
        assert found.cross_method == "token_proxy" or allowed[found.cross_method]
    assert found.energy_low_j is not None
    assert found.energy_j is not None
    assert found.energy_high_j is not None
    assert found.energy_low_j <= found.energy_j <= found.energy_high_j
