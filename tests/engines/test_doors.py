"""Clients of the Messages and Responses APIs get answers from engines that only know chat completions, and vLLM's own."""

from __future__ import annotations

import json

import anthropic
import httpx
import openai
import pytest

from tests.engines.fleet import Engines, Proxy

ASK = [{"role": "user", "content": "Say hello"}]
# `native` has vLLM answer in these dialects itself; the others are asked for a chat completion
GREEDY = {"temperature": 0}
MODELS = ("vllm", "transformers", "mlx", "native")
FORECAST = {"x-greenlane-id", "x-carbon-forecast-g", "x-energy-forecast-wh", "x-carbon-method"}
OBSERVED = {"x-greenlane-id", "x-carbon-g", "x-energy-wh", "x-carbon-method"}


@pytest.mark.parametrize("model", MODELS)
def test_a_message_is_answered(anthropic_client: anthropic.Anthropic, model: str) -> None:
    raw = anthropic_client.messages.with_raw_response.create(model=model, messages=ASK, max_tokens=6, extra_body=GREEDY)
    message = raw.parse()

    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "max_tokens")
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text
    assert message.usage.output_tokens == 6
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 5
    assert message.usage.model_extra["greenlane"]["deployment"] == model
    assert set(raw.headers) >= OBSERVED


@pytest.mark.parametrize("model", MODELS)
def test_a_message_is_streamed(anthropic_client: anthropic.Anthropic, model: str) -> None:
    whole = anthropic_client.messages.create(model=model, messages=ASK, max_tokens=6, extra_body=GREEDY)
    with anthropic_client.messages.stream(model=model, messages=ASK, max_tokens=6, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
        headers = set(stream.response.headers)

    assert text == final.content[0].text == whole.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 6)
    assert headers >= FORECAST


@pytest.mark.parametrize("model", MODELS)
def test_a_response_is_created(client: openai.OpenAI, model: str) -> None:
    raw = client.responses.with_raw_response.create(model=model, input="Say hello", max_output_tokens=6, temperature=0)
    response = raw.parse()

    assert (response.object, response.status) == ("response", "incomplete")
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text
    assert (response.usage.output_tokens, response.usage.input_tokens > 5) == (6, True)
    assert response.usage.model_extra["greenlane"]["deployment"] == model
    assert set(raw.headers) >= OBSERVED


@pytest.mark.parametrize("model", MODELS)
def test_a_response_is_streamed(client: openai.OpenAI, model: str) -> None:
    whole = client.responses.create(model=model, input="Say hello", max_output_tokens=6, temperature=0)
    with client.responses.create(model=model, input="Say hello", max_output_tokens=6, temperature=0, stream=True) as stream:
        events = list(stream)

    assert [event.sequence_number for event in events] == list(range(len(events)))
    # vLLM itself calls the last event of an incomplete response completed
    last = "response.completed" if model == "native" else "response.incomplete"
    assert (events[0].type, events[-1].type) == ("response.created", last)
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage.output_tokens == 6


def test_a_native_door_is_vllms_own(engines: Engines, wire: httpx.Client) -> None:
    ask = {"messages": ASK, "max_tokens": 6, "temperature": 0}
    status, direct = engines.vllm.post("/v1/messages", {"model": "tiny", **ask})
    assert status == 200

    through = wire.post("/messages", json={"model": "native", **ask}).json()

    assert set(through) == set(direct)
    assert through["content"] == direct["content"]
    assert set(through["usage"]) - {"greenlane"} == set(direct["usage"])


def test_an_error_in_the_messages_door_is_anthropics(anthropic_client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        anthropic_client.messages.create(model="vllm", messages=[{"role": "user", "content": "x y " * 6000}], max_tokens=5)

    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == "invalid_request_error"
    assert "maximum context length is 1024 tokens" in raised.value.body["error"]["message"]


CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called_through_the_messages_door(anthropic_client: anthropic.Anthropic, stream: bool) -> None:
    ask = {
        "model": "vllm",
        "messages": ASK,
        "max_tokens": 100,
        "tools": [{"name": "get_weather", "description": "The weather", "input_schema": CITY, "strict": True}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "extra_body": GREEDY,
    }
    if stream:
        with anthropic_client.messages.stream(**ask) as events:
            message = events.get_final_message()
    else:
        message = anthropic_client.messages.create(**ask)

    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert (call.name, message.stop_reason) == ("get_weather", "tool_use")
    assert call.input["city"] in ("Paris", "Rome")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called_through_the_responses_door(client: openai.OpenAI, stream: bool) -> None:
    ask = {
        "model": "vllm",
        "input": "Say hello",
        "max_output_tokens": 100,
        "temperature": 0,
        "tools": [{"type": "function", "name": "get_weather", "description": "The weather", "parameters": CITY, "strict": True}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }
    if stream:
        with client.responses.create(**ask, stream=True) as events:
            response = list(events)[-1].response
    else:
        response = client.responses.create(**ask)

    (call,) = [item for item in response.output if item.type == "function_call"]
    assert (call.name, response.status) == ("get_weather", "completed")
    assert json.loads(call.arguments)["city"] in ("Paris", "Rome")


@pytest.mark.parametrize("model", ["vllm", "transformers", "mlx"])
def test_a_prompt_is_continued_through_generate(wire: httpx.Client, proxy: Proxy, model: str) -> None:
    ask = {"model": model, "prompt": "Say hello", "max_tokens": 6, "temperature": 0}
    whole = wire.post(f"{proxy.root}/generate", json=ask)
    streamed = wire.post(f"{proxy.root}/generate", json={**ask, "stream": True})

    assert (whole.status_code, streamed.status_code) == (200, 200)
    answer = whole.json()
    assert (answer["finish_reason"], answer["usage"]["output_tokens"]) == ("length", 6)
    assert answer["usage"]["greenlane"]["deployment"] == whole.headers["x-greenlane-deployment"] == model
    *events, done = [line.removeprefix("data: ") for line in streamed.text.split("\n") if line.startswith("data: ")]
    assert done == "[DONE]"
    assert "".join(json.loads(event).get("text", "") for event in events) == answer["text"] != ""
