"""An upstream that tells our key at it, in whatever place of its answer: neither clients nor the ledger learn it."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest

from tests.harness import ask, serving, until

KEY = "zq7+HOUSE/KEY=0123456789abcdef"
FLEET = """
deployments:
  only: {{model: small, base_url: "{url}", api_key: "env:TOLD_KEY", apis: [chat, responses, speech]}}
breaker: {{failures: 1000}}
"""
CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
SPEECH = {"model": "small", "input": "Hi", "voice": "alloy"}
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
GOOD = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [MESSAGE]}
OUTPUT = [{"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}]
FAILED = {"id": "resp_1", "object": "response", "status": "failed", "output": OUTPUT, "model": "m"}
WRITTEN = {
    "as it is": KEY,
    "in a URL": urllib.parse.quote(KEY, safe=""),
    "in base64": base64.b64encode(KEY.encode()).decode(),
    "in base64 with its scheme": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("told"), {"TOLD_KEY": KEY}) as made:
        yield made


def hidden(served, answer):
    """Neither the answer nor its entry tells it, in no way to write it."""
    told = answer.text + str(dict(answer.headers)) + json.dumps(served.entry(answer.headers["x-greenlane-id"]))
    return [way for way, text in WRITTEN.items() if text.rstrip("=") in told] == []


@pytest.mark.parametrize("way", WRITTEN)
@pytest.mark.parametrize("status", [400, 500])
def test_an_error_is_told_without_it(served, way, status):
    error = {"message": f"the key {WRITTEN[way]} is wrong", "type": WRITTEN[way], "code": WRITTEN[way], "param": WRITTEN[way]}
    served.host.answer = lambda _, handler: handler.reply(status, {"error": error})
    answer = ask(served, CHAT)
    assert answer.status_code == (400 if status == 400 else 502)
    assert hidden(served, answer)


@pytest.mark.parametrize("way", WRITTEN)
def test_a_response_that_failed_half_way_is_told_without_it(served, way):
    text = WRITTEN[way]
    error = {"code": text, "message": f"refused by {text}", "more": [{"key": text}]}
    served.host.answer = lambda _, handler: handler.reply(200, {**FAILED, "error": error})
    answer = ask(served, {"model": "small", "input": "Hi"}, "/responses")
    assert (answer.status_code, answer.json()["status"], answer.json()["output"]) == (200, "failed", OUTPUT)
    assert hidden(served, answer)
    assert served.entry(answer.headers["x-greenlane-id"])["outcome"] == "failed"


HEADERS = ("x-request-id", "retry-after", "x-ratelimit-limit-requests", "openai-processing-ms", "openai-model", "content-disposition")


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("status", [200, 429])
def test_a_header_is_passed_on_without_it(served, name, status):
    body = GOOD if status == 200 else {"error": {"message": "slow down"}}
    served.host.answer = lambda _, handler: handler.reply(status, body, {name: f"a {KEY} b"})
    answer = ask(served, CHAT)
    assert answer.status_code == status
    assert hidden(served, answer)


def test_neither_does_a_media_type_tell_it(served):
    served.host.answer = lambda _, handler: handler.reply(200, b"RIFF", {"content-type": f"audio/wav; by={KEY}"})
    answer = ask(served, SPEECH, "/audio/speech")
    assert (answer.content, answer.headers["content-type"]) == (b"RIFF", "audio/wav; by=***")


def test_an_entry_keeps_a_report_of_energy_without_it(served):
    report = {"energy_joules": 5, "note": KEY, KEY: 1, "grid_id": "SE"}
    served.host.answer = lambda _, handler: handler.reply(200, {**GOOD, "energy": report})
    answer = ask(served, CHAT)
    kept = served.entry(answer.headers["x-greenlane-id"])["provider_report"]
    assert (kept["energy_joules"], kept["grid_id"]) == (5, "SE")
    assert KEY not in str(kept)


def test_an_entry_keeps_no_sentence_for_a_code(served):
    served.host.answer = lambda _, handler: handler.reply(
        400, {"error": {"message": "no", "code": "you asked: the merger is called Hollyhock"}}
    )
    answer = ask(served, CHAT)
    assert served.entry(answer.headers["x-greenlane-id"])["error"] == "upstream_error"


def test_nothing_on_disk_holds_it(served):
    until(lambda: served.call(lambda runtime: runtime.worker.pending) == 0)
    for file in served.folder.iterdir():
        assert KEY.encode() not in file.read_bytes(), file.name
