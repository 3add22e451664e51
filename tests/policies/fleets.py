"""Fleets to choose from: a literal way to write a candidate, and hypothesis strategies for arbitrary ones."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from policies._base import Ask, Candidate, Decision, Limits, Place, Policy, Privacy
from policies.objectives import OBJECTIVES, objective

ASK = Ask(model="m", api="chat", stream=False, input_tokens=100, max_output_tokens=50, expected_output_tokens=50)
REGIONS = ("EU", "SE", "DE", "US", "AWS:EU-NORTH-1")
TASKS = ("code", "chat")
ABILITIES = ("tools", "image")
MEMBERS = ("logprobs", "seed", "top_k")
PLACE_FIELDS = frozenset(Place.__struct_fields__)


briefly = settings(max_examples=60, deadline=None)
"""For properties over whole fleets; no deadline, because a busy machine is not a fault."""


def asking(**members: Any) -> Ask:
    return msgspec.structs.replace(ASK, **members)


def at(name: str, **members: Any) -> Candidate:
    """A candidate; members of its place and of itself in one list."""
    place = {key: value for key, value in members.items() if key in PLACE_FIELDS}
    return Candidate(
        place=Place(name=name, model=place.pop("model", "m"), **place),
        **{key: value for key, value in members.items() if key not in PLACE_FIELDS},
    )


def policy(aim: str = "lowest_carbon", **members: Any) -> Policy:
    return Policy(name="p", objective=objective(aim), **members)


def names(decision: Decision) -> list[str]:
    return [candidate.place.name for candidate in decision.order]


def why(decision: Decision) -> dict[str, str]:
    return {rejection.deployment: rejection.constraint for rejection in decision.rejected}


amounts = st.sampled_from((0.0, 0.1, 0.25, 0.5, 1.0, 2.0))
some_amount = st.none() | amounts
region_sets = st.frozensets(st.sampled_from(REGIONS), max_size=3)
CAPS = ("max_g", "max_g_per_kwh", "max_usd", "max_ttft_s", "min_quality")
seldom = st.sampled_from((False, False, False, True))


def _limits(caps: st.SearchStrategy[dict[str, float]]) -> st.SearchStrategy[Limits]:
    said = st.fixed_dictionaries(
        {},
        optional={"privacy": st.sampled_from(Privacy), "regions": region_sets, "zero_retention": st.booleans()},
    )
    return st.builds(lambda place, amount: Limits(**place, **amount), said, caps)


limits = _limits(st.dictionaries(st.sampled_from(CAPS), amounts))
mild_limits = _limits(st.dictionaries(st.sampled_from(CAPS), amounts, max_size=1))
"""With so few caps that most fleets have somebody left, and a decision to look at."""
places = st.builds(
    Place,
    name=st.just("?"),
    model=st.just("m"),
    privacy=st.sampled_from(Privacy),
    regions=region_sets,
    zero_retention=st.none() | st.booleans(),
    quality=some_amount,
    quality_by_task=st.dictionaries(st.sampled_from(TASKS), amounts, max_size=1),
    weight=st.sampled_from((0.5, 1.0, 3.0)),
    context_tokens=st.sampled_from((None, 100, 1000)),
    lacks=st.frozensets(st.sampled_from(ABILITIES), max_size=1),
    refuses=st.frozensets(st.sampled_from(MEMBERS), max_size=1),
    admits=st.sampled_from((None, None, None, frozenset(), frozenset({"seed"}))),
    substitute=st.booleans(),
)
candidates = st.builds(
    Candidate,
    place=places,
    g=some_amount,
    g_high=some_amount,
    g_per_kwh=some_amount,
    usd=some_amount,
    usd_high=some_amount,
    ttft_s=some_amount,
    load=amounts,
    affinity=st.booleans(),
    down=seldom,
    full=seldom,
)
asks = st.builds(
    Ask,
    model=st.just("m"),
    api=st.just("chat"),
    stream=st.booleans(),
    input_tokens=st.sampled_from((0, 90, 900)),
    max_output_tokens=st.sampled_from((None, 20, 200)),
    expected_output_tokens=st.just(20),
    needs=st.frozensets(st.sampled_from(ABILITIES), max_size=1),
    members=st.frozensets(st.sampled_from(MEMBERS), max_size=1),
    task=st.none() | st.sampled_from(TASKS),
    turn=st.integers(0, 50),
)
aims = st.sampled_from(sorted(OBJECTIVES))
policies = st.builds(
    Policy,
    name=st.just("p"),
    objective=aims.map(objective),
    require=mild_limits,
    prefer=limits,
    substitute=st.sampled_from(("never", "down", "greener", "cheaper", "any")),
)


def _numbered(fleet: list[Candidate]) -> list[Candidate]:
    return [
        msgspec.structs.replace(candidate, place=msgspec.structs.replace(candidate.place, name=f"d{position}", order=position))
        for position, candidate in enumerate(fleet)
    ]


fleets = st.lists(candidates, max_size=7).map(_numbered)
healthy_fleets = st.lists(
    st.builds(
        at,
        st.just("?"),
        privacy=st.sampled_from(Privacy),
        regions=region_sets,
        zero_retention=st.none() | st.booleans(),
        substitute=seldom,
        full=seldom,
        g=amounts,
    ),
    max_size=7,
).map(_numbered)
"""Where little but privacy, regions and retention can stand in the way: a leak shows soon."""
barriers = _limits(st.just({}))
