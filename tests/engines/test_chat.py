"""OpenAI's own client gets its answers from each real engine, and each carries its account."""

from __future__ import annotations

import json

import httpx
import openai
import pytest

from tests.engines.fleet import CHAT

ASK = [{"role": "system", "content": "You are a test."}, {"role": "user", "content": "Say hello"}]
SERVED_BY = {"x-greenlane-model", "x-greenlane-deployment", "x-greenlane-attempts", "x-greenlane-reason", "x-greenlane-id"}
OBSERVED = {"x-carbon-g", "x-carbon-low-g", "x-carbon-high-g", "x-energy-wh", "x-energy-low-wh", "x-energy-high-wh"}
FORECAST = {
    "x-carbon-forecast-g",
    "x-carbon-forecast-low-g",
    "x-carbon-forecast-high-g",
    "x-energy-forecast-wh",
    "x-energy-forecast-low-wh",
    "x-energy-forecast-high-wh",
}
LABELS = {"x-carbon-method", "x-carbon-confidence", "x-carbon-intensity-g-per-kwh", "x-carbon-zone"}
ACCOUNT = {
    *("id", "model", "deployment", "policy", "reason", "energy_wh", "energy_low_wh", "energy_high_wh", "carbon_g", "carbon_low_g"),
    *("carbon_high_g", "method", "confidence", "zone", "intensity_g_per_kwh", "cost_usd"),
}
engine_by_engine = pytest.mark.parametrize("model", CHAT)


@engine_by_engine
def test_a_whole_answer_has_text_usage_and_the_account(client: openai.OpenAI, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK, max_tokens=8, temperature=0)
    answer = raw.parse()

    choice = answer.choices[0]
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    assert choice.message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    assert answer.usage.prompt_tokens > 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8

    assert set(raw.headers) >= SERVED_BY | OBSERVED | LABELS
    assert not set(raw.headers) & FORECAST
    assert raw.headers["x-greenlane-model"] == raw.headers["x-greenlane-deployment"] == model
    account = answer.usage.model_extra["greenlane"]
    assert set(account) >= ACCOUNT - {"cost_usd"}
    assert (account["id"], account["deployment"]) == (raw.headers["x-greenlane-id"], model)
    assert 0 < account["carbon_low_g"] < account["carbon_g"] < account["carbon_high_g"]
    assert account["energy_wh"] == pytest.approx(float(raw.headers["x-energy-wh"]), rel=0.05)


@engine_by_engine
def test_a_stream_has_the_text_and_usage_of_the_whole_answer(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=ASK, max_tokens=12, temperature=0)
    with client.chat.completions.with_streaming_response.create(
        model=model, messages=ASK, max_tokens=12, temperature=0, stream=True, stream_options={"include_usage": True}
    ) as raw:
        chunks = list(raw.parse())

    said = [chunk for chunk in chunks if chunk.choices]
    assert said[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in said if chunk.choices[0].finish_reason] == ["length"]
    assert [chunk for chunk in chunks if chunk.usage] == chunks[-1:]
    usage = chunks[-1].usage
    assert chunks[-1].choices == []
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, 12)
    assert usage.model_extra["greenlane"]["deployment"] == model
    assert set(raw.headers) >= SERVED_BY | FORECAST | LABELS
    assert not set(raw.headers) & OBSERVED


@engine_by_engine
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["plain", "with usage"])
def test_a_stream_ends_in_one_done_with_the_account_before_it(wire: httpx.Client, model: str, options: dict) -> None:
    ask = {"model": model, "messages": ASK, "max_tokens": 8, "temperature": 0, "stream": True, **options}
    answer = wire.post("/chat/completions", json=ask)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    *events, last, nothing = answer.text.split("\n\n")
    comment, done = last.split("\n")
    assert (done, nothing) == ("data: [DONE]", "")
    assert answer.text.count("[DONE]") == 1
    assert comment.startswith(": greenlane {")
    account = json.loads(comment.removeprefix(": greenlane "))
    assert set(account) >= ACCOUNT - {"cost_usd"}
    assert account["id"] == answer.headers["x-greenlane-id"]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: ")]
    asked = bool(options)
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")] == [8] * asked
    assert [chunk["usage"]["greenlane"] for chunk in chunks if chunk.get("usage")] == [account] * asked
    assert all(chunk["choices"] for chunk in chunks[: len(chunks) - asked])


@engine_by_engine
def test_the_ledger_keeps_what_the_client_was_told(client: openai.OpenAI, wire: httpx.Client, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK, max_tokens=4)
    account = raw.parse().usage.model_extra["greenlane"]

    entry = wire.get(f"/greenlane/requests/{account['id']}").json()

    assert (entry["deployment"], entry["outcome"], entry["status"]) == (model, "completed", 200)
    assert entry["account"]["energy_wh"] == pytest.approx(account["energy_wh"], rel=1e-4)
    assert entry["account"]["carbon_g"] == pytest.approx(account["carbon_g"], rel=1e-4)


def test_the_models_of_the_engines_are_listed(client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}

    assert listed >= {*CHAT, "auto", "anywhere", "embedder"}
    assert client.models.retrieve("vllm").id == "vllm"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="nobody", messages=ASK)

    assert raised.value.code == "model_not_found"
