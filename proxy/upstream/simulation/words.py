"""Plain sentences about nothing in particular, from a small grammar. Deterministic for a given source of randomness."""

from __future__ import annotations

import random

NOUNS = [
    "river",
    "valley",
    "harbour",
    "orchard",
    "lantern",
    "meadow",
    "bridge",
    "engine",
    "garden",
    "market",
    "forest",
    "window",
    "pattern",
    "village",
    "signal",
    "compass",
    "ladder",
    "kettle",
    "notebook",
    "hillside",
    "path",
    "turbine",
    "reservoir",
    "ferry",
    "workshop",
    "cable",
    "battery",
    "lighthouse",
    "field",
    "station",
]
ADJECTIVES = [
    "quiet",
    "steady",
    "narrow",
    "bright",
    "patient",
    "gentle",
    "distant",
    "curious",
    "sturdy",
    "pale",
    "early",
    "simple",
    "wide",
    "careful",
    "green",
]
VERBS = [
    "carries",
    "follows",
    "crosses",
    "supports",
    "measures",
    "gathers",
    "reflects",
    "guides",
    "shelters",
    "balances",
    "reaches",
    "joins",
]
ADVERBS = ["slowly", "often", "rarely", "gladly", "neatly", "usually", "calmly", "together", "early", "again"]
PLACES = [
    "by the water",
    "near the old road",
    "in the north",
    "above the town",
    "after the rain",
    "before dawn",
    "on the far side",
    "in plain sight",
]
OPENINGS = ["In short,", "As a rule,", "For example,", "Meanwhile,", "Even so,", "In practice,", "By contrast,", "After all,"]


def sentence(random_: random.Random) -> str:
    """One sentence of seven to fifteen words."""
    subject = f"the {random_.choice(ADJECTIVES)} {random_.choice(NOUNS)}"
    clause = f"{subject} {random_.choice(VERBS)} the {random_.choice(NOUNS)}"
    if random_.random() < 0.5:
        clause += f" {random_.choice(ADVERBS)}"
    if random_.random() < 0.6:
        clause += f" {random_.choice(PLACES)}"
    if random_.random() < 0.25:
        return f"{random_.choice(OPENINGS)} {clause}."
    return f"{clause[0].upper()}{clause[1:]}."


def text(random_: random.Random, sentences: int) -> str:
    """That many sentences, with a new paragraph now and then."""
    parts = [sentence(random_)]
    for _ in range(sentences - 1):
        parts.append("\n\n" if random_.random() < 0.12 else " ")
        parts.append(sentence(random_))
    return "".join(parts)


def phrase(random_: random.Random) -> str:
    """Two words, for a value that needs some text."""
    return f"{random_.choice(ADJECTIVES)} {random_.choice(NOUNS)}"
