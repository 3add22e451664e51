"""The door for clients that speak Anthropic's Messages API (`POST /v1/messages`): client dialect to hub and back."""

from __future__ import annotations

from adapters._base import AdapterError, Fault, Json, Usage, Writer
from adapters._json import encode
from adapters._shape import MISSING, UNKNOWN
from adapters.anthropic.door_answer import error_of, message_of
from adapters.anthropic.door_places import place_of
from adapters.anthropic.door_request import hub_of
from adapters.anthropic.door_writer import MessagesWriter

_WORDING = {UNKNOWN: "Extra inputs are not permitted", MISSING: "Field required"}
"""How Anthropic itself says it; clients have come to search for these words."""


class MessagesDoor:
    name = "messages"

    def hub(self, body: Json) -> Json:
        try:
            return hub_of(body)
        except AdapterError as error:
            wording = _WORDING.get(error.code or "")
            if wording is None:
                raise
            raise AdapterError(wording, error.param, code=error.code) from None

    def place(self, param: str, request: Json) -> str:
        return place_of(param, request)

    def reply(self, completion: Json, usage: Usage | None, account: bytes | None, request: Json) -> bytes:
        return encode(message_of(completion, usage, account, request))

    def writer(self, request: Json) -> Writer:
        return MessagesWriter(request)

    def error(self, fault: Fault, status: int, request_id: str | None = None) -> bytes:
        return error_of(fault, status, request_id)


DOOR = MessagesDoor()
