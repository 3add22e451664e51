"""LiteLLM's providers in our terms: which dialect, where, and which variable usually holds the key.

Addresses and variables as in LiteLLM's provider table (litellm_core_utils/get_llm_provider_logic.py, BerriAI/litellm@001a933) and its
provider pages, compared on 2026-11-21; DeepSeek's is the address of its own documentation, not the beta one that LiteLLM takes.
"""

from __future__ import annotations

import msgspec


class Provider(msgspec.Struct, frozen=True):
    dialect: str
    base_url: str | None
    """None: the file must say."""
    key: str | None = None
    """The variable LiteLLM reads where the file names none. None: no key is usual."""
    suffix: str = ""
    """What LiteLLM adds to `api_base` by itself and we do not."""


PROVIDERS: dict[str, Provider] = {
    "openai": Provider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "text-completion-openai": Provider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "custom_openai": Provider("openai", None, "OPENAI_API_KEY"),
    "openai_like": Provider("openai", None, "OPENAI_LIKE_API_KEY"),
    "azure": Provider("azure", None, "AZURE_API_KEY"),
    "azure_text": Provider("azure", None, "AZURE_API_KEY"),
    "anthropic": Provider("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "/v1"),
    "gemini": Provider("gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY"),
    "hosted_vllm": Provider("openai", None),
    "vllm": Provider("openai", None),
    "lm_studio": Provider("openai", "http://127.0.0.1:1234/v1"),
    "llamafile": Provider("openai", "http://127.0.0.1:8080/v1"),
    "ollama": Provider("openai", "http://127.0.0.1:11434/v1", None, "/v1"),
    "ollama_chat": Provider("openai", "http://127.0.0.1:11434/v1", None, "/v1"),
    "litellm_proxy": Provider("openai", None, "LITELLM_PROXY_API_KEY"),
    "openrouter": Provider("openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "groq": Provider("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": Provider("openai", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "codestral": Provider("openai", "https://codestral.mistral.ai/v1", "CODESTRAL_API_KEY"),
    "deepseek": Provider("openai", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "together_ai": Provider("openai", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "fireworks_ai": Provider("openai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
    "deepinfra": Provider("openai", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "perplexity": Provider("openai", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "xai": Provider("openai", "https://api.x.ai/v1", "XAI_API_KEY"),
    "cerebras": Provider("openai", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "sambanova": Provider("openai", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "nvidia_nim": Provider("openai", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "nscale": Provider("openai", "https://inference.api.nscale.com/v1", "NSCALE_API_KEY"),
}

UNSPOKEN = frozenset(
    {
        "aleph_alpha",
        "assemblyai",
        "azure_ai",
        "baseten",
        "bedrock",
        "clarifai",
        "cloudflare",
        "cohere",
        "cohere_chat",
        "databricks",
        "deepgram",
        "elevenlabs",
        "gigachat",
        "github_copilot",
        "huggingface",
        "infinity",
        "jina_ai",
        "maritalk",
        "nlp_cloud",
        "oci",
        "oobabooga",
        "palm",
        "petals",
        "predibase",
        "replicate",
        "sagemaker",
        "sagemaker_chat",
        "snowflake",
        "topaz",
        "triton",
        "vertex_ai",
        "vertex_ai_beta",
        "voyage",
        "watsonx",
    }
)
"""Providers of LiteLLM's whose hosts it speaks to in dialects of their own, or at paths of their own, whatever address is given."""
FORWARDS = frozenset({"litellm_proxy"})
"""What such a host is asked it may ask elsewhere, on whatever machine it is."""
COMPLETES = frozenset({"text-completion-openai", "azure_text"})
"""Providers that serve text completions alone."""

MODES: dict[str, tuple[str, ...]] = {
    "embedding": ("embeddings",),
    "completion": ("completions",),
    "moderation": ("moderations",),
    "rerank": ("rerank",),
    "audio_transcription": ("transcriptions",),
    "audio_speech": ("speech",),
    "image_generation": ("images_generations",),
    "image_edit": ("images_edits",),
}
"""`model_info.mode` → what the deployment serves; chat and responses are the rule."""
USUAL_MODES = ("chat", "responses")


def provider_of(model: str, named: str | None, *, has_address: bool) -> tuple[str, str]:
    """Provider and model of a LiteLLM model string (`groq/llama-3.3-70b`, `gpt-4o`), as LiteLLM itself tells them apart."""
    if named:
        return named, model.removeprefix(f"{named}/")
    prefix, slash, rest = model.partition("/")
    if slash and (prefix in PROVIDERS or prefix in UNSPOKEN or not has_address):
        return prefix, rest
    if has_address:
        return "openai", model
    if model.startswith("claude-"):
        return "anthropic", model
    # LiteLLM takes a bare gemini name for Vertex, whose credentials we do not have
    return ("vertex_ai", model) if model.startswith("gemini-") else ("openai", model)
