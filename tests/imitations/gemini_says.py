"""What the imitation of the Gemini API answers: words of the request, in the shapes and sequences the API uses.

https://ai.google.dev/api/generate-content#generatecontentresponse,
https://ai.google.dev/gemini-api/docs/thought-signatures#non-functioncall-parts

Compared with 386 answers, 75 of them streams, of 2025-07 to 2026-07 that these projects publish as recorded: pydantic-ai 1.12.0,
mirascope 2.8.2, langsmith 0.15.0, magentic 0.41.1, the instrumentations of Google's SDK of OpenTelemetry 1.3b0 and openllmetry 0.62.4,
and vercel/ai (to 2026-09). From them: no end marker; every event has the usage so far, whose candidatesTokenCount grows and is missing
while there are only thoughts; Gemini 2.5 sends all calls with the reason in one event, and no ids; Gemini 3 gives calls ids, and ends in
an event of its own with an empty text, which bears the signature of a text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.imitations.gemini_rules import EmbedContentRequest, GenerateContentRequest, GenerationConfig, Json, signature

PIXEL = base64.b64encode(bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000")).decode()
_CALLED = "Model generated function call(s)."
_THOUGHT = "**Weighing the words** The request is short."
_REASONS = {
    "safety": "SAFETY",
    "recitation": "RECITATION",
    "blocklist": "BLOCKLIST",
    "prohibited": "PROHIBITED_CONTENT",
    "spii": "SPII",
    "other": "OTHER",
    "image_safety": "IMAGE_SAFETY",
    "malformed_call": "MALFORMED_FUNCTION_CALL",
}
ANSWERING = frozenset(
    {
        *("text", "tools", "parallel", "thinking", "cached", "image", "cut", "error_in_stream", "stop_everywhere", "late_stop"),
        *("block_prompt", "max_tokens", "empty", *_REASONS),
    }
)


@dataclass
class Said:
    """An answer, before it is cut into events."""

    parts: list[list[Json]]
    """Of each candidate."""
    reason: str
    usage: Json
    model: str
    identifier: str
    scenario: str
    logprobs: list[Json | None] = field(default_factory=list)
    grounding: Json | None = None
    """In the last event of a candidate."""
    feedback: Json | None = None


def say(asked: GenerateContentRequest, model: str, scenario: str) -> Said:
    config = asked.generation_config or GenerationConfig()
    said = [part for content in asked.contents for part in content.parts]
    prompt_tokens = sum(len((part.text or "x").split()) for part in said)
    identifier = hashlib.sha256(json.dumps([model, str(asked.contents), scenario]).encode()).hexdigest()[:22]
    heard = sum(part.inline_data is not None and part.inline_data.mime_type.startswith("audio/") for part in said)
    counts = {"TEXT": prompt_tokens - heard, **({"AUDIO": heard} if heard else {})}
    details = [{"modality": modality, "tokenCount": tokens} for modality, tokens in counts.items()]
    usage: Json = {"promptTokenCount": prompt_tokens, "promptTokensDetails": details}
    if scenario == "cached":
        usage["cachedContentTokenCount"] = prompt_tokens // 2
    if scenario == "block_prompt":
        ratings = [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]
        usage["totalTokenCount"] = prompt_tokens
        return Said([], "", usage, model, identifier, scenario, feedback={"blockReason": "SAFETY", "safetyRatings": ratings})
    parts: list[Json] = []
    thinks = config.thinking_config is not None and config.thinking_config.include_thoughts is True
    if thinks or scenario == "thinking":
        parts.append({"text": _THOUGHT, "thought": True})
        usage["thoughtsTokenCount"] = len(_THOUGHT.split())
    calls = _calls(asked, scenario, ids=_signs(model))
    reason = _REASONS.get(scenario, "STOP")
    text = ""
    if calls:
        for number, call in enumerate(calls):
            part: Json = {"functionCall": call}
            if number == 0 and model.startswith(("gemini-2.5", "gemini-3")):
                part["thoughtSignature"] = signature(call)
            parts.append(part)
    elif scenario == "image":
        parts += [{"text": "Here it is:"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}]
    elif scenario != "empty":
        text, reason = _limited(_text(asked, config), config, "MAX_TOKENS" if scenario == "max_tokens" else reason)
        signed = {"thoughtSignature": signature({"name": "", "args": {"text": text}})} if _signs(model) else {}
        parts += [{"text": text, **signed}] if text else []
    count = config.candidate_count or 1
    output_tokens = (len(text.split()) or len(parts)) * count
    usage["candidatesTokenCount"] = output_tokens
    usage["totalTokenCount"] = prompt_tokens + output_tokens + usage.get("thoughtsTokenCount", 0)
    usage["serviceTier"] = "standard"
    made = Said([parts for _ in range(count)], reason, usage, model, identifier, scenario)
    if text and any(tool.google_search is not None for tool in asked.tools or ()):
        made.grounding = _grounding(text)
    made.logprobs = [_logprobs(text, config) for _ in range(count)]
    return made


def whole(said: Said) -> Json:
    candidates = []
    for index, parts in enumerate(said.parts):
        candidate = _candidate(index, parts, said.reason)
        if any("functionCall" in part for part in parts):
            candidate["finishMessage"] = _CALLED
        if said.logprobs[index] is not None:
            candidate["logprobsResult"] = said.logprobs[index]
        if said.grounding is not None:
            candidate["groundingMetadata"] = said.grounding
        candidates.append(candidate)
    return _response(said, candidates, said.usage)


def events(said: Said) -> Iterator[Json]:
    """The responses of a stream, each of which is an event."""
    if said.feedback is not None:
        yield _response(said, [], said.usage)
        return
    counted = 0
    for index, parts in enumerate(said.parts):
        pieces = _cut(said, parts)
        for number, told in enumerate(pieces):
            if said.scenario in ("cut", "error_in_stream") and number == 1:
                if said.scenario == "error_in_stream":
                    yield {"error": {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}}
                return
            counted += sum(len(part["text"].split()) if "text" in part else 1 for part in told if not part.get("thought"))
            ends = number == len(pieces) - 1
            candidate = _candidate(index, told, said.reason if ends or said.scenario == "stop_everywhere" else None)
            if number == 0 and said.logprobs[index] is not None:
                candidate["logprobsResult"] = said.logprobs[index]
            if ends and said.grounding is not None:
                candidate["groundingMetadata"] = said.grounding
            if ends and told and "functionCall" in told[-1]:
                candidate["finishMessage"] = _CALLED
            yield _response(said, [candidate], said.usage if ends else _so_far(said.usage, counted))


def _grounding(text: str) -> Json:
    """https://ai.google.dev/gemini-api/docs/google-search#grounded-response: indices count bytes of UTF-8, and a zero is left out."""
    words = text.split(" ")
    first, last = words[0], words[-1]
    end = len(text.encode())
    segments = [
        {"endIndex": len(first.encode()), "text": first},
        {"startIndex": end - len(last.encode()), "endIndex": end, "text": last},
    ]
    page = {"uri": f"https://vertexaisearch.cloud.google.com/grounding-api-redirect/{last}", "title": "example.org"}
    return {
        "searchEntryPoint": {"renderedContent": "<div></div>"},
        "groundingChunks": [{"web": page}],
        "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]} for segment in segments],
        "webSearchQueries": [last],
    }


def _cut(said: Said, parts: list[Json]) -> list[list[Json]]:
    """The parts of each event of a candidate."""
    calls = [part for part in parts if "functionCall" in part]
    pieces = [[piece] for part in parts if part not in calls for piece in _pieces(part)]
    if said.reason not in ("STOP", "MAX_TOKENS"):
        pieces = pieces[:1]
    if said.scenario == "late_stop":
        return [*pieces, *([call] for call in calls), []]
    if not _signs(said.model):
        return [*pieces, *([calls] if calls else [])] or [[]]
    signed = (
        {"thoughtSignature": parts[-1]["thoughtSignature"]} if parts and "text" in parts[-1] and "thoughtSignature" in parts[-1] else {}
    )
    return [*pieces, *([call] for call in calls), [{"text": "", **signed}]]


def _so_far(usage: Json, counted: int) -> Json:
    told = {name: value for name, value in usage.items() if name != "candidatesTokenCount"}
    known = usage["promptTokenCount"] + usage.get("thoughtsTokenCount", 0)
    return {**told, **({"candidatesTokenCount": counted} if counted else {}), "totalTokenCount": known + counted}


def _signs(model: str) -> bool:
    """Whether the model gives its calls ids, and its texts signatures; calls have them since 2.5."""
    return model.startswith("gemini-3")


def embedded(requests: list[EmbedContentRequest], *, batch: bool) -> Json:
    vectors = [{"values": _vector(request)} for request in requests]
    tokens = sum(len((part.text or "").split()) for request in requests for part in request.content.parts)
    usage = {"promptTokenCount": tokens, "promptTokenDetails": [{"modality": "TEXT", "tokenCount": tokens}]}
    return {"embeddings": vectors, "usageMetadata": usage} if batch else {"embedding": vectors[0], "usageMetadata": usage}


def _vector(request: EmbedContentRequest) -> list[float]:
    text = "".join(part.text or "" for part in request.content.parts)
    digest = hashlib.sha256(text.encode()).digest()
    numbers = [struct.unpack("<h", digest[at : at + 2])[0] / 32768 for at in range(0, 32, 2)]
    return [numbers[at % 16] for at in range(request.output_dimensionality or 16)]


def _candidate(index: int, parts: list[Json], reason: str | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"} if parts else {"role": "model"} if reason == "STOP" else {}}
    if reason:
        candidate["finishReason"] = reason
    return {**candidate, "index": index}


def _response(said: Said, candidates: list[Json], usage: Json) -> Json:
    response: Json = {"candidates": candidates} if said.feedback is None else {"promptFeedback": said.feedback}
    return {**response, "usageMetadata": usage, "modelVersion": said.model, "responseId": said.identifier}


def _pieces(part: Json) -> Iterator[Json]:
    if "text" not in part:
        yield part
        return
    words = part["text"].split(" ")
    for at in range(0, len(words), 3):
        text = " ".join(words[at : at + 3]) + (" " if at + 3 < len(words) else "")
        yield {name: value for name, value in part.items() if name != "thoughtSignature"} | {"text": text}


def _calls(asked: GenerateContentRequest, scenario: str, *, ids: bool) -> list[Json]:
    functions = [function for tool in asked.tools or () for function in tool.function_declarations or ()]
    calling = asked.tool_config.function_calling_config if asked.tool_config is not None else None
    mode = calling.mode if calling is not None else "AUTO"
    answered = any(part.function_response is not None for part in asked.contents[-1].parts)
    if not functions or mode == "NONE" or (answered and mode != "ANY"):
        return []
    if calling is not None and calling.allowed_function_names:
        functions = [function for function in functions if function.name in calling.allowed_function_names]
    chosen = functions[:2] if scenario == "parallel" and len(functions) > 1 else functions[:1] * (2 if scenario == "parallel" else 1)
    calls = []
    for number, function in enumerate(chosen):
        schema = function.parameters_json_schema or {}
        call: Json = {"name": function.name, "args": _instance(schema, schema.get("$defs") or {}) if schema else {}}
        if ids:
            call["id"] = f"call_{int(hashlib.sha256(function.name.encode()).hexdigest()[:8], 16) % 10**5}{number}"
        calls.append(call)
    return calls


def _text(asked: GenerateContentRequest, config: GenerationConfig) -> str:
    last = asked.contents[-1]
    heard = " ".join(part.text for part in last.parts if part.text)
    results = [part.function_response for part in last.parts if part.function_response is not None]
    if config.response_mime_type == "application/json":
        schema = config.response_json_schema
        return json.dumps({"echo": heard} if schema is None else _instance(schema, schema.get("$defs") or {}))
    if results:
        return "The tools said " + " and ".join(f"{result.name}: {json.dumps(result.response)}" for result in results)
    media = [part.inline_data.mime_type for part in last.parts if part.inline_data is not None]
    media += [part.file_data.file_uri for part in last.parts if part.file_data is not None]
    return f"You said: {heard}" + (f" beside {', '.join(media)}" if media else "")


def _limited(text: str, config: GenerationConfig, reason: str) -> tuple[str, str]:
    for stop in config.stop_sequences or ():
        text = text.partition(stop)[0]
    words = text.split(" ")
    limit = config.max_output_tokens
    if limit is not None and len(words) > limit:
        return " ".join(words[:limit]), "MAX_TOKENS"
    return text, reason


def _instance(schema: Any, defs: Json, depth: int = 0) -> Any:
    """Something that fits the schema."""
    if "$ref" in schema:
        return _instance(defs[schema["$ref"].removeprefix("#/$defs/")], defs, depth + 1) if depth < 8 else None
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf"):
        if schema.get(name):
            return _instance(schema[name][0], defs, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        required = schema.get("required") or []
        wanted = {name: part for name, part in (schema.get("properties") or {}).items() if name in required or depth == 0}
        return {name: _instance(part, defs, depth + 1) for name, part in wanted.items()}
    if kind == "array":
        return [_instance(schema.get("items") or {}, defs, depth + 1) for _ in range(schema.get("minItems", 1))]
    number = max(schema.get("minimum", 1), 1) if "maximum" not in schema else schema["maximum"]
    return {"string": "value", "integer": int(number), "number": number, "boolean": True, "null": None}[kind]


def _logprobs(text: str, config: GenerationConfig) -> Json | None:
    if not config.response_logprobs or not text:
        return None
    words = text.split(" ")
    chosen = [{"token": word, "tokenId": number, "logProbability": -0.25} for number, word in enumerate(words)]
    found: Json = {"chosenCandidates": chosen, "logProbabilitySum": -0.25 * len(words)}
    if config.logprobs:
        tops = [[one, *({"token": f"other{at}", "logProbability": -2.5} for at in range(1, config.logprobs))] for one in chosen]
        found["topCandidates"] = [{"candidates": top} for top in tops]
    return found
