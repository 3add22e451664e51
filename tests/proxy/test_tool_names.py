"""Tools whose names the upstream's vendor does not take: it gets others, the client its own, in every place and in every turn."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.harness import Received, ask

FLEET = """
deployments:
  openai: {{model: openai, base_url: "{url}", apis: [chat], quirks: {{call_id_characters: 40}}}}
  anthropic: {{model: anthropic, dialect: anthropic, upstream_model: claude-sonnet-4-6, base_url: "{url}"}}
  gemini: {{model: gemini, dialect: gemini, upstream_model: gemini-3-flash-preview, base_url: "{url}"}}
"""
TAKEN = {
    "openai": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "anthropic": re.compile(r"[a-zA-Z0-9_-]{1,128}"),
    "gemini": re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}"),
}
"""By the vendors' references."""
OURS = ["21st/magic", "files.read file", "mcp__" + "x" * 90, "plain"]
CALLED = OURS[0]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
ASKED: dict[str, dict[str, Any]] = {
    "/chat/completions": {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in OURS],
        "tool_choice": {"type": "function", "function": {"name": CALLED}},
    },
    "/messages": {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 99,
        "tools": [{"name": name, "input_schema": SCHEMA} for name in OURS],
        "tool_choice": {"type": "tool", "name": CALLED},
    },
    "/responses": {
        "input": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "name": name, "parameters": SCHEMA} for name in OURS],
        "tool_choice": {"type": "function", "name": CALLED},
    },
}
WAYS = [
    (model, path) for model in TAKEN for path in ASKED if (model, path) not in {("openai", "/chat/completions"), ("anthropic", "/messages")}
]


def names_sent(model: str, body: dict[str, Any]) -> tuple[list[str], str]:
    """Names of the tools the vendor gets, and the one that is chosen."""
    if model == "gemini":
        declared = body["tools"][0]["functionDeclarations"]
        return [each["name"] for each in declared], body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"][0]
    if model == "anthropic":
        return [each["name"] for each in body["tools"]], body["tool_choice"]["name"]
    return [each["function"]["name"] for each in body["tools"]], body["tool_choice"]["function"]["name"]


def answer(model: str, name: str) -> dict[str, Any]:
    """A call of the tool."""
    if model == "gemini":
        part = {"functionCall": {"name": name, "args": {"a": "b"}, "id": "1"}, "thoughtSignature": "c2ln"}
        return {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}]}
    if model == "anthropic":
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "up", "stop_reason": "tool_use"}
        usage = {"input_tokens": 1, "output_tokens": 1}
        return {**head, "content": [{"type": "tool_use", "id": "toolu_1", "name": name, "input": {"a": "b"}}], "usage": usage}
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"a":"b"}'}}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice]}


def streamed(model: str, name: str) -> list[bytes]:
    whole = answer(model, name)
    if model == "gemini":
        return [b"data: %b\n\n" % json.dumps(whole).encode()]
    if model == "anthropic":
        block = {**whole["content"][0], "input": {}}
        events = [
            {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a":"b"}'}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ]
        return [b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events]  # type: ignore[attr-defined]
    call = {"index": 0, **whole["choices"][0]["message"]["tool_calls"][0]}
    chunk = {**whole, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}
    last = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    return [*(b"data: %b\n\n" % json.dumps(each).encode() for each in (chunk, last)), b"data: [DONE]\n\n"]


@pytest.fixture
def fleet(proxy, upstream):
    """An upstream that calls the tool that the request chooses."""

    def calling(received: Received, handler: Any) -> None:
        model = "gemini" if "generate" in received.path.lower() else "anthropic" if received.path.endswith("/messages") else "openai"
        _, chosen = names_sent(model, received.json)
        stream = received.json.get("stream") or "streamGenerate" in received.path
        if stream:
            handler.events(streamed(model, chosen))
        else:
            handler.reply(200, answer(model, chosen))

    host = upstream(calling)
    served = proxy(FLEET.format(url=host.url))
    served.host = host
    return served


@pytest.mark.parametrize(("model", "path"), WAYS)
def test_the_vendor_gets_names_it_takes_and_the_client_its_own(fleet, model, path):
    got = ask(fleet, {"model": model, **ASKED[path]}, path)
    assert got.status_code == 200, got.text
    names, chosen = names_sent(model, fleet.host.requests[0].json)
    assert all(TAKEN[model].fullmatch(name) for name in names)
    assert (len(set(names)), names[3], chosen) == (4, "plain", names[0])
    told = got.json()
    match path:
        case "/chat/completions":
            call = told["choices"][0]["message"]["tool_calls"][0]
            assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == (CALLED, {"a": "b"})
            more = [told["choices"][0]["message"], {"role": "tool", "tool_call_id": call["id"], "content": "Done"}]
        case "/messages":
            (call,) = told["content"]
            assert (call["name"], call["input"]) == (CALLED, {"a": "b"})
            result = {"type": "tool_result", "tool_use_id": call["id"], "content": "Done"}
            more = [{"role": "assistant", "content": told["content"]}, {"role": "user", "content": [result]}]
        case _:
            call = told["output"][-1]
            assert (call["name"], json.loads(call["arguments"])) == (CALLED, {"a": "b"})
            more = [*told["output"], {"type": "function_call_output", "call_id": call["call_id"], "output": "Done"}]
    history = "input" if path == "/responses" else "messages"
    again = {"model": model, **ASKED[path], history: [*ASKED[path][history], *more]}
    assert ask(fleet, again, path).status_code == 200
    second = fleet.host.requests[1].body.decode()
    assert names_sent(model, json.loads(second))[0] == names
    # declared, chosen, called, and at Gemini answered
    assert second.count(f'"{names[0]}"') == (4 if model == "gemini" else 3)
    assert not re.search(rf'"name":"{re.escape(CALLED)}"', second)


@pytest.mark.parametrize(("model", "path"), WAYS)
def test_so_does_the_client_of_a_stream(fleet, model, path):
    got = ask(fleet, {"model": model, "stream": True, **ASKED[path]}, path)
    assert got.status_code == 200, got.text
    assert set(re.findall(r'"name":"([^"]*)","?', got.text.partition('"tools":')[0] if path != "/responses" else got.text)) >= {CALLED}
    chosen = names_sent(model, fleet.host.requests[0].json)[1]
    assert f'"{chosen}"' not in got.text


def test_another_host_of_openai_s_dialect_takes_any_name(proxy, upstream):
    host = upstream()
    text = FLEET.format(url=host.url).replace(", quirks: {call_id_characters: 40}", "")
    assert ask(proxy(text), {"model": "openai", **ASKED["/messages"]}, "/messages").status_code == 200
    assert [each["function"]["name"] for each in host.requests[0].json["tools"]] == OURS
