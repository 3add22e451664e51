"""What a client may send to /v1/responses, as Structs, and the hub request made of it.

Reference: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from adapters._base import AdapterError, Json
from adapters._shape import INVALID, shaped
from adapters.responses.items import UPDATE, messages_of
from adapters.responses.tools import chosen_of, offered, search_of, tools_of

UNSUPPORTED = "unsupported_value"
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Summary = Literal["auto", "concise", "detailed"]


class _Reasoning(msgspec.Struct, forbid_unknown_fields=True):
    effort: Effort | None = None
    summary: Summary | None = None
    generate_summary: Summary | None = None
    mode: str | None = None
    context: str | None = None


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    format: Json | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    id: str | None = None
    reasoning: _Reasoning | None = None
    text: _Text | None = None


class _Schema(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["json_schema"]
    name: str
    schema: Json
    description: str | None = None
    strict: bool | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    input: str | list[Json]
    instructions: str | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: _Reasoning | None = None
    text: _Text | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    include: list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: Json | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Json | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None
    background_options: Json | None = None
    context_management: list[Json] | None = None
    moderation: Any = None
    access_programs: Any = None
    client_metadata: Any = None
    image: Json | None = None
    greenlane: Any = None


_ELSEWHERE = {
    "previous_response_id": "That response is not kept here, and only who made it can continue it; send the conversation as input.",
    "conversation": "Stored conversations cannot be passed on to this model; send the conversation as input.",
    "prompt": "Stored prompts cannot be passed on to this model; send instructions and input.",
    "background": "Background responses cannot be had from this model.",
    "background_options": "Background responses cannot be had from this model.",
    "context_management": "Context management cannot be passed on to this model.",
    "moderation": "Moderated responses cannot be had from this model.",
    "access_programs": "Access programs cannot be passed on to this model.",
}


def hub_of(body: Json) -> Json:
    """The hub request. Raises AdapterError naming the member that is malformed or that only OpenAI's own service has."""
    asked = shaped(body, _Request)
    for name, why in _ELSEWHERE.items():
        if getattr(asked, name):
            # OpenAI's own code for what it does not have: clients then send the conversation
            raise AdapterError(why, name, code="previous_response_not_found" if name == "previous_response_id" else UNSUPPORTED)
    if asked.prompt_cache_options is not None and asked.prompt_cache_options.get("prewarm"):
        raise AdapterError("A prompt cache cannot be prepared at this model.", "prompt_cache_options.prewarm", code=UNSUPPORTED)
    messages: list[Json] = []
    if asked.instructions:
        messages.append({"role": "system", "content": asked.instructions})
    messages += [{"role": "user", "content": asked.input}] if isinstance(asked.input, str) else messages_of(asked.input)
    if not messages:
        raise AdapterError("The input holds no message.", "input", code=INVALID)
    chat: Json = {"model": asked.model, "messages": messages}
    chat |= _sampling(asked)
    chat |= _reasoning(asked.reasoning)
    chat |= _text(asked.text)
    chat |= _updated(asked.input)
    chat |= _tools(asked, body)
    ignored = _ignored(asked)
    return chat | {"greenlane": {"ignored": ignored}} if ignored else chat


def _ignored(asked: _Request) -> list[str]:
    """Hints for OpenAI's own service: who the client is, how images are made, how its own tools are bounded, what it may cut."""
    named = [name for name in ("client_metadata", "image", "max_tool_calls") if getattr(asked, name) is not None]
    return [*named, "truncation"] if asked.truncation == "auto" else named


def _sampling(asked: _Request) -> Json:
    chosen: Json = {
        "max_completion_tokens": asked.max_output_tokens,
        "metadata": asked.metadata,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "service_tier": asked.service_tier,
        "store": asked.store,
        "stream": asked.stream,
        "user": asked.user,
        "safety_identifier": asked.safety_identifier,
        "prompt_cache_key": asked.prompt_cache_key,
        "prompt_cache_retention": asked.prompt_cache_retention,
        "prompt_cache_options": asked.prompt_cache_options,
    }
    if asked.top_logprobs or "message.output_text.logprobs" in (asked.include or ()):
        chosen |= {"logprobs": True, "top_logprobs": asked.top_logprobs or None}
    return {name: value for name, value in chosen.items() if value is not None}


def _reasoning(asked: _Reasoning | None) -> Json:
    if asked is None:
        return {}
    if asked.mode not in (None, "standard"):
        raise AdapterError("This reasoning mode cannot be had from this model.", "reasoning.mode", code=UNSUPPORTED)
    return {} if asked.effort is None else {"reasoning_effort": asked.effort}


def _text(asked: _Text | None) -> Json:
    if asked is None:
        return {}
    chosen: Json = {} if asked.verbosity is None else {"verbosity": asked.verbosity}
    wanted = None if asked.format is None else _format(asked.format, "text.format")
    return chosen if wanted is None else chosen | {"response_format": wanted}


def _format(body: Json, path: str) -> Json | None:
    """The hub's response_format; None for text."""
    kind = body.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    schema = shaped(body, _Schema, path)
    told: Json = {"name": schema.name, "description": schema.description, "schema": schema.schema, "strict": schema.strict}
    return {"type": "json_schema", "json_schema": {name: value for name, value in told.items() if value is not None}}


def _updated(items: str | list[Json]) -> Json:
    """What items of the input change of the request: each holds until a later one."""
    chosen: Json = {}
    for number, item in enumerate(items if isinstance(items, list) else ()):
        if item.get("type") == UPDATE:
            path = f"input[{number}]"
            update = shaped(item, _Update, path)
            chosen |= _reasoning(update.reasoning)
            if update.text is not None and update.text.format is not None:
                chosen["response_format"] = _format(update.text.format, f"{path}.text.format") or {"type": "text"}
    return chosen


def _tools(asked: _Request, body: Json) -> Json:
    tools = offered(body)
    chosen: Json = search_of(tools)
    if told := tools_of(tools):
        chosen["tools"] = told
        if asked.parallel_tool_calls is not None:
            chosen["parallel_tool_calls"] = asked.parallel_tool_calls
    return chosen if asked.tool_choice is None else chosen_of(asked.tool_choice, chosen)
