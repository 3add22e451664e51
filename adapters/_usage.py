"""OpenAI's `usage` of chat and text completions: read in every spelling that hosts of the dialect have for it, and written."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import Count, Json, Usage
from adapters._json import encode


class _Prompt(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    """OpenAI and OpenRouter."""
    created_cache_tokens: Count | None = None
    """vLLM (`PromptTokenUsageInfo`) and hosts that run it."""
    cache_creation_input_tokens: Count | None = None
    """Alibaba's Model Studio, for explicit caches."""


class _Completion(msgspec.Struct):
    reasoning_tokens: Count | None = None


class ServerTools(msgspec.Struct):
    """What Anthropic, and OpenRouter after it, tell of the tools that they run themselves."""

    web_search_requests: Count | None = None


class Counts(msgspec.Struct):
    """The object on the wire."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _Prompt | None = None
    completion_tokens_details: _Completion | None = None
    prompt_cache_hit_tokens: Count | None = None
    """DeepSeek."""
    cached_tokens: Count | None = None
    """Moonshot."""
    reasoning_tokens: Count | None = None
    """SGLang."""
    server_tool_use: ServerTools | None = None
    """OpenRouter."""


_counts = msgspec.json.Decoder(Counts).decode


def usage_from(found: Counts | None) -> Usage | None:
    """Our Usage of OpenAI's; None where it says nothing."""
    if found is None or (found.prompt_tokens is None and found.completion_tokens is None):
        return None
    prompt, completion = found.prompt_tokens_details, found.completion_tokens_details
    cached = written = None
    if prompt is not None:
        cached, written = prompt.cached_tokens, prompt.cache_write_tokens
        if written is None:
            written = prompt.cache_creation_input_tokens if prompt.created_cache_tokens is None else prompt.created_cache_tokens
    if cached is None:
        cached = found.cached_tokens if found.prompt_cache_hit_tokens is None else found.prompt_cache_hit_tokens
    reasoning = found.reasoning_tokens if completion is None or completion.reasoning_tokens is None else completion.reasoning_tokens
    return Usage(
        input_tokens=found.prompt_tokens,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=_generated(found, reasoning) if reasoning else found.completion_tokens,
        reasoning_tokens=reasoning,
        searches=None if found.server_tool_use is None else found.server_tool_use.web_search_requests,
    )


class _Plain(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None


def plain_usage(raw: bytes) -> Usage | None:
    """Usage of what is no text: images and transcriptions count by other names, rerankers often give nothing but their total.

    https://platform.openai.com/docs/api-reference/images/object#images-object-usage
    """
    try:
        found = msgspec.json.decode(raw, type=_Plain)
    except msgspec.DecodeError:
        return None
    tokens = found.total_tokens if found.input_tokens is None and found.output_tokens is None else found.input_tokens
    return None if tokens is None else Usage(input_tokens=tokens, output_tokens=found.output_tokens)


def without_usage(data: bytes | msgspec.Raw) -> bytes | None:
    """An answer or event less the counts in it, of whatever dialect; None where it has none.

    For counts of a type that no dialect gives them: what was said is good without.
    """
    try:
        found: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    holders = [found, *(found.get(name) for name in ("message", "response"))] if isinstance(found, dict) else []
    told = [each.pop(name) for each in holders if isinstance(each, dict) for name in ("usage", "usageMetadata") if name in each]
    return encode(found) if told else None


def media_usage(raw: bytes) -> Usage | None:
    """`plain_usage`, or chat's counts, which engines give for transcriptions (vLLM's `transcription.chunk`)."""
    try:
        found = usage_from(_counts(raw))
    except msgspec.DecodeError:
        found = None
    return plain_usage(raw) if found is None or found.input_tokens is None else found


def hub_usage(usage: Usage | None) -> Json | None:
    """OpenAI's object, where both counts are known; a detail nobody reported is left out."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    counts: Json = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    prompt = {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_tokens": usage.input_audio_tokens,
    }
    completion = {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.output_audio_tokens}
    for name, details in (("prompt_tokens_details", prompt), ("completion_tokens_details", completion)):
        known = {detail: tokens for detail, tokens in details.items() if tokens is not None}
        if known:
            counts[name] = known
    return counts


def _generated(found: Counts, reasoning: int) -> int | None:
    """All that was generated. xAI leaves reasoning out of `completion_tokens` and counts it in the total (its page on consumption)."""
    prompt, completion = found.prompt_tokens, found.completion_tokens
    if prompt is not None and completion is not None and found.total_tokens == prompt + completion + reasoning:
        return completion + reasoning
    return completion
