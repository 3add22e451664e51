"""No byte of a request reaches a deployment that privacy, regions or retention exclude, whatever fails and whatever else is wished.

Heard at the upstreams' own sockets. The oracle below is written from the contract alone and shares no code with the product.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import re
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from policies import constraints
from tests.harness import Ear, Served, ask

EARS = 6
KEY = "sk-greenlane-of-the-privacy-test"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


# what the world is made of

NAMES_OF = {
    "SE": {"SE", "SWE", "EU"},
    "aws:eu-north-1": {"AWS:EU-NORTH-1", "EU-NORTH-1", "SE", "SWE", "EU"},
    "DE": {"DE", "DEU", "EU"},
    "NO": {"NO", "NOR"},
    "aws:us-east-1": {"AWS:US-EAST-1", "US-EAST-1", "US-MIDA-PJM", "US", "USA"},
    "EU": {"EU"},
    None: set(),
}
"""By the contract: a zone is in its country, by both codes, and in the EU if that is; Norway is not."""
REGIONS = ("EU", "eu", "SE", "DEU", "NO", "US", "eu-north-1", "aws:us-east-1", "FR")
FAULTS = ("500", "503", "401", "429", "reset", "garbage", "half", "broken", "in_band")
RANK = {"local": 0, "private": 1, "vendor": 2}
CAPS = ({"max_g": 1e-6}, {"max_g": 50}, {"max_usd": 0.5}, {"max_g_per_kwh": 100}, {"min_quality": 0.5}, {"max_ttft_s": 1})
WISHES = ({"max_g_per_kwh": 50}, {"privacy": "vendor"}, {"regions": ["US"]}, {"min_quality": 0.9})
POLICIES = (None, None, None, None, "p0", "p1", "p2")
OBJECTIVES = (None, "lowest_carbon", "cheapest", "fastest", "best_quality", "weighted", "round_robin", "least_loaded")


class Draw:
    """A world and what is asked of it, drawn at random: strategies would repeat each other's parts, and so be of one kind."""

    def __init__(self, random: Random) -> None:
        self.any = random.choice
        self.chance = lambda of_ten: random.randrange(10) < of_ten
        self.some = random.sample

    def require(self, of_ten: int) -> dict[str, Any]:
        """Something that is never relaxed."""
        if not self.chance(of_ten):
            return {}
        wanted: dict[str, Any] = {}
        if self.chance(5):
            wanted["privacy"] = self.any(["local", "private", "private", "vendor"])
        if self.chance(4):
            wanted["regions"] = self.some(REGIONS, self.any([1, 1, 2, 3]))
        if self.chance(3):
            wanted["zero_retention"] = self.any([True, True, False])
        return wanted

    def caps(self, of_ten: int) -> dict[str, Any]:
        return self.any(CAPS) if self.chance(of_ten) else {}

    def prefer(self) -> dict[str, Any]:
        return self.any([{}, {}, self.require(10), self.any(WISHES)])

    def deployment(self, number: int) -> dict[str, Any]:
        dialect = self.any(["openai"] * 6 + ["anthropic", "gemini", "azure"])
        given = {
            "model": f"m{number}" if number < 2 else self.any(["m0", "m0", "m1"]),
            "dialect": dialect,
            "api_version": "2024-10-21" if dialect == "azure" else None,
            "privacy": self.any(["local", "private", "vendor", None]),
            "zone": self.any(["SE", "aws:eu-north-1", "DE", "NO", "aws:us-east-1", None]),
            "residency": self.any([None, None, None, ["EU"], ["DE"], ["NO"]]),
            "zero_retention": self.any([True, True, False, None]),
            "quality": self.any([0.2, 0.9, 0.9, None]),
            "weight": self.any([0.1, 1, 50]),
            "parameters_b": self.any([None, 0.1, 8, 400]),
            "usd_per_mtok": self.any([None, {"input": 0, "output": 0}, {"input": 1, "output": 900}]),
            "concurrency": self.any([None, 1]),
        }
        manner = "good" if self.chance(6) else "silence" if self.chance(1) else self.any(FAULTS)
        if manner == "silence":  # of the others a busy machine would make silent ones
            given["timeouts"] = {"first_byte_s": 0.05, "between_s": 0.05}
        return {**no_empty(given), "manner": manner if dialect == "openai" else "500"}

    def policy(self, extends: str | None) -> dict[str, Any]:
        objective = self.any(OBJECTIVES)
        return no_empty({
            "extends": extends if self.chance(5) else None,
            "objective": objective,
            "weights": {"carbon": 1, "cost": 1000, "quality": 1000} if objective == "weighted" else None,
            "require": {**self.require(4), **self.caps(2)},
            "prefer": self.prefer(),
            "substitute": self.any([None, None, "never", "down", "greener", "cheaper", "any"]),
        })  # fmt: skip

    def world(self) -> dict[str, Any]:
        auto = {"members": ["m0", "m1"], "min_quality": 0.5 if self.chance(2) else None, "policy": self.any(POLICIES)}
        return {
            "fleet": [self.deployment(number) for number in range(self.any(range(2, EARS + 1)))],
            "require": self.require(2),
            "prefer": self.prefer(),
            "policy": self.any(POLICIES),
            "models": {
                "m0": no_empty({"substitutes": self.any([None, ["m1"]]), "policy": self.any(POLICIES)}),
                "m1": no_empty({"policy": self.any(POLICIES)}),
                "auto": no_empty(auto),
            },
            "policies": {"p0": self.policy(None), "p1": self.policy("p0"), "p2": self.policy("p1")},
            "team": no_empty({"policy": self.any(POLICIES), "require": self.require(2), "prefer": self.prefer()}),
            "key": {"policy": self.any(POLICIES), "require": self.require(2)} if self.chance(5) else None,
        }

    def request(self) -> dict[str, Any]:
        return {
            "api": self.any(["chat", "chat", "messages", "responses", "completions", "embeddings"]),
            "stream": self.chance(5),
            "model": self.any(["m0", "m0", "m1", "auto"]),
            "policy": self.any(POLICIES),
            "policy_by": self.any(["suffix", "header", "body"]),
            "require": self.require(4),
            "require_by": self.any(["header", "body"]),
            "prefer": self.prefer(),
            "caps": self.caps(1),
            "substitute": self.any([None, None, "never"]),
            "cap": self.any([None, 5]),
        }


def no_empty(value: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if part not in ({}, None)}


def drawn(random: Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    draw = Draw(random)
    return draw.world(), [draw.request() for _ in range(4)]


scenarios = st.builds(drawn, st.randoms(use_true_random=True))


# the oracle


def admitted(deployment: dict[str, Any], wanted: list[dict[str, Any]]) -> bool:
    """Whether every `require` that applies admits the deployment."""
    residency = deployment.get("residency")
    names = set().union(*(NAMES_OF[each] for each in residency)) if residency else NAMES_OF[deployment.get("zone")]
    for require in wanted:
        if "privacy" in require and RANK[deployment.get("privacy", "vendor")] > RANK[require["privacy"]]:
            return False
        if "regions" in require and not names & {region.upper() for region in require["regions"]}:
            return False
        if require.get("zero_retention") and deployment.get("zero_retention") is not True:
            return False
    return True


def applying(world: dict[str, Any], request: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """Every `require` that a request is under, and the policy it names or falls under."""
    team, key = (world["team"], world["key"]) if world["key"] else ({}, {})
    standing = [world["policy"], world["models"][request["model"]].get("policy"), team.get("policy"), key.get("policy")]
    chosen = request["policy"] or next((each for each in reversed(standing) if each), None)
    wanted = [world["require"], team.get("require", {}), key.get("require", {}), request["require"]]
    for first in (team.get("policy"), key.get("policy"), chosen):
        name = first
        while name is not None:
            wanted.append(world["policies"][name].get("require", {}))
            name = world["policies"][name].get("extends")
    return wanted, chosen


def may_hear(world: dict[str, Any], request: dict[str, Any]) -> tuple[set[int], set[int]]:
    """Deployments that may hear the request, and those of them that are of the model itself."""
    models = world["models"][request["model"]]
    own, others = set(models.get("members", [request["model"]])), set(models.get("substitutes", ()))
    if request["substitute"] == "never":
        others = set()
    wanted, _ = applying(world, request)
    fit = {number for number, each in enumerate(world["fleet"]) if admitted(each, wanted)}
    return {n for n in fit if world["fleet"][n]["model"] in own | others}, {n for n in fit if world["fleet"][n]["model"] in own}


def must_be_served(world: dict[str, Any], request: dict[str, Any], own: set[int]) -> bool:
    """A healthy deployment of the model may serve, and no cap or quality stands in the way: then nothing excuses an error."""
    wanted, _ = applying(world, request)
    capped_by = {name for each in wanted for name in each} | set(request["caps"]) | set(world["models"][request["model"]])
    if capped_by & {"max_g", "max_usd", "max_g_per_kwh", "min_quality", "max_ttft_s"}:
        return False
    return any(world["fleet"][n]["manner"] == "good" and world["fleet"][n]["dialect"] == "openai" for n in own) and not any(
        each["manner"] == "broken" for each in world["fleet"]
    )


# the rig


class Rig:
    """Ears and a proxy that live for all examples; each example is a configuration of its own."""

    def __init__(self, folder: Any) -> None:
        self.ears = [Ear() for _ in range(EARS)]
        self.served = Served("deployments: {}\n", folder)
        self.client = httpx.Client(timeout=60, verify=False)
        self.examples = self.sent = self.refused = self.answered = 0

    def close(self) -> None:
        self.client.close()
        for ear in self.ears:
            ear.close()
        self.served.close()

    def take(self, world: dict[str, Any]) -> None:
        self.examples += 1
        fleet = {}
        for number, each in enumerate(world["fleet"]):
            self.ears[number].manner = each["manner"]
            settings = {name: value for name, value in each.items() if name != "manner"}
            # a name of this example's own: breakers and latencies begin anew
            fleet[f"d{number}-{self.examples}"] = {**settings, "base_url": f"http://127.0.0.1:{self.ears[number].port}/v1"}
        given = {
            "deployments": fleet,
            "models": world["models"],
            "policies": world["policies"],
            "require": world["require"],
            "prefer": world["prefer"],
            "breaker": {"failures": 2},
            **({"policy": world["policy"]} if world["policy"] else {}),
        }
        given["teams"] = {"t": world["team"] if world["key"] else {}}
        given["keys"] = {"k": {"team": "t", "key": f"sha256:{HASH}", **no_empty(world["key"] or {})}}
        self.served.write("\n".join(f"{name}: {json.dumps(value)}" for name, value in given.items()) + "\n")
        assert self.served.reload()

    def ask(self, request: dict[str, Any]) -> httpx.Response:
        self.sent += 1
        prompt = f"the secret number {self.sent} of this test " * 4
        api = request["api"]
        text = {"messages": [{"role": "user", "content": prompt}]} if api in ("chat", "messages") else {}
        text |= {"prompt": prompt} if api == "completions" else {"input": prompt} if api in ("responses", "embeddings") else {}
        body: dict[str, Any] = {"model": request["model"], **text}
        if api != "embeddings" and request["stream"]:
            body["stream"] = True
        if api == "messages" or (request["cap"] and api in ("chat", "completions")):
            body["max_tokens"] = request["cap"] or 9
        ours: dict[str, Any] = no_empty({"prefer": request["prefer"], "substitute": request["substitute"], **request["caps"]})
        headers = {"authorization": f"Bearer {KEY}"}
        if request["require_by"] == "body":
            ours |= request["require"]
        else:
            for name, value in request["require"].items():
                shown = ",".join(value) if isinstance(value, list) else str(value).lower()
                headers[f"x-greenlane-{name.replace('_', '-')}"] = shown
        if request["policy"] and request["policy_by"] == "suffix":
            body["model"] += "/" + request["policy"]
        elif request["policy"] and request["policy_by"] == "header":
            headers["x-greenlane-policy"] = request["policy"]
        elif request["policy"]:
            ours["policy"] = request["policy"]
        if ours:
            body["greenlane"] = ours
        path = {"chat": "chat/completions"}.get(api, api)
        return self.client.post(f"{self.served.url}/{path}", json=body, headers=headers)


def heard_now(rig: Rig, ear: Ear) -> bool:
    """On a slow machine one that was silent may read only now what was sent to it before, and given up."""
    numbers = re.findall(rb"the secret number (\d+) ", ear.heard)
    return bool(ear.heard) and (not numbers or b"%d" % rig.sent in numbers)


def violation(rig: Rig, scenario: tuple[dict[str, Any], list[dict[str, Any]]]) -> str | None:
    """What went wrong in a scenario; None: nothing."""
    world, asked = scenario
    rig.take(world)
    for request in asked:
        may, own = may_hear(world, request)
        for ear in rig.ears:
            ear.heard.clear()
        answer = rig.ask(request)
        leaks = [number for number, ear in enumerate(rig.ears) if heard_now(rig, ear) and number not in may]
        if leaks:
            return f"{leaks} heard what only {sorted(may)} may hear: {request}"
        if not may and answer.status_code < 400:
            return f"nobody may serve, and yet {answer.status_code}: {request}"
        if answer.status_code >= 500 and answer.json().get("error", {}).get("code") == "internal_error":
            return f"an error inside the proxy: {request}"
        if must_be_served(world, request, own) and answer.status_code != 200:
            return f"{sorted(own)} may serve, and yet {answer.status_code} {answer.text[:300]}: {request}"
        if answer.status_code == 200:
            rig.answered += 1
            served = int(answer.headers["x-greenlane-deployment"][1:].partition("-")[0])
            if served not in may:
                return f"{served} is said to have served: {request}"
        else:
            rig.refused += 1
    return None


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
