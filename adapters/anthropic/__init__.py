"""Anthropic's Messages API outbound: hub requests to `POST /messages`, its answers, streams and errors back.

One file a side: `request` with `conversation`, `content`, `toolset`, `thinking`, `format` and `schema`; `answer`; `stream`. `models` is the
table of what each family of models takes. The door for clients that speak this dialect is `door`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from adapters._base import Completion, Fault, Headers, Json, Outbound, Reader, Support, Target
from adapters._json import View, edited, encode
from adapters.anthropic.answer import completion_of, fault_of_body
from adapters.anthropic.conversation import NAMES
from adapters.anthropic.door import DOOR
from adapters.anthropic.door_search import SEAL, own
from adapters.anthropic.limits import limits_of
from adapters.anthropic.request import MEMBERS, SAMPLING_VERSION, VERSION, json_by_words, outbound, version_header
from adapters.anthropic.stream import MessagesReader

__all__ = ["ADAPTER", "DOOR", "Anthropic"]

_SEALED = SEAL.encode()


class Anthropic:
    """The dialect's adapter."""

    name = "anthropic"
    members: ClassVar[dict[str, Support]] = MEMBERS
    open_members = False
    abilities = frozenset({"tools", "image", "document", "json_schema", "json_object", "reasoning"})
    apis = frozenset({"chat", "responses", "messages"})

    def authorize(self, key: str) -> Headers:
        return ((b"x-api-key", key.encode()),)

    def path(self, api: str, target: Target) -> str:  # noqa: ARG002 - Azure's needs it
        return "/messages/count_tokens" if api == "count_tokens" else "/messages"

    def identity(self, api: str, body: bytes, members: View, target: Target) -> Outbound:
        """A Messages client's own body for this host: the model's name is changed and our member taken out, nothing else."""
        edits: dict[str, bytes | None] = {"model": encode(target.upstream_model)}
        if "greenlane" in members:
            edits["greenlane"] = None
        if body.find(_SEALED) >= 0 and "messages" in members:
            edits["messages"] = own(bytes(members["messages"]))
        ignored = tuple(name for name in target.quirks.drops if name in members)
        edits |= dict.fromkeys(ignored)
        kept = members.keys() - set(ignored)
        if b'"signature":' in body and (b'"signature":""' in body or b'"signature": ""' in body):
            edits |= _signed_only(members)
        version = SAMPLING_VERSION if kept & {"temperature", "top_p", "top_k"} else VERSION
        headers = version_header(target, version)
        return Outbound(path=self.path(api, target), body=edited(body, members, edits), headers=headers, ignored=ignored)

    def outbound(self, chat: Json, target: Target) -> Outbound:
        return outbound(chat, target)

    def completion(self, body: bytes) -> Completion:
        return completion_of(body)

    def reader(self, target: Target) -> Reader:
        return MessagesReader(target.event_bytes)

    def json_by_words(self, chat: Json, target: Target) -> bool:
        return json_by_words(chat, target)

    def own_names(self, chat: Json, target: Target) -> Mapping[str, str]:  # noqa: ARG002 - OpenAI's needs it
        return NAMES.back(chat)

    def limits(self, headers: list[tuple[bytes, bytes]], until_s: Callable[[str], float]) -> Headers:
        return limits_of(headers, until_s)

    def fault(self, status: int, body: bytes) -> Fault:
        return fault_of_body(status, body)


def _signed_only(members: View) -> dict[str, bytes | None]:
    """The messages without thinking that bears no signature: another vendor's, which the door told so. The API answers 400 to it."""
    messages = msgspec.json.decode(members.get("messages", b"null"))
    if not isinstance(messages, list):
        return {}
    kept: list[Any] = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        signed = [block for block in content if not _unsigned(block)] if isinstance(content, list) else content
        if signed == content:
            kept.append(message)
        elif signed:
            kept.append({**message, "content": signed})
    return {} if kept == messages else {"messages": encode(kept)}


def _unsigned(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "thinking" and block.get("signature") == ""


ADAPTER = Anthropic()
