"""What the model's name tells: its generation, hence how it thinks, which signatures it demands, and its path.

Reference: https://ai.google.dev/gemini-api/docs/models
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote

import msgspec

Kind = Literal["pro", "flash", "flash-lite", "carbon", "neon", "hydrogen", "argon", "other"]
_NAME = re.compile(
    r"\Agemini-(?P<major>\d{1,2})(?:\.(?P<minor>\d{1,2}))?(?:-(?P<kind>pro|flash-lite|flash|carbon|neon|hydrogen|argon)(?![a-z]))?"
)
_NEWEST = (3, 99)
"""Generation of aliases that name none (`gemini-flash-latest`): the rules of the newest hold."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model as far as the wire format depends on it."""

    generation: tuple[int, int]
    """(2, 5) for gemini-2.5-…; (0, 0) for models that are not Gemini (Gemma)."""
    kind: Kind
    thinks: bool
    """Takes a thinkingConfig."""
    renders: bool = False
    """Answers with sound or pictures."""

    @property
    def levels(self) -> bool:
        """Takes thinkingLevel (Gemini 3 and later), not thinkingBudget."""
        return self.generation >= (3, 0)

    @property
    def resolution(self) -> Literal["part", "request", "none"]:
        """Where it takes how closely media are looked at. Gemma takes it nowhere, models that speak or draw before 3 are not said to."""
        if self.generation >= (3, 0):
            return "part"
        return "request" if self.generation >= (2, 0) and not self.renders else "none"

    @property
    def signed(self) -> bool:
        """Answers 400 when the first function call of a step comes back without its thought signature."""
        return self.generation >= (3, 0)

    @property
    def one_answer(self) -> bool:
        """Answers 400 to more than one candidate, and to penalties: Gemini 4 and later."""
        return self.generation >= (4, 0)

    @property
    def json_beside_tools(self) -> bool:
        """Takes a JSON response format together with functions; earlier ones answer 400."""
        return self.generation >= (3, 0) or self.generation == (0, 0)


def model_of(name: str) -> Model:
    """The model a name stands for. Never raises: what is not known is taken for the newest Gemini, or for no Gemini at all."""
    plain = bare(name).lower()
    if not plain.startswith("gemini"):
        return Model(generation=(0, 0), kind="other", thinks=False)
    found = _NAME.match(plain)
    if found is None:
        kind: Kind = "flash-lite" if "flash-lite" in plain else "flash" if "flash" in plain else "pro" if "pro" in plain else "other"
        return Model(generation=_NEWEST, kind=kind, thinks=True)
    generation = (int(found["major"]), int(found["minor"] or 0))
    kind = found["kind"] or "other"  # type: ignore[assignment]  # the pattern has the alternatives of Kind only
    renders = "-tts" in plain or ("-image" in plain and generation < (3, 0))
    return Model(generation=generation, kind=kind, thinks=generation >= (2, 5) and not renders, renders=renders)


def bare(name: str) -> str:
    """The name without its collection."""
    return name.removeprefix("models/")


def path_of(name: str, method: str) -> str:
    """`/models/NAME:method`; tuned models have a collection of their own."""
    plain = bare(name)
    if plain.startswith("tunedModels/"):
        return f"/tunedModels/{quote(plain.removeprefix('tunedModels/'), safe='')}:{method}"
    return f"/models/{quote(plain, safe='')}:{method}"
