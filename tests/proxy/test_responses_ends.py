"""How a Response of a host of the same dialect ended: its bytes are the client's, what it says of itself is the ledger's.

https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

FLEET = """
deployments:
  first: {{model: small, base_url: "{url}", zone: SE, parameters_b: 8, apis: [responses, messages], usd_per_mtok: {{input: 1, output: 2}}}}
"""
COUNTS = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
ITEM = {
    "type": "message",
    "id": "m1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello there, friend", "annotations": []}],
}
ERROR = {"code": "server_error", "message": "Sorry"}


def response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "created_at": 1, "model": "up", "status": status, "error": None, "output": [], **more}


def event(number: int, kind: str, **more: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, "sequence_number": number, **more}).encode())


@pytest.fixture
def ask(proxy, upstream):
    def asked(answer: dict[str, Any] | list[bytes], path: str = "/responses", **more: Any) -> tuple[httpx.Response, Any]:
        def answering(_, handler):
            return handler.events(answer) if isinstance(answer, list) else handler.reply(200, answer)

        served = proxy(FLEET.format(url=upstream(answering).url))
        body = {"model": "small", "input": "Hi", "stream": isinstance(answer, list), **more}
        got = httpx.post(served.url + path, json=body, timeout=10)
        return got, served.entries()[0]

    return asked


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (response("failed", error=ERROR, output=[ITEM]), "server_error"),
        (response("failed", usage=None), "upstream_error"),
        (response("completed", error=ERROR), "server_error"),
    ],
)
def test_a_failed_response_is_told_as_it_is_and_is_no_success(ask, answer, code):
    got, entry = ask(answer)
    assert (got.status_code, got.json()) == (200, answer)
    assert (entry.status, entry.outcome, entry.error) == (200, "failed", code)
    assert (entry.tokens.input, entry.tokens.output, entry.cost_usd) == (None, None, None)


def test_the_tokens_of_a_failed_response_are_accounted(ask):
    got, entry = ask(response("failed", error=ERROR, usage=COUNTS))
    assert got.json()["usage"].pop("greenlane")["id"] == entry.id
    assert (entry.outcome, entry.tokens.input, entry.tokens.output) == ("failed", 9, 3)


def test_an_incomplete_response_is_complete_as_an_exchange(ask):
    _, entry = ask(response("incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=COUNTS))
    assert (entry.outcome, entry.error) == ("completed", None)


CHOICE = {"index": 0, "finish_reason": "content_filter"}
CHAT = {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
CUT = response("incomplete", incomplete_details={"reason": "content_filter"}, output=[ITEM], usage=COUNTS)
CHUNK = {**CHAT, "object": "chat.completion.chunk", "choices": [{**CHOICE, "delta": {"content": "Hel"}}]}
REFUSED = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hel"}], "stop_reason": "refusal"}
CHATS = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
FILTERED: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "chat": ({**CHAT, "choices": [{**CHOICE, "message": {"role": "assistant", "content": "Hel"}}]}, "/chat/completions", CHATS),
    "chat, streamed": ([b"data: " + json.dumps(CHUNK).encode() + b"\n\ndata: [DONE]\n\n"], "/chat/completions", CHATS),
    "response": (CUT, "/responses", {}),
    "response, streamed": ([event(0, "response.incomplete", response=CUT)], "/responses", {}),
    "message": ({**REFUSED, "usage": {"input_tokens": 9, "output_tokens": 3}}, "/messages", CHATS),
}


@pytest.mark.parametrize("how", FILTERED)
def test_what_a_filter_cut_off_is_complete_as_an_exchange_in_every_dialect(proxy, upstream, how):
    """The vendor answered, and charges for it; why it ended stands in the answer."""
    answer, path, more = FILTERED[how]
    host = upstream(lambda _, handler: handler.events(answer) if isinstance(answer, list) else handler.reply(200, answer))
    served = proxy(FLEET.format(url=host.url).replace("apis: [", "apis: [chat, "))
    body = {"model": "small", "input": "Hi", "stream": isinstance(answer, list), **more}
    got = httpx.post(served.url + path, json=body, timeout=60)
    (entry,) = served.entries()
    assert (got.status_code, entry.status, entry.outcome, entry.error) == (200, 200, "completed", None)
    assert (entry.tokens.input, entry.tokens.output, entry.cost_usd) == (9, 3, pytest.approx(15e-6))
    lines = httpx.get(f"{served.base}/metrics", timeout=60).text.splitlines()
    (counted,) = [line for line in lines if line.startswith("greenlane_requests_total{")]
    assert 'code="200"' in counted
    assert not any(line.startswith("greenlane_upstream_errors_total{") for line in lines)


def test_a_stream_that_fails_is_no_success(ask):
    begun = event(0, "response.created", response=response("in_progress"))
    said = event(1, "response.output_text.delta", item_id="m1", output_index=0, content_index=0, delta="Hello")
    got, entry = ask([begun + said, event(2, "response.failed", response=response("failed", error=ERROR))])
    assert [name for name in ("event: response.failed", "event: error", "event: response.completed") if name in got.text] == [
        "event: response.failed",
        "event: error",
    ]
    assert (entry.status, entry.outcome, entry.error) == (200, "truncated", "server_error")


TWO = """
policies: {{listed: {{objective: cheapest}}}}
deployments:
  first: {{model: small, base_url: "{url}", zone: SE, upstream_model: a, apis: [responses], usd_per_mtok: {{input: 1, output: 1}}}}
  second: {{model: small, base_url: "{url}", zone: SE, upstream_model: b, apis: [responses], usd_per_mtok: {{input: 2, output: 2}}}}
"""
FAILED = {
    "some of it": response("failed", error=ERROR, output=[ITEM], usage=COUNTS),
    "counted": response("failed", error=ERROR, usage=COUNTS),
    "no error told": response("failed", output=[ITEM]),
    "nothing to show": response("failed", error=ERROR),
    "too many": response("failed", error={"code": "rate_limit_exceeded", "message": "Slow down"}, usage=COUNTS),
}
STREAMED = [
    event(0, "response.created", response=response("in_progress")),
    event(1, "response.in_progress", response=response("in_progress")),
    event(2, "response.failed", response=FAILED["counted"]),
]
WELL = response("completed", output=[ITEM], usage=COUNTS)


def told_by(answers: dict[str, Any]):
    def answering(received, handler):
        answer = answers[received.json["model"]]
        return handler.events(answer) if isinstance(answer, list) else handler.reply(200, answer)

    return answering


def failures(served: Any, deployment: str) -> float:
    lines = httpx.get(f"{served.base}/metrics", timeout=60).text.splitlines()
    found = [line for line in lines if line.startswith("greenlane_upstream_errors_total{") and f'deployment="{deployment}"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in found if 'kind="in_band"' in line)


@pytest.mark.parametrize("how", [*FAILED, "streamed"])
def test_what_failed_before_the_client_had_any_of_it_goes_to_the_next_deployment(proxy, upstream, how):
    well = [event(0, "response.output_item.done", item=ITEM), event(1, "response.completed", response=WELL)]
    answers = {"a": STREAMED, "b": well} if how == "streamed" else {"a": FAILED[how], "b": WELL}
    served = proxy(TWO.format(url=upstream(told_by(answers)).url))
    body = {"model": "small/listed", "input": "Hi", "stream": how == "streamed"}
    got = httpx.post(served.url + "/responses", json=body, timeout=60)
    assert got.status_code == 200
    assert "Hello there, friend" in got.text
    assert "failed" not in got.text
    entry = served.entry(got.headers["x-greenlane-id"])
    assert [(each["deployment"], each["kind"]) for each in entry["attempts"]] == [("first", "in_band"), ("second", "ok")]
    assert (entry["outcome"], entry["error"], entry["reason"]) == ("completed", None, "fallback")
    assert failures(served, "first") == 1


def test_where_all_fail_the_last_one_s_answer_is_the_client_s_and_both_are_left_alone(proxy, upstream):
    """After three failures in a row each: the next request is not sent anywhere. The key stands in no answer."""
    says = {**FAILED["some of it"], "error": {"code": "server_error", "message": "not for s3cret-of-ours"}}
    host = upstream(told_by({"a": says, "b": says}))
    text = TWO.format(url=host.url).replace("apis:", 'api_key: "env:OURS", apis:') + "breaker: {open_s: 3600}\n"
    served = proxy(text, environ={"OURS": "s3cret-of-ours"})
    for _ in range(3):
        got = httpx.post(served.url + "/responses", json={"model": "small", "input": "Hi"}, timeout=60)
        told = got.json()
        told["usage"].pop("greenlane")
        assert (got.status_code, told) == (200, {**says, "error": {"code": "server_error", "message": "not for ***"}})
        entry = served.entry(got.headers["x-greenlane-id"])
        assert [each["kind"] for each in entry["attempts"]] == ["in_band", "in_band"]
        assert (entry["outcome"], entry["error"], entry["tokens"]["output"]) == ("failed", "server_error", 3)
    assert httpx.post(served.url + "/responses", json={"model": "small", "input": "Hi"}, timeout=60).status_code == 503
    assert len(host.requests) == 6


@pytest.mark.parametrize("code", ["invalid_prompt", "context_length_exceeded", "image_too_large", "failed_to_download_image"])
@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_a_response_that_failed_for_the_request_s_sake_fails_once(proxy, upstream, code, how):
    """Another deployment would say the same, and none is down for it."""
    answer = response("failed", error={"code": code, "message": "Sorry"}, **({"usage": COUNTS} if how == "whole" else {}))
    says = answer if how == "whole" else [*STREAMED[:2], event(2, "response.failed", response=answer)]
    host = upstream(told_by({"a": says, "b": says}))
    served = proxy(TWO.format(url=host.url))
    for number in range(4):
        got = httpx.post(served.url + "/responses", json={"model": "small", "input": "Hi", "stream": how == "streamed"}, timeout=60)
        assert len(host.requests) == number + 1
        assert got.status_code == (200 if how == "whole" else 400)
        entry = served.entry(got.headers["x-greenlane-id"])
        assert (entry["outcome"], entry["error"], len(entry["attempts"])) == ("failed", code, 1)


@pytest.mark.parametrize("absent", [{}, {"usage": None}], ids=["absent", "null"])
def test_a_response_without_usage_gets_what_was_counted(ask, absent):
    answer = response("completed", output=[ITEM], **absent)
    got, entry = ask(answer)
    usage = got.json()["usage"]
    assert usage.pop("greenlane")["id"] == entry.id
    assert {**got.json(), "usage": None} == {**answer, "usage": None}
    assert (usage["input_tokens"], usage["output_tokens"]) == (entry.tokens.input, entry.tokens.output)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_tokens"] > 1
    assert entry.tokens.estimated


def test_so_does_one_that_is_streamed(ask):
    said = event(0, "response.output_text.delta", item_id="m1", output_index=0, content_index=0, delta="Hello there, friend")
    got, entry = ask([said, event(1, "response.completed", response=response("completed", output=[ITEM]))])
    last = json.loads(got.text.rpartition("data: ")[2])
    assert last["response"]["usage"]["greenlane"]["id"] == entry.id
    assert last["response"]["usage"]["output_tokens"] == entry.tokens.output > 0


def test_a_message_without_usage_counts_its_words(ask):
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello there, friend"}]}
    messages = [{"role": "user", "content": "Hi"}]
    got, entry = ask({**answer, "stop_reason": "end_turn"}, "/messages", messages=messages, max_tokens=9)
    assert got.json()["usage"]["output_tokens"] == entry.tokens.output > 1
