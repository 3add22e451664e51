"""The door for clients that speak OpenAI's Responses API (`POST /v1/responses`): client dialect to hub and back."""

from __future__ import annotations

from adapters._base import Fault, Json, Usage, Writer
from adapters._json import encode
from adapters.responses.answer import error_of, response_of
from adapters.responses.places import place_of
from adapters.responses.request import hub_of
from adapters.responses.writer import ResponsesWriter


class ResponsesDoor:
    name = "responses"

    def hub(self, body: Json) -> Json:
        return hub_of(body)

    def place(self, param: str, request: Json) -> str:
        return place_of(param, request)

    def reply(self, completion: Json, usage: Usage | None, account: bytes | None, request: Json) -> bytes:
        return encode(response_of(completion, usage, account, request))

    def writer(self, request: Json) -> Writer:
        return ResponsesWriter(request)

    def error(self, fault: Fault, status: int, request_id: str | None = None) -> bytes:  # noqa: ARG002 - OpenAI's object holds neither
        return error_of(fault)


DOOR = ResponsesDoor()
