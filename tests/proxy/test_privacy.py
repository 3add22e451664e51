"""No byte of a request reaches a deployment that privacy, regions or retention exclude, whatever fails and whatever else is wished.

Heard at the upstreams' own sockets. The worlds, and the oracle that tells who may hear what, are in `private_worlds.py`.
"""

from __future__ import annotations

import concurrent.futures

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from policies import constraints
from policies._base import Candidate, Decision, Limits
from policies.decide import prepare
from proxy.dataplane import endpoint, kept
from proxy.snapshot import COUNT, Snapshot, plan_of
from tests.harness import ask
from tests.proxy.private_worlds import APIS, HASH, KEY, MEDIA, Rig, conversed, drawn, repeated, violation

RANDOM = st.randoms(use_true_random=True)
scenarios = st.builds(drawn, RANDOM)
conversations = st.builds(conversed, RANDOM)


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    made = Rig(tmp_path_factory.mktemp("privacy") / "proxy")
    yield made
    made.close()


BOUNDED = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


def test_no_byte_reaches_a_deployment_that_a_requirement_excludes(rig):
    """Over random fleets, faults, policies and requests."""

    @settings(max_examples=150, phases=[Phase.generate, Phase.shrink], **BOUNDED)
    @given(scenarios)
    def never(scenario):
        assert violation(rig, scenario) is None

    never()
    assert rig.examples >= 150
    # it would prove nothing if all were refused, or all served
    assert rig.answered > 40, (rig.answered, rig.refused)
    assert rig.refused > 40, (rig.answered, rig.refused)
    assert {api for api, heard in rig.heard_of.items() if heard} == set(APIS), rig.heard_of


def test_no_byte_of_a_conversation_goes_later_where_it_might_not_go_at_first(rig):
    """Over random conversations that go on by id, by item, under other policies and after reloads that move the deployments."""
    rig.followed = 0

    @settings(max_examples=80, phases=[Phase.generate, Phase.shrink], **BOUNDED)
    @given(conversations)
    def never(conversation):
        assert repeated(rig, conversation) is None

    never()
    # it would prove nothing if no conversation ever went on
    assert rig.followed > 20, rig.followed


@pytest.mark.parametrize("mutant", ["no filter", "privacy only", "no regions", "no retention"])
def test_the_property_fails_for_a_proxy_that_skips_the_filter(rig, monkeypatch, mutant):
    """Otherwise it would prove nothing."""
    real = constraints.barrier
    lets_pass = {
        "no filter": lambda found: True,
        "privacy only": lambda found: found != "privacy",
        "no regions": lambda found: found == "regions",
        "no retention": lambda found: found == "zero_retention",
    }[mutant]

    def barrier(place, limits):
        found = real(place, limits)
        return None if lets_pass(found) else found

    monkeypatch.setattr(constraints, "barrier", barrier)
    bounds = settings(max_examples=60, phases=[Phase.generate], **BOUNDED)
    try:
        found = find(scenarios, lambda scenario: violation(rig, scenario) is not None, settings=bounds)
    except NoSuchExample:
        pytest.fail("the mutant was not found")
    assert "heard what only" in str(violation(rig, found))


def free_of(apis):
    """A proxy that forgets what is required where the operation is one of these."""
    real = Snapshot._plan

    def plan(self, api, member, grant, wanted):
        made = real(self, api, member, grant, wanted)
        if api not in apis:
            return made
        loose = prepare(msgspec.structs.replace(made.prepared.policy, require=Limits()), list(made.served))
        return plan_of(loose, made.served, made.terms, translates=made.translates)

    return Snapshot, "_plan", plan


def held_out_anywhere(plan, decision):
    """A holdout that goes to the model's default, whether that may serve or not."""
    places = [place for place in plan.served if not place.substitute]
    first = Candidate(place=places[-1], g=None, g_per_kwh=None, usd=None, ttft_s=None, load=0.0)
    return Decision(order=(first, *decision.order), reason="holdout")


MUTANTS = {
    "counting": ((COUNT,), free_of((COUNT,))),
    "media": (MEDIA, free_of(MEDIA)),
    "generate": (("generate",), free_of(("generate",))),
    "holdout": (APIS, (endpoint, "held_out", held_out_anywhere)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_property_finds_a_path_that_skips_the_filter(rig, monkeypatch, mutant):
    apis, skipped = MUTANTS[mutant]
    monkeypatch.setattr(*skipped)
    monkeypatch.setattr(endpoint, "random", lambda: 0.0)  # a world that fails must fail again
    bounds = settings(max_examples=100, phases=[Phase.generate], **BOUNDED)
    worlds = st.builds(drawn, RANDOM, st.just(apis))
    try:
        found = find(worlds, lambda scenario: violation(rig, scenario) is not None, settings=bounds)
    except NoSuchExample:
        pytest.fail("the mutant was not found")
    assert "heard what only" in str(violation(rig, found))


def test_the_property_finds_words_that_are_kept_without_what_was_required(rig, monkeypatch):
    monkeypatch.setattr(kept, "never_relaxed", lambda _: Limits())
    bounds = settings(max_examples=100, phases=[Phase.generate], **BOUNDED)
    try:
        find(conversations, lambda conversation: repeated(rig, conversation) is not None, settings=bounds)
    except NoSuchExample:
        pytest.fail("the mutant was not found")


def test_the_filter_is_whole_again(rig):
    """The mutants left nothing behind: one of their worlds is refused."""
    world = {
        "fleet": [{"model": name, "dialect": "openai", "manner": "good"} for name in ("m0", "m1")],
        "require": {"privacy": "local"},
        "prefer": {},
        "policy": None,
        "models": {"m0": {}, "m1": {}, "auto": {"members": ["m0"]}},
        "policies": {"p0": {}, "p1": {}, "p2": {}},
        "team": {},
        "key": None,
    }
    rig.take(world)
    rig.ears[0].heard.clear()
    answer = ask(rig.served, {"model": "m0", "messages": [{"role": "user", "content": "Hi"}]}, authorization=f"Bearer {KEY}")
    assert (answer.status_code, bytes(rig.ears[0].heard)) == (422, b"")


NEAR_AND_FAR = """
deployments:
  near:
    {{model: small, base_url: "http://127.0.0.1:{near}/v1", privacy: local, zone: SE, zero_retention: true,
      concurrency: 1, timeouts: {{first_byte_s: {patience_s}}}}}
  far: {{model: small, base_url: "http://127.0.0.1:{far}/v1", privacy: vendor, zone: US, zero_retention: false}}
breaker: {{failures: 1}}
teams: {{t: {{}}}}
keys: {{k: {{team: t, key: "sha256:{hash}"}}}}
"""
OURS = {"authorization": f"Bearer {KEY}"}


def near_and_far_in_force(rig, patience_s=60):
    rig.served.write(NEAR_AND_FAR.format(near=rig.ears[0].port, far=rig.ears[1].port, patience_s=patience_s, hash=HASH))
    assert rig.served.reload()


@pytest.fixture
def near_and_far(rig):
    near_and_far_in_force(rig)
    for ear in rig.ears:
        ear.manner = "good"
        ear.heard.clear()
    return rig


TIGHT_AND_LOOSE = {
    "privacy": ("local", "vendor", "vendor"),
    "regions": (["SE"], ["US", "SE"], "US,SE"),
    "zero_retention": (True, False, "false"),
}


@pytest.mark.parametrize("member", TIGHT_AND_LOOSE)
def test_of_a_header_and_a_body_that_both_require_the_stricter_counts(near_and_far, member):
    """A gateway in between may add headers; it must not undo what the caller requires. The far one is made the better one."""
    tight, loose, loose_text = TIGHT_AND_LOOSE[member]
    name = "x-greenlane-" + member.replace("_", "-")
    body = {"model": "small", "messages": [], "greenlane": {member: tight}}
    for _ in range(3):
        answer = ask(near_and_far.served, body, **OURS, **{name: loose_text, "x-greenlane-prefer": "regions=US"})
        assert (answer.status_code, answer.headers["x-greenlane-deployment"]) == (200, "near")
    tight_text = ",".join(tight) if isinstance(tight, list) else str(tight).lower()
    wanted = {name: tight_text, "x-greenlane-prefer": "regions=US"}
    answer = ask(near_and_far.served, {**body, "greenlane": {member: loose}}, **OURS, **wanted)
    assert (answer.status_code, answer.headers["x-greenlane-deployment"]) == (200, "near")
    assert not near_and_far.ears[1].heard


@pytest.mark.parametrize("manner", ["good", "reset", "500", "silence"])
def test_neither_crowds_nor_failures_open_the_way(near_and_far, manner):
    """Sixteen at a time before a deployment that takes one, while another that is excluded stands idle."""
    near_and_far.ears[0].manner = manner
    if manner == "silence":
        near_and_far_in_force(near_and_far, 0.2)
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(near_and_far.served, body, **OURS, x_greenlane_privacy="local"), range(16)))
    assert {answer.status_code for answer in answers} <= ({200} if manner == "good" else {502, 503, 504})
    assert not near_and_far.ears[1].heard
