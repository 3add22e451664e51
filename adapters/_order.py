"""The order of thinking, text and calls within one answer, which the hub's message keeps apart by kind.

A signed thinking block that did not come first says in `after` how much of the text, and how many of the calls, came before it.
Clients give `thinking_blocks` back as they came, so the order survives a tool loop; where `after` was lost, thinking comes first.
"""

from __future__ import annotations

from typing import Any

from adapters._base import Json

PLACE = "after"
_OURS = (PLACE, "index")


def placed(thought: Json, characters: int, calls: int) -> Json:
    """The block, told what came before it."""
    return {**thought, PLACE: {"characters": characters, "calls": calls}} if characters or calls else thought


def bare(thought: Json) -> Json:
    """The block as its vendor wrote it."""
    return {name: value for name, value in thought.items() if name not in _OURS}


def interleaved(thoughts: list[Json], texts: list[Json], calls: list[Json]) -> list[Json]:
    """All of them in the order they came in; `texts` hold `text`, and one that a thought fell into is split."""
    out: list[Json] = []
    left, said, called = list(texts), 0, 0
    for thought in thoughts:
        characters, number = _place(thought)
        while left and said < characters:
            text = left.pop(0)
            room = characters - said
            if len(text["text"]) > room:
                left.insert(0, {**text, "text": text["text"][room:]})
                text = {"type": "text", "text": text["text"][:room]}
            out.append(text)
            said += len(text["text"])
        out += calls[called:number]
        called = max(called, number)
        out.append(bare(thought))
    return out + left + calls[called:]


def _place(thought: Json) -> tuple[int, int]:
    place: Any = thought.get(PLACE)
    found = place if isinstance(place, dict) else {}
    counts = [found.get(name) for name in ("characters", "calls")]
    characters, calls = (count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0 for count in counts)
    return characters, calls
