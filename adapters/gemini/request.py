"""A hub request as the body of generateContent.

Reference: https://ai.google.dev/api/generate-content#request-body, #generationconfig
"""

from __future__ import annotations

from typing import Any

from adapters._base import AdapterError, Json, Outbound, Support, Target
from adapters._chat import IMAGE_DETAIL, image_details, names_participants
from adapters._json import encode
from adapters._json_mode import WORDS
from adapters._web_search import MEMBER, search_of
from adapters.gemini.contents import conversation
from adapters.gemini.models import Model, model_of, path_of
from adapters.gemini.resolution import settled
from adapters.gemini.schema import subset
from adapters.gemini.thinking import thinking_of
from adapters.gemini.tools import NAMES, functions_of, tools_of

_TRANSLATED = (
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
    "n",
    "logprobs",
    "top_logprobs",
    "response_format",
    "reasoning_effort",
    "thinking",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "modalities",
    "service_tier",
    "web_search_options",
    "store",
)
_DROPPED = (
    *("user", "metadata", "safety_identifier", "prediction", "verbosity"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
)
_REFUSED = ("logit_bias", "audio", "moderation")
MEMBERS: dict[str, Support] = {
    **dict.fromkeys(_TRANSLATED, "translated"),
    **dict.fromkeys(_DROPPED, "dropped"),
    **dict.fromkeys(_REFUSED, "refused"),
}

_STOPS = 5
_CANDIDATES = 8
_TOP = 20
_TIERS = {"flex": "flex", "priority": "priority"}
_MODALITIES = {"text": "TEXT", "image": "IMAGE"}
_INT32 = 2**31


def outbound(chat: Json, target: Target) -> Outbound:
    """The request. Raises AdapterError for what Gemini cannot express."""
    left_out = tuple(name for name in target.quirks.drops if chat.get(name) is not None)
    if left_out:
        chat = {name: value for name, value in chat.items() if name not in left_out}
    for name, value in chat.items():
        empty = value is None or value in ({}, [])
        if MEMBERS.get(name, "refused") == "refused" and not empty:
            raise AdapterError(f"`{name}` cannot be passed on to Gemini.", name)
    chat = NAMES.sent(chat)
    model = model_of(target.upstream_model)
    body = conversation(chat.get("messages"), model)
    body |= tools_of(chat) | _searched(chat)
    resolution, looked_at = settled(body["contents"], model)
    config = _config(chat, model) | resolution
    if config.get("responseMimeType") and "tools" in body and not model.json_beside_tools:
        if "responseJsonSchema" in config:
            raise AdapterError("This Gemini model cannot keep to a JSON Schema together with tools.", "response_format")
        del config["responseMimeType"]
        instruction = body.setdefault("systemInstruction", {"parts": []})
        instruction["parts"].append({"text": WORDS})
    if config:
        body["generationConfig"] = config
    if chat.get("service_tier") in _TIERS:
        body["serviceTier"] = _TIERS[chat["service_tier"]]
    if chat.get("store") is False:
        # requests of new projects are stored unless they say so, since 2026-10-26 (https://ai.google.dev/gemini-api/docs/changelog)
        body["store"] = False
    method = "streamGenerateContent" if chat.get("stream") is True else "generateContent"
    path = path_of(target.upstream_model, method) + ("?alt=sse" if chat.get("stream") is True else "")
    return Outbound(path=path, body=encode(body), ignored=(*left_out, *_ignored(chat, looked_at)))


def json_by_words(chat: Json, target: Target) -> bool:
    """Whether JSON is asked for beside tools, and of a model that has no JSON mode then."""
    return (
        "responseMimeType" in _format(chat)
        and not model_of(target.upstream_model).json_beside_tools
        and bool(tools_of(chat) or _searched(chat))
    )


def _searched(chat: Json) -> Json:
    """Google's own search. It takes no place and no measure, and stands beside functions only where their results are told back whole,

    which no client of another dialect does (https://ai.google.dev/gemini-api/docs/tool-combination).
    """
    search = search_of(chat)
    if search is None:
        return {}
    if functions_of(chat):
        raise AdapterError("Gemini cannot search the web in a request that has functions too.", MEMBER, code="unsupported_parameter")
    if search.filters is not None and (search.filters.allowed_domains or search.filters.blocked_domains):
        raise AdapterError("Gemini's search cannot be kept to domains.", f"{MEMBER}.filters", code="unsupported_parameter")
    return {"tools": [{"googleSearch": {}}]}


def _ignored(chat: Json, looked_at: int) -> tuple[str, ...]:
    """`looked_at`: how many images are looked at as closely as they were asked to be."""
    dropped = [name for name in (*_DROPPED, *_REFUSED) if chat.get(name) is not None]
    if chat.get("store"):
        # what is asked for is an answer that can be gone on from, not an entry in the project's logs
        dropped.append("store")
    search = chat.get(MEMBER) or {}
    dropped += [f"{MEMBER}.{name}" for name in ("user_location", "search_context_size") if search.get(name) is not None]
    if chat.get("service_tier") not in (None, "auto", "default", *_TIERS):
        dropped.append("service_tier")
    if any(function.get("strict") is True for _, function in functions_of(chat)):
        # its functions' arguments are not held to their schemas
        dropped.append("tools.strict")
    if names_participants(chat.get("messages")):
        dropped.append("messages.name")
    if sum(detail != "auto" for detail in image_details(chat["messages"])) > looked_at:
        dropped.append(IMAGE_DETAIL)
    return tuple(dropped)


def _config(chat: Json, model: Model) -> Json:
    config: Json = {}
    limit = chat.get("max_completion_tokens") if chat.get("max_completion_tokens") is not None else chat.get("max_tokens")
    if limit is not None:
        name = "max_completion_tokens" if chat.get("max_completion_tokens") is not None else "max_tokens"
        config["maxOutputTokens"] = _whole(limit, name, 1, _INT32 - 1)
    for name, google, least, most in (
        ("temperature", "temperature", 0, 2),
        ("top_p", "topP", 0, 1),
        ("frequency_penalty", "frequencyPenalty", -2, 2),
        ("presence_penalty", "presencePenalty", -2, 2),
    ):
        if chat.get(name) is not None and not (name.endswith("_penalty") and chat[name] == 0):
            config[google] = _real(chat[name], name, least, most)
            if model.one_answer and name.endswith("_penalty"):
                raise AdapterError("This Gemini model takes no penalties.", name, code="unsupported_parameter")
    if chat.get("top_k") is not None:
        config["topK"] = _whole(chat["top_k"], "top_k", 1, _INT32 - 1)
    if chat.get("seed") is not None:
        # a seed only has to be the same for the same: folded into the 32 bits that the API takes
        config["seed"] = _whole(chat["seed"], "seed", -(2**63), 2**63 - 1) % _INT32
    if chat.get("n") not in (None, 1):
        config["candidateCount"] = _whole(chat["n"], "n", 1, _CANDIDATES)
        if model.one_answer:
            raise AdapterError("This Gemini model gives one answer to a request.", "n", code="unsupported_parameter")
    stops = _stops(chat.get("stop"))
    if stops:
        config["stopSequences"] = stops
    config |= _logprobs(chat) | _format(chat) | _modalities(chat)
    thinking = thinking_of(chat, model)
    if thinking:
        config["thinkingConfig"] = thinking
    return config


def _stops(stop: Any) -> list[str]:
    given = [stop] if isinstance(stop, str) else stop if stop is not None else []
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise AdapterError("A string or an array of strings is expected.", "stop")
    kept = list(dict.fromkeys(text for text in given if text))
    if len(kept) > _STOPS:
        raise AdapterError(f"Gemini takes at most {_STOPS} stop sequences.", "stop")
    return kept


def _logprobs(chat: Json) -> Json:
    top = chat.get("top_logprobs")
    if top is not None:
        _whole(top, "top_logprobs", 0, _TOP)
    wanted = chat.get("logprobs")
    if wanted is not None and not isinstance(wanted, bool):
        raise AdapterError("`logprobs` must be true or false.", "logprobs")
    if not wanted:
        if top:
            raise AdapterError("`top_logprobs` needs `logprobs`.", "top_logprobs")
        return {}
    return {"responseLogprobs": True, "logprobs": top} if top else {"responseLogprobs": True}


def _format(chat: Json) -> Json:
    wanted = chat.get("response_format")
    if wanted is None:
        return {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    if kind == "json_schema":
        inner = wanted.get("json_schema")
        if not isinstance(inner, dict):
            raise AdapterError("An object is expected.", "response_format.json_schema")
        if inner.get("schema") is None:
            return {"responseMimeType": "application/json"}
        schema = subset(inner["schema"], "response_format.json_schema.schema")
        if "description" not in schema and "$ref" not in schema and isinstance(inner.get("description"), str):
            schema = {"description": inner["description"], **schema}
        return {"responseMimeType": "application/json", "responseJsonSchema": schema}
    raise AdapterError("The type must be text, json_object or json_schema.", "response_format.type")


def _modalities(chat: Json) -> Json:
    wanted = chat.get("modalities")
    if wanted is None or wanted in ([], ["text"]):
        return {}
    if not isinstance(wanted, list) or not all(isinstance(name, str) and name in _MODALITIES for name in wanted):
        raise AdapterError("Of Gemini, text and image can be asked for here.", "modalities")
    return {"responseModalities": [_MODALITIES[name] for name in dict.fromkeys(wanted)]}


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise AdapterError(f"A whole number from {least} to {most} is expected.", name)
    return value


def _real(value: Any, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise AdapterError(f"A number from {least} to {most} is expected.", name)
    return value
