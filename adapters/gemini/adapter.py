"""The Gemini dialect's adapter, put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from adapters._base import Completion, Fault, Headers, Json, Outbound, Reader, Support, Target, Usage
from adapters.gemini.answer import completion
from adapters.gemini.embeddings import embeddings_outbound, embeddings_reply
from adapters.gemini.faults import fault_of
from adapters.gemini.request import MEMBERS, json_by_words, outbound
from adapters.gemini.stream import GeminiReader
from adapters.gemini.tools import NAMES

_ABILITIES = frozenset({"tools", "image", "audio", "document", "json_schema", "json_object", "logprobs", "n", "reasoning", "embeddings"})


class Gemini:
    """generateContent where `stream` is not true, streamGenerateContent?alt=sse where it is."""

    name = "gemini"
    members: ClassVar[dict[str, Support]] = MEMBERS
    open_members = False
    abilities = _ABILITIES
    apis = frozenset({"chat", "embeddings"})

    def authorize(self, key: str) -> Headers:
        return ((b"x-goog-api-key", key.encode()),)

    def outbound(self, chat: Json, target: Target) -> Outbound:
        return outbound(chat, target)

    def completion(self, body: bytes) -> Completion:
        return completion(body)

    def reader(self, target: Target) -> Reader:
        return GeminiReader(target)

    def json_by_words(self, chat: Json, target: Target) -> bool:
        return json_by_words(chat, target)

    def own_names(self, chat: Json, target: Target) -> Mapping[str, str]:  # noqa: ARG002 - OpenAI's needs it
        return NAMES.back(chat)

    def one_call(self, chat: Json) -> bool:
        return chat.get("parallel_tool_calls") is False

    def fault(self, status: int, body: bytes) -> Fault:
        return fault_of(status, body)

    def embeddings_outbound(self, body: Json, target: Target) -> Outbound:
        return embeddings_outbound(body, target)

    def embeddings_reply(self, body: bytes, request: Json) -> tuple[Json, Usage | None]:
        return embeddings_reply(body, request)


ADAPTER = Gemini()
