"""Ids of calls that hosts refuse: OpenAI for their length (400 "string too long. Expected a string with maximum length 40"), Mistral
for any but nine letters and digits (400 "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9.")."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters._base import Quirks, Target
from adapters._call_ids import any_long, nine, shortened
from adapters._json import view
from adapters.azure import ADAPTER as AZURE
from adapters.gemini.signatures import call_id
from adapters.openai import ADAPTER, HOSTS

Json = dict[str, Any]
OPENAI = Target(upstream_model="up", quirks=HOSTS["api.openai.com"])
SIGNED = call_id("own", "d", "c2lnbmF0dXJl" * 20)
VLLM = "chatcmpl-tool-0123456789abcdef0123456789abcdef"


def history(identifier: str) -> list[Json]:
    call = {"id": identifier, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        {"role": "user", "content": 'Say "tool_call_id": "' + "x" * 50 + '"'},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "call_short"}]},
        {"role": "tool", "tool_call_id": identifier, "content": "1"},
        {"role": "tool", "tool_call_id": "call_short", "content": "2"},
    ]


def ids(messages: list[Json]) -> list[str]:
    return [call["id"] for call in messages[1]["tool_calls"]] + [message["tool_call_id"] for message in messages[2:]]


def passed(adapter: Any, api: str, body: bytes, target: Target) -> bytes:
    sent: bytes = adapter.identity(api, body, view(body), target).body
    return sent


@pytest.mark.parametrize("identifier", [SIGNED, VLLM])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_history_of_another_vendor_goes_on_at_openai(identifier: str, indent: int | None) -> None:
    body = json.dumps({"model": "m", "messages": history(identifier)}, indent=indent).encode()
    for adapter, target in ((ADAPTER, OPENAI), (AZURE, Target(upstream_model="up"))):
        sent = json.loads(passed(adapter, "chat", body, target))["messages"]
        short = shortened(identifier, 40)
        assert len(short) == 40
        assert ids(sent) == [short, "call_short", short, "call_short"]
        assert sent[0] == history(identifier)[0]
        assert json.loads(adapter.outbound({"model": "m", "messages": history(identifier)}, target).body)["messages"] == sent


def test_ids_that_fit_and_hosts_that_take_any_see_the_client_s_bytes() -> None:
    body = json.dumps({"model": "up", "messages": history("call_" + "a" * 35)}).encode()
    assert passed(ADAPTER, "chat", body, OPENAI) == body
    body = json.dumps({"model": "up", "messages": history(SIGNED)}).encode()
    assert passed(ADAPTER, "chat", body, Target(upstream_model="up")) == body


def test_the_responses_api_takes_sixty_four_characters() -> None:
    def items(identifier: str) -> list[Json]:
        call = {"type": "function_call", "call_id": identifier, "name": "f", "arguments": "{}"}
        return [call, {"type": "function_call_output", "call_id": identifier, "output": "1"}]

    body = json.dumps({"model": "up", "input": items(SIGNED)}).encode()
    assert json.loads(passed(ADAPTER, "responses", body, OPENAI))["input"] == items(shortened(SIGNED, 64))
    body = json.dumps({"model": "up", "input": items(VLLM)}).encode()
    assert passed(ADAPTER, "responses", body, OPENAI) == body


def test_a_shortened_id_is_the_same_each_time_and_differs_from_others() -> None:
    assert shortened(SIGNED, 40) == shortened(SIGNED, 40) != shortened(SIGNED + "x", 40)
    assert shortened("call_1", 40) == "call_1"
    assert shortened(None, 40) is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"tool_call_id": "12345"}', False),
        (b'{"tool_call_id" : \n "123456"}', True),
        (b'{"tool_call_id":"1","x":{"tool_call_id":"123456"}}', True),
        (b'{"tool_call_id":null,"x":"123456789"}', False),
        (b'{"tool_call_id":"123', True),
        (b'{"tool_call_id"', False),
        (b"{}", False),
    ],
)
def test_long_ids_are_seen_without_decoding(body: bytes, found: bool) -> None:
    assert any_long(body, b'"tool_call_id"', 5) is found


def test_a_deployment_may_have_a_limit_of_its_own() -> None:
    target = Target(upstream_model="up", quirks=Quirks(call_id_characters=9))
    sent = json.loads(ADAPTER.outbound({"model": "m", "messages": history(VLLM)}, target).body)["messages"]
    assert ids(sent) == [shortened(VLLM, 9), shortened("call_short", 9)] * 2


MISTRAL = Target(upstream_model="up", quirks=HOSTS["api.mistral.ai"])


@pytest.mark.parametrize("identifier", [SIGNED, VLLM, "call_1", "turn1_0", "abc", ""])
def test_mistral_gets_nine_letters_and_digits_the_same_in_call_and_result(identifier: str) -> None:
    body = json.dumps({"model": "m", "messages": history(identifier)}).encode()
    sent = json.loads(passed(ADAPTER, "chat", body, MISTRAL))["messages"]
    made = nine(identifier)
    assert len(made) == 9
    assert made.isascii()
    assert made.isalnum()
    assert ids(sent) == [made, nine("call_short")] * 2
    assert sent[0] == history(identifier)[0]
    assert json.loads(ADAPTER.outbound({"model": "m", "messages": history(identifier)}, MISTRAL).body)["messages"] == sent


def test_mistral_s_own_ids_go_back_as_they_came() -> None:
    messages = [{**message} for message in history("D681PevKs")]
    messages[1]["tool_calls"] = messages[1]["tool_calls"][:1]
    body = json.dumps({"model": "up", "messages": messages[:3]}).encode()
    assert passed(ADAPTER, "chat", body, MISTRAL) == body
    assert json.loads(ADAPTER.outbound({"model": "m", "messages": messages[:3]}, MISTRAL).body)["messages"] == messages[:3]


def test_different_ids_stay_different_at_mistral() -> None:
    assert len({nine(f"call_{number}") for number in range(2000)}) == 2000
    assert nine(None) is None
