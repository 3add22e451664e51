"""A served model's name finds its row; size and precision that a name states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon import shipped
from carbon.models import Size, bytes_of, known, size_of


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("qwen3-32b", "qwen3-32b"),
        ("Qwen/Qwen3-32B", "qwen3-32b"),
        ("Qwen/Qwen3-32B-FP8", "qwen3-32b"),
        ("qwen3:32b", "qwen3-32b"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3-235b-a22b"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3-30b-a3b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "llama-3.1-8b"),
        ("meta.llama3-1-8b-instruct-v1:0", "llama-3.1-8b"),
        ("llama3.1:8b-instruct-q4_K_M", "llama-3.1-8b"),
        ("llama-3.3-70b-versatile", "llama-3.3-70b"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-v3"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b"),
        ("mistral-large-2411", "mistral-large-2411"),
        ("mistral-large-latest", "mistral-large-3"),
        ("mistral-small-latest", "mistral-small-4"),
        ("mistralai/Mistral-Medium-3.5-128B", "mistral-medium-3.5"),
        ("mistral-medium-latest", "mistral-medium-3.5"),
        ("mistral-medium-2508", "mistral-medium"),
        ("google/gemma-4-26B-A4B-it", "gemma-4-26b-a4b"),
        ("google/gemma-4-E4B-it", "gemma-4-e4b"),
        ("gemma4:31b", "gemma-4-31b"),
        ("mistralai/Mistral-Small-4-119B-2603", "mistral-small-4"),
        ("mistral-small3.2:24b", "mistral-small-24b"),
        ("mistral-small-2506", "mistral-small-24b"),
        ("mistral-small-2409", "mistral-small-22b"),
        ("mistralai/Ministral-3-3B-Instruct-2512-BF16", "ministral-3b"),
        ("mistralai/Mistral-Large-4-1T-A52B", "mistral-large-4"),
        ("deepseek-ai/DeepSeek-V4-Flash", "deepseek-v4-flash"),
        ("zai-org/GLM-5.1-FP8", "glm-5"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("google/gemma-3-27b-it", "gemma-3-27b"),
        ("microsoft/phi-4", "phi-4"),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "nvidia-nemotron-nano-9b-v2"),
        ("gpt-5-mini", "gpt-5-mini"),
        ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("gpt-5", "gpt-5"),
        ("openai/gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4-0613", "gpt-4"),
        ("o1-preview", "o1"),
        ("claude-sonnet-4-5", "claude-sonnet-4"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4"),
        ("claude-opus-4-20250514", "claude-opus-4"),
        ("models/gemini-2.5-flash", "gemini-2.0-flash"),
        ("gemini-2.5-flash-lite-preview-09-2025", "gemini-2.0-flash-lite"),
        ("gemini-2.5-pro-preview-06-05", "gemini-2.5-pro"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("gpt-5.6-luna", "gpt-5.6-luna"),
        ("us.anthropic.claude-sonnet-5-5-20260901-v1:0", "claude-sonnet-5"),
        ("models/gemini-3.8-flash", "gemini-3.6-flash"),
        ("claude-opus-5-5", "claude-opus-5-5"),
    ],
)
def test_a_name_as_hosts_write_it_finds_its_row(name, row):
    found = known(name)
    assert found is not None
    assert found.name == row


@pytest.mark.parametrize("name", ["gemini-flash-latest", "gemini-pro-latest", "chat-latest", "gpt-6.5-luna", "claude-opus-5-6"])
def test_a_name_that_a_vendor_moves_to_newer_models_is_not_taken_for_an_old_one(name):
    assert known(name) is None


@pytest.mark.parametrize("name", ["gpt-5-nanotube", "gpt-6", "qwen3-33b", "claude", "my-model", "", "-", "llama", "text-embedding-3-small"])
def test_a_name_like_a_known_one_is_not_taken_for_it(name):
    assert known(name) is None


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("acme/wonder-8b-chat", Size(8.0, 8.0)),
        ("wonder:70b", Size(70.0, 70.0)),
        ("wonder_1.5B", Size(1.5, 1.5)),
        ("wonder-30b-a3b", Size(30.0, 3.0)),
        ("wonder-8x7b", Size(56.0, 56.0)),
        ("wonder-135m", Size(0.135, 0.135)),
        ("wonder", None),
        ("wonder-v2b2", None),
        ("wonder-a3b", None),
        ("wonder-0b", None),
        ("1mb-file", None),
    ],
)
def test_a_name_may_state_a_size(name, size):
    assert size_of(name) == size


@pytest.mark.parametrize(
    ("name", "bytes_per_parameter"),
    [
        ("Qwen3-32B-FP8", 1.0),
        ("qwen3-32b-GPTQ-Int8", 1.0),
        ("Qwen3-32B-AWQ", 0.56),
        ("qwen3:32b-q4_K_M", 0.56),
        ("llama-nvfp4", 0.56),
        ("qwen3-32b-bf16", 2.0),
        ("qwen3-32b", None),
    ],
)
def test_a_name_may_state_a_precision(name, bytes_per_parameter):
    assert bytes_of(name) == bytes_per_parameter


def test_every_row_is_found_by_its_name_and_aliases_in_any_case():
    for row in (*shipped.profiles().open, *shipped.profiles().closed):
        for name in (row.name, *row.aliases):
            assert known(name) == known(name.upper()) == known(f"some-org/{name}") == row


@given(st.text(max_size=100))
def test_no_name_breaks_the_lookup(name):
    known(name)
    size = size_of(name)
    assert size is None or 0 < size.active_b <= size.total_b
