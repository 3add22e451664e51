"""OpenAI's usage as its hosts spell it; each row is what a host answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from adapters._base import Usage
from adapters._usage import Counts, hub_usage, usage_from

PLAIN: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
TOLD = Usage(input_tokens=100, output_tokens=20)
SPELLINGS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "OpenAI": ({"prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}}, {"cached_tokens": 60, "cache_write_tokens": 30}),
    "vLLM": ({"prompt_tokens_details": {"cached_tokens": 60, "created_cache_tokens": 40}}, {"cached_tokens": 60, "cache_write_tokens": 40}),
    "vLLM without details": ({"prompt_tokens_details": None}, {}),
    "Model Studio": (
        {"prompt_tokens_details": {"cached_tokens": 0, "cache_creation_input_tokens": 90, "cache_type": "ephemeral"}},
        {"cached_tokens": 0, "cache_write_tokens": 90},
    ),
    "DeepSeek": ({"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}, {"cached_tokens": 64}),
    "Moonshot": ({"cached_tokens": 64}, {"cached_tokens": 64}),
    "SGLang": ({"reasoning_tokens": 7, "prompt_tokens_details": {"cached_tokens": 5}}, {"cached_tokens": 5, "reasoning_tokens": 7}),
    "reasoning within": ({"completion_tokens_details": {"reasoning_tokens": 15}}, {"reasoning_tokens": 15}),
    # 100 + 20 + 15: "counted separately from completion_tokens, but counted in the total_tokens" (docs.x.ai, consumption)
    "xAI": ({"total_tokens": 135, "completion_tokens_details": {"reasoning_tokens": 15}}, {"output_tokens": 35, "reasoning_tokens": 15}),
}


@pytest.mark.parametrize(("spelled", "means"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_host_s_counts_are_read(spelled: dict[str, Any], means: dict[str, int]) -> None:
    wire = msgspec.json.encode({**PLAIN, **spelled})
    assert usage_from(msgspec.json.decode(wire, type=Counts)) == msgspec.structs.replace(TOLD, **means)


def test_what_nobody_counted_is_none() -> None:
    assert usage_from(None) is None
    assert usage_from(Counts()) is None
    assert usage_from(Counts(prompt_tokens=3)) == Usage(input_tokens=3)
    assert hub_usage(None) is None
    assert hub_usage(Usage(input_tokens=3)) is None


def test_it_is_written_as_openai_does() -> None:
    """https://platform.openai.com/docs/api-reference/chat/object"""
    assert hub_usage(TOLD) == PLAIN
    told = hub_usage(msgspec.structs.replace(TOLD, cached_tokens=0, cache_write_tokens=9, reasoning_tokens=4))
    assert told == {
        **PLAIN,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 9},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
