"""The chain of a figure: what it shows is what was computed, and a calculator comes to the same."""

from __future__ import annotations

import math
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.calibrated import calibrated
from carbon.calibration import Calibration, Terms
from carbon.energy import LADDER, Estimator, estimator
from carbon.explain import Explanation, Facts, Figures, Instead, compared, explained
from carbon.footprint import Footprint, ProviderReport, Workload, measured
from carbon.intensity import Intensity
from carbon.profile import EnergyProfile, Serving, moved, profile_of
from carbon.roofline import Form
from carbon.savings import otherwise, saving
from carbon.shipped import DATA_VERSION, SPEC_VERSION
from carbon.sources.static import Static
from tests.carbon.test_calibration import made

TABLE = Static().table()
STOCKHOLM, WORLD, POLAND = TABLE.latest("aws:eu-north-1"), TABLE.latest(None), TABLE.latest("PL")
LLAMA = Serving(upstream_model="llama", total_b=8, gpu="H100", gpu_count=1, batch=64, privacy="local")

SERVINGS = st.builds(
    Serving,
    upstream_model=st.sampled_from(["qwen3-32b", "qwen3-235b-a22b", "gpt-4o", "gpt-5", "wonder-70b", "odd-8x7b", "small-135m"]),
    gpu=st.sampled_from([None, "A100", "H100", "B200", "L40S", "TPU"]),
    gpu_count=st.none() | st.integers(1, 16),
    total_b=st.none() | st.floats(0.1, 2000),
    active_b=st.none() | st.floats(0.1, 500),
    bytes_per_parameter=st.none() | st.sampled_from([0.56, 1.0, 2.0]),
    batch=st.none() | st.floats(0.5, 1024),
    pue=st.none() | st.floats(1, 3),
    zone=st.sampled_from([None, "aws:eu-north-1", "gcp:europe-west1", "SE"]),
    privacy=st.sampled_from(["local", "vendor"]),
)
TOKENS = st.integers(0, 10**6)
WORKLOADS = st.builds(
    Workload,
    input_tokens=TOKENS,
    output_tokens=TOKENS,
    cached_tokens=st.just(0) | TOKENS,
    estimated=st.booleans(),
    decode_s=st.none() | st.floats(0.001, 5000),
)
REPORTS = st.none() | st.builds(ProviderReport, energy_j=st.floats(1e-3, 1e6), source=st.just("neuralwatt"))
GRIDS = st.sampled_from([None, STOCKHOLM, WORLD, POLAND])


def facts_of(found: Footprint, work: Workload, profile: EnergyProfile | None, report: ProviderReport | None = None, **more) -> Facts:
    """What a record would keep of it."""
    return Facts(
        data_version=DATA_VERSION,
        method=found.method,
        energy_j=figures(found.energy_low_j, found.energy_j, found.energy_high_j),
        carbon_g=figures(found.carbon_low_g, found.carbon_g, found.carbon_high_g),
        input_tokens=work.input_tokens,
        output_tokens=work.output_tokens,
        cached_tokens=work.cached_tokens,
        estimated=work.estimated,
        decode_s=work.decode_s,
        profile=None if profile is None else profile.record(),
        reported_j=None if report is None else report.energy_j,
        intensity=found.intensity,
        warnings=found.warnings,
        **more,
    )


def figures(low: float | None, value: float | None, high: float | None) -> Figures | None:
    return None if low is None or value is None or high is None else Figures(low=low, value=value, high=high)


def explain(serving: Serving, work: Workload, grid: Intensity | None = STOCKHOLM, report: ProviderReport | None = None) -> Explanation:
    profile = profile_of(serving)
    own = None if profile is None else estimator(profile)
    return explained(facts_of(Footprint.of(work, own, grid, report), work, profile, report))


def redone(expression: str) -> float:
    """What a calculator makes of it."""
    assert re.fullmatch(r"(?:[\d.+\-*/^() ]|sqrt|ln|exp)+", expression), expression
    return float(eval(expression.replace("^", "**"), {"__builtins__": {}}, {"sqrt": math.sqrt, "ln": math.log, "exp": math.exp}))


def checked(lines) -> None:
    """Within half a unit of the last of six digits."""
    for line in lines:
        assert redone(line.expression) == pytest.approx(line.result, rel=5.001e-6, abs=0), line


def test_the_worked_example_line_by_line():
    found = explain(LLAMA, Workload(input_tokens=100, output_tokens=400))
    assert [(line.name, line.expression, line.result) for line in found.methods[0].formula] == [
        ("arithmetic", "1.32 * 2 * 8 / 1000", 0.02112),
        ("cache per token of context", "60000 * sqrt(8 / 3)", 97979.6),
        ("mean context", "100 + 400 / 2", 300),
        ("reading the cache", "0.106 * 97979.6 * 300 / 1000000000", 0.00311575),
        ("reading the weights", "0.217 * 2 * 8 / 64", 0.05425),
        ("one output token", "0.05425 + 0.02112 + 0.00311575 + 1 * 0.0385", 0.116986),
        ("width of the model", "2048 * 8^0.34", 4153.18),
        ("one input token", "0.02112 * (1 + 100 / (12 * 4153.18))", 0.0211624),
        ("the prompt", "100 * 0.0211624", 2.11624),
        ("at the accelerators", "400 * 0.116986 + 2.11624", 48.9106),
        ("at the facility", "48.9106 * 1.35 * 1.15 * 1.15", 87.3238),
    ]
    assert [(line.name, line.expression, line.result) for line in (*found.methods[0].low_end, *found.methods[0].high_end)] == [
        ("low end", "87.3238 * exp(-sqrt(ln(0.684932)^2 + ln(0.734)^2 + ln(0.930435)^2))", 53.2828),
        ("high end", "87.3238 * exp(sqrt(ln(1.46)^2 + ln(1.591)^2 + ln(1.26087)^2))", 165.993),
    ]


def test_every_method_that_qualifies_is_there_best_first():
    serving = msgspec.structs.replace(LLAMA, upstream_model="llama-8b")
    found = explain(serving, Workload(input_tokens=100, output_tokens=400, decode_s=4.0), report=ProviderReport(energy_j=50.0, source="x"))
    assert [each.method for each in found.methods] == ["provider_reported", "runtime_power", "flops_roofline", "token_proxy"]
    assert [each.published for each in found.methods] == [True, False, False, False]


def test_what_was_assumed_is_told():
    found = explain(Serving(upstream_model="qwen3-32b"), Workload(input_tokens=1, output_tokens=1, estimated=True), WORLD)
    assert [each.name for each in found.assumptions] == [
        *("bytes_per_parameter", "batch", "gpu", "gpu_count"),
        *("host_factor", "idle_factor", "pue", "tokens", "zone"),
    ]
    stated = explain(msgspec.structs.replace(LLAMA, pue=1.2), Workload(input_tokens=1, output_tokens=1))
    assert [each.name for each in stated.assumptions] == [
        *("bytes_per_parameter", "kv_bytes", "d_model"),
        *("host_factor", "idle_factor", "intensity"),
    ]


def test_a_figure_is_explained_by_what_it_carries_whatever_tables_changed_since():
    work = Workload(input_tokens=100, output_tokens=400)
    profile = profile_of(msgspec.structs.replace(LLAMA, upstream_model="llama-8b"))
    assert profile
    facts = facts_of(Footprint.of(work, estimator(profile), STOCKHOLM), work, profile)
    own = explained(facts)
    other = explained(msgspec.structs.replace(facts, data_version="000000000000", spec_version=SPEC_VERSION))
    assert other == own
    assert own.note is None
    assert len(own.methods) == 2


def test_formulas_that_changed_are_said_to_and_explain_what_they_still_come_to():
    work = Workload(input_tokens=100, output_tokens=400)
    profile = profile_of(msgspec.structs.replace(LLAMA, upstream_model="llama-8b"))
    assert profile
    facts = facts_of(Footprint.of(work, estimator(profile), STOCKHOLM), work, profile)
    older = msgspec.structs.replace(facts, data_version="000000000000", spec_version="1")
    same, told = explained(older), f"it was made by version 1 of the formulas, this is {SPEC_VERSION}."
    assert (same.recomputed, [each.method for each in same.methods]) == (True, ["flops_roofline"])
    assert same.note == f"Other methods are left out: {told}"
    assert facts.energy_j is not None
    another = msgspec.structs.replace(facts.energy_j, value=facts.energy_j.value * 1.01)
    found = explained(msgspec.structs.replace(older, energy_j=another))
    assert (found.recomputed, found.methods, found.carbon, found.components) == (False, (), (), None)
    assert found.note == f"This version does not come to the figures on record: {told}"
    unsaid = explained(msgspec.structs.replace(older, energy_j=another, spec_version=None))
    assert unsaid.note is not None
    assert "000000000000" in unsaid.note


def test_a_figure_this_version_does_not_come_to_is_not_explained_by_another():
    work = Workload(input_tokens=100, output_tokens=400)
    profile = profile_of(LLAMA)
    assert profile
    facts = facts_of(Footprint.of(work, estimator(profile), STOCKHOLM), work, profile)
    more = msgspec.structs.replace(facts, output_tokens=401)
    assert (explained(more).recomputed, explained(more).methods) == (False, ())
    assert not explained(msgspec.structs.replace(facts, profile={"kind": "unheard of"})).recomputed


def test_nothing_computed_and_nothing_known_are_told_apart():
    zero = Figures(low=0, value=0, high=0)
    nothing = Facts(data_version=DATA_VERSION, method="none", energy_j=zero, carbon_g=zero, input_tokens=None, output_tokens=None)
    assert (explained(nothing).recomputed, explained(nothing).note) == (True, "Nothing was computed for this answer.")
    unknown = msgspec.structs.replace(nothing, energy_j=None)
    assert not explained(unknown).recomputed


@given(SERVINGS, WORKLOADS, GRIDS, REPORTS)
def test_a_calculator_comes_to_the_record(serving, work, grid, report):
    profile = profile_of(serving)
    own = None if profile is None else estimator(profile)
    footprint = Footprint.of(work, own, grid, report)
    found = explained(facts_of(footprint, work, profile, report))
    if footprint.energy_j is None:
        return
    assert found.recomputed, found.note
    for each in found.methods:
        checked((*each.formula, *each.low_end, *each.high_end))
    checked(found.carbon)
    first = found.methods[0]
    assert (first.method, first.published) == (footprint.method, True)
    assert (first.energy_low_j, first.energy_j, first.energy_high_j) == (
        footprint.energy_low_j,
        footprint.energy_j,
        footprint.energy_high_j,
    )
    assert first.confidence == footprint.confidence
    for each in found.methods:
        results = [lines[-1].result for lines in (each.low_end, each.formula, each.high_end)]
        assert results == pytest.approx([each.energy_low_j, each.energy_j, each.energy_high_j], rel=1e-4)
    if grid is not None:
        ours = [line.result for line in found.carbon if line.unit == "g"]
        assert ours == pytest.approx([footprint.carbon_g, footprint.carbon_low_g, footprint.carbon_high_g], rel=1e-4)
    if found.components is not None:
        known = msgspec.structs.asdict(found.components)
        total = known.pop("total_j")
        assert sum(value or 0 for value in known.values()) == pytest.approx(total)
        assert total == pytest.approx(footprint.energy_j)


OPEN, CLOSED, SIZED = ("qwen3-32b", "qwen3-235b-a22b"), ("gpt-4o", "gpt-5"), ("wonder-70b", "odd-8x7b", "small-135m")
LIMITED = ("A100", "H100", "B200", "L40S")
"""Accelerators whose power limit is in the table."""


def deserved(serving: Serving, work: Workload, report: ProviderReport | None, calibration: Calibration | None) -> tuple[str, ...]:
    """Every method whose inputs there are, best first, by what was stated alone: nothing that the code under test derived."""
    sized = serving.total_b is not None or serving.upstream_model in OPEN
    gaps = work.output_tokens - 1
    timed = work.decode_s is not None and gaps >= 7 and work.decode_s >= 0.03 and 0.001 <= work.decode_s / gaps <= 1.0
    known = sized or serving.upstream_model in (*CLOSED, *SIZED)
    has = {
        "provider_reported": report is not None,
        "runtime_power": sized and serving.gpu in LIMITED and serving.batch is not None and timed,
        "calibrated": known and calibration is not None,
        "flops_roofline": sized,
        "vendor_prior": not sized and serving.upstream_model in CLOSED,
        "token_proxy": known,
    }
    return tuple(method for method in LADDER if has.get(method, False))


def pace_of(work: Workload, few: int | None, itl_s: float | None) -> Workload:
    """Written at so many seconds a token, and few of them: what is drawn at random is hardly ever a machine's, or short."""
    work = work if few is None else msgspec.structs.replace(work, output_tokens=few)
    return work if itl_s is None else msgspec.structs.replace(work, decode_s=itl_s * max(0, work.output_tokens - 1))


@settings(max_examples=400)
@given(
    st.builds(
        lambda serving, name: msgspec.structs.replace(serving, upstream_model=name or serving.upstream_model),
        SERVINGS,
        st.just("mystery") | st.none(),
    ),
    st.builds(pace_of, WORKLOADS, st.none() | st.integers(0, 40), st.none() | st.floats(5e-4, 0.01) | st.floats(0.01, 2.0)),
    REPORTS,
    st.deferred(lambda: CALIBRATIONS),
)
def test_a_figure_never_claims_a_higher_method_than_its_inputs_allow(serving, work, report, calibration):
    """And never a lower one either: the first of the ladder that has what it needs is published, the next that has is its check."""
    profile = profile_of(serving)
    own, record = (None, None) if profile is None else fitted(profile, calibration)
    found, can = Footprint.of(work, own, STOCKHOLM, report), deserved(serving, work, report, calibration)
    assert (found.method, found.energy_j is None) == (can[0] if can else "none", not can)
    assert found.cross_method == (can[1] if len(can) > 1 else None)
    if found.energy_j is None or profile is None:
        return
    explanation = explained(msgspec.structs.replace(facts_of(found, work, profile, report), profile=record))
    assert tuple(each.method for each in explanation.methods) == can
    # nor does measuring, which no account of an answer can have done
    assert "measured_attributed" not in can


@given(SERVINGS, SERVINGS, WORKLOADS, st.none() | TOKENS, st.floats(0, 1))
def test_what_was_avoided_is_redone_too(serving, other, work, output_tokens, extra_g):
    profile, otherwise = profile_of(serving), profile_of(other)
    if profile is None or otherwise is None or STOCKHOLM is None or POLAND is None:
        return
    actual = Footprint.of(work, estimator(profile), STOCKHOLM)
    theirs = msgspec.structs.replace(work, output_tokens=output_tokens or work.output_tokens, decode_s=None)
    instead = Footprint.of(theirs, estimator(otherwise), POLAND)
    margins = (msgspec.structs.replace(POLAND, g_per_kwh=800.0), msgspec.structs.replace(STOCKHOLM, g_per_kwh=500.0))
    found = saving(instead, actual, margins, alike=False, extra_g=extra_g)
    assert found is not None
    told = Instead(
        deployment="b",
        model="m",
        profile=otherwise.record(),
        intensity=POLAND,
        marginal=margins[0],
        output_tokens=output_tokens,
        avoided=Figures(low=found.low_g, value=found.g, high=found.high_g),
        avoided_marginal_g=found.marginal_g,
        retried=extra_g > 0,
    )
    compared = explained(facts_of(actual, work, profile, instead=told, marginal=margins[1])).counterfactual
    assert compared is not None
    checked(compared.formula)
    checked(compared.lines)
    results = [line.result for line in compared.lines if line.name.startswith("avoided")]
    scale = max(instead.carbon_g or 0, actual.carbon_g or 0)
    assert results == [pytest.approx(found.g, rel=1e-4, abs=1e-12 * scale), pytest.approx(found.marginal_g, rel=1e-4, abs=1e-10 * scale)]


CALIBRATIONS = st.none() | st.builds(
    lambda request_j, token, attention: made(terms=Terms(request_j=request_j, form=Form(token, token / 1e4, token / 10, attention))),
    st.floats(0, 50),
    st.floats(1e-3, 5),
    st.just(0.0) | st.floats(1e-6, 1e-4),
)
"""What a deployment was fitted by, if it was."""


def fitted(profile: EnergyProfile, calibration: Calibration | None) -> tuple[Estimator, dict[str, float | str | None]]:
    """The estimator, and the profile as a record keeps it."""
    prior = estimator(profile)
    return (prior, profile.record()) if calibration is None else (calibrated(calibration, prior), profile.record() | calibration.record())


@given(SERVINGS, WORKLOADS, REPORTS, CALIBRATIONS, CALIBRATIONS, st.none() | st.floats(0.1, 10))
def test_the_same_machine_elsewhere_is_redone_whatever_its_figure_is_of(serving, work, report, here, there, ratio):
    """Estimated, fitted on either side, reported by its provider, or measured since."""
    profile = profile_of(serving)
    if profile is None or STOCKHOLM is None or POLAND is None:
        return
    (ours, record), (theirs, other) = fitted(profile, here), fitted(moved(profile, "PL"), there)
    actual = Footprint.of(work, ours, STOCKHOLM, report)
    if ratio is not None and actual.energy_j is not None:
        actual = measured((actual.energy_j * ratio * 0.8, actual.energy_j * ratio, actual.energy_j * ratio * 1.3), actual)
    found = otherwise(work, actual, (ours, theirs), POLAND, alike=True)
    saved = saving(found.footprint, actual, alike=found.alike, extra_g=1e-9)
    assert saved is not None
    told = Instead(
        deployment="b",
        model="m",
        profile=other,
        intensity=POLAND,
        marginal=None,
        output_tokens=None,
        decode_s=work.decode_s,
        alike=True,
        avoided=Figures(low=saved.low_g, value=saved.g, high=saved.high_g),
        avoided_marginal_g=None,
        retried=False,
        router_g=1e-9,
    )
    shown = compared(msgspec.structs.replace(facts_of(actual, work, profile, report), profile=record), told)
    checked(shown.formula)
    checked(shown.lines)
    assert found.footprint.energy_j is not None
    assert shown.formula[-1].result == pytest.approx(found.footprint.energy_j, rel=1e-4)
    scale = max(found.footprint.carbon_g or 0, actual.carbon_g or 0)
    assert shown.lines[-1].result == pytest.approx(saved.g, rel=1e-4, abs=1e-12 * scale)
