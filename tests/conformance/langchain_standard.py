"""LangChain's standard chat-model tests over the proxy: run by `test_langchain.py` with an interpreter of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

BASE = os.environ["BASE_URL"]
OPENAI = {"base_url": f"{BASE}/v1", "api_key": "unused", "max_retries": 0, "timeout": 10}


class _Chat(ChatModelIntegrationTests):
    served = ""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**OPENAI, "model": self.served, "stream_usage": True}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str | None:
        return "obedient-other"


class TestChatOpenAI(_Chat):
    served = "obedient-openai"


class TestChatGemini(_Chat):
    served = "obedient-gemini"


class TestChatClaude(_Chat):
    served = "obedient-anthropic"

    @property
    def supports_json_mode(self) -> bool:
        return False


class TestResponsesGemini(_Chat):
    served = "obedient-gemini"

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**OPENAI, "model": self.served, "use_responses_api": True}


class TestMessagesClaude(_Chat):
    served = "obedient-anthropic"

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"base_url": BASE, "api_key": "unused", "max_retries": 0, "timeout": 10, "model": self.served, "max_tokens": 1000}

    @property
    def supports_json_mode(self) -> bool:
        return False


class TestMessagesOpenAI(TestMessagesClaude):
    served = "obedient-openai"


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**OPENAI, "model": "obedient-openai"}

    @pytest.fixture
    def snapshot(self) -> Callable[..., object]:
        """What is compared with it is LangChain's own serialisation: nothing of ours."""
        return lambda name: mock.ANY


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[OpenAIEmbeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {**OPENAI, "model": "embedding", "check_embedding_ctx_length": False}
