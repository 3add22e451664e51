"""A window's joules are divided whole: nothing negative, nothing lost, nothing to whom did not run, whatever the order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.attribution import Attribution, RooflineWeights, Share, Weights, Work, attribute, idle_j
from carbon.roofline import Load, form

WEIGHTS = Weights(prefill_j=0.1, decode_j=1.0, context_j=0.001)
TINY = Weights(prefill_j=5e-324, decode_j=0.0, context_j=0.0)
amount = st.floats(0, 1e7) | st.just(0.0)
works = st.lists(
    st.builds(Work, id=st.uuids().map(str), prefill_tokens=amount, decode_tokens=amount, decode_context=amount, running_s=amount),
    max_size=20,
)
joules = st.floats(0, 1e6) | st.just(0.0)


def test_by_hand():
    """1,000 J of which 200 idle. A reads 1,000 tokens: 100. B writes 50 in a context of 1,000: 50 + 50 = 100, and runs three times as long.

    Half of 800 each; of 200, a quarter and three quarters.
    """
    a = Work(id="a", prefill_tokens=1000, running_s=1)
    b = Work(id="b", decode_tokens=50, decode_context=50_000, running_s=3)
    assert attribute(1000, 200, [a, b], WEIGHTS) == Attribution(
        shares=(Share("a", 400, 50), Share("b", 400, 150)), pool_idle_j=0, unattributed_j=0
    )


def test_nobody_there():
    assert attribute(1000, 200, [], WEIGHTS) == Attribution(shares=(), pool_idle_j=200, unattributed_j=800)


def test_somebody_there_for_whom_nothing_was_done():
    """It waits for its turn in the batch: the idle power is its own, what the GPU did is nobody's."""
    divided = attribute(1000, 200, [Work(id="a", running_s=1)], WEIGHTS)
    assert divided == Attribution(shares=(Share("a", 0, 200),), pool_idle_j=0, unattributed_j=800)


def test_work_of_nobody_known_takes_its_part_away():
    """Three quarters of the work and half of the time are somebody else's."""
    divided = attribute(1000, 200, [Work(id="a", decode_tokens=1, running_s=1)], WEIGHTS, Work(id="", decode_tokens=3, running_s=1))
    assert divided == Attribution(shares=(Share("a", 200, 100),), pool_idle_j=0, unattributed_j=700)


def test_idle_energy_is_no_more_than_there_is():
    assert idle_j(1000, 80, 2) == 160
    assert idle_j(100, 80, 2) == 100


def test_the_rooflines_weights_follow_the_batch_and_keep_the_constant_part():
    load = Load(total_b=8, active_b=8, bytes_per_parameter=2, batch=1)
    known = form(Load(total_b=8, active_b=8, bytes_per_parameter=2, batch=64), "H100")
    assert RooflineWeights(load, "H100").at(64) == Weights(prefill_j=known.prefill, decode_j=known.token, context_j=known.context)
    assert RooflineWeights(load, "H100").at(1).decode_j > 10 * known.token
    assert RooflineWeights(load, "H100").at(0.2).decode_j == form(load, "H100").token


def test_fitted_weights_share_a_step_among_those_that_take_it():
    """40 J a step: 1 + 40 J alone, 1 + 10 J for each of four."""
    fitted = Weights(prefill_j=0.1, decode_j=1.0, context_j=0.0, step_j=40.0, source="fitted")
    assert fitted.at(4) == Weights(prefill_j=0.1, decode_j=11.0, context_j=0.0, source="fitted")
    assert fitted.at(0.2).decode_j == 41.0
    assert WEIGHTS.at(64) is WEIGHTS


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_what_is_no_quantity_is_refused(wrong):
    with pytest.raises(ValueError, match="finite and not negative"):
        attribute(10, 1, [Work(id="a", decode_tokens=wrong)], WEIGHTS)
    with pytest.raises(ValueError, match="finite and not negative"):
        attribute(10, 1, [Work(id="a", running_s=wrong)], WEIGHTS)
    with pytest.raises(ValueError, match="finite and not negative"):
        attribute(wrong, 0, [], WEIGHTS)
    with pytest.raises(ValueError, match="finite and not negative"):
        attribute(1, 2, [], WEIGHTS)


@given(
    energy_j=joules, power_w=st.floats(0, 1e4), work=works, others=st.none() | works.filter(bool), weights=st.sampled_from([WEIGHTS, TINY])
)
def test_all_of_it_is_divided_and_nothing_is_negative(energy_j, power_w, work, others, weights):
    resting_j = idle_j(energy_j, power_w, 2.0)
    divided = attribute(energy_j, resting_j, work, weights, others[0] if others else None)
    parts = [share.active_j for share in divided.shares] + [share.idle_j for share in divided.shares]
    parts += [divided.pool_idle_j, divided.unattributed_j]
    assert all(part >= 0 for part in parts)
    assert math.fsum(parts) == pytest.approx(energy_j, rel=1e-9, abs=1e-300)


@given(energy_j=joules, work=works, data=st.data())
def test_the_order_of_requests_changes_nothing(energy_j, work, data):
    order = data.draw(st.permutations(work))
    one, other = attribute(energy_j, energy_j / 3, work, WEIGHTS), attribute(energy_j, energy_j / 3, order, WEIGHTS)
    assert {share.id: share for share in one.shares} == {share.id: share for share in other.shares}
    assert (one.pool_idle_j, one.unattributed_j) == (other.pool_idle_j, other.unattributed_j)


@given(energy_j=joules, work=works)
def test_who_did_not_run_gets_nothing(energy_j, work):
    divided = attribute(energy_j, energy_j / 2, [*work, Work(id="absent")], WEIGHTS)
    assert divided.shares[-1] == Share("absent", 0, 0)


@given(energy_j=joules, work=works, factor=st.floats(1e-3, 1e3))
def test_only_the_ratios_of_weights_matter(energy_j, work, factor):
    scaled = Weights(prefill_j=0.1 * factor, decode_j=factor, context_j=0.001 * factor)
    one, other = attribute(energy_j, 0.0, work, WEIGHTS), attribute(energy_j, 0.0, work, scaled)
    assert [share.active_j for share in one.shares] == pytest.approx([share.active_j for share in other.shares], rel=1e-9)
