"""The chain of a figure: what it shows is what was computed, and a calculator comes to the same."""

from __future__ import annotations

import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.energy import LADDER, Serving, estimator, profile_of
from carbon.explain import Explanation, Facts, Figures, Instead, explained
from carbon.footprint import Footprint, ProviderReport, Workload
from carbon.intensity import Intensity
from carbon.profile import EnergyProfile
from carbon.savings import saving
from carbon.shipped import DATA_VERSION
from carbon.sources.static import Static

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


def test_a_figure_of_another_version_is_not_worked_out_again():
    work = Workload(input_tokens=100, output_tokens=400)
    profile = profile_of(LLAMA)
    assert profile
    facts = facts_of(Footprint.of(work, estimator(profile), STOCKHOLM), work, profile)
    other = explained(msgspec.structs.replace(facts, data_version="000000000000"))
    assert (other.recomputed, other.methods, other.carbon, other.components) == (False, (), (), None)
    assert other.note is not None
    assert "000000000000" in other.note


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


ALLOWED = {
    "provider_reported": lambda profile, work, report: report is not None,
    "runtime_power": lambda profile, work, report: (
        profile.tdp_w is not None and profile.batch_from == "stated" and work.decode_s is not None
    ),
    "flops_roofline": lambda profile, work, report: profile.kind == "parameters",
    "vendor_prior": lambda profile, work, report: profile.kind == "range",
    "token_proxy": lambda profile, work, report: profile is not None,
}


@given(SERVINGS, WORKLOADS, REPORTS)
def test_a_figure_never_claims_a_higher_method_than_its_inputs_allow(serving, work, report):
    """And never a lower one either: the first of the ladder that has what it needs is published."""
    profile = profile_of(serving)
    if profile is None:
        return
    found = Footprint.of(work, estimator(profile), STOCKHOLM, report)
    assert ALLOWED[found.method](profile, work, report)
    higher = LADDER[: LADDER.index(found.method)]
    for method in higher:
        if method in ALLOWED and method != "runtime_power":
            assert not ALLOWED[method](profile, work, report)
    explanation = explained(facts_of(found, work, profile, report))
    assert [LADDER.index(each.method) for each in explanation.methods] == sorted(LADDER.index(each.method) for each in explanation.methods)
    assert all(ALLOWED[each.method](profile, work, report) for each in explanation.methods)


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
