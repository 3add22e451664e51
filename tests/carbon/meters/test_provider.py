"""Neuralwatt's `energy` and GreenPT's `impact`. The payloads have the shapes these providers' public clients record."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.footprint import ProviderReport
from carbon.meters.provider import COMMENT_BYTES, from_body, from_comment, reported_j

NEURALWATT = {
    "energy_joules": 20.44,
    "energy_kwh": 5.679e-06,
    "avg_power_watts": 4087.0,
    "duration_seconds": 1.479,
    "attribution_method": "prorated_token_pool_weighted_multi_gpu_8",
    "attribution_ratio": 0.0034,
    "carbon_g_co2eq": 0.0002726,
    "grid_carbon_intensity_gco2perkwhr": 48.0,
    "grid_id": "FI",
    "carbon_source": "agent_cache",
    "mcr": {"compaction_triggered": False, "session_turns": 1, "nested": {"deep": {"deeper": 1}}, "list": [1, 2]},
}
GREENPT = {
    "version": "20250922",
    "inferenceTime": {"total": 22, "unit": "ms"},
    "energy": {"total": 5680, "unit": "Wms"},
    "emissions": {"total": 88, "unit": "ugCO2e"},
}
EXPECTED = ProviderReport(
    energy_j=20.44,
    source="neuralwatt",
    carbon_g=0.0002726,
    grid_g_per_kwh=48.0,
    grid="FI",
    raw={
        "energy_joules": 20.44,
        "energy_kwh": 5.679e-06,
        "avg_power_watts": 4087.0,
        "duration_seconds": 1.479,
        "attribution_method": "prorated_token_pool_weighted_multi_gpu_8",
        "attribution_ratio": 0.0034,
        "carbon_g_co2eq": 0.0002726,
        "grid_carbon_intensity_gco2perkwhr": 48.0,
        "grid_id": "FI",
        "carbon_source": "agent_cache",
        "mcr.compaction_triggered": "false",
        "mcr.session_turns": 1.0,
    },
)


def test_neuralwatts_energy_in_a_body():
    assert from_body({"id": "x", "choices": [], "energy": NEURALWATT}) == EXPECTED


@pytest.mark.parametrize("form", [b": energy %s", b":energy %s\n", b"energy %s\r\n", b"  : energy   %s  "])
def test_neuralwatts_energy_in_a_comment_of_a_stream(form):
    assert from_comment(form % msgspec.json.encode(NEURALWATT)) == EXPECTED


def test_greenpts_impact_in_a_body_and_in_the_last_chunk():
    """5,680 watt-milliseconds = 5.68 J; 88 micrograms."""
    expected = ProviderReport(
        energy_j=5.68,
        source="greenpt",
        carbon_g=88e-6,
        raw={
            "version": "20250922",
            "inferenceTime.total": 22.0,
            "inferenceTime.unit": "ms",
            "energy.total": 5680.0,
            "energy.unit": "Wms",
            "emissions.total": 88.0,
            "emissions.unit": "ugCO2e",
        },
    )
    assert from_body({"data": [], "impact": GREENPT}) == expected
    assert from_comment(b": impact " + msgspec.json.encode(GREENPT)) == expected


def test_kilowatt_hours_serve_where_joules_are_left_out():
    found = from_body({"energy": {"energy_kwh": 1e-5}})
    assert found is not None
    assert found.energy_j == pytest.approx(36.0)


@pytest.mark.parametrize("joules", [None, "20.44", True, 0, -1, 1e12, 10**400, float("nan"), {}, []], ids=repr)
def test_kilowatt_hours_serve_where_joules_are_no_figure(joules):
    found = from_body({"energy": {"energy_joules": joules, "energy_kwh": 1e-5}})
    assert found is not None
    assert found.energy_j == pytest.approx(36.0)
    assert reported_j(found.raw) == found.energy_j  # an explanation of the entry comes to the same


def test_of_two_figures_that_contradict_each_other_the_joules_count_and_both_are_kept():
    """They are the provider's own unit; a slip in the conversion is the likelier one."""
    found = from_body({"energy": {"energy_joules": 20.44, "energy_kwh": 5.679}})
    assert found is not None
    assert found.energy_j == 20.44
    assert found.raw == {"energy_joules": 20.44, "energy_kwh": 5.679}


@pytest.mark.parametrize("energy", [{}, {"energy_joules": None}, {"energy_joules": -1, "energy_kwh": 0}], ids=repr)
def test_one_provider_s_form_without_a_figure_does_not_hide_the_other_s(energy):
    found = from_body({"energy": energy, "impact": GREENPT})
    assert found is not None
    assert (found.source, found.energy_j) == ("greenpt", 5.68)


@pytest.mark.parametrize(
    ("unit", "joules"), [("Wms", 0.001), ("mJ", 0.001), ("J", 1), ("Ws", 1), ("mWh", 3.6), ("Wh", 3600), ("kWh", 3.6e6)]
)
def test_energy_is_read_in_its_unit(unit, joules):
    found = from_body({"impact": {"energy": {"total": 1, "unit": unit}}})
    assert found is not None
    assert found.energy_j == pytest.approx(joules)
    assert found.carbon_g is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"energy": None},
        {"energy": 20.44},
        {"energy": {}},
        {"energy": {"energy_joules": 0}},
        {"energy": {"energy_joules": -1}},
        {"energy": {"energy_joules": "20.44"}},
        {"energy": {"energy_joules": True}},
        {"energy": {"energy_joules": float("nan")}},
        {"energy": {"energy_joules": float("inf")}},
        {"energy": {"energy_joules": 1e12}},
        {"energy": {"energy_joules": 10**400}},
        {"energy": {"energy_joules": None, "energy_kwh": 0}},
        {"energy": {"energy_joules": 1e12, "energy_kwh": 1e12 / 3.6e6}},
        {"energy": {"energy_kwh": 1e6}},
        {"impact": None},
        {"impact": {}},
        {"impact": {"energy": 5}},
        {"impact": {"energy": {"total": 5}}},
        {"impact": {"energy": {"total": 5, "unit": "bananas"}}},
        {"impact": {"energy": {"total": "viel", "unit": "Wms"}}},
        {"impact": {"energy": {"total": 0, "unit": "Wms"}}},
        {"impact": {"energy": {"total": 1e300, "unit": "kWh"}}},
    ],
    ids=repr,
)
def test_what_is_no_plausible_figure_is_no_report(body):
    assert from_body(body) is None


def test_a_wrong_side_figure_is_dropped_and_the_energy_kept():
    found = from_body({"energy": {"energy_joules": 1, "carbon_g_co2eq": -1, "grid_carbon_intensity_gco2perkwhr": "low", "grid_id": 7}})
    assert found is not None
    assert (found.energy_j, found.carbon_g, found.grid_g_per_kwh, found.grid) == (1, None, None, None)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b":",
        b": keep-alive",
        b": energy",
        b": energy {",
        b": energy [1]",
        b': energy {"energy_joules": 1} x',
        b": energy \xff\xfe",
        b': cost {"request_cost_usd": 1}',
        b': energyx {"energy_joules": 1}',
        b": energy " + b"[" * 5000,
        b': energy {"energy_joules": 1, "pad": "' + b"x" * COMMENT_BYTES + b'"}',
    ],
    ids=lambda line: repr(line[:40]),
)
def test_other_comments_are_no_report(line):
    assert from_comment(line) is None


def test_what_is_kept_of_the_providers_object_is_bounded():
    found = from_body({"energy": {"energy_joules": 1, "long": "x" * 10_000, **{f"m{n}": n for n in range(1000)}}})
    assert found is not None
    assert len(found.raw) == 64
    assert len(str(found.raw["long"])) == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["energy", "impact", "energy_joules", "energy_kwh", "emissions", "total", "unit", "grid_id"])


@given(st.dictionaries(MEMBERS, st.dictionaries(MEMBERS, JSON | st.dictionaries(MEMBERS, JSON))))
def test_no_body_breaks_the_reader_and_every_report_is_plausible(body):
    found = from_body(body)
    assert found is None or (0 < found.energy_j <= 1e9 and all(isinstance(v, float | str | None) for v in found.raw.values()))


@given(st.binary(max_size=300))
def test_no_comment_breaks_the_reader(line):
    from_comment(line)
    from_comment(b": energy " + line)
