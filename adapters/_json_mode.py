"""JSON mode for models that have none: asked for in words, and the answer cut to the object in it.

OpenAI's `json_object` promises an answer that parses. A model that is told so in words keeps to it but for a fence or a sentence
around the object; those are taken away here. The other way, a forced call of a tool whose input becomes the answer, is refused
by newer Claudes and by all that think manually, mixes with the client's own tools (BerriAI/litellm#7135), and has no schema to fill.
"""

from __future__ import annotations

import re
from typing import Any

from adapters._base import Json

WORDS = "Unless you call a tool, answer with one valid JSON object and nothing else: no text before or after it, no code fence."
HELD_CHARACTERS = 4096
"""So much may come before the object; what goes on longer without one is no JSON, and is passed on as it is."""
_OPENING = re.compile(r"\{\s*[\"}]|\A\s*(?:```\w*\s*)?(?P<list>\[)")
_QUOTED = re.compile(r"[\"\\]")
_PLAIN = re.compile(r"[\"{}\[\]]")


def only_object(completion: Json) -> Json:
    """The hub answer with the text of every choice cut to its object."""
    choices = []
    for choice in completion.get("choices") or ():
        message = choice.get("message") or {}
        if isinstance(message.get("content"), str):
            text = ObjectOnly()
            message = {**message, "content": text.feed(message["content"]) + text.rest()}
        choices.append({**choice, "message": message})
    return {**completion, "choices": choices}


class ObjectOnly:
    """The first JSON object (or a list that stands in its place) of a text in pieces; all of a text that holds none."""

    __slots__ = ("_closed", "_depth", "_escaped", "_held", "_passing", "_quoted", "_within")

    def __init__(self) -> None:
        self._held = ""
        self._passing = self._within = self._closed = False
        self._depth = 0
        self._quoted = self._escaped = False

    def feed(self, text: str) -> str:
        if self._passing:
            return text
        if self._within:
            return self._inside(text)
        self._held += text
        found = _OPENING.search(self._held)
        if found is not None:
            text, self._held, self._within = self._held[found.start("list" if found["list"] else 0) :], "", True
            return self._inside(text)
        if len(self._held) > HELD_CHARACTERS:
            self._passing = True
            return self.rest()
        return ""

    def rest(self) -> str:
        """What was held and turned out to be no preface."""
        held, self._held = self._held, ""
        return held

    def _inside(self, text: str) -> str:
        at = 0
        while not self._closed and at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_QUOTED if self._quoted else _PLAIN).search(text, at)
            if found is None:
                return text
            at = found.end()
            match found[0]:
                case "\\":
                    self._escaped = True
                case '"':
                    self._quoted = not self._quoted
                case "{" | "[":
                    self._depth += 1
                case _:
                    self._depth -= 1
                    self._closed = self._depth == 0
        return text[:at]


class ObjectsOnly:
    """A stream's chunks with each choice's text cut to its object. Text that came before a tool call goes out with the call."""

    def __init__(self) -> None:
        self._texts: dict[int, ObjectOnly] = {}

    def __call__(self, chunks: list[Json]) -> list[Json]:
        kept = []
        for chunk in chunks:
            said = [self._said(choice) for choice in chunk.get("choices") or ()]
            if not said or any(said):
                kept.append(chunk)
        return kept

    def _said(self, choice: Json) -> bool:
        """Whether anything is left of this choice of a chunk, once its text is cut."""
        text = self._texts.setdefault(choice.get("index") or 0, ObjectOnly())
        delta: Json = choice.get("delta") or {}
        given: Any = delta.get("content")
        over = choice.get("finish_reason") is not None
        kept = text.feed(given) if isinstance(given, str) else ""
        if over or delta.get("tool_calls"):
            kept += text.rest()
        if kept or given:
            rest = {name: value for name, value in delta.items() if name != "content"}
            choice["delta"] = {"content": kept, **rest} if kept else rest
        return over or not given or bool(choice["delta"])
