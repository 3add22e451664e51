"""What vendors charge for the searches of the web that they make: in the cost of an answer, and in what a request may cost.

Each upstream tells its searches as its API does; a search is 1 cent, a token nothing.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from proxy.configuration import key_hash
from tests.harness import ask, completion

FLEET = """
deployments:
  openai: {{model: openai, base_url: "{url}", {price}, apis: [chat, responses]}}
  chat: {{model: chat, base_url: "{url}", {price}, apis: [chat]}}
  anthropic: {{model: anthropic, dialect: anthropic, upstream_model: claude-sonnet-4-6, base_url: "{url}", {price}}}
  gemini: {{model: gemini, dialect: gemini, upstream_model: gemini-3-flash-preview, base_url: "{url}", {price}}}
"""
PRICED = "usd_per_mtok: {input: 0, output: 0}, usd_per_search: 0.01"
HI = [{"role": "user", "content": "Hi"}]


def typed(*bodies: dict[str, Any]) -> list[bytes]:
    """Events under the name of their type."""
    return [b"event: %b\ndata: %b\n\n" % (body["type"].encode(), json.dumps(body).encode()) for body in bodies]


def call(number: int, action: dict[str, Any] | None, status: str = "completed") -> dict[str, Any]:
    return {"id": f"ws_{number}", "type": "web_search_call", "status": status, **({"action": action} if action else {})}


SEARCH = {"type": "search", "query": "open_page", "queries": ["open_page"]}
CALLS = [
    call(1, SEARCH),
    call(2, {"type": "open_page", "url": "https://e.org"}),
    call(3, {"type": "find_in_page", "url": "https://e.org", "pattern": "x"}),
    call(4, SEARCH, "failed"),
    call(5, None),
]
"""Two that are charged for: https://platform.openai.com/docs/guides/tools-web-search#output-and-citations"""
MESSAGE = {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}
COUNTS = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


def response(output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "up",
        "status": "completed",
        "error": None,
        "output": [*output, MESSAGE],
        "usage": COUNTS,
        **more,
    }


def streamed_response(whole: dict[str, Any]) -> list[bytes]:
    done = [{"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate(whole["output"])]
    delta = {"type": "response.output_text.delta", "item_id": "m1", "output_index": 9, "content_index": 0, "delta": "Hello"}
    return typed(*done, delta, {"type": "response.completed", "response": whole})


FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
BLOCKS = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
    FOUND,
    {**FOUND, "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"}},
    {"type": "text", "text": "Hello"},
]
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "up",
    "content": BLOCKS,
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 3, "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 4}},
}


def streamed_message(whole: dict[str, Any], *, until: int | None = None) -> list[bytes]:
    start = {
        "type": "message_start",
        "message": {**whole, "content": [], "stop_reason": None, "usage": {"input_tokens": 9, "output_tokens": 1}},
    }
    blocks: list[dict[str, Any]] = []
    for at, block in enumerate(whole["content"]):
        opened = {**block, "text": ""} if block["type"] == "text" else block
        blocks.append({"type": "content_block_start", "index": at, "content_block": opened})
        if block["type"] == "text":
            blocks.append({"type": "content_block_delta", "index": at, "delta": {"type": "text_delta", "text": block["text"]}})
        blocks.append({"type": "content_block_stop", "index": at})
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": whole["usage"]}
    return typed(start, *blocks, end, {"type": "message_stop"})[:until]


def grounded(model: str, queries: list[str], **counts: Any) -> dict[str, Any]:
    said = {"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP", "index": 0}
    told = {"webSearchQueries": queries, "groundingChunks": []}
    metadata = {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12, **counts}
    return {"candidates": [{**said, "groundingMetadata": told}], "usageMetadata": metadata, "modelVersion": model}


def streamed_grounded(whole: dict[str, Any]) -> list[bytes]:
    """The queries come before the end, which tells the counts again."""
    last = {"candidates": [{"content": {"parts": []}, "finishReason": "STOP", "index": 0}], "usageMetadata": whole["usageMetadata"]}
    return [b"data: %b\n\n" % json.dumps(each).encode() for each in (whole, {**last, "modelVersion": whole["modelVersion"]})]


def chat(**counts: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, **counts}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice], "usage": usage}


def streamed_chat(whole: dict[str, Any]) -> list[bytes]:
    said = {**whole, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}]}
    said.pop("usage")
    last = {**said, "choices": [], "usage": whole["usage"]}
    return [*(b"data: %b\n\n" % json.dumps(each).encode() for each in (said, last)), b"data: [DONE]\n\n"]


OWN = [{"tool": "GOOGLE_SEARCH_RETRIEVAL", "successfulToolCallCount": 4}]
XAI = {**COUNTS, "server_side_tool_usage_details": {"web_search_calls": 3}}
TOLD = {
    "items of a Response": ("openai", response(CALLS), streamed_response, 2),
    "OpenAI's count": ("openai", response(CALLS, tool_usage={"web_search": {"num_requests": 1}}), streamed_response, 1),
    "xAI's count": ("openai", response(CALLS, usage=XAI), streamed_response, 3),
    "Anthropic's count": ("anthropic", CLAUDE, streamed_message, 2),
    "queries, each once": ("gemini", grounded("gemini-3-flash-preview", ["a", "", "b", "a"]), streamed_grounded, 2),
    "prompts of an earlier Gemini": ("gemini", grounded("gemini-2.5-flash", ["a", "b"]), streamed_grounded, 1),
    "Google's count": ("gemini", grounded("gemini-3-flash", ["a"], billedToolCalls=OWN), streamed_grounded, 4),
    "OpenRouter's count": ("chat", chat(server_tool_use={"web_search_requests": 2}), streamed_chat, 2),
}
PATHS = {
    "/responses": {"input": "Hi", "tools": [{"type": "web_search"}]},
    "/messages": {"messages": HI, "max_tokens": 9, "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "/chat/completions": {"messages": HI, "stream_options": {"include_usage": True}},
}
WAYS = [
    (case, path)
    for case, (model, *_) in TOLD.items()
    for path in PATHS
    if (model != "openai" or path == "/responses") and (model != "chat" or path == "/chat/completions")
]


@pytest.fixture
def fleet(proxy, upstream):
    def made(answer, price=PRICED, more=""):
        def answering(_, handler):
            return handler.events(answer) if isinstance(answer, list) else handler.reply(200, answer)

        return proxy(FLEET.format(url=upstream(answering).url, price=price) + more)

    return made


def account_in(stream: str) -> Any:
    return next(json.loads(line.removeprefix(": greenlane ")) for line in stream.splitlines() if line.startswith(": greenlane "))


@pytest.mark.parametrize(("case", "path"), WAYS)
def test_searches_are_in_the_cost_of_a_whole_answer(fleet, case, path):
    model, answer, _, searches = TOLD[case]
    served = fleet(answer)
    body = {name: value for name, value in PATHS[path].items() if name != "stream_options"}
    got = ask(served, {"model": model, **body}, path)
    assert got.status_code == 200, got.text
    told = got.json()["usage"]["greenlane"]
    assert told["cost_usd"] == pytest.approx(searches / 100)
    assert float(got.headers["x-greenlane-cost-usd"]) == pytest.approx(searches / 100)
    entry = served.entry(told["id"])
    assert (entry["tokens"]["searches"], entry["account"]["cost_usd"]) == (searches, pytest.approx(searches / 100))


@pytest.mark.parametrize(("case", "path"), WAYS)
def test_searches_are_in_the_cost_of_a_stream(fleet, case, path):
    model, answer, streamed, searches = TOLD[case]
    served = fleet(streamed(answer))
    got = ask(served, {"model": model, "stream": True, **PATHS[path]}, path)
    assert got.status_code == 200, got.text
    assert account_in(got.text)["cost_usd"] == pytest.approx(searches / 100)
    (entry,) = served.entries()
    assert (entry.outcome, entry.tokens.searches, entry.cost_usd) == ("completed", searches, pytest.approx(searches / 100))
    metrics = httpx.get(f"{served.base}/metrics", timeout=60).text.splitlines()
    (told,) = [line for line in metrics if line.startswith("greenlane_cost_usd_total{")]
    assert float(told.rpartition(" ")[2]) == pytest.approx(searches / 100)
    (used,) = httpx.get(f"{served.url}/greenlane/usage", timeout=60).json()["data"]
    assert used["cost_usd"] == pytest.approx(searches / 100)


CUT = {
    "a Response": ("openai", "/responses", streamed_response(response(CALLS))[:-1], 2),
    "a message": ("anthropic", "/messages", streamed_message(CLAUDE)[:-2], 1),
    "a translated message": ("anthropic", "/chat/completions", streamed_message(CLAUDE)[:-2], 1),
}


@pytest.mark.parametrize("case", CUT)
def test_searches_of_a_stream_that_broke_are_counted_as_they_came(fleet, case):
    model, path, events, searches = CUT[case]
    served = fleet(events)
    ask(served, {"model": model, "stream": True, **PATHS[path]}, path)
    (entry,) = served.entries()
    assert (entry.outcome, entry.tokens.searches, entry.cost_usd) == ("truncated", searches, pytest.approx(searches / 100))


def test_a_messages_client_is_told_the_searches_of_another_vendor(fleet):
    served = fleet(grounded("gemini-3-flash-preview", ["a", "b"]))
    usage = ask(served, {"model": "gemini", **PATHS["/messages"]}, "/messages").json()["usage"]
    assert usage["server_tool_use"] == {"web_search_requests": 2, "web_fetch_requests": 0}


@pytest.mark.parametrize(("price", "cost"), [("privacy: vendor", None), ("privacy: local", 0.0), ("usd_per_search: 0", 0.0)])
def test_what_a_search_costs_is_unknown_unless_it_is_said(fleet, price, cost):
    """On our own machines nobody charges for one. An answer without any costs what its tokens cost."""
    served = fleet(response(CALLS), f"usd_per_mtok: {{input: 0, output: 0}}, {price}")
    body = {"model": "openai", **PATHS["/responses"]}
    assert ask(served, body, "/responses").json()["usage"]["greenlane"]["cost_usd"] == cost
    plain = fleet(response([]), f"usd_per_mtok: {{input: 0, output: 0}}, {price}")
    assert ask(plain, body, "/responses").json()["usage"]["greenlane"]["cost_usd"] == 0.0


def test_a_budget_counts_the_tokens_of_an_answer_whose_searches_are_of_unknown_price(fleet):
    """9 and 3 tokens at 1000 $ a million are 1.2 cents: a search must not hide them."""
    keys = f"""teams: {{all: {{budget: {{per: month, usd: 0.012}}}}}}
keys: {{one: {{team: all, key: "sha256:{key_hash("sk-one")}"}}}}
"""
    served = fleet(response(CALLS), "usd_per_mtok: {input: 1000, output: 1000}", keys)
    body = {"model": "openai", **PATHS["/responses"]}
    assert [ask(served, body, "/responses", authorization="Bearer sk-one").status_code for _ in range(2)] == [200, 429]
    # 8 of the 9 from the cache, at nothing: 0.4 cents, three of which are the budget
    cached = response(CALLS, usage={**COUNTS, "input_tokens_details": {"cached_tokens": 8}})
    cheaper = fleet(cached, "usd_per_mtok: {input: 1000, cached: 0, output: 1000}", keys)
    assert [ask(cheaper, body, "/responses", authorization="Bearer sk-one").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_chat_completions_that_tell_no_number_searched_once(fleet):
    """OpenAI's models do, whenever the options are there; where the price is not said, nothing is taken for granted."""
    asked = {"model": "chat", "messages": HI, "web_search_options": {}}
    served = fleet(chat())
    assert ask(served, asked).json()["usage"]["greenlane"]["cost_usd"] == pytest.approx(0.01)
    assert ask(served, {**asked, "web_search_options": None}).json()["usage"]["greenlane"]["cost_usd"] == 0.0
    unsaid = fleet(chat(), "usd_per_mtok: {input: 0, output: 0}")
    assert ask(unsaid, asked).json()["usage"]["greenlane"]["cost_usd"] == 0.0


MESSAGES = PATHS["/messages"]
RESPONSES = PATHS["/responses"]
TOOL = MESSAGES["tools"][0]
CAPS = {
    "offered": ("openai", "/responses", RESPONSES, 10),
    "none of it": ("openai", "/responses", {**RESPONSES, "tool_choice": "none"}, 0),
    "bounded": ("openai", "/responses", {**RESPONSES, "max_tool_calls": 2}, 2),
    "another tool": ("openai", "/responses", {"input": "Hi", "tools": [{"type": "function", "name": "web_search", "parameters": {}}]}, 0),
    "offered to Claude": ("anthropic", "/messages", MESSAGES, 10),
    "bounded for Claude": ("anthropic", "/messages", {**MESSAGES, "tools": [{**TOOL, "max_uses": 3}]}, 3),
    "Claude may not": ("anthropic", "/messages", {**MESSAGES, "tool_choice": {"type": "none"}}, 0),
    "translated": ("gemini", "/messages", MESSAGES, 10),
    "always, and once": ("chat", "/chat/completions", {"messages": HI, "web_search_options": {}}, 1),
    "through chat": ("chat", "/responses", RESPONSES, 1),
    "of a chat": ("gemini", "/chat/completions", {"messages": HI, "web_search_options": {}}, 10),
}


@pytest.mark.parametrize("case", CAPS)
def test_a_cap_on_cost_counts_all_that_may_be_searched(fleet, case):
    model, path, body, searches = CAPS[case]
    answers = {"openai": response([]), "anthropic": CLAUDE, "gemini": grounded("gemini-3-flash", []), "chat": chat()}
    served = fleet(answers[model])
    cap_usd = searches / 100
    assert ask(served, {"model": model, **body}, path, x_greenlane_max_usd=str(cap_usd + 0.001)).status_code == 200
    if searches:
        assert ask(served, {"model": model, **body}, path, x_greenlane_max_usd=str(cap_usd - 0.001)).status_code == 422


def test_the_ceiling_of_searches_is_a_setting(fleet):
    served = fleet(response([]), more="limits: {search_ceiling: 2}\n")
    body = {"model": "openai", **RESPONSES}
    assert ask(served, body, "/responses", x_greenlane_max_usd="0.021").status_code == 200
    assert ask(served, body, "/responses", x_greenlane_max_usd="0.019").status_code == 422


def test_a_cap_on_cost_refuses_searches_of_unknown_price(fleet):
    served = fleet(response([]), "usd_per_mtok: {input: 0, output: 0}")
    assert ask(served, {"model": "openai", **RESPONSES}, "/responses", x_greenlane_max_usd="100").status_code == 422
    assert ask(served, {"model": "openai", "input": "Hi"}, "/responses", x_greenlane_max_usd="100").status_code == 200


@pytest.mark.parametrize(
    "tools", [rb'[{"type":"web\u005fsearch"}]', rb'[{"\u0074ype":"web_search"}]', rb'[{"\u0074ype":"web\u005fsearch"}]']
)
def test_a_cap_on_cost_sees_a_search_however_it_is_written(fleet, tools):
    served = fleet(response([]))
    headers = {"x-greenlane-max-usd": "0.019", "content-type": "application/json"}
    body = b'{"model":"openai","input":"Hi","tools":' + tools + b"}"
    assert httpx.post(served.url + "/responses", content=body, headers=headers, timeout=60).status_code == 422


TWO = """
policies: {{cheap: {{objective: cheapest}}}}
deployments:
  dear: {{model: small, base_url: "{url}", apis: [responses], usd_per_mtok: {{input: 1, output: 1}}, usd_per_search: 0.001}}
  cheap: {{model: small, base_url: "{url}", apis: [responses], usd_per_mtok: {{input: 0.1, output: 0.1}}, usd_per_search: 0.02}}
  unsaid: {{model: small, base_url: "{url}", apis: [responses], usd_per_mtok: {{input: 0.01, output: 0.01}}}}
"""


def test_the_cheapest_is_so_with_the_search_that_is_asked_for(proxy, upstream):
    """What is only offered an agent's model hardly ever takes: that does not turn the order."""
    served = proxy(TWO.format(url=upstream(lambda _, handler: handler.reply(200, response([]))).url))
    asked = {"model": "small/cheap", "input": "Hi", "tools": [{"type": "web_search"}]}
    forced = [
        {"tool_choice": "required"},
        {"tool_choice": {"type": "web_search"}},
    ]
    assert ask(served, asked, "/responses").headers["x-greenlane-deployment"] == "unsaid"
    for more in forced:
        assert ask(served, {**asked, **more}, "/responses").headers["x-greenlane-deployment"] == "dear"
    assert ask(served, {**asked, "tool_choice": "auto"}, "/responses").headers["x-greenlane-deployment"] == "unsaid"


def test_an_answer_without_searches_has_none(proxy, upstream):
    served = proxy(FLEET.format(url=upstream(completion).url, price=PRICED))
    assert ask(served, {"model": "chat", "messages": HI}).json()["usage"]["greenlane"]["cost_usd"] == 0.0
    (entry,) = served.entries()
    assert entry.tokens.searches is None
