"""Random worlds for the privacy tests: fleets, policies, keys and requests; who may hear what, by the contract alone; and the rig.

The oracle shares no code with the product.
"""

from __future__ import annotations

import hashlib
import json
import re
from random import Random
from typing import Any

import httpx

from tests.harness import Ear, Served

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
APIS = ("chat", "chat", "chat", "messages", "messages", "responses", "responses", "completions", "embeddings", "count_tokens", "generate",
        "speech", "transcriptions", "images_generations", "moderations", "rerank")  # fmt: skip
PATHS = {
    "chat": "/v1/chat/completions",
    "count_tokens": "/v1/messages/count_tokens",
    "generate": "/generate",
    "speech": "/v1/audio/speech",
    "transcriptions": "/v1/audio/transcriptions",
    "images_generations": "/v1/images/generations",
}
MEDIA = ("speech", "transcriptions", "images_generations", "moderations", "rerank")
PROMPT = {"chat": "messages", "messages": "messages", "count_tokens": "messages", "completions": "prompt", "generate": "prompt",
          "images_generations": "prompt", "rerank": "query"}  # fmt: skip
"""The member that has the words; of the others `input`."""
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
            # whoever takes Anthropic's messages as they are is asked to count their tokens
            "apis": self.any([None, None, None, None, ["messages", "chat", *MEDIA]]) if dialect == "openai" else None,
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
            "holdout": self.any([0, 0, 0.5]),
            "models": {
                "m0": no_empty({"substitutes": self.any([None, ["m1"]]), "policy": self.any(POLICIES)}),
                "m1": no_empty({"policy": self.any(POLICIES)}),
                "auto": no_empty(auto),
            },
            "policies": {"p0": self.policy(None), "p1": self.policy("p0"), "p2": self.policy("p1")},
            "team": no_empty({"policy": self.any(POLICIES), "require": self.require(2), "prefer": self.prefer()}),
            "key": {"policy": self.any(POLICIES), "require": self.require(2)} if self.chance(5) else None,
        }

    def request(self, apis: tuple[str, ...] = APIS) -> dict[str, Any]:
        return {
            "api": self.any(apis),
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

    def moved(self, fleet: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The same fleet after a reload, which says other things of where its deployments are and of who runs them."""
        other = [self.deployment(number) for number in range(len(fleet))]
        return [
            no_empty({**each, **{name: fresh.get(name) for name in ("privacy", "zone", "residency", "zero_retention")}})
            for each, fresh in zip(fleet, other, strict=True)
        ]


def no_empty(value: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if part not in ({}, None)}


Scenario = tuple[dict[str, Any], list[dict[str, Any]]]


def drawn(random: Random, apis: tuple[str, ...] = APIS) -> Scenario:
    draw = Draw(random)
    return draw.world(), [draw.request(apis) for _ in range(4)]


def conversed(random: Random) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]] | None, list[str]]:
    """A world, the turns of a conversation, the fleet after a reload between the first and the others, and how each goes on."""
    draw = Draw(random)
    world = draw.world()
    turns = [{**draw.request(("responses",)), "stream": False, "caps": {}} for _ in range(3)]
    # a world in which the first is mostly answered: what was never said cannot be repeated
    for each in world["fleet"]:
        each |= {"manner": "good", "apis": ["chat"], "dialect": "openai", "concurrency": None}
        each.pop("api_version", None)
        each.pop("timeouts", None)
    world = {**world, "fleet": [no_empty(each) for each in world["fleet"]]}
    moved = draw.moved(world["fleet"]) if draw.chance(6) else None
    return world, turns, moved, [draw.any(["previous", "item"]) for _ in turns]


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
    if request["api"] in (*MEDIA, "count_tokens"):
        return False
    well = [each for each in map(world["fleet"].__getitem__, own) if (each["manner"], each["dialect"]) == ("good", "openai")]
    return any("apis" not in each for each in well) and not any(each["manner"] == "broken" for each in world["fleet"])


# the rig


class Rig:
    """Ears and a proxy that live for all examples; each example is a configuration of its own."""

    def __init__(self, folder: Any) -> None:
        self.ears = [Ear() for _ in range(EARS)]
        self.served = Served("deployments: {}\n", folder)
        self.client = httpx.Client(timeout=60, verify=False)
        self.examples = self.sent = self.refused = self.answered = self.followed = 0
        self.heard_of: dict[str, int] = {}
        """How often anybody heard a request, by its operation."""

    def close(self) -> None:
        self.client.close()
        for ear in self.ears:
            ear.close()
        self.served.close()

    def take(self, world: dict[str, Any], *, again: bool = False) -> None:
        """Takes the world into force; `again`: under the names of the one before, as a reload does."""
        self.examples += not again
        fleet = {}
        for number, each in enumerate(world["fleet"]):
            self.ears[number].manner = each["manner"]
            settings = {name: value for name, value in each.items() if name != "manner"}
            # a name of this example's own: breakers and latencies begin anew
            fleet[f"d{number}-{self.examples}"] = {**settings, "base_url": f"http://127.0.0.1:{self.ears[number].port}/v1"}
        models = {name: dict(each) for name, each in world["models"].items()}
        models["m0"]["default"] = next(name for name, each in reversed(fleet.items()) if each["model"] == "m0")
        given = {
            "deployments": fleet,
            "models": models,
            "carbon": {"holdout": world.get("holdout", 0)},
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

    def ask(self, request: dict[str, Any], **members: Any) -> httpx.Response:
        self.sent += 1
        prompt = f"the secret number {self.sent} of this test " * 4
        api = request["api"]
        named = PROMPT.get(api, "input")
        body: dict[str, Any] = {"model": request["model"], named: [{"role": "user", "content": prompt}] if named == "messages" else prompt}
        body |= {"documents": ["a"]} if api == "rerank" else {"voice": "a"} if api == "speech" else {}
        if api in ("chat", "messages", "responses", "completions") and request["stream"]:
            body["stream"] = True
        if api == "messages" or (request["cap"] and api in ("chat", "completions")):
            body["max_tokens"] = request["cap"] or 9
        if "input" in members:
            body["input"] = [*members.pop("input"), {"role": "user", "content": prompt}]
        body |= members
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
        path = self.served.base + PATHS.get(api, f"/v1/{api}")
        if api != "transcriptions":
            return self.client.post(path, json=body, headers=headers)
        form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items() if name != "input"}
        return self.client.post(path, data=form, files={"file": ("a.wav", prompt.encode())}, headers=headers)


def heard_now(rig: Rig, ear: Ear) -> bool:
    """On a slow machine one that was silent may read only now what was sent to it before, and given up."""
    numbers = re.findall(rb"the secret number (\d+) ", ear.heard)
    return bool(ear.heard) and (not numbers or b"%d" % rig.sent in numbers)


def violation(rig: Rig, scenario: Scenario) -> str | None:
    """What went wrong in a scenario; None: nothing."""
    world, asked = scenario
    rig.take(world)
    for request in asked:
        may, own = may_hear(world, request)
        for ear in rig.ears:
            ear.heard.clear()
        answer = rig.ask(request)
        found = _leaked(rig, request, may) or _wrong(world, request, answer, (may, own))
        if found is not None:
            return found
        if answer.status_code == 200:
            rig.answered += 1
        else:
            rig.refused += 1
    return None


def _leaked(rig: Rig, request: dict[str, Any], may: set[int]) -> str | None:
    heard = [number for number, ear in enumerate(rig.ears) if heard_now(rig, ear)]
    rig.heard_of[request["api"]] = rig.heard_of.get(request["api"], 0) + bool(heard)
    leaks = [number for number in heard if number not in may]
    return f"{leaks} heard what only {sorted(may)} may hear: {request}" if leaks else None


def _wrong(world: dict[str, Any], request: dict[str, Any], answer: httpx.Response, of: tuple[set[int], set[int]]) -> str | None:
    may, own = of
    if not may and answer.status_code < 400:
        return f"nobody may serve, and yet {answer.status_code}: {request}"
    if answer.status_code >= 500 and answer.json().get("error", {}).get("code") == "internal_error":
        return f"an error inside the proxy: {request}"
    if must_be_served(world, request, own) and answer.status_code != 200:
        return f"{sorted(own)} may serve, and yet {answer.status_code} {answer.text[:300]}: {request}"
    named = answer.headers.get("x-greenlane-deployment") if answer.status_code == 200 else None
    if named is not None and int(named[1:].partition("-")[0]) not in may:
        return f"{named} is said to have served: {request}"
    return None


def repeated(rig: Rig, conversation: tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]] | None, list[str]]) -> str | None:
    """What went wrong in a conversation that goes on by id: whoever hears a turn's words later must be admitted by what it required."""
    world, turns, moved, ways = conversation
    rig.take(world)
    wanted: dict[int, list[dict[str, Any]]] = {}
    """By a turn's number, all that was required of its words."""
    before: dict[str, Any] | None = None
    under: list[dict[str, Any]] = []
    for turn, way in zip(turns, ways, strict=True):
        required = applying(world, turn)[0] + under
        more: dict[str, Any] = {}
        if before is not None and way == "previous":
            more = {"previous_response_id": before["id"]}
        elif before is not None:
            more = {"input": [{"type": "item_reference", "id": before["output"][0]["id"]}]}
        for ear in rig.ears:
            ear.heard.clear()
        answer = rig.ask(turn, **more)
        wanted[rig.sent] = required
        for number, ear in enumerate(rig.ears):
            for said in {int(each) for each in re.findall(rb"the secret number (\d+) ", ear.heard)} & set(wanted):
                if not admitted(world["fleet"][number], wanted[said]):
                    return f"{number} heard what was said under {wanted[said]}, by {way}: {turn}"
        if answer.status_code == 200:
            rig.followed += before is not None
            # what goes on from earlier words is under all that they were under
            before, under = answer.json(), required
        if moved is not None:
            world, moved = {**world, "fleet": moved}, None
            rig.take(world, again=True)
    return None
