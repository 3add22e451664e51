"""The inputs of a deployment's figures: stated, known from the tables, or assumed."""

from __future__ import annotations

import msgspec
import pytest

from carbon.hf_config import Architecture
from carbon.profile import EnergyProfile, Serving, profile_from, profile_of


def test_a_known_open_model_on_stated_hardware_knows_nearly_all():
    """The deployment of the contract's example: Qwen3-32B on two H100 in aws:eu-north-1, PUE 1.10."""
    assert profile_of(Serving(upstream_model="Qwen/Qwen3-32B", gpu="H100", gpu_count=2, zone="aws:eu-north-1", privacy="local")) == (
        EnergyProfile(
            kind="parameters",
            model="qwen3-32b",
            total_b=32.8,
            active_b=32.8,
            active_low_b=32.8,
            active_high_b=32.8,
            bytes_per_parameter=2.0,
            bytes_from="assumed",
            gpu="H100",
            gpu_from="stated",
            gpu_count=2,
            gpu_count_from="stated",
            tdp_w=700.0,
            batch=64.0,
            batch_from="assumed",
            kv_bytes=262144.0,
            d_model=5120.0,
            pue=1.10,
            pue_from="region",
            wue_l_per_kwh=0.02,
            wue_source="GSF real-time-cloud@b2858aa Cloud_Region_Metadata.csv (the provider's own figure) (2024)",
        )
    )


def test_a_shape_stands_above_the_table_and_below_what_is_stated():
    """Sixteen bits and the shape's own cache; the active parameters of a total stated alone only where that is the shape's."""
    shape = Architecture(
        model_type="x",
        layers=4,
        hidden_size=512,
        heads=8,
        kv_heads=2,
        experts=8,
        experts_per_token=2,
        total_b=30.0,
        active_b=3.0,
        embedding_b=0.1,
        kv_bytes=4096.0,
        bytes_per_parameter=0.6,
    )
    own = profile_of(Serving(upstream_model="qwen3-32b", shape=shape, gpu="H100", batch=8))
    assert own is not None
    assert (own.model, own.total_b, own.active_b, own.bytes_per_parameter) == ("qwen3-32b", 30.0, 3.0, 0.6)
    assert (own.kv_bytes, own.d_model, own.kind) == (4096.0, 512, "parameters")
    for stated, active_b in (
        (Serving(upstream_model="x", shape=shape, total_b=31), 3.0),
        (Serving(upstream_model="x", shape=shape, total_b=60), 60),
    ):
        found = profile_of(stated)
        assert found is not None
        assert (found.total_b, found.active_b) == (stated.total_b, active_b)


def test_a_closed_model_is_a_range():
    profile = profile_of(Serving(upstream_model="gpt-5-mini"))
    assert profile is not None
    assert (profile.kind, profile.active_low_b, profile.active_high_b, profile.total_b) == ("range", 25, 70, 70)
    assert profile.active_b == pytest.approx((25 * 70) ** 0.5)


def test_an_unknown_model_has_the_size_its_name_states_or_no_profile():
    sized = profile_of(Serving(upstream_model="acme/wonder-8b"))
    assert sized is not None
    assert (sized.kind, sized.total_b, sized.active_b) == ("size", 8, 8)
    assert profile_of(Serving(upstream_model="wonder", gpu="H100", batch=8)) is None


def test_stated_parameters_make_any_model_known():
    profile = profile_of(Serving(upstream_model="wonder", total_b=40, active_b=4))
    assert profile is not None
    assert (profile.kind, profile.model, profile.total_b, profile.active_b) == ("parameters", "wonder", 40, 4)


@pytest.mark.parametrize(
    ("serving", "total_b", "active_b", "kv_bytes"),
    [
        (Serving(upstream_model="qwen3-30b-a3b", total_b=30), 30, 3.3, 98304),
        (Serving(upstream_model="qwen3-30b-a3b", total_b=99), 99, 99, None),
        (Serving(upstream_model="wonder-30b-a3b", total_b=30), 30, 3, None),
        (Serving(upstream_model="wonder-30b-a3b", total_b=99), 99, 99, None),
        (Serving(upstream_model="qwen3-8b", total_b=8), 8, 8, 147456),
        (Serving(upstream_model="gpt-4o", total_b=8), 8, 8, None),
        (Serving(upstream_model="wonder", total_b=8, active_b=80), 8, 8, None),
    ],
)
def test_a_total_stated_alone_keeps_the_active_share_of_the_model_it_fits(serving, total_b, active_b, kv_bytes):
    profile = profile_of(serving)
    assert profile is not None
    assert (profile.total_b, profile.active_b, profile.kv_bytes) == (total_b, active_b, kv_bytes)


@pytest.mark.parametrize(
    ("written", "gpu", "from_"),
    [
        ("H100", "H100", "stated"),
        ("NVIDIA H100 80GB HBM3", "H100", "stated"),
        ("nvidia-a100-sxm4-80gb", "A100", "stated"),
        ("b200", "B200", "stated"),
        ("GB200", "H100", "assumed"),
        ("H200", "H100", "assumed"),
        ("MI300X", "H100", "assumed"),
        (None, "H100", "assumed"),
    ],
)
def test_an_accelerator_that_was_not_fitted_is_taken_for_an_h100_and_says_so(written, gpu, from_):
    profile = profile_of(Serving(upstream_model="qwen3-8b", gpu=written))
    assert profile is not None
    assert (profile.gpu, profile.gpu_from) == (gpu, from_)


@pytest.mark.parametrize(
    ("serving", "batch", "from_"),
    [
        (Serving(upstream_model="qwen3-8b", privacy="local"), 64, "assumed"),
        (Serving(upstream_model="qwen3-8b", privacy="private"), 64, "assumed"),
        (Serving(upstream_model="qwen3-8b", gpu="H100"), 64, "assumed"),
        (Serving(upstream_model="qwen3-8b"), 256, "assumed"),
        (Serving(upstream_model="qwen3-8b", batch=8), 8, "stated"),
    ],
)
def test_the_batch_is_64_on_machines_of_ones_own_and_256_at_a_vendor(serving, batch, from_):
    profile = profile_of(serving)
    assert profile is not None
    assert (profile.batch, profile.batch_from) == (batch, from_)


@pytest.mark.parametrize(
    ("serving", "bytes_per_parameter", "gpu_count"),
    [
        (Serving(upstream_model="qwen3-32b"), 2.0, 1),
        (Serving(upstream_model="Qwen3-32B-FP8"), 1.0, 1),
        (Serving(upstream_model="Qwen3-32B-FP8", bytes_per_parameter=0.5), 0.5, 1),
        (Serving(upstream_model="gpt-oss-20b"), 0.66, 1),
        (Serving(upstream_model="llama-3.3-70b"), 2.0, 4),
        (Serving(upstream_model="llama-3.3-70b", gpu_count=8), 2.0, 8),
    ],
)
def test_precision_and_number_of_gpus_are_stated_named_known_or_usual(serving, bytes_per_parameter, gpu_count):
    profile = profile_of(serving)
    assert profile is not None
    assert (profile.bytes_per_parameter, profile.gpu_count) == (bytes_per_parameter, gpu_count)


@pytest.mark.parametrize(
    ("zone", "pue", "expected", "from_"),
    [
        ("aws:eu-central-1", None, 1.35, "region"),
        ("EU-CENTRAL-1", None, 1.35, "region"),
        ("aws:eu-west-3", None, 1.15, "provider"),
        ("azure:eastus", None, 1.14, "region"),
        ("gcp:europe-west2", None, 1.09, "provider"),
        ("SE", None, 1.15, "assumed"),
        (None, None, 1.15, "assumed"),
        ("no such zone", None, 1.15, "assumed"),
        ("aws:eu-central-1", 1.5, 1.5, "stated"),
    ],
)
def test_the_building_is_stated_known_by_region_or_provider_or_usual(zone, pue, expected, from_):
    for model in ("qwen3-8b", "gpt-4o", "wonder-8b"):
        profile = profile_of(Serving(upstream_model=model, zone=zone, pue=pue))
        assert profile is not None
        assert (profile.pue, profile.pue_from) == (expected, from_)


@pytest.mark.parametrize("model", ["qwen3-32b", "gpt-4o", "wonder-8b"])
def test_a_profile_comes_back_from_the_ledger_as_it_went(model):
    profile = profile_of(Serving(upstream_model=model, zone="aws:eu-north-1"))
    assert profile is not None
    record = msgspec.json.decode(msgspec.json.encode(profile.record()), type=dict[str, float | str | None])
    assert profile_from(record) == profile


def test_what_is_no_profile_is_refused():
    with pytest.raises(msgspec.ValidationError):
        profile_from({"kind": "guess"})
