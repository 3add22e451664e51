"""GenerateContentResponse as far as it is read, and what its parts, reasons and counts mean in the hub's terms.

Reference: https://ai.google.dev/api/generate-content#generatecontentresponse
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from adapters._base import Fault, FaultError, GarbledError, Json, Usage, credible
from adapters._faults import require_object
from adapters._halves import mended
from adapters._json import encode
from adapters._usage import without_usage
from adapters.gemini.faults import fault_of
from adapters.gemini.models import model_of
from adapters.gemini.signatures import call_id, derived_id


class Blob(msgspec.Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""


class Call(msgspec.Struct):
    name: str = ""
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"null")


class Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: Blob | None = None


class Content(msgspec.Struct):
    parts: list[Part] | None = None


class Logprob(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float | None = None


class TopLogprobs(msgspec.Struct):
    candidates: list[Logprob] | None = None


class Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[Logprob] | None = None
    top_candidates: list[TopLogprobs] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    grounding_metadata: msgspec.Raw = msgspec.Raw(b"")
    content: Content | None = None
    finish_reason: str | None = None
    index: int = 0
    logprobs_result: Logprobs | None = None


class Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class OfModality(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: int | None = None


class Billed(msgspec.Struct, rename="camel"):
    tool: str = ""
    successful_tool_call_count: int | None = None


class Counts(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[OfModality] | None = None
    tool_use_prompt_tokens_details: list[OfModality] | None = None
    candidates_tokens_details: list[OfModality] | None = None
    response_tokens_details: list[OfModality] | None = None
    """So it is called by Vertex and the Live API (google-genai's types)."""
    billed_tool_calls: list[Billed] | None = None


class Response(msgspec.Struct, rename="camel"):
    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: Counts | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(Response).decode

FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    # Gemini 4 stops at what one request may generate and gives a token to go on with, which no client of ours knows
    "CONTINUATION": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
            "OTHER",
        ),
        "content_filter",
    ),
}
"""Google's reason → OpenAI's. OTHER is told where an answer was withheld without a named cause."""
FAILURES = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    }
)
"""Reasons that say that generation failed: an error, because OpenAI has no finish_reason for them."""


def response_of(data: bytes, what: str) -> Response:
    """One response. Raises GarbledError for rubbish and FaultError for an error in its place."""
    try:
        found = _decode(data)
    except msgspec.ValidationError:
        plain = without_usage(data)
        if plain is not None:
            return response_of(plain, what)
        found = None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if (whole := mended(data)) is not None:
            return response_of(whole, what)
        raise GarbledError(f"{what} is not JSON") from None
    if found is None:
        if _is_fault(data):
            raise FaultError(fault_of(200, data))
        raise GarbledError(f"{what} is not a GenerateContentResponse")
    if found.error:
        raise FaultError(fault_of(200, data))
    if found.candidates is None:
        require_object(data)
    return found


def _is_fault(data: bytes) -> bool:
    """Whether this is an error in an array, as streams without alt=sse have it."""
    try:
        listed: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(listed, list) and bool(listed) and isinstance(listed[0], dict) and bool(listed[0].get("error"))


def finish_of(reason: str, *, calls: bool) -> str:
    """OpenAI's finish_reason. Raises FaultError where generation failed. What Google adds later is told as content_filter."""
    if reason in FAILURES:
        raise FaultError(Fault(message=f"Gemini ended the answer with {reason}.", code=reason.lower(), status=502))
    found = FINISH.get(reason, "content_filter")
    return "tool_calls" if calls and found == "stop" else found


def blocked(response: Response) -> bool:
    """Whether the prompt was blocked: there are no candidates then."""
    feedback = response.prompt_feedback
    return not response.candidates and feedback is not None and feedback.block_reason not in (None, "BLOCK_REASON_UNSPECIFIED")


class Piece(NamedTuple):
    """What one part adds to a message: `content`, `reasoning_content`, `tool_calls` or `images`."""

    kind: str
    value: Any


class Ids(NamedTuple):
    """Where ids of calls come from: the answer's seed, the candidate."""

    seed: bytes
    candidate: int


def pieces(content: Content | None, ids: Ids, calls: int) -> list[Piece]:
    """The parts in their order; `calls` of the candidate came before. Neighbouring texts of one kind are joined."""
    found: list[Piece] = []
    for part in (content.parts if content is not None else None) or ():
        if part.function_call is not None:
            found.append(Piece("tool_calls", _call(part, part.function_call, ids, calls)))
            calls += 1
        elif part.inline_data is not None:
            blob = part.inline_data
            url = f"data:{blob.mime_type};base64,{blob.data}"
            found.append(Piece("images", {"type": "image_url", "image_url": {"url": url}}))
        elif part.text:
            kind = "reasoning_content" if part.thought else "content"
            if found and found[-1].kind == kind:
                found[-1] = Piece(kind, found[-1].value + part.text)
            else:
                found.append(Piece(kind, part.text))
    return found


def _call(part: Part, call: Call, ids: Ids, number: int) -> Json:
    args: Any = msgspec.json.decode(call.args)
    derived = derived_id(ids.seed, ids.candidate, number)
    made: Json = {
        "id": call_id(call.id, derived, part.thought_signature),
        "type": "function",
        "function": {"name": call.name, "arguments": encode(args if args is not None else {}).decode()},
    }
    if part.thought_signature:
        made["extra_content"] = {"google": {"thought_signature": part.thought_signature}}
    return made


def seed_of(response: Response, data: bytes) -> bytes:
    """What makes this answer's ids its own: Google's response id, or the bytes where it tells none."""
    return response.response_id.encode() if response.response_id else data


def completion_id(seed: bytes) -> str:
    text = seed.decode("ascii", "replace")
    plain = text if 0 < len(text) <= 64 and all(sign.isalnum() or sign in "-_" for sign in text) else hashlib.sha256(seed).hexdigest()[:24]
    return f"chatcmpl-{plain}"


def usage_of(counts: Counts | None) -> Usage | None:
    """Google's counts in ours. Google leaves zeros out, so what is missing is taken from the total where that is told."""
    if counts is None or (counts.prompt_token_count is None and counts.candidates_token_count is None):
        return None
    prompt, said, thought = counts.prompt_token_count, counts.candidates_token_count, counts.thoughts_token_count
    given = None if prompt is None else prompt + (counts.tool_use_prompt_token_count or 0)
    output = None if said is None and thought is None else (said or 0) + (thought or 0)
    if output is None and given is not None and counts.total_token_count is not None:
        output = max(0, counts.total_token_count - given)
    usage = Usage(
        input_tokens=given,
        cached_tokens=counts.cached_content_token_count,
        output_tokens=output,
        reasoning_tokens=thought,
        input_audio_tokens=_audio(given, counts.prompt_tokens_details, counts.tool_use_prompt_tokens_details),
        output_audio_tokens=_audio(said, counts.candidates_tokens_details or counts.response_tokens_details),
        searches=None if counts.billed_tool_calls is None else _billed(counts.billed_tool_calls),
    )
    return credible(usage)


def _audio(whole: int | None, *details: list[OfModality] | None) -> int | None:
    """Tokens of sound, where they are told and can be part of the whole. OpenAI's usage has no place for those of images."""
    told = [each.token_count for listed in details for each in listed or () if each.modality == "AUDIO"]
    counts = [count for count in told if count is not None]
    return sum(counts) if counts and min(counts) >= 0 and sum(counts) <= (whole or 0) else None


def _billed(calls: list[Billed]) -> int:
    """Google's own count, which not every answer has (discuss.ai.google.dev, thread 174074)."""
    return sum(each.successful_tool_call_count or 0 for each in calls if each.tool.lower().startswith("google_search"))


def with_searches(usage: Usage | None, queries: set[str], model: str) -> Usage | None:
    """Usage with the searches that an answer tells of, as Google bills them: for each query, before Gemini 3 for each prompt.

    https://ai.google.dev/gemini-api/docs/google-search#pricing
    """
    if not queries or (usage is not None and usage.searches is not None):
        return usage
    count = 1 if (1, 0) <= model_of(model).generation < (3, 0) else len(queries)
    return msgspec.structs.replace(usage or Usage(), searches=count)


def logprobs_of(found: Logprobs | None) -> Json | None:
    """OpenAI's `logprobs` of a choice; None where there are none."""
    if found is None or not found.chosen_candidates:
        return None
    tops = found.top_candidates or []
    content = []
    for number, chosen in enumerate(found.chosen_candidates):
        others = (tops[number].candidates if number < len(tops) else None) or ()
        content.append({**_logprob(chosen), "top_logprobs": [_logprob(other) for other in others]})
    return {"content": content, "refusal": None}


def _logprob(one: Logprob) -> Json:
    return {"token": one.token, "logprob": one.log_probability or 0.0, "bytes": list(one.token.encode("utf-8", "replace"))}
