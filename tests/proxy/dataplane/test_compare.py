"""A saving in proportion is the saving that is worked out from both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.footprint import Footprint, Workload
from carbon.savings import saving
from carbon.sources.static import Static
from proxy.access import ANYONE
from proxy.configuration import loads
from proxy.dataplane.compare import compared
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
    found = compared(PLAN, served, (Tokens(input=read, output=written, cached=min(cached, read)), actual))
    expected = saving(other, actual, alike=True)
    for name in ("g", "low_g", "high_g"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_other_machines_are_compared_with_all_their_bands():
    served = SNAPSHOT.served["other"]
    assert served not in PLAN.alike
    actual = Footprint.of(Workload(input_tokens=1000, output_tokens=500), served.estimator, served.intensity)
    found = compared(PLAN, served, (Tokens(input=1000, output=500), actual))
    alike = saving(
        Footprint.of(Workload(input_tokens=1000, output_tokens=500), SNAPSHOT.served["pl"].estimator, SNAPSHOT.served["pl"].intensity),
        actual,
        alike=True,
    )
    assert found.g == pytest.approx(alike.g)
    assert found.low_g < alike.low_g
