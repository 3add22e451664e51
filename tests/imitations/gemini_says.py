"""What the imitation of the Gemini API answers: words of the request, in the shapes and sequences the API uses.

https://ai.google.dev/api/generate-content#generatecontentresponse; streams as recorded from
`:streamGenerateContent?alt=sse`: no end marker, usage in every event, the reason in the last one.
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
    feedback: Json | None = None


def say(asked: GenerateContentRequest, model: str, scenario: str) -> Said:
    config = asked.generation_config or GenerationConfig()
    said = [part for content in asked.contents for part in content.parts]
    prompt_tokens = sum(len((part.text or "x").split()) for part in said)
    identifier = hashlib.sha256(json.dumps([model, str(asked.contents), scenario]).encode()).hexdigest()[:22]
    usage: Json = {"promptTokenCount": prompt_tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt_tokens}]}
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
    calls = _calls(asked, scenario)
    reason = _REASONS.get(scenario, "STOP")
    text = ""
    if calls:
        for number, call in enumerate(calls):
            part: Json = {"functionCall": call}
            if number == 0 and model.startswith("gemini-3"):
                part["thoughtSignature"] = signature(call)
            parts.append(part)
    elif scenario == "image":
        parts += [{"text": "Here it is:"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}]
    elif scenario != "empty":
        text, reason = _limited(_text(asked, config), config, "MAX_TOKENS" if scenario == "max_tokens" else reason)
        parts += [{"text": text}] if text else []
    count = config.candidate_count or 1
    output_tokens = (len(text.split()) or len(parts)) * count
    usage["candidatesTokenCount"] = output_tokens
    usage["totalTokenCount"] = prompt_tokens + output_tokens + usage.get("thoughtsTokenCount", 0)
    made = Said([parts for _ in range(count)], reason, usage, model, identifier, scenario)
    made.logprobs = [_logprobs(text, config) for _ in range(count)]
    return made


def whole(said: Said) -> Json:
    candidates = []
    for index, parts in enumerate(said.parts):
        candidate = _candidate(index, parts, said.reason)
        if said.logprobs[index] is not None:
            candidate["logprobsResult"] = said.logprobs[index]
        candidates.append(candidate)
    return _response(said, candidates, said.usage)


def events(said: Said) -> Iterator[Json]:
    """The responses of a stream, each of which is an event."""
    if said.feedback is not None:
        yield _response(said, [], said.usage)
        return
    for index, parts in enumerate(said.parts):
        pieces = [piece for part in parts for piece in _pieces(part)]
        if said.reason not in ("STOP", "MAX_TOKENS"):
            pieces = pieces[:1]
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            if said.scenario in ("cut", "error_in_stream") and number == 1:
                if said.scenario == "error_in_stream":
                    yield {"error": {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}}
                return
            told = (
                said.reason if said.scenario == "stop_everywhere" or (last and said.scenario != "late_stop" and "text" in piece) else None
            )
            candidate = _candidate(index, [piece], told)
            if number == 0 and said.logprobs[index] is not None:
                candidate["logprobsResult"] = said.logprobs[index]
            yield _response(said, [candidate], said.usage if told else {"promptTokenCount": said.usage["promptTokenCount"]})
        if said.scenario == "late_stop" or not pieces or "text" not in pieces[-1]:
            yield _response(said, [_candidate(index, [{"text": ""}], said.reason)], said.usage)


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
    candidate: Json = {"content": {"parts": parts, "role": "model"}} if parts else {}
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
        yield {**part, "text": text}


def _calls(asked: GenerateContentRequest, scenario: str) -> list[Json]:
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
        call: Json = {"id": f"call{number}{hashlib.sha256(function.name.encode()).hexdigest()[:6]}", "name": function.name}
        calls.append({**call, "args": _instance(schema, schema.get("$defs") or {}) if schema else {}})
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
