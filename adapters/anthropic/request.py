"""A hub request as the body of `POST /messages`.

Reference: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

import math
import re
from typing import Any

from adapters._base import AdapterError, Headers, Json, Outbound, Support, Target
from adapters._chat import IMAGE_DETAIL, image_details, names_participants
from adapters._json import encode
from adapters.anthropic.conversation import NAMES, Conversation, conversation_of, on_wire
from adapters.anthropic.format import Format, format_of
from adapters.anthropic.models import Rules, rules_of
from adapters.anthropic.thinking import Circumstances, Reasoning, asked_budget_tokens, reasoning_of
from adapters.anthropic.toolset import toolset_of

VERSION = "2026-10-21"
SAMPLING_VERSION = "2023-06-01"
"""The last API version that takes temperature, top_p and top_k (https://platform.claude.com/docs/en/api/versioning)."""
DEFAULT_TOKENS, DEFAULT_STREAMED_TOKENS = 16_000, 64_000
"""max_tokens where nobody names one: what the vendor advises for whole answers and for streams (its claude-api skill)."""
CACHE_MARKS = 4

MEMBERS: dict[str, Support] = {
    **dict.fromkeys(
        (
            *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop"),
            *("temperature", "top_p", "top_k", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
            *("response_format", "reasoning_effort", "thinking", "service_tier", "user", "safety_identifier"),
            "web_search_options",
        ),
        "translated",
    ),
    # a seed is a best effort at OpenAI too, a prediction only speeds up, verbosity only advises
    **dict.fromkeys(("metadata", "store", "seed", "prediction", "verbosity"), "dropped"),
    **dict.fromkeys(("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"), "dropped"),
    **dict.fromkeys(
        (
            *("n", "logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty"),
            *("audio", "modalities", "moderation"),
        ),
        "refused",
    ),
}
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "modalities": (["text"],),
    "store": (False,),
    "metadata": ({},),
}
_TIERS = {"default": "standard_only", "standard_only": "standard_only", "auto": None}
# an opaque id; the vendor asks for no name, address or number of a person
_OPAQUE = re.compile(r"\A[A-Za-z0-9._:-]{1,256}\Z")


def outbound(chat: Json, target: Target) -> Outbound:
    """The request for this target. Raises AdapterError naming the member that cannot be expressed."""
    asked, ignored = _asked(NAMES.sent(chat), target)
    rules = rules_of(target.upstream_model)
    conversation = conversation_of(asked.get("messages"), rules)
    toolset = toolset_of(asked, rules)
    limit = _max_tokens(asked, target, rules)
    now = Circumstances(limit, toolset.forced, conversation.thought_through, conversation.prefilled)
    reasoning = reasoning_of(asked, rules, now)
    body: Json = {"model": target.upstream_model, "max_tokens": limit}
    wanted = format_of(asked.get("response_format"), rules)
    if wanted.words is not None:
        conversation.system.append({"type": "text", "text": wanted.words})
    if conversation.system:
        body["system"] = _system(conversation.system)
    body["messages"] = [on_wire(turn) for turn in conversation.turns]
    if toolset.tools:
        body["tools"] = toolset.tools
        if toolset.choice is not None:
            body["tool_choice"] = toolset.choice
    if reasoning.thinking is not None:
        body["thinking"] = reasoning.thinking
    config = _output_config(wanted, reasoning, conversation)
    if config:
        body["output_config"] = config
    sampling = _sampling(asked, rules, target, reasoning)
    body |= sampling
    body |= _rest(asked, ignored)
    _check_marks(body, toolset.tools, conversation)
    ignored += [*toolset.ignored, *reasoning.ignored]
    if names_participants(asked["messages"]):
        ignored.append("messages.name")
    if image_details(asked["messages"]):
        ignored.append(IMAGE_DETAIL)
    version = SAMPLING_VERSION if sampling or not rules.claude else VERSION
    return Outbound(path="/messages", body=encode(body), headers=version_header(target, version), ignored=tuple(ignored))


def version_header(target: Target, version: str = VERSION) -> Headers:
    """The pinned version, unless the deployment names one."""
    return ((b"anthropic-version", (target.api_version or version).encode()),)


def json_by_words(chat: Json, target: Target) -> bool:
    """Whether the answer is to be cut to a JSON object. One that continues the client's own words has its beginning there."""
    if format_of(chat.get("response_format"), rules_of(target.upstream_model)).words is None:
        return False
    messages = chat.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return not (isinstance(last, dict) and last.get("role") == "assistant")


def _asked(chat: Json, target: Target) -> tuple[Json, list[str]]:
    """The members that count, and the names of those left out. Raises AdapterError for one that cannot be expressed."""
    asked: Json = {}
    ignored: list[str] = []
    for name, value in chat.items():
        if value is None:
            continue
        support = MEMBERS.get(name)
        neutral = any(value == default for default in _NEUTRAL.get(name, ()))
        if neutral or name in target.quirks.drops or support == "dropped":
            ignored.append(name)
        elif support is None:
            raise AdapterError("This member has no counterpart in Anthropic's API.", name[:64], code="unknown_parameter")
        elif support == "refused":
            raise AdapterError("This member cannot be expressed in Anthropic's API.", name, code="unsupported_parameter")
        else:
            asked[name] = value
    return asked, ignored


def _max_tokens(asked: Json, target: Target, rules: Rules) -> int:
    name = "max_completion_tokens" if "max_completion_tokens" in asked else "max_tokens"
    given = asked.get(name)
    most = rules.max_output_tokens
    if given is not None:
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise AdapterError(f"`{name}` must be a whole number of at least 1.", name)
        return given if most is None else min(given, most)
    limit = target.max_output_tokens
    if limit is None:
        limit = DEFAULT_STREAMED_TOKENS if asked.get("stream") else DEFAULT_TOKENS
        # room for the answer beside the thinking
        limit += asked_budget_tokens(asked)
    return limit if most is None else min(limit, most)


def _system(said: list[Json]) -> str | list[Json]:
    if any("cache_control" in block for block in said):
        return said
    return "\n\n".join(block["text"] for block in said)


def _output_config(wanted: Format, reasoning: Reasoning, conversation: Conversation) -> Json:
    config: Json = {}
    if reasoning.effort is not None:
        config["effort"] = reasoning.effort
    if wanted.schema is not None:
        if conversation.prefilled:
            raise AdapterError("A format cannot stand beside an assistant's message to be continued.", "response_format")
        config["format"] = wanted.schema
    return config


def _sampling(asked: Json, rules: Rules, target: Target, reasoning: Reasoning) -> Json:
    """temperature, top_p and top_k where they differ from the default, which is the same 1 as OpenAI's."""
    temperature = _number(asked, "temperature", 2)
    top_p = _number(asked, "top_p", 1)
    top_k = asked.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 0):
        raise AdapterError("`top_k` must be a whole number of at least 0.", "top_k")
    if temperature is not None and rules.claude:
        # Anthropic's scale ends at 1; its own OpenAI endpoint caps too (.../cli-sdks-libraries/libraries/openai-sdk)
        temperature = min(temperature, 1)
    chosen: Json = {name: value for name, value in (("temperature", temperature), ("top_p", top_p)) if value not in (None, 1)}
    if top_k is not None:
        chosen["top_k"] = top_k
    if chosen and (rules.sampling == "none" or (target.api_version or "") >= VERSION):
        # named in the text too: most clients show nothing else
        text = f"This model takes no sampling parameters; leave `{min(chosen)}` out."
        raise AdapterError(text, min(chosen), code="unsupported_parameter")
    if rules.sampling == "one" and "temperature" in chosen and "top_p" in chosen:
        raise AdapterError("This model takes temperature or top_p, not both.", "top_p", code="unsupported_parameter")
    if reasoning.on and rules.claude:
        for name in ("temperature", "top_k"):
            if name in chosen:
                raise AdapterError(f"`{name}` cannot be set while the model thinks.", name, code="unsupported_parameter")
        if chosen.get("top_p", 1) < 0.95:
            raise AdapterError("`top_p` must be at least 0.95 while the model thinks.", "top_p", code="unsupported_value")
    return chosen


def _number(asked: Json, name: str, most: int) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or not 0 <= value <= most:
        raise AdapterError(f"`{name}` must be a number from 0 to {most}.", name)
    return value


def _rest(asked: Json, ignored: list[str]) -> Json:
    """stop, stream, tier and user. Adds to `ignored` what finds no home."""
    body: Json = {}
    stream = asked.get("stream", False)
    if not isinstance(stream, bool):
        raise AdapterError("`stream` must be true or false.", "stream")
    if stream:
        body["stream"] = True
    stop = asked.get("stop")
    stop = [stop] if isinstance(stop, str) else stop
    if isinstance(stop, list):
        stop = [one for one in stop if one != ""]  # it stops nothing
    if stop:
        if not isinstance(stop, list) or any(not isinstance(one, str) or not one.strip() for one in stop):
            raise AdapterError("`stop` must be text that is not blank, or a list of such.", "stop")
        body["stop_sequences"] = stop
    tier = asked.get("service_tier")
    if tier is not None:
        if not isinstance(tier, str):
            raise AdapterError("`service_tier` must be a string.", "service_tier")
        if tier not in _TIERS:
            ignored.append("service_tier")
        elif _TIERS[tier] is not None:
            body["service_tier"] = _TIERS[tier]
    for name in ("safety_identifier", "user"):
        value = asked.get(name)
        if value is None:
            continue
        if "metadata" not in body and isinstance(value, str) and _OPAQUE.match(value):
            body["metadata"] = {"user_id": value}
        else:
            ignored.append(name)
    return body


def _check_marks(body: Json, tools: list[Json], conversation: Conversation) -> None:
    """At most four prompt-cache marks, none for an hour behind one for five minutes; the order is tools, system, messages."""
    blocks = [*tools, *(body["system"] if isinstance(body.get("system"), list) else [])]
    for turn in conversation.turns:
        for block in turn["content"]:
            # a result's own parts come before the result's end
            inner = block.get("content") if block["type"] == "tool_result" else None
            blocks += [*(inner if isinstance(inner, list) else []), block]
    lives = [block["cache_control"].get("ttl", "5m") for block in blocks if "cache_control" in block]
    if len(lives) > CACHE_MARKS:
        raise AdapterError(f"At most {CACHE_MARKS} parts of a request may carry cache_control here.", "cache_control")
    if "5m" in lives and "1h" in lives[lives.index("5m") :]:
        raise AdapterError("A cache_control of 1h cannot come after one of 5m (order: tools, system, messages).", "cache_control")
