"""Fits to records whose truth is known: found, refused, robust, the same again; and never in force when not better."""

from __future__ import annotations

import functools
import math
import random
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon import calibrating
from carbon.attribution import RooflineWeights
from carbon.bands import Band
from carbon.calibrating import MOST_FITTED, calibrate
from carbon.calibration import BETTER, Terms, of
from carbon.energy import estimator
from carbon.fitting import MissingExtraError
from carbon.profile import Serving, profile_of
from carbon.roofline import Form, Load
from tests.carbon.measurements import DAY_S, NOW_S, PRIOR, evidence, exact, measured
from tests.carbon.simulated_replica import LARGE, Machine, attributed, figures, simulate, steadily, traffic


def fitted(records, incumbent=None, prior=PRIOR, **more):
    return calibrate(evidence(records, **more), prior, incumbent, NOW_S).calibration


@functools.cache
def usual():
    return fitted(measured())


def test_three_terms_are_found_again():
    made = fitted(measured(2000, noise=0.0))
    form = made.fitted.form
    found = (made.fitted.request_j, form.prefill, form.token, form.context)
    assert found == pytest.approx((5.0, 0.03, 0.25, 2e-5), rel=1e-3)
    assert made.cv_mdape < 1e-4


def test_the_plain_fit_is_far_off_and_said_to_be():
    """Of chat and documents in even parts with 5 % noise, at a steady batch: 27 % against 3.7 % (published sets: 43-93, 0.8-8)."""
    made = usual()
    assert made.plain_cv_mdape == pytest.approx(0.27, abs=0.02)
    assert made.cv_mdape == pytest.approx(0.037, abs=0.005)
    assert made.accepted


LOAD = Load(total_b=70, active_b=70, bytes_per_parameter=2, batch=1, gpu_count=4)
REPLICA = estimator(profile_of(Serving(upstream_model="llama-3.1-70b", gpu="H100", gpu_count=4, total_b=70.0, privacy="local")))


def simulated(asked, machine=LARGE, load=LOAD, *, batches=True):
    """Records of a replica as carbon/replica.py attributes its joules, over four days; at the facility."""
    unseen = simulate(asked, machine)
    slower = 4 * DAY_S / max(life.last_s for life in unseen.lives)
    told = figures(attributed(unseen, RooflineWeights(load, "H100"), machine.idle_w)[1])
    return [
        msgspec.structs.replace(
            measured(1)[0], id=life.id, at_s=slower * life.last_s, input_tokens=life.input_tokens, cached_tokens=0,
            output_tokens=life.output_tokens, energy_j=1.35 * 1.15 * told[life.id], batch=unseen.batches[life.id] if batches else None,
        )
        for life in unseen.lives
        if life.id in told
    ]  # fmt: skip


@pytest.mark.parametrize(("per_s", "plain", "three", "by_batch"), [(0.5, 0.36, 0.29, 0.05), (2, 0.25, 0.14, 0.04), (4, 0.17, 0.09, 0.045)])
def test_on_a_simulated_replica_the_batch_is_what_the_three_terms_lack(per_s, plain, three, by_batch):
    """Batches as they come, joules as attributed: a + b·tokens 17 to 37 % off, three terms 9 to 29, with the batch 4 to 5."""
    records = simulated(traffic(per_s, 600, seed=1))
    made = fitted(records, prior=REPLICA)
    assert made.plain_cv_mdape == pytest.approx(plain, abs=0.015)
    assert made.cv_mdape == pytest.approx(three, abs=0.015)
    assert made.accepted
    assert made.held_out_error == made.batched.held_out_error < 0.2 * made.incumbent_error
    assert made.batched.cv_mdape == pytest.approx(by_batch, abs=0.01)
    assert made.batched.held_out_error == pytest.approx(by_batch, abs=0.01)
    assert made.batched.without_cv_mdape == pytest.approx(three, abs=0.015)
    assert made.batched.high / made.batched.low <= made.high / made.low


SMALL = Machine(110.0, 0.006, 1.1e-5, 3e-9, 4.2, 0.038, 3e-6, 0.036)
EXPERTS = Machine(220.0, 0.011, 1.4e-5, 8e-9, 9.0, 0.017, 8e-6, 0.07)
SETS = {
    f"{name} x{batch}": (machine, load, batch)
    for name, machine, load in (
        ("8B on one", SMALL, Load(total_b=8, active_b=8, bytes_per_parameter=2, batch=1)),
        ("70B on four", LARGE, LOAD),
        ("30B of experts on two", EXPERTS, Load(total_b=30, active_b=3, bytes_per_parameter=2, batch=1, gpu_count=2)),
    )
    for batch in (4, 16, 64)
}


@pytest.mark.parametrize("name", SETS)
def test_at_a_steady_batch_the_three_terms_are_as_near_as_the_specification_says(name):
    """Nine sets of a model on its GPUs at one batch each: 0.5 to 3.6 %, where a + b·tokens is 11 to 35 % off.

    The specification's, on published measurements: 0.8 to 8, and 43 to 93.
    """
    machine, load, batch = SETS[name]
    records = simulated(steadily(320, seed=3), machine._replace(most_running=batch), load)
    made = fitted(records, prior=estimator(profile_of(Serving(upstream_model="m", gpu="H100", total_b=load.total_b, privacy="local"))))
    assert made.cv_mdape < 0.04
    assert made.held_out_error < 0.08
    assert made.plain_cv_mdape > 0.1
    assert made.plain_cv_mdape > 4 * made.cv_mdape
    assert (made.accepted, made.batched) == (True, None)


@settings(max_examples=5)
@given(st.randoms(use_true_random=False))
def test_the_same_records_give_the_same_bytes_in_whatever_order(chance):
    records = measured()
    shuffled = chance.sample(records, len(records))
    assert msgspec.msgpack.encode(fitted(shuffled)) == msgspec.msgpack.encode(usual())


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.floats(8, 1000), st.floats(0, 1))
def test_a_fifth_of_gross_outliers_changes_little(seed, factor, above):
    """Too large or too small by any factor, in any mixture: none of them is used, and the terms foresee what is right."""
    chance = random.Random(seed)
    spoilt = set(chance.sample(range(1000), 200))
    records = [
        msgspec.structs.replace(each, energy_j=each.energy_j * (factor if chance.random() < above else 1 / factor)) if k in spoilt else each
        for k, each in enumerate(measured(1000, seed=seed))
    ]
    made = fitted(records)
    assert 200 <= made.dropped < 240
    for each in measured(50, seed=9, noise=0):
        assert of(made.fitted, each) == pytest.approx(each.energy_j, rel=0.15)


def test_the_rarer_kind_of_work_is_no_outlier():
    """By joules per token alone, one answer among ten documents would be: its tokens cost twenty times as much."""
    records = measured(1000)
    rare = [each for k, each in enumerate(records) if each.output_tokens < 300 or k % 5 == 0]
    assert fitted(rare).dropped < 0.03 * len(rare)


def test_what_is_not_enough_is_not_fitted():
    verdict = calibrate(evidence(measured(150)), PRIOR, None, NOW_S)
    assert (verdict.calibration, verdict.missing) == (None, ("150 measured records of 200",))


def test_records_that_agree_on_nothing_are_not_fitted():
    chance = random.Random(1)
    lost = [each if k % 2 else msgspec.structs.replace(each, energy_j=10 ** chance.uniform(4, 9)) for k, each in enumerate(measured(300))]
    verdict = calibrate(evidence(lost), PRIOR, None, NOW_S)
    assert verdict.calibration is None or not verdict.calibration.accepted or verdict.calibration.high > 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"energy_j": -5.0},
        {"energy_j": 0.0},
        {"energy_j": math.nan},
        {"energy_j": math.inf},
        {"input_tokens": -1},
        {"at_s": NOW_S + 1},
    ],
    ids=["negative", "nothing", "no number", "endless", "tokens below zero", "to come"],
)
def test_records_that_cannot_be_are_none(wrong):
    """A tenth of them: what is left is fitted as if they were not there."""
    good = measured()
    bad = [msgspec.structs.replace(each, id=f"bad-{k}", **wrong) for k, each in enumerate(good[::10])]
    assert msgspec.structs.replace(fitted([*good, *bad]), id="") == msgspec.structs.replace(usual(), id="")
    assert calibrate(evidence(bad), PRIOR, None, NOW_S).missing == ("nothing was measured",)


@pytest.mark.parametrize("batch", [math.nan, math.inf, 0.0, -3.0])
def test_a_batch_that_cannot_be_is_not_known(batch):
    assert fitted([msgspec.structs.replace(each, batch=batch) for each in measured()]).batched is None


def test_one_day_is_tried_on_its_last_third():
    made = fitted(measured(600, days=1))
    assert (made.accepted, made.held_out) == (True, 200)
    assert fitted(measured(600, days=0.4)) is None


def test_a_last_day_without_a_day_before_is_not_enough():
    """All but sixty of the records fall into the last third of the time."""
    records = measured(600)
    late = [msgspec.structs.replace(each, at_s=NOW_S - k) for k, each in enumerate(records[60:])]
    assert calibrate(evidence([*records[:60], *late]), PRIOR, None, NOW_S).missing == (
        "too few records before the last day, or on it, to try a fit",
    )


def test_it_is_drawn_to_the_prior_by_as_much_as_200_records():
    made = fitted(measured(220, noise=0.4))
    n = made.n
    assert made.weight == pytest.approx(n / (n + 200), rel=1e-5)
    expected = made.weight * made.fitted.form.token + (1 - made.weight) * made.prior_level * PRIOR.form.token
    assert made.terms.form.token == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_a_prior_that_is_far_off_does_not_spoil_what_was_measured(factor):
    """Drawn to it as it is, a quarter of the figure would be three times too large or too small. Its proportions alone are drawn to."""
    records = [msgspec.structs.replace(each, energy_j=each.energy_j / factor) for each in measured()]
    made = fitted(records)
    assert made.incumbent_error > 0.5
    assert made.held_out_error < 0.08
    assert made.prior_level == pytest.approx(usual().prior_level / factor, rel=1e-4)


def test_a_prior_of_another_form_is_taken_by_its_figures():
    """Closed weights: the vendor prior is the root of a product."""
    prior = estimator(profile_of(Serving(upstream_model="gpt-4o")))
    made = fitted(measured(220, noise=0.4), prior=prior, boundary="provider_unknown", band=Band(0.6, 1.8))
    assert (made.incumbent, made.source, made.boundary) == ("vendor_prior", "provider_reported", "provider_unknown")
    drawn = Terms(
        request_j=0.0,
        form=Form(
            (made.terms.form.token - made.weight * made.fitted.form.token) / (1 - made.weight),
            (made.terms.form.context - made.weight * made.fitted.form.context) / (1 - made.weight),
            (made.terms.form.prefill - made.weight * made.fitted.form.prefill) / (1 - made.weight),
        ),
    )
    for each in measured(50, seed=4):
        assert of(drawn, each) / made.prior_level == pytest.approx(
            prior.energy_j(each.input_tokens, each.cached_tokens, each.output_tokens), rel=0.1
        )


def test_the_band_is_that_of_records_unseen_with_that_of_measuring():
    assert (fitted(measured(), **exact()).low, fitted(measured(), **exact()).high) == (0.8, 1.25)
    noisy = fitted(measured(2000, noise=0.5), **exact())
    inside = [noisy.low <= each.energy_j / of(noisy.terms, each) <= noisy.high for each in measured(2000, noise=0.5, seed=7)]
    assert 0.76 < sum(inside) / len(inside) < 0.84
    wider = fitted(measured(2000, noise=0.5))
    assert wider.low < noisy.low
    assert wider.high > noisy.high


def test_a_second_fit_of_the_same_is_not_accepted():
    """It is no better than the first, which stays."""
    again = fitted(measured(), usual())
    assert (again.accepted, again.incumbent) == (False, usual().id)
    assert "not better by 5 %" in again.why


def test_where_the_machine_has_changed_its_mind_a_better_one_replaces_it():
    slower = Terms(request_j=9.0, form=Form(token=0.5, context=4e-5, prefill=0.09))
    later = fitted(measured(truth=slower, seed=2), usual())
    assert later.accepted
    assert later.incumbent == usual().id


def with_batches(records, step_j=3.0, seed=2):
    """The same, each served with others, and so much dearer an output token the fewer they were."""
    chance = random.Random(seed)
    found = []
    for each in records:
        batch = chance.uniform(1, 32)
        found.append(msgspec.structs.replace(each, batch=batch, energy_j=each.energy_j + step_j * each.output_tokens / batch))
    return found


def test_where_batches_are_known_and_matter_they_are_a_term():
    records = with_batches(measured(700, noise=0.02))
    made = fitted(records)
    found = made.batched
    assert found.terms.step_j == pytest.approx(3.0, rel=0.1)
    assert found.cv_mdape < 0.02
    assert found.without_cv_mdape > 0.05
    assert (found.terms.least, found.terms.most) == (pytest.approx(1, abs=0.7), pytest.approx(32, abs=0.7))
    assert made.held_out_error == found.held_out_error < found.without_held_out_error


def test_where_they_do_not_matter_or_are_not_known_they_are_none():
    """Chosen only where better on records that were not seen; of fewer than 200 nothing is made."""
    assert fitted(with_batches(measured(), step_j=0.0)).batched is None
    assert usual().batched is None
    few = with_batches(measured(600))
    assert fitted([*(msgspec.structs.replace(each, batch=None) for each in few[:420]), *few[420:]]).batched is None


def test_some_that_have_a_batch_are_enough_and_the_others_are_used_as_well():
    some = with_batches(measured(800, noise=0.02))
    made = fitted([msgspec.structs.replace(each, batch=None) if k % 2 else each for k, each in enumerate(some)])
    assert (made.n > 700, made.batched.n) == (True, pytest.approx(400, abs=20))
    assert made.batched.terms.step_j == pytest.approx(3.0, rel=0.15)


def test_a_better_one_that_knows_the_batch_replaces_one_that_did_not():
    """The three terms of both are the same: what counts is what would be in force."""
    records = with_batches(measured(700, noise=0.02))
    before = fitted([msgspec.structs.replace(each, batch=None) for each in records])
    assert before.accepted
    after = fitted(records, before)
    assert (after.accepted, after.incumbent) == (True, before.id)


def test_of_many_records_a_bounded_number_is_fitted(monkeypatch):
    monkeypatch.setattr(calibrating, "MOST_FITTED", 400)
    assert MOST_FITTED == 8000
    made = fitted(measured(1200))
    assert 350 < made.n + made.dropped <= 400


numbers = st.floats(0.1, 10)


@settings(max_examples=15)
@given(numbers, numbers, numbers, numbers, st.floats(0.01, 1.0), st.integers(0, 1000))
def test_what_is_accepted_is_better_where_it_was_tried(a, b_in, b_out, c, noise, seed):
    """Whatever the truth: no term is negative, the band is never narrower than x0.8-1.25, and the incumbent is beaten or stays."""
    truth = Terms(request_j=5 * a, form=Form(token=0.2 * b_out, context=1e-5 * c, prefill=0.03 * b_in))
    made = fitted(measured(260, noise=noise, seed=seed, truth=truth))
    if made is None:
        return
    assert made.accepted == (made.held_out_error <= BETTER * made.incumbent_error and made.terms_error <= made.incumbent_error)
    terms = made.terms
    assert min(terms.request_j, *msgspec.structs.astuple(terms.form)) >= 0
    assert made.low <= 0.8
    assert made.high >= 1.25


def test_without_scipy_the_error_names_the_extra(monkeypatch):
    for name in ("scipy", "scipy.optimize"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="install the extra `calibration`"):
        fitted(measured())
