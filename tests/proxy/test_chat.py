"""A chat completion from an official client through the proxy to an OpenAI-speaking upstream, and everything it carries."""

from __future__ import annotations

import json

import httpx
import openai
import pytest

from tests.harness import USAGE, completion

FLEET = """
models: {{auto: {{members: [small]}}}}
deployments:
  north:
    {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: SE, privacy: local,
      usd_per_mtok: {{input: 1.0, output: 2.0}}}}
"""


@pytest.fixture
def client(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url))
    return openai.OpenAI(base_url=served.url, api_key="unused", max_retries=0)


def test_a_whole_answer_carries_the_account_in_headers_and_in_usage(client):
    raw = client.chat.completions.with_raw_response.create(model="small", messages=[{"role": "user", "content": "Hi"}])
    answer = raw.parse()
    assert answer.choices[0].message.content == "Hello!"
    account = answer.usage.greenlane
    assert account["deployment"] == "north"
    assert account["method"] == "flops_roofline"
    assert account["carbon_low_g"] < account["carbon_g"] < account["carbon_high_g"]
    assert account["cost_usd"] == pytest.approx((9 * 1.0 + 3 * 2.0) / 1e6)
    assert raw.headers["x-greenlane-id"] == account["id"]
    assert float(raw.headers["x-carbon-g"]) == pytest.approx(account["carbon_g"], rel=0.06)
    assert raw.headers["x-greenlane-reason"] == "only"
    assert raw.headers["x-carbon-zone"] == "SWE"


def test_a_stream_withholds_usage_nobody_asked_for_and_ends_with_the_account_beside_done(client):
    with client.chat.completions.with_streaming_response.create(
        model="small", messages=[{"role": "user", "content": "Hi"}], stream=True
    ) as response:
        lines = [line for line in response.iter_lines() if line]
        assert "x-carbon-forecast-g" in response.headers
        assert "x-carbon-g" not in response.headers
    assert not any('"usage": {' in line for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert lines[-2].startswith(": greenlane {")
    assert json.loads(lines[-2].removeprefix(": greenlane "))["deployment"] == "north"


def test_usage_that_was_asked_for_comes_last_with_the_account(client):
    chunks = list(
        client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "Hi"}], stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(each.choices[0].delta.content or "" for each in chunks[:-1]) == "Hello!"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens == USAGE["prompt_tokens"]
    assert chunks[-1].usage.greenlane["deployment"] == "north"


def test_the_request_reaches_the_upstream_with_only_the_model_changed(proxy, upstream):
    """The client's own members, unknown ones too, arrive byte for byte; ours never do."""
    host = upstream()
    served = proxy(FLEET.format(url=host.url))
    body = (
        b'{ "model":"small",  "messages":[{"role":"user","content":"\\u00e9 \xc3\xa9"}], "x_unknown": {"a":1.50}, "greenlane":{"max_g":5} }'
    )
    answer = httpx.post(f"{served.url}/chat/completions", content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 200, answer.text
    sent = host.requests[0]
    assert sent.json == {"model": "Qwen/Qwen3-8B", "messages": [{"role": "user", "content": "é é"}], "x_unknown": {"a": 1.5}}
    assert b'{"a":1.50}' in sent.body
    assert sent.path == "/v1/chat/completions"


def test_the_answer_differs_from_the_upstreams_bytes_only_by_the_account(proxy, upstream):
    answer = (
        b'{"id":"c1","object":"chat.completion","created":1,"model":"up", "choices":[{"index":0,"message":'
        b'{"role":"assistant","content":"\\u00e9"},"finish_reason":"stop"}],\n'
        b' "usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2},"x":1.0}'
    )
    served = proxy(FLEET.format(url=upstream(lambda _, handler: handler.reply(200, answer)).url))
    got = httpx.post(f"{served.url}/chat/completions", json={"model": "small", "messages": []}, timeout=60).content
    before, mark, rest = got.partition(b',"greenlane":')
    assert mark
    assert before + rest[rest.index(b"}") + 1 :] == answer


def test_the_ledger_keeps_what_was_done_and_why(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url))
    answer = httpx.post(
        f"{served.url}/chat/completions", json={"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}, timeout=60
    )
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert entry["model_requested"] == "auto"
    assert entry["deployment"] == "north"
    counts = {"input": 9, "cached": None, "cache_write": None, "output": 3, "reasoning": None}
    assert entry["tokens"] == {**counts, "estimated": False, "searches": None}
    assert entry["outcome"] == "completed"
    assert entry["account"]["method"] == "flops_roofline"
    assert entry["attempts"][0]["deployment"] == "north"
    assert entry["profile"]["total_b"] == pytest.approx(8.2, rel=0.05)


def test_an_upstream_without_usage_is_counted_and_flagged(proxy, upstream):
    def silent(received, handler):
        if received.json.get("stream"):
            from tests.harness import said

            handler.events(said(usage=False))
        else:
            completion(received, handler)

    served = proxy(FLEET.format(url=upstream(silent).url))
    client = openai.OpenAI(base_url=served.url, api_key="unused", max_retries=0)
    for _ in range(2):
        chunks = list(
            client.chat.completions.create(
                model="small", messages=[{"role": "user", "content": "Hi"}], stream=True, stream_options={"include_usage": True}
            )
        )
        assert chunks[-1].usage.greenlane["deployment"] == "north"
    entry = served.entry(chunks[-1].usage.greenlane["id"])
    assert entry["tokens"]["estimated"] is True
    assert entry["tokens"]["output"] >= 2
    assert "tokens_estimated" in entry["warnings"]
