"""`parallel_tool_calls: false` for vendors whose models cannot be kept from several calls: the first is told, and the others are not.

OpenAI promises at most one call then; a client that asks for it may have no way to take more. The model asks again in its next turn.
"""

from __future__ import annotations

from adapters._base import Json


def first_call(completion: Json) -> Json:
    """The hub answer with no more than one call a choice."""
    choices = []
    for choice in completion.get("choices") or ():
        message = choice.get("message") or {}
        calls = message.get("tool_calls")
        choices.append({**choice, "message": {**message, "tool_calls": calls[:1]}} if calls else choice)
    return {**completion, "choices": choices}


def first_calls(chunks: list[Json]) -> list[Json]:
    """A stream's chunks with no more than one call a choice."""
    kept = []
    for chunk in chunks:
        said = [_choice(choice) for choice in chunk.get("choices") or ()]
        if not said or any(said):
            kept.append({**chunk, "choices": [choice for choice in said if choice is not None]})
    return kept


def _choice(choice: Json) -> Json | None:
    """The choice without later calls; None where nothing else was in it."""
    delta: Json = choice.get("delta") or {}
    calls = delta.get("tool_calls")
    if not calls or all(not call.get("index") for call in calls):
        return choice
    rest = {name: value for name, value in delta.items() if name != "tool_calls"}
    first = [call for call in calls if not call.get("index")]
    if first:
        rest["tool_calls"] = first
    return {**choice, "delta": rest} if rest or choice.get("finish_reason") is not None else None
