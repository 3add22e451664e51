"""What refuses and what steers: merging limits, and the one test of each constraint that both `require` and `prefer` use.

A candidate is excluded by the first constraint it fails, in this order: `privacy`, `regions`, `zero_retention`, `min_quality`,
`ability:…`, `member:…`, `context`, `max_output_tokens`, `max_g_per_kwh`, `max_g`, `max_usd`, `max_ttft_s`, then `substitute`,
`down`, `full` (which `decide` adds, because they are about the others too).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from policies._base import Ask, Candidate, Limits, Place, Privacy

Number = TypeVar("Number", bound=float)
Meets = Callable[[Sequence[Candidate], Ask], list[bool]]


class Check(NamedTuple):
    """One active constraint: its name in configuration, and which of these candidates meet it.

    All at once, because a call each costs more than the comparison.
    """

    name: str
    met_by: Meets


SETTLED = frozenset({"privacy", "regions", "zero_retention", "min_quality"})
"""What a place alone decides (quality: a place and a task)."""
_MEMBERS = tuple(name for name in Limits.__struct_fields__ if name != "and_regions")


def strictest(*limits: Limits) -> Limits:
    """Limits that admit exactly what every one of these admits. Associative, commutative, idempotent; none at all: no limit.

    Not-a-number admits nothing (nothing compares with it), so it is stricter than any number.
    """
    regions, and_regions = _narrowest(limits)
    return Limits(
        privacy=_least(each.privacy for each in limits),
        regions=regions,
        and_regions=and_regions,
        zero_retention=_either(each.zero_retention for each in limits),
        max_g=_least(each.max_g for each in limits),
        max_g_per_kwh=_least(each.max_g_per_kwh for each in limits),
        max_usd=_least(each.max_usd for each in limits),
        max_ttft_s=_least(each.max_ttft_s for each in limits),
        min_quality=_greatest(each.min_quality for each in limits),
    )


def tighten(base: Limits, request: Limits) -> Limits:
    """Return what a request may do to a `require`: each member the stricter of the two, never a looser one."""
    return strictest(base, request)


def nearest(*limits: Limits) -> Limits:
    """Preferences from the most general to the most specific: member by member, the last that says something counts."""
    said: dict[str, Any] = {name: value for each in limits for name in _MEMBERS if (value := getattr(each, name)) is not None}
    speaker = next((each for each in reversed(limits) if each.regions is not None), None)
    return Limits(**said, and_regions=frozenset() if speaker is None else speaker.and_regions)


def barrier(place: Place, limits: Limits) -> str | None:
    """Name the first of privacy, regions and zero retention that forbids this place; None if it may be used at all.

    What these three forbid is forbidden whatever the request, the load or the weights: it is settled once a configuration.
    """
    if limits.privacy is not None and place.privacy > limits.privacy:
        return "privacy"
    if not _within(place, limits):
        return "regions"
    if limits.zero_retention and place.zero_retention is not True:
        return "zero_retention"
    return None


def never_relaxed(limits: Limits) -> Limits:
    """What `barrier` looks at, and nothing else: it holds for words wherever they go next, caps for one request alone."""
    return Limits(privacy=limits.privacy, regions=limits.regions, and_regions=limits.and_regions, zero_retention=limits.zero_retention)


def poor(place: Place, limits: Limits) -> str | None:
    """Name `min_quality` where the place fails it whatever the task; None where it passes or the task decides."""
    if limits.min_quality is None or place.quality_by_task:
        return None
    return None if _good(place, limits.min_quality, None) else "min_quality"


def unfit(place: Place, ask: Ask) -> str | None:
    """Name the first thing the request needs that this place cannot do, or None: `ability:image`, `member:logprobs`, `context`."""
    if missing := ask.needs & place.lacks:
        return f"ability:{min(missing)}"
    refused = ask.members & place.refuses
    if place.admits is not None:
        refused |= ask.members - place.admits
    if refused:
        return f"member:{min(refused)}"
    if place.context_tokens is not None and window_tokens(ask) > place.context_tokens:
        return "context"
    if place.max_output_tokens is not None and choice_tokens(ask) > place.max_output_tokens:
        return "max_output_tokens"
    return None


def choice_tokens(ask: Ask) -> int:
    """Tokens the client allows one choice to have; 0 where it sets no cap."""
    return (ask.max_output_tokens or 0) // max(1, ask.choices)


def window_tokens(ask: Ask) -> int:
    """Tokens a context window must hold for one choice."""
    return ask.input_tokens + choice_tokens(ask)


def checks(limits: Limits) -> tuple[Check, ...]:
    """Every constraint that is set, in the documented order."""
    made: tuple[tuple[str, Meets | None], ...] = (
        ("privacy", None if limits.privacy is None else _privacy(limits.privacy)),
        ("regions", None if limits.regions is None and not limits.and_regions else _regions(limits)),
        ("zero_retention", _retains_nothing if limits.zero_retention else None),
        ("min_quality", None if limits.min_quality is None else _min_quality(limits.min_quality)),
        ("max_g_per_kwh", None if limits.max_g_per_kwh is None else _max_g_per_kwh(limits.max_g_per_kwh)),
        ("max_g", None if limits.max_g is None else _max_g(limits.max_g)),
        ("max_usd", None if limits.max_usd is None else _max_usd(limits.max_usd)),
        ("max_ttft_s", None if limits.max_ttft_s is None else _max_ttft_s(limits.max_ttft_s)),
    )
    return tuple(Check(name, meets) for name, meets in made if meets is not None)


def _privacy(furthest: Privacy) -> Meets:
    return lambda candidates, _: [each.place.privacy <= furthest for each in candidates]


def _regions(limits: Limits) -> Meets:
    return lambda candidates, _: [_within(each.place, limits) for each in candidates]


def _retains_nothing(candidates: Sequence[Candidate], _: Ask) -> list[bool]:
    return [each.place.zero_retention is True for each in candidates]


def _min_quality(least: float) -> Meets:
    return lambda candidates, ask: [_good(each.place, least, ask.task) for each in candidates]


# `value <= cap`, never `not value > cap`: a NaN on either side must fail.


def _max_g_per_kwh(cap: float) -> Meets:
    return lambda candidates, _: [(value := each.g_per_kwh) is not None and value <= cap for each in candidates]


def _max_g(cap: float) -> Meets:
    return lambda candidates, _: [(value := each.g_high) is not None and value <= cap for each in candidates]


def _max_usd(cap: float) -> Meets:
    return lambda candidates, _: [(value := each.usd_high) is not None and value <= cap for each in candidates]


def _max_ttft_s(cap: float) -> Meets:
    return lambda candidates, _: [(value := each.ttft_s) is None or value <= cap for each in candidates]


def _good(place: Place, least: float, task: str | None) -> bool:
    quality = place.quality_for(task)
    return quality is not None and quality >= least


def _within(place: Place, limits: Limits) -> bool:
    if limits.regions is not None and place.regions.isdisjoint(limits.regions):
        return False
    return not any(place.regions.isdisjoint(names) for names in limits.and_regions)


def _narrowest(limits: tuple[Limits, ...]) -> tuple[frozenset[str] | None, frozenset[frozenset[str]]]:
    """Keep every set of names that says more than another.

    Not the names they share: a place in `EU` and in `DE` meets both `[EU]` and `[DE]`, which have no name in common.
    """
    said = {names for each in limits for names in ({each.regions} | each.and_regions) if names is not None}
    said = {names for names in said if not any(other < names for other in said)}
    if not said:
        return None, frozenset()
    first = min(said, key=sorted)
    return first, frozenset(said - {first})


def _least(values: Iterable[Number | None]) -> Number | None:
    known = sorted(value for value in values if value is not None)
    return next(filter(math.isnan, known), known[0]) if known else None


def _greatest(values: Iterable[Number | None]) -> Number | None:
    known = sorted(value for value in values if value is not None)
    return next(filter(math.isnan, known), known[-1]) if known else None


def _either(values: Iterable[bool | None]) -> bool | None:
    known = [value for value in values if value is not None]
    return any(known) if known else None
