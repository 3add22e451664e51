"""The nouns of a choice: what is asked, what could serve it, what was decided. Pure; no clock, no randomness.

`Place` holds what never changes between two configurations, `Candidate` adds what this request would cost there now.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec


class Privacy(enum.IntEnum):
    """How far a prompt may travel, nearest first. A constraint names the furthest class allowed."""

    LOCAL = 0
    PRIVATE = 1
    VENDOR = 2


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Members of `require` and of `prefer`. None: no limit."""

    privacy: Privacy | None = None
    regions: frozenset[str] | None = None
    """Upper-case names: zones, cloud regions, ISO codes, EU; one of them is enough. An empty set admits nothing."""
    and_regions: frozenset[frozenset[str]] = frozenset()
    """Further sets, each of which must be met as well: what merging leaves of `EU` and `DE`. Written by merging alone."""
    zero_retention: bool | None = None
    max_g: float | None = None
    max_g_per_kwh: float | None = None
    max_usd: float | None = None
    max_ttft_s: float | None = None
    min_quality: float | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the client wants, as far as routing cares."""

    model: str
    api: str
    """The operation: chat, responses, messages, completions, embeddings, ..."""
    stream: bool
    input_tokens: int
    """Estimated before sending (bytes of text over four, images by a flat figure)."""
    max_output_tokens: int | None
    """The client's own cap over all choices, or None."""
    expected_output_tokens: int
    """What a forecast uses: the cap, or the configured expectation, whichever is less, times n."""
    needs: frozenset[str] = frozenset()
    """Abilities: tools, image, audio, document, json_schema, logprobs, n, reasoning, ..."""
    members: frozenset[str] = frozenset()
    """Top-level members present with another value than their default (less model, messages, stream and our own)."""
    task: str | None = None
    choices: int = 1
    """`n`: the caps above are over all choices, a context window holds one."""
    least_searches: int = 0
    """Searches of the web that are asked for, which a forecast counts."""
    most_searches: int = 0
    """Those it may make, which a cost cap counts; 0: none is offered."""
    turn: int = 0
    """How many requests for this model came before: what `round_robin` counts by. One counter a model, not one for all: two
    models that take turns would otherwise each stay on one deployment."""


class Place(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One deployment as policies may see it; made once per configuration."""

    name: str
    model: str
    privacy: Privacy = Privacy.VENDOR
    regions: frozenset[str] = frozenset()
    """Every name the place answers to, upper-case: its zone, cloud region, country codes, EU. Empty: unknown."""
    zero_retention: bool | None = None
    quality: float | None = None
    """In [0, 1]; None unknown."""
    quality_by_task: Mapping[str, float] = {}
    weight: float = 1.0
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    lacks: frozenset[str] = frozenset()
    """Abilities it is known not to have."""
    refuses: frozenset[str] = frozenset()
    """Members its dialect or host cannot express, of those known; see `admits`."""
    admits: frozenset[str] | None = None
    """None: unknown members pass. Else only these do."""
    substitute: bool = False
    """True on the copy that stands in for another model (then `model` is still its own)."""
    order: int = 0
    """Position in the configuration: the last tie-break."""

    def quality_for(self, task: str | None) -> float | None:
        """Quality in [0, 1] for this task, or in general where the task has none of its own; None unknown."""
        return self.quality if task is None else self.quality_by_task.get(task, self.quality)


class Candidate(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """A deployment with what this request would mean there. None is unknown, never zero."""

    place: Place
    g: float | None = None
    g_high: float | None = None
    g_per_kwh: float | None = None
    usd: float | None = None
    usd_high: float | None = None
    """Price of the input plus max_output_tokens, or plus the configured ceiling, and of all searches it may make."""
    ttft_s: float | None = None
    """Observed median to the first token; None unobserved."""
    load: float = 0.0
    """Requests in flight over weight (or over concurrency where one is set)."""
    affinity: bool = False
    """Its prefix cache probably holds this prompt."""
    down: bool = False
    """Not to be tried now: its breaker is open."""
    full: bool = False
    """As many requests in flight as its concurrency allows."""


class Rejection(msgspec.Struct, frozen=True, gc=False):
    deployment: str
    constraint: str
    """`privacy`, `regions`, `max_g`, `member:logprobs`, `ability:image`, `context`, `full`, `down`, ..."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The order in which deployments are tried, and why. An empty order is a refusal."""

    order: tuple[Candidate, ...]
    reason: str
    rejected: tuple[Rejection, ...] = ()
    unmet: tuple[str, ...] = ()
    """Preferences nobody met."""


Substitution = Literal["never", "down", "greener", "cheaper", "any"]
"""When another model may stand in: never, when the own deployments are full or down, or also when it is better."""


class Objective(Protocol):
    """A Struct whose fields are its settings, in a file of `policies/objectives` that bears its name. Pure, and must not block."""

    def costs(self, candidates: Sequence[Candidate], ask: Ask) -> Sequence[float | None]:
        """One number a candidate, in their order. Lower is better; None (or not finite) is unknown and ranks last.

        A candidate's number must not depend on the others, or a deployment that cannot win reorders those that can; only
        `round_robin` is made of the others.
        """
        ...

    def reason(self, leaders: Sequence[Candidate]) -> str:
        """One token for why the first of `leaders` (best first, at least two) comes first."""
        ...


class Policy(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How to choose, once global, team, key and request have been merged into it."""

    name: str
    objective: Objective
    require: Limits = Limits()
    prefer: Limits = Limits()
    substitute: Substitution = "down"
