"""What the Gemini API accepts: every member of a request that its reference documents, and the rules between them.

https://ai.google.dev/api/generate-content, https://ai.google.dev/api/caching (Content, Part, Tool, ToolConfig),
https://ai.google.dev/api/embeddings; errors: https://ai.google.dev/gemini-api/docs/troubleshooting

Stricter than the API in what no adapter needs: recordings (mirascope 2.8.2, pydantic-ai 1.12.0) show it take snake_case names, objects
without properties, empty texts, audio/mpeg and parts of executed code.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Json = dict[str, Any]
BYPASSES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""https://ai.google.dev/gemini-api/docs/thought-signatures#faqs"""
_SIGNED = b"imitation-of-a-thought:"
_MODEL = re.compile(r"\Agemini-(\d+)(?:\.(\d+))?-(pro|flash-lite|flash|carbon|neon|hydrogen|argon)?")
_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_.:-]{0,127}\Z")
_MIMES = re.compile(
    r"\A(image/(png|jpeg|webp|heic|heif)|audio/(wav|mp3|aiff|aac|ogg|flac)|application/pdf|text/[a-z.+-]+|video/[a-z0-9.+-]+)\Z"
)
_SCHEMA_KEYS = frozenset(
    {
        *("$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems"),
        *("maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "propertyOrdering"),
    }
)
"""https://ai.google.dev/api/generate-content#FIELDS.response_json_schema"""
_BUDGETS = {"pro": (128, 32768), "flash": (0, 24576), "flash-lite": (512, 24576)}
"""https://ai.google.dev/gemini-api/docs/thinking#set-budget; flash-lite takes 0 as well."""

Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Real = float


class RefusedError(Exception):
    """google.rpc.Status as the REST API writes it."""

    def __init__(self, message: str, code: int = 400, status: str = "INVALID_ARGUMENT", details: list[Json] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.error: Json = {"code": code, "message": message, "status": status}
        if details:
            self.error["details"] = details


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class Blob(Strict):
    mime_type: str
    data: str


class FunctionCall(Strict):
    name: str
    id: str | None = None
    args: Json | None = None


class ResponsePart(Strict):
    inline_data: Blob


class FunctionResponse(Strict):
    name: str
    response: Json
    id: str | None = None
    parts: list[ResponsePart] | None = None
    will_continue: bool | None = None
    scheduling: Literal["SILENT", "WHEN_IDLE", "INTERRUPT"] | None = None


class FileData(Strict):
    file_uri: str
    mime_type: str | None = None


class MediaResolution(Strict):
    """https://ai.google.dev/gemini-api/docs/media-resolution"""

    level: Literal["MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH", "MEDIA_RESOLUTION_ULTRA_HIGH"]


class Part(Strict):
    text: str | None = None
    inline_data: Blob | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    file_data: FileData | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    media_resolution: MediaResolution | None = None
    video_metadata: Json | None = None
    part_metadata: Json | None = None

    def kinds(self) -> list[str]:
        names = ("text", "inline_data", "function_call", "function_response", "file_data")
        return [name for name in names if getattr(self, name) is not None]


class Content(Strict):
    parts: list[Part]
    role: Literal["user", "model"] | None = None


class FunctionDeclaration(Strict):
    name: str
    description: str
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None = None
    parameters: Json | None = None
    parameters_json_schema: Json | None = None
    response: Json | None = None
    response_json_schema: Json | None = None


class Tool(Strict):
    function_declarations: list[FunctionDeclaration] | None = None
    google_search: Json | None = None
    code_execution: Json | None = None
    url_context: Json | None = None


class FunctionCallingConfig(Strict):
    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED"] | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(Strict):
    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Json | None = None
    include_server_side_tool_invocations: bool | None = None


class ThinkingConfig(Strict):
    include_thoughts: bool | None = None
    thinking_budget: Int32 | None = None
    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"] | None = None


class GenerationConfig(Strict):
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | None = None
    response_mime_type: Literal["text/plain", "application/json", "text/x.enum"] | None = None
    response_schema: Json | None = None
    response_json_schema: Json | None = None
    response_modalities: list[Literal["TEXT", "IMAGE", "AUDIO"]] | None = None
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, lt=2**31)] | None = None
    temperature: Annotated[Real, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[Real, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=1, lt=2**31)] | None = None
    seed: Int32 | None = None
    presence_penalty: Annotated[Real, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Real, Meta(ge=-2, le=2)] | None = None
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    enable_enhanced_civic_answers: bool | None = None
    speech_config: Json | None = None
    thinking_config: ThinkingConfig | None = None
    image_config: Json | None = None
    media_resolution: Literal["MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH"] | None = None


class SafetySetting(Strict):
    category: str
    threshold: str


class GenerateContentRequest(Strict):
    contents: list[Content]
    model: str | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    safety_settings: list[SafetySetting] | None = None
    system_instruction: Content | None = None
    generation_config: GenerationConfig | None = None
    cached_content: str | None = None
    service_tier: Literal["standard", "flex", "priority"] | None = None
    store: bool | None = None


class EmbedContentRequest(Strict):
    content: Content
    model: str | None = None
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: Annotated[int, Meta(ge=1)] | None = None


class BatchEmbedContentsRequest(Strict):
    requests: Annotated[list[EmbedContentRequest], Meta(min_length=1, max_length=100)]


def check(body: Any, model: str) -> GenerateContentRequest:
    """The request as the API reads it. Raises RefusedError."""
    asked = _shaped(body, GenerateContentRequest)
    found = _MODEL.match(model)
    generation = (int(found[1]), int(found[2] or 0)) if found else (3, 9) if model.startswith("gemini-") else (2, 0)
    kind = (found[3] if found else None) or "flash"
    _contents(asked, generation)
    functions = [function for tool in asked.tools or () for function in tool.function_declarations or ()]
    _tools(asked, functions)
    config = asked.generation_config or GenerationConfig()
    _config(config, generation, kind)
    if config.response_mime_type == "application/json" and functions and generation < (3, 0):
        raise RefusedError("Function calling with a response mime type: 'application/json' is unsupported")
    return asked


def check_embedding(body: Any, model: str, *, batch: bool) -> list[EmbedContentRequest]:
    if batch:
        requests = _shaped(body, BatchEmbedContentsRequest).requests
        for number, request in enumerate(requests):
            if request.model != f"models/{model}":
                raise RefusedError(f"* BatchEmbedContentsRequest.requests[{number}].model: must match the model of the batch")
    else:
        requests = [_shaped(body, EmbedContentRequest)]
        if requests[0].model not in (None, f"models/{model}"):
            raise RefusedError("* EmbedContentRequest.model: unexpected model name format")
    for request in requests:
        if not request.content.parts or not all(part.text for part in request.content.parts):
            raise RefusedError("* EmbedContentRequest.content: contents is not specified")
    return requests


def signature(call: Json) -> str:
    """The signature that the imitation gives a call: it fits that call only."""
    return base64.b64encode(_SIGNED + _digest(call["name"], call.get("args") or {})).decode()


def _digest(name: str, args: Json) -> bytes:
    return hashlib.sha256(json.dumps([name, args], sort_keys=True).encode()).digest()


def _shaped(body: Any, kind: type) -> Any:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        where = _snake(place.rstrip("`").lstrip("."))
        unknown = re.match(r"Object contains unknown field `(.*)`", said)
        message = f'Unknown name "{unknown[1]}"' if unknown else f"Invalid value ({said})"
        message += f" at '{where}'" if where else ""
        message = f"Invalid JSON payload received. {message}" + (": Cannot find field." if unknown else "")
        violation = {"field": where, "description": message}
        detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
        raise RefusedError(message, details=[detail]) from None


def _snake(path: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: "_" + found[1].lower(), path)


def _contents(asked: GenerateContentRequest, generation: tuple[int, int]) -> None:
    if not asked.contents:
        raise RefusedError("* GenerateContentRequest.contents: contents is not specified")
    if asked.system_instruction is not None and not all(part.kinds() == ["text"] for part in asked.system_instruction.parts):
        raise RefusedError("* GenerateContentRequest.system_instruction: only text parts are supported")
    for number, content in enumerate((*asked.contents, *([asked.system_instruction] if asked.system_instruction else []))):
        if not content.parts:
            raise RefusedError(f"* GenerateContentRequest.contents[{number}].parts: contents.parts must not be empty.")
        for place, part in enumerate(content.parts):
            _part(part, f"contents[{number}].parts[{place}]")
    _alternation(asked.contents)
    if generation >= (3, 0):
        _signatures(asked.contents)
    elif any(part.media_resolution is not None for content in asked.contents for part in content.parts):
        # langchain4j/langchain4j#4389
        raise RefusedError("Per part media resolution is not supported for this Model.")


def _part(part: Part, where: str) -> None:
    kinds = part.kinds()
    if len(kinds) != 1:
        raise RefusedError(f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one initialized field")
    if part.text == "":
        raise RefusedError("Unable to submit request because it must have a text parameter.")
    blobs = [part.inline_data, *(nested.inline_data for nested in (part.function_response.parts or () if part.function_response else ()))]
    for blob in blobs:
        if blob is None:
            continue
        if not _MIMES.match(blob.mime_type):
            raise RefusedError(f"Unsupported MIME type: {blob.mime_type}")
        _base64(blob.data, f"{where}.inline_data.data")
    if part.file_data is not None and not re.match(r"(https?|gs)://", part.file_data.file_uri):
        raise RefusedError("Invalid or unsupported file uri: " + part.file_data.file_uri[:40])
    if part.thought_signature is not None:
        _base64(part.thought_signature, f"{where}.thought_signature")
    for named in (part.function_call, part.function_response):
        if named is not None and not _NAME.match(named.name):
            raise RefusedError(f"* GenerateContentRequest.{where}: [FIELD_INVALID] Invalid function name.")
    if part.function_response is not None and '"$ref"' in json.dumps(part.function_response.response):
        # https://github.com/vercel/ai/issues/14369
        raise RefusedError("Request contains an invalid argument: $ref in function_response.response")


def _alternation(contents: list[Content]) -> None:
    """Stricter than the API, which bears two turns of one role: the adapter promises to alternate."""
    if contents[0].role not in (None, "user", "model"):
        raise RefusedError("Please use a valid role: user, model.")
    calls: list[FunctionCall] = []
    before: Content | None = None
    for content in contents:
        responses = [part.function_response for part in content.parts if part.function_response is not None]
        if before is not None and content.role == before.role:
            raise RefusedError("Please ensure that multiturn requests alternate between user and model.")
        if (calls or responses) and len(responses) != len(calls):
            raise RefusedError(
                "Please ensure that the number of function response parts is equal to the number of function call parts "
                "of the function call turn."
            )
        for call, response in zip(calls, responses, strict=True):
            if call.name != response.name or call.id != response.id:
                raise RefusedError("Please ensure that function response turn comes immediately after a function call turn.")
        calls = [part.function_call for part in content.parts if part.function_call is not None]
        if calls and (content.role != "model" or before is None):
            raise RefusedError(
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
            )
        before = content
    if calls:
        raise RefusedError("Please ensure that function call turn is followed by a function response turn.")


def _signatures(contents: list[Content]) -> None:
    """Of the steps since the user last spoke, the first call of each must bring its signature back."""
    spoke = [number for number, content in enumerate(contents) if content.role == "user" and any(part.text for part in content.parts)]
    for number, content in enumerate(contents[spoke[-1] if spoke else 0 :], start=spoke[-1] if spoke else 0):
        calls = [part for part in content.parts if part.function_call is not None]
        if calls and not calls[0].thought_signature:
            raise RefusedError(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, "
                "and missing thought_signature may lead to degraded model performance. Additional data, function call "
                f"`default_api:{calls[0].function_call.name}` , position {number + 1}. Please refer to "
                "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )
    for content in contents:
        for part in content.parts:
            told = part.thought_signature
            if told is None or told in BYPASSES or part.function_call is None:
                continue
            if told != signature({"name": part.function_call.name, "args": part.function_call.args}):
                raise RefusedError("Thought signature is not valid.")


def _tools(asked: GenerateContentRequest, functions: list[FunctionDeclaration]) -> None:
    names = [function.name for function in functions]
    if len(set(names)) != len(names):
        raise RefusedError(f"Duplicate function declaration found: {names[0]}")
    searches = any(tool.google_search is not None for tool in asked.tools or ())
    # https://ai.google.dev/gemini-api/docs/tool-combination
    if functions and searches and not (asked.tool_config and asked.tool_config.include_server_side_tool_invocations):
        raise RefusedError("Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function calling.")
    for tool in asked.tools or ():
        if tool.google_search is not None and not tool.google_search.keys() <= {"timeRangeFilter", "searchTypes"}:
            raise RefusedError("Invalid JSON payload received. Unknown name at 'tools[0].google_search': Cannot find field.")
        if tool.function_declarations is not None and not tool.function_declarations:
            raise RefusedError("* GenerateContentRequest.tools[0].tool_type: required one_of 'tool_type' must have one initialized field")
    for number, function in enumerate(functions):
        where = f"GenerateContentRequest.tools[0].function_declarations[{number}]"
        if not _NAME.match(function.name):
            raise RefusedError(f"* {where}.name: [FIELD_INVALID] Invalid function name. Must start with a letter or an underscore.")
        if function.parameters is not None and function.parameters_json_schema is not None:
            raise RefusedError(f"* {where}: parameters and parameters_json_schema are mutually exclusive")
        if function.parameters is not None and not function.parameters.get("properties"):
            raise RefusedError(f"* {where}.parameters.properties: should be non-empty for OBJECT type")
        if function.parameters_json_schema is not None:
            schema = function.parameters_json_schema
            if schema.get("type") != "object" and "$ref" not in schema:
                raise RefusedError(f"* {where}.parameters: schema should be of type OBJECT")
            _schema(schema, f"{where}.parameters_json_schema", schema.get("$defs") or {})
    calling = asked.tool_config.function_calling_config if asked.tool_config is not None else None
    if calling is None:
        return
    if not functions:
        raise RefusedError("Function calling config is set without function_declarations.")
    if calling.allowed_function_names is not None:
        if calling.mode not in ("ANY", "VALIDATED"):
            raise RefusedError("Allowed function names can only be set when the mode is ANY or VALIDATED.")
        if not calling.allowed_function_names or not set(calling.allowed_function_names) <= set(names):
            raise RefusedError("Allowed function names must be a subset of the function declarations.")


def _schema(schema: Any, where: str, defs: Json) -> None:
    if not isinstance(schema, dict):
        raise RefusedError(f"* {where}: a schema must be an object")
    unknown = set(schema) - _SCHEMA_KEYS
    if unknown:
        raise RefusedError(f"* {where}: unsupported keyword {min(unknown)}")
    if "$ref" in schema:
        if any(not name.startswith("$") for name in schema):
            raise RefusedError(f"* {where}: no other property may be set beside $ref")
        if not str(schema["$ref"]).startswith("#/$defs/") or schema["$ref"].removeprefix("#/$defs/") not in defs:
            raise RefusedError(f"* {where}.$ref: reference to undefined schema")
    if not all(isinstance(value, str | int | float) and not isinstance(value, bool) for value in schema.get("enum") or ()):
        raise RefusedError(f"* {where}.enum: only strings and numbers are allowed")
    for name in ("$defs", "properties"):
        for key, part in (schema.get(name) or {}).items():
            _schema(part, f"{where}.{name}[{key}]", defs)
    for name in ("anyOf", "oneOf", "prefixItems"):
        for part in schema.get(name) or ():
            _schema(part, f"{where}.{name}", defs)
    for name in ("items", "additionalProperties"):
        if name in schema and not (name == "additionalProperties" and isinstance(schema[name], bool)):
            _schema(schema[name], f"{where}.{name}", defs)


def _config(config: GenerationConfig, generation: tuple[int, int], kind: str) -> None:
    if config.logprobs is not None and not config.response_logprobs:
        raise RefusedError("logprobs can only be set when response_logprobs is true.")
    if config.response_schema is not None and config.response_json_schema is not None:
        raise RefusedError("response_schema and response_json_schema are mutually exclusive.")
    if config.response_json_schema is not None:
        if config.response_mime_type != "application/json":
            raise RefusedError("response_mime_type must be application/json when a response schema is set.")
        schema = config.response_json_schema
        _schema(schema, "GenerateContentRequest.generation_config.response_json_schema", schema.get("$defs") or {})
    if config.stop_sequences is not None and not all(config.stop_sequences):
        raise RefusedError("* GenerateContentRequest.generation_config.stop_sequences: must not be empty")
    if generation >= (4, 0):
        for name in ("frequency_penalty", "presence_penalty"):
            if getattr(config, name) is not None:
                raise RefusedError(f"{name} is not supported for this model.")
        if config.candidate_count not in (None, 1):
            raise RefusedError("Only one candidate can be generated by this model.")
    thinking = config.thinking_config
    if thinking is None:
        return
    if thinking.thinking_budget is not None and generation >= (4, 0):
        raise RefusedError("Thinking budget is not supported for this model.")
    if generation < (2, 5):
        raise RefusedError("Thinking is not enabled for this model.")
    if thinking.thinking_level is not None and thinking.thinking_budget is not None:
        raise RefusedError("You can only set only one of thinking budget and thinking level.")
    if thinking.thinking_level is not None and generation < (3, 0):
        raise RefusedError("Thinking level is not supported for this model.")
    refused = {"MINIMAL", "MEDIUM"} if (generation, kind) == ((3, 0), "pro") else {"MINIMAL"} if generation >= (3, 7) else set()
    if thinking.thinking_level in refused | (set() if generation >= (4, 0) and kind in ("hydrogen", "neon") else {"XHIGH"}):
        raise RefusedError(f"Thinking level {thinking.thinking_level} is not supported for this model.")
    least, most = _BUDGETS.get(kind, _BUDGETS["flash"])
    budget = thinking.thinking_budget
    if budget is not None and not (least <= budget <= most or budget == -1 or (budget == 0 and kind != "pro")):
        raise RefusedError(f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}.")


def _base64(text: str, where: str) -> None:
    try:
        base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(f"Invalid value at '{where}' (TYPE_BYTES), Base64 decoding failed") from None
