"""A whole answer of generateContent as a chat completion."""

from __future__ import annotations

from adapters._base import Completion, GarbledError, Json
from adapters._usage import hub_usage
from adapters._web_search import SEARCHES
from adapters.gemini.grounding import grounded, queries_of
from adapters.gemini.wire import (
    Candidate,
    Ids,
    blocked,
    completion_id,
    finish_of,
    logprobs_of,
    pieces,
    response_of,
    seed_of,
    usage_of,
    with_searches,
)


def completion(body: bytes) -> Completion:
    """Raises GarbledError for rubbish, FaultError for an error in a 200 or an answer whose generation failed."""
    response = response_of(body, "the answer")
    seed = seed_of(response, body)
    if blocked(response):
        choices = [_choice(0, _message({}), "content_filter", None)]
    elif response.candidates:
        choices = [_candidate(candidate, Ids(seed, candidate.index)) for candidate in response.candidates]
    else:
        raise GarbledError("the answer has no candidates")
    usage = usage_of(response.usage_metadata)
    grounding = [candidate.grounding_metadata for candidate in response.candidates or () if candidate.grounding_metadata]
    if grounding:
        usage = with_searches(usage, set().union(*map(queries_of, grounding)), response.model_version or "")
    answer: Json = {
        "id": completion_id(seed),
        "object": "chat.completion",
        # Google does not tell when it answered; whoever has a clock may put it here
        "created": 0,
        "model": response.model_version or "",
        "choices": choices,
    }
    counts = hub_usage(usage)
    if counts is not None:
        answer["usage"] = counts
    return Completion(body=answer, usage=usage, finish_reason=choices[-1]["finish_reason"])


def _candidate(candidate: Candidate, ids: Ids) -> Json:
    said: Json = {}
    for piece in pieces(candidate.content, ids, 0):
        if piece.kind in ("tool_calls", "images"):
            said.setdefault(piece.kind, []).append(piece.value)
        else:
            said[piece.kind] = said.get(piece.kind, "") + piece.value
    if candidate.finish_reason is None and not said:
        raise GarbledError("a candidate has neither content nor finishReason")
    # an answer that is whole has ended, whether or not its host says how
    reason = finish_of(candidate.finish_reason or "STOP", calls="tool_calls" in said)
    if reason in ("stop", "length") and "content" not in said and "tool_calls" not in said:
        said["content"] = ""
    said |= grounded(candidate.grounding_metadata, said.get("content") or "")
    return _choice(candidate.index, _message(said), reason, logprobs_of(candidate.logprobs_result))


def _message(said: Json) -> Json:
    """`content` is null beside calls and where a filter left nothing."""
    message: Json = {"role": "assistant", "content": said.get("content"), "refusal": None}
    return message | {name: said[name] for name in ("reasoning_content", "tool_calls", "images", "annotations", SEARCHES) if name in said}


def _choice(index: int, message: Json, reason: str, logprobs: Json | None) -> Json:
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}
