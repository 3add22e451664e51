r"""An upstream that cuts characters in two (`\ud83d` without `\ude00`), whole and streamed, through every pair of dialects.

Clients of the upstream's dialect get its bytes, the others what can be read of them, and every answer its account.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness import ask

FLEET = """
deployments:
  openai: {{model: openai, base_url: "{url}", apis: [chat], {more}}}
  responses: {{model: responses, base_url: "{url}", apis: [responses], {more}}}
  anthropic: {{model: anthropic, dialect: anthropic, upstream_model: claude-sonnet-4-6, base_url: "{url}", {more}}}
  gemini: {{model: gemini, dialect: gemini, upstream_model: gemini-3-flash-preview, base_url: "{url}", {more}}}
"""
MORE = "usd_per_mtok: {input: 1, output: 1}"
HI = [{"role": "user", "content": "Hi"}]
ASKED = {
    "/chat/completions": {"messages": HI},
    "/messages": {"messages": HI, "max_tokens": 9},
    "/responses": {"input": "Hi"},
}
OWN = {"openai": "/chat/completions", "responses": "/responses", "anthropic": "/messages"}
WAYS = [(model, path) for model in ("openai", "anthropic", "gemini") for path in ASKED] + [("responses", "/responses")]


def whole(model: str, text: str, **usage: int) -> dict[str, Any]:
    if model == "openai":
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        counts = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        return {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice], "usage": counts}
    if model == "anthropic":
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "up", "stop_reason": "end_turn"}
        return {**head, "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 9, "output_tokens": 3}}
    if model == "gemini":
        said = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}
        return {"candidates": [said], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}}
    item = {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "up", "status": "completed", "error": None, "output": [item]}
    return {**head, "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}}


def streamed(model: str, pieces: list[str]) -> list[bytes]:
    if model == "openai":
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up"}
        said = [{**head, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
        end = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        last = {**head, "choices": [], "usage": whole("openai", "")["usage"]}
        return [*(b"data: %b\n\n" % json.dumps(each).encode() for each in (*said, end, last)), b"data: [DONE]\n\n"]
    if model == "gemini":
        parts = [{"candidates": [{"content": {"role": "model", "parts": [{"text": piece}]}, "index": 0}]} for piece in pieces]
        return [b"data: %b\n\n" % json.dumps(each).encode() for each in (*parts, whole("gemini", ""))]
    if model == "anthropic":
        start = {**whole("anthropic", ""), "content": [], "stop_reason": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
            {"type": "message_stop"},
        ]
    else:
        base = {"item_id": "m1", "output_index": 0, "content_index": 0}
        events = [
            *({"type": "response.output_text.delta", **base, "delta": piece} for piece in pieces),
            {"type": "response.completed", "response": whole("responses", "".join(pieces))},
        ]
    return [b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events]


def text_of(path: str, answer: dict[str, Any]) -> str:
    match path:
        case "/chat/completions":
            return answer["choices"][0]["message"]["content"]
        case "/messages":
            return answer["content"][0]["text"]
    return answer["output"][0]["content"][0]["text"]


def text_in(stream: str) -> str:
    found = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    chats = [choice["delta"].get("content") or "" for each in found for choice in each.get("choices", ())]
    deltas = [each["delta"] for each in found if each.get("type") == "response.output_text.delta"]
    blocks = [each["delta"]["text"] for each in found if each.get("type") == "content_block_delta"]
    return "".join([*chats, *deltas, *blocks])


@pytest.fixture
def served(proxy, upstream):
    def made(answer, more=MORE):
        data = answer if isinstance(answer, list) else json.dumps(answer).encode()
        host = upstream(lambda _, handler: handler.events(data) if isinstance(data, list) else handler.reply(200, data))
        return proxy(FLEET.format(url=host.url, more=more)), data

    return made


@pytest.mark.parametrize(("model", "path"), WAYS)
@pytest.mark.parametrize("text", ["Hi \ud83d there", "\ude00", "Hi \ud83d"])
def test_a_whole_answer_with_half_a_character_is_told(served, model, path, text):
    proxy, sent = served(whole(model, text))
    got = ask(proxy, {"model": model, **ASKED[path]}, path)
    assert got.status_code == 200, got.text
    told = json.loads(got.content)
    account = told["usage"]["greenlane"]
    assert account["cost_usd"] == pytest.approx(12e-6)
    if OWN.get(model) == path:
        assert text_of(path, told) == text
        before, mark, after = got.content.partition(b',"greenlane":')
        assert mark
        assert sent.startswith(before)
        assert sent.endswith(after[after.index(b"}") + 1 :])
    else:
        assert text_of(path, told) == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    (entry,) = proxy.entries()
    assert (entry.outcome, entry.tokens.input, entry.tokens.output) == ("completed", 9, 3)


CUTS = {
    "joined": (["Hi \ud83d", "\ude00 there"], "Hi \U0001f600 there"),
    "alone": (["Hi \ud83d", " there"], "Hi \ufffd there"),
    "the second alone": (["Hi", "\ude00 there"], "Hi\ufffd there"),
    "at the end": (["Hi", " there\ud83d"], "Hi there\ufffd"),
    "in the middle": (["Hi \ud83d there", "!"], "Hi \ufffd there!"),
    "twice": (["\ud83d", "\ude00\ud83d", "\ude00"], "\U0001f600\U0001f600"),
}


@pytest.mark.parametrize(("model", "path"), WAYS)
@pytest.mark.parametrize("cut", CUTS)
def test_a_stream_that_cuts_characters_in_two_is_told(served, model, path, cut):
    pieces, text = CUTS[cut]
    proxy, sent = served(streamed(model, pieces))
    asked = {"stream_options": {"include_usage": True}} if path == "/chat/completions" else {}
    got = ask(proxy, {"model": model, "stream": True, **ASKED[path], **asked}, path)
    assert got.status_code == 200, got.text
    if OWN.get(model) == path:
        for event in sent:
            if any(json.dumps(piece).encode() in event for piece in pieces) and b"response.completed" not in event:
                assert event in got.content
        assert text_in(got.text) == "".join(pieces)
    else:
        assert text_in(got.text) == text
    assert '"greenlane":{' in got.text
    (entry,) = proxy.entries()
    assert (entry.outcome, entry.tokens.input, entry.tokens.output) == ("completed", 9, 3)


def test_the_last_event_of_a_response_keeps_its_halves_and_has_its_account(served):
    proxy, sent = served(streamed("responses", ["Hi \ud83d"]))
    got = ask(proxy, {"model": "responses", "input": "Hi", "stream": True}, "/responses")
    before, _, after = got.content[got.content.rindex(b"data: ") :].partition(b',"greenlane":')
    assert before in sent[-1]
    assert sent[-1].endswith(after[after.index(b"}") + 1 :])


@pytest.mark.parametrize("model", ["openai", "anthropic", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_half_characters_are_counted_where_nobody_else_counts(served, model, stream):
    answer: Any = whole(model, "Hello there \ud83d friend")
    answer.pop("usage")
    if stream:
        events = [json.loads(each.partition(b"data: ")[2]) for each in streamed(model, ["Hello there \ud83d", " friend"]) if b"{" in each]
        for each in events:
            for holder in (each, each.get("message") or {}, each.get("response") or {}):
                holder.pop("usage", None)
        kept = [each for each in events if each.get("choices") != []]
        lines = [b"data: %b\n\n" % json.dumps(each).encode() for each in kept] + ([b"data: [DONE]\n\n"] if model == "openai" else [])
        answer = lines
    proxy, _ = served(answer)
    for _ in range(2):
        got = ask(proxy, {"model": model, "stream": stream, **ASKED[OWN[model]]}, OWN[model])
        assert got.status_code == 200, got.text
    for entry in proxy.entries(2):
        assert (entry.outcome, entry.tokens.estimated) == ("completed", True)
        assert 1 < entry.tokens.output < 12


def test_half_a_character_in_the_arguments_of_a_call_is_told(served):
    """Where they are a text within the text, the client of another dialect still gets an object."""
    answer = whole("openai", "")
    function = {"name": "f", "arguments": json.dumps({"a": "Hi \ud83d"})}
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    answer["choices"] = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    proxy, _ = served(answer)
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    got = ask(proxy, {"model": "openai", **ASKED["/messages"], "tools": tools}, "/messages").json()
    assert got["content"][0]["input"] == {"a": "Hi \ufffd"}


ERRORS = {
    "openai": {"error": {"message": "No \ud83d", "type": "invalid_request_error", "code": "odd", "param": None}},
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": "No \ud83d"}},
    "gemini": {"error": {"code": 400, "message": "No \ud83d", "status": "INVALID_ARGUMENT"}},
}


@pytest.mark.parametrize("model", ERRORS)
def test_an_error_with_half_a_character_says_what_it_says(proxy, upstream, model):
    served = proxy(FLEET.format(url=upstream(lambda _, handler: handler.reply(400, ERRORS[model])).url, more=MORE))
    got = ask(served, {"model": model, "messages": HI})
    assert (got.status_code, got.json()["error"]["message"]) == (400, "No \ufffd")
