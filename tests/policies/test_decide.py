"""A decision: order, reason, what was rejected and why."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._base import Ask, Candidate, Limits, Policy, Privacy, Rejection
from policies.constraints import SETTLED, strictest
from policies.decide import decide, prepare
from policies.objectives import OBJECTIVES, objective
from tests.policies.fleets import ASK, aims, asking, asks, at, briefly, candidates, fleets, names, policies, policy, why

EU, US = frozenset({"EU"}), frozenset({"US"})
PREFER_GREEN = Limits(max_g_per_kwh=300.0)


@pytest.mark.parametrize(
    ("require", "members", "constraint"),
    [
        ({"privacy": Privacy.LOCAL}, {"privacy": Privacy.VENDOR}, "privacy"),
        ({"regions": EU}, {"regions": US}, "regions"),
        ({"zero_retention": True}, {}, "zero_retention"),
        ({"min_quality": 0.6}, {"quality": 0.5}, "min_quality"),
        ({"min_quality": 0.6}, {"quality": 0.9, "quality_by_task": {"code": 0.5}}, "min_quality"),
        ({}, {"lacks": frozenset({"image"})}, "ability:image"),
        ({}, {"refuses": frozenset({"logprobs"})}, "member:logprobs"),
        ({}, {"admits": frozenset({"seed"})}, "member:logprobs"),
        ({}, {"context_tokens": 10}, "context"),
        ({}, {"max_output_tokens": 10}, "max_output_tokens"),
        ({"max_g": 1.0}, {"g_high": 1.5}, "max_g"),
        ({"max_g_per_kwh": 300.0}, {"g_per_kwh": None}, "max_g_per_kwh"),
        ({"max_usd": 1.0}, {"usd_high": 1.5}, "max_usd"),
        ({"max_ttft_s": 1.0}, {"ttft_s": 1.5}, "max_ttft_s"),
        ({}, {"down": True}, "down"),
        ({}, {"full": True}, "full"),
        ({}, {"full": True, "down": True}, "down"),
    ],
)
def test_what_fails_a_constraint_is_out_and_named_with_it(require: dict[str, Any], members: dict[str, Any], constraint: str) -> None:
    ask = asking(task="code", needs=frozenset({"image"}), members=frozenset({"logprobs"}))
    good = at("good", privacy=Privacy.LOCAL, regions=EU, zero_retention=True, quality=1.0, g_high=0.1, g_per_kwh=1.0, usd_high=0.1)
    decision = decide(ask, [at("bad", **members), good], policy(require=Limits(**require)))
    assert (names(decision), decision.rejected) == (["good"], (Rejection("bad", constraint),))
    assert decision.reason == "only"


def test_a_deployment_is_rejected_with_the_first_constraint_it_fails() -> None:
    """Each line repairs one fault, and the next constraint in the documented order shows."""
    required = Limits(
        privacy=Privacy.LOCAL, regions=EU, zero_retention=True, min_quality=0.6, max_g_per_kwh=1.0, max_g=1.0, max_usd=1.0, max_ttft_s=1.0
    )
    ask = asking(needs=frozenset({"image"}), members=frozenset({"seed"}))
    members: dict[str, Any] = {
        "lacks": frozenset({"image"}),
        "refuses": frozenset({"seed"}),
        "context_tokens": 1,
        "max_output_tokens": 1,
        "ttft_s": 9.0,
        "down": True,
        "full": True,
    }
    repairs: list[dict[str, Any]] = [
        {},
        {"privacy": Privacy.LOCAL},
        {"regions": EU},
        {"zero_retention": True},
        {"quality": 0.6},
        {"lacks": frozenset()},
        {"refuses": frozenset()},
        {"context_tokens": None},
        {"max_output_tokens": None},
        {"g_per_kwh": 1.0},
        {"g_high": 1.0},
        {"usd_high": 1.0},
        {"ttft_s": 1.0},
        {"down": False},
        {"full": False},
    ]
    shown = []
    for repair in repairs:
        members |= repair
        shown.append(why(decide(ask, [at("x", **members)], policy(require=required))).get("x"))
    assert shown == [
        *("privacy", "regions", "zero_retention", "min_quality", "ability:image", "member:seed", "context", "max_output_tokens"),
        *("max_g_per_kwh", "max_g", "max_usd", "max_ttft_s", "down", "full", None),
    ]


@pytest.mark.parametrize(
    ("aim", "order", "reason"),
    [
        ("lowest_carbon", ["b", "a", "c"], "lowest-carbon"),
        ("cheapest", ["c", "a", "b"], "cheapest"),
        ("fastest", ["a", "c", "b"], "fastest"),
        ("best_quality", ["c", "b", "a"], "best-quality"),
        ("weighted", ["c", "a", "b"], "weighted"),
        ("least_loaded", ["b", "c", "a"], "least-loaded"),
        ("round_robin", ["b", "c", "a"], "round-robin"),
    ],
)
def test_each_objective_orders_by_its_own_quantity_and_says_so(aim: str, order: list[str], reason: str) -> None:
    fleet = [
        at("a", order=0, g=0.2, usd=0.02, ttft_s=0.1, quality=0.5, load=3.0),
        at("b", order=1, g=0.1, usd=0.90, ttft_s=0.3, quality=0.6, load=1.0),
        at("c", order=2, g=0.3, usd=0.01, ttft_s=0.2, quality=0.9, load=2.0),
    ]
    decision = decide(asking(turn=1), fleet, policy(aim))
    assert (names(decision), decision.reason) == (order, reason)


@pytest.mark.parametrize(
    ("fleet", "members", "order", "reason"),
    [
        ([at("a")], {}, ["a"], "only"),
        ([at("a", g=1.0), at("b", g=0.5, down=True)], {}, ["a"], "only"),
        ([], {}, [], "refused"),
        ([at("a", down=True)], {}, [], "refused"),
        ([at("a", load=2.0), at("b", load=1.0)], {"aim": "least_loaded"}, ["b", "a"], "least-loaded"),
        ([at("a", load=0.5, affinity=True), at("b", load=0.4)], {"aim": "least_loaded"}, ["a", "b"], "affinity"),
        ([at("a", load=0.4, affinity=True), at("b", load=0.5)], {"aim": "least_loaded"}, ["a", "b"], "least-loaded"),
        # Nothing known about carbon: what decides is the load, and it is said.
        ([at("a", load=2.0), at("b", load=1.0)], {}, ["b", "a"], "least-loaded"),
        ([at("a", g=1.0), at("b")], {}, ["a", "b"], "lowest-carbon"),
        # A preference that nobody meets is told, even where one deployment is left.
        ([at("a", g=1.0), at("b", g=2.0)], {"prefer": PREFER_GREEN}, ["a", "b"], "preference-unmet"),
        ([at("a", g=1.0, g_per_kwh=900.0)], {"prefer": PREFER_GREEN}, ["a"], "preference-unmet"),
        # The objective would have taken `a`; the preference took `b`.
        ([at("a", g=1.0, g_per_kwh=900.0), at("b", g=2.0, g_per_kwh=1.0)], {"prefer": PREFER_GREEN}, ["b", "a"], "preferred"),
        ([at("a", g=1.0, g_per_kwh=1.0), at("b", g=2.0, g_per_kwh=900.0)], {"prefer": PREFER_GREEN}, ["a", "b"], "lowest-carbon"),
        # So it is where `a` would only have come first because of what breaks ties: less load, then the order of the configuration.
        ([at("a", g=1.0, g_per_kwh=900.0), at("b", g=1.0, load=1.0, g_per_kwh=1.0)], {"prefer": PREFER_GREEN}, ["b", "a"], "preferred"),
        ([at("a", order=0, g_per_kwh=900.0), at("b", order=1, g_per_kwh=1.0)], {"prefer": PREFER_GREEN}, ["b", "a"], "preferred"),
        ([at("a", order=0, g_per_kwh=1.0), at("b", order=1, g_per_kwh=900.0)], {"prefer": PREFER_GREEN}, ["a", "b"], "least-loaded"),
        # Affinity is no reason against one that a preference has put behind already.
        (
            [at("a", load=0.5, affinity=True, g_per_kwh=1.0), at("b", load=0.4, g_per_kwh=900.0), at("c", load=0.9, g_per_kwh=1.0)],
            {"aim": "least_loaded", "prefer": PREFER_GREEN},
            ["a", "c", "b"],
            "least-loaded",
        ),
        # Own deployments before substitutes, whatever the carbon; one own deployment alone did not compete.
        ([at("own", g=1.0), at("sub", g=0.1, substitute=True)], {}, ["own", "sub"], "only"),
        ([at("own", full=True), at("sub", substitute=True)], {}, ["sub"], "overflow"),
        ([at("own", down=True), at("sub", substitute=True)], {}, ["sub"], "substituted"),
        ([at("own", down=True), at("two", full=True), at("sub", substitute=True)], {}, ["sub"], "overflow"),
        ([at("sub", substitute=True)], {}, ["sub"], "substituted"),
        ([at("own", full=True), at("sub", substitute=True)], {"prefer": PREFER_GREEN}, ["sub"], "overflow"),
    ],
)
def test_the_reason_is_the_one_that_decided(fleet: list[Candidate], members: dict[str, Any], order: list[str], reason: str) -> None:
    decision = decide(ASK, fleet, policy(**members))
    assert (names(decision), decision.reason) == (order, reason)


OWN = {"g": 1.0, "usd": 1.0}


@pytest.mark.parametrize(
    ("mode", "own", "substitute", "order", "rejected"),
    [
        ("never", {}, {}, ["own"], {"sub": "substitute"}),
        ("never", {"full": True}, {}, [], {"own": "full", "sub": "substitute"}),
        ("never", {"full": True}, {"down": True}, [], {"own": "full", "sub": "substitute"}),
        ("down", {}, {"g": 0.1, "usd": 0.1}, ["own", "sub"], {}),
        ("down", {"full": True}, {}, ["sub"], {"own": "full"}),
        ("down", {"down": True}, {}, ["sub"], {"own": "down"}),
        ("down", {"down": True}, {"full": True}, [], {"own": "down", "sub": "full"}),
        ("down", {"g_high": 9.0}, {}, [], {"own": "max_g", "sub": "substitute"}),
        ("down", {"quality": 0.1}, {}, [], {"own": "min_quality", "sub": "substitute"}),
        ("greener", {}, {"g": 0.5, "usd": 9.0}, ["sub", "own"], {}),
        ("greener", {}, {"g": 1.0, "usd": 0.1}, ["own", "sub"], {}),
        ("greener", {}, {"g": None}, ["own", "sub"], {}),
        ("greener", {"g": None}, {"g": 0.5}, ["own", "sub"], {}),
        ("greener", {"full": True}, {"g": 9.0}, ["sub"], {"own": "full"}),
        ("greener", {"g_high": 9.0}, {"g": 0.5}, [], {"own": "max_g", "sub": "substitute"}),
        ("cheaper", {}, {"g": 0.5, "usd": 0.5}, ["sub", "own"], {}),
        ("cheaper", {}, {"g": 0.5, "usd": 1.0}, ["own", "sub"], {}),
        ("any", {}, {"g": 0.5}, ["sub", "own"], {}),
        ("any", {}, {"g": 1.5}, ["own", "sub"], {}),
        ("any", {"g_high": 9.0}, {"g": 1.5}, ["sub"], {"own": "max_g"}),
    ],
)
def test_a_substitute_serves_only_when_its_policy_lets_it(
    mode: Any, own: dict[str, Any], substitute: dict[str, Any], order: list[str], rejected: dict[str, str]
) -> None:
    known = {"g_high": 0.0, "quality": 1.0}
    fleet = [
        at("sub", **{**known, **OWN, **substitute, "substitute": True, "model": "other"}),
        at("own", **{**known, **OWN, **own}),
    ]
    decision = decide(ASK, fleet, policy(substitute=mode, require=Limits(max_g=5.0, min_quality=0.5)))
    assert (names(decision), why(decision)) == (order, rejected)
    if order and order[0] == "sub":
        assert decision.reason in {"substituted", "overflow"}


def test_a_greener_substitute_is_measured_against_the_one_that_would_serve() -> None:
    """The own deployment that would serve is the cheap, dirty one; a substitute between it and the clean one may compete."""
    fleet = [
        at("dirty", g=9.0, usd=0.1),
        at("clean", g=1.0, usd=0.9),
        at("sub", g=5.0, usd=0.05, substitute=True),
    ]
    assert names(decide(ASK, fleet, policy("cheapest", substitute="greener"))) == ["sub", "dirty", "clean"]
    assert names(decide(ASK, fleet, policy("lowest_carbon", substitute="greener"))) == ["clean", "dirty", "sub"]


def test_preferences_steer_and_do_not_refuse() -> None:
    wished = Limits(privacy=Privacy.LOCAL, max_g_per_kwh=300.0)
    fleet = [
        at("neither", g=0.1, g_per_kwh=900.0),
        at("green", g=0.2, g_per_kwh=30.0),
        at("both", g=0.9, g_per_kwh=30.0, privacy=Privacy.LOCAL),
        at("local", g=0.3, privacy=Privacy.LOCAL),
    ]
    decision = decide(ASK, fleet, policy(prefer=wished))
    assert (names(decision), decision.unmet, decision.rejected) == (["both", "green", "local", "neither"], (), ())
    without = decide(ASK, fleet[:2], policy(prefer=wished))
    assert (names(without), without.unmet, without.reason) == (["green", "neither"], ("privacy",), "preference-unmet")


def test_a_preference_that_only_a_waiting_substitute_meets_is_unmet() -> None:
    fleet = [at("own", g_per_kwh=900.0), at("sub", g_per_kwh=1.0, substitute=True)]
    decision = decide(ASK, fleet, policy(prefer=PREFER_GREEN))
    assert (names(decision), decision.unmet) == (["own", "sub"], ("max_g_per_kwh",))


def test_among_equals_the_less_loaded_wins_then_the_prefix_then_the_order_then_the_name() -> None:
    third = 0.1 + 0.2  # 0.30000000000000004
    fleet = [
        at("z", g=0.3, load=1.0, order=3),
        at("y", g=third, load=1.0, order=2),
        at("x", g=0.3, load=1.0, order=3),
        at("idle", g=third, load=0.0, order=9),
        at("warm", g=0.3, load=1.2, order=9, affinity=True),
        at("greener", g=0.2999, load=9.0, order=9),
    ]
    for shuffled in itertools.permutations(fleet):
        assert names(decide(ASK, shuffled, policy())) == ["greener", "idle", "warm", "y", "x", "z"]


def test_what_is_prepared_once_holds_only_what_may_serve() -> None:
    places = [
        at("vendor", order=0).place,
        at("poor", order=1, privacy=Privacy.LOCAL, quality=0.1).place,
        at("good", order=2, privacy=Privacy.LOCAL, quality=0.9).place,
    ]
    prepared = prepare(policy(require=Limits(privacy=Privacy.LOCAL, min_quality=0.5)), places)
    assert prepared.places == (places[2],)
    assert prepared.rejected == (Rejection("vendor", "privacy"), Rejection("poor", "min_quality"))
    decision = prepared.decide(ASK, [Candidate(place=places[2])])
    assert (decision.order[0].place, decision.reason, decision.rejected) == (places[2], "only", prepared.rejected)


def test_a_candidate_that_never_passed_the_barrier_is_an_error_and_not_an_answer() -> None:
    prepared = prepare(policy(require=Limits(privacy=Privacy.LOCAL)), [at("vendor").place])
    with pytest.raises(ValueError, match="policy 'p' was prepared for other places"):
        prepared.decide(ASK, [at("vendor")])


def test_a_request_tightens_prefers_and_declines_but_never_asks_for_more() -> None:
    fleet = [at("own", full=True, g_per_kwh=900.0, usd_high=0.1), at("sub", substitute=True, usd_high=0.1)]
    prepared = prepare(policy(require=Limits(max_usd=0.5)), [candidate.place for candidate in fleet])
    tight = prepared.with_request(Limits(max_usd=0.01), Limits())
    loose = prepared.with_request(Limits(max_usd=9.0), PREFER_GREEN, "any")
    declined = prepared.with_request(Limits(), Limits(), "never")
    assert why(tight.decide(ASK, fleet)) == {"own": "max_usd", "sub": "max_usd"}
    assert (loose.policy.require, loose.policy.prefer, loose.policy.substitute) == (Limits(max_usd=0.5), PREFER_GREEN, "down")
    assert why(declined.decide(ASK, fleet)) == {"own": "full", "sub": "substitute"}


@briefly
@given(asks, fleets, policies)
def test_the_order_is_a_permutation_of_what_was_not_rejected(ask: Ask, fleet: list[Candidate], chosen: Policy) -> None:
    decision = decide(ask, fleet, chosen)
    assert sorted([*names(decision), *why(decision)]) == sorted(candidate.place.name for candidate in fleet)
    assert len(decision.rejected) == len(why(decision))
    assert (decision.reason == "refused") == (not decision.order)
    assert not any(candidate.down or candidate.full for candidate in decision.order)


@briefly
@given(asks, fleets, policies, st.randoms(use_true_random=False))
def test_the_same_input_gives_the_same_decision_in_whatever_order_it_comes(
    ask: Ask, fleet: list[Candidate], chosen: Policy, shuffler: Any
) -> None:
    shuffled = list(fleet)
    shuffler.shuffle(shuffled)
    first, second = decide(ask, fleet, chosen), decide(ask, shuffled, chosen)
    assert (names(first), first.reason, first.unmet, why(first)) == (names(second), second.reason, second.unmet, why(second))


@briefly
@given(asks, fleets, policies)
def test_deciding_on_what_was_prepared_is_deciding(ask: Ask, fleet: list[Candidate], chosen: Policy) -> None:
    prepared = prepare(chosen, [candidate.place for candidate in fleet])
    decision = prepared.decide(ask, [candidate for candidate in fleet if candidate.place in prepared.places])
    whole = decide(ask, fleet, chosen)
    assert (names(decision), decision.reason, decision.rejected) == (names(whole), whole.reason, whole.rejected)


@briefly
@given(asks, fleets, policies, candidates)
def test_an_ineligible_deployment_changes_nothing(ask: Ask, fleet: list[Candidate], chosen: Policy, extra: Candidate) -> None:
    strict = Policy(
        name="p",
        objective=chosen.objective,
        require=strictest(chosen.require, Limits(zero_retention=True)),
        prefer=chosen.prefer,
        substitute=chosen.substitute,
    )
    outsider = Candidate(place=at("extra", substitute=extra.place.substitute, order=-1).place, g=extra.g, usd=extra.usd, load=extra.load)
    without, with_it = decide(ask, fleet, strict), decide(ask, [*fleet, outsider], strict)
    own = any(not candidate.place.substitute for candidate in fleet)
    assert why(with_it)["extra"] in SETTLED
    if own or outsider.place.substitute:  # else the model has a deployment of its own only now, and no longer substitutes alone
        assert (names(with_it), with_it.unmet, with_it.reason) == (names(without), without.unmet, without.reason)


@briefly
@given(asks, fleets, aims.filter(lambda aim: aim != "round_robin"), candidates)
def test_another_deployment_never_reorders_the_others(ask: Ask, fleet: list[Candidate], aim: str, extra: Candidate) -> None:
    """Independence of irrelevant alternatives: for every objective but `round_robin`, whose turns are made of the others."""
    chosen = Policy(name="p", objective=objective(aim))
    own = [candidate for candidate in fleet if not candidate.place.substitute]
    more = [*own, Candidate(place=at("extra", order=-1).place, g=extra.g, usd=extra.usd, ttft_s=extra.ttft_s, load=extra.load)]
    assert [name for name in names(decide(ask, more, chosen)) if name != "extra"] == names(decide(ask, own, chosen))


@pytest.mark.parametrize("aim", sorted(set(OBJECTIVES) - {"round_robin", "least_loaded"}))
def test_unknown_ranks_last(aim: str) -> None:
    worst = at("worst", g=9e9, usd=9e9, ttft_s=9e9, quality=0.0, load=9.0, order=9)
    unknown = at("unknown", affinity=True)
    known_bounds = {"weights": {"carbon": 1.0}} if aim == "weighted" else {}
    chosen = Policy(name="p", objective=objective(aim, known_bounds))
    assert names(decide(ASK, [unknown, worst], chosen)) == ["worst", "unknown"]


@briefly
@given(asks, fleets, policies)
def test_whoever_meets_more_of_the_preferences_comes_first(ask: Ask, fleet: list[Candidate], chosen: Policy) -> None:
    """Told again from the contract's words, over the own deployments, which are never behind a substitute's back."""
    own = [candidate for candidate in fleet if not candidate.place.substitute]
    decision = decide(ask, own, chosen)
    wished = chosen.prefer

    def met(candidate: Candidate) -> dict[str, bool]:
        place = candidate.place
        quality = place.quality_for(ask.task)
        said = {
            "privacy": wished.privacy is None or place.privacy <= wished.privacy,
            "regions": wished.regions is None or bool(place.regions & wished.regions),
            "zero_retention": not wished.zero_retention or place.zero_retention is True,
            "min_quality": wished.min_quality is None or (quality is not None and quality >= wished.min_quality),
            "max_ttft_s": wished.max_ttft_s is None or candidate.ttft_s is None or candidate.ttft_s <= wished.max_ttft_s,
        }
        for name, value in (("max_g", candidate.g_high), ("max_g_per_kwh", candidate.g_per_kwh), ("max_usd", candidate.usd_high)):
            cap = getattr(wished, name)
            said[name] = cap is None or (value is not None and value <= cap)
        return said

    counts = [sum(met(candidate).values()) for candidate in decision.order]
    assert counts == sorted(counts, reverse=True)
    nobody = {name for name in met(at("x")) if decision.order and not any(met(candidate)[name] for candidate in decision.order)}
    assert set(decision.unmet) == nobody
