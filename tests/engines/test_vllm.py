"""vLLM's abilities through the proxy: what it can do is neither lost nor changed on the way."""

from __future__ import annotations

import base64
import json
import struct
from typing import Literal

import httpx
import msgspec
import openai
import pydantic
import pytest

from carbon.engine import EngineSignals, engine_signals, progress, signals_of
from tests.engines.fleet import Engines
from tests.engines.launch import get

ASK = [{"role": "user", "content": "Say hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
# a random model would call it until max_tokens
TOOLS = {"model": "vllm", "messages": ASK, "tools": [WEATHER], "parallel_tool_calls": False, "max_tokens": 100, "temperature": 0}
ANSWER = {"type": "object", "properties": {"a": {"enum": ["yes", "no"]}}, "required": ["a"], "additionalProperties": False}


def _choices(body: bytes) -> bytes:
    return bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["choices"])


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0, "max_tokens": 32},
        {"temperature": 1, "seed": 7, "max_tokens": 32},
        {"temperature": 0, "max_tokens": 4, "logprobs": True, "top_logprobs": 3},
        {"temperature": 1, "seed": 7, "max_tokens": 8, "n": 3},
        {"temperature": 0, "max_tokens": 16, "ignore_eos": True, "repetition_penalty": 1.2, "return_token_ids": True},
    ],
    ids=["greedy", "seeded", "logprobs", "n", "of its own"],
)
def test_the_choices_are_the_bytes_that_vllm_says_directly(engines: Engines, wire: httpx.Client, options: dict) -> None:
    ask = {"messages": ASK, **options}
    _, direct = get(f"{engines.vllm.url}/chat/completions", json.dumps({"model": "tiny", **ask}).encode())

    through = wire.post("/chat/completions", json={"model": "vllm", **ask})

    assert _choices(through.content) == _choices(direct)
    assert len(json.loads(direct)["choices"]) == options.get("n", 1)
    assert set(through.json()) == set(json.loads(direct))


def test_a_required_tool_is_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**TOOLS, tool_choice="required")

    (call,) = answer.choices[0].message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=["required", "named"])
def test_a_streamed_tool_call_comes_whole(client: openai.OpenAI, choice: object) -> None:
    with client.chat.completions.create(**TOOLS, tool_choice=choice, stream=True) as stream:
        chunks = [chunk.choices[0] for chunk in stream]

    parts = [part for chunk in chunks for part in chunk.delta.tool_calls or ()]
    assert [part.function.name for part in parts if part.function.name] == ["get_weather"]
    assert [part.id for part in parts if part.id] == [parts[0].id]
    assert {part.index for part in parts} == {0}
    assert json.loads("".join(part.function.arguments or "" for part in parts))["city"] in ("Paris", "Rome")
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] in (["tool_calls"], ["stop"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_keeps_to_its_json_schema(client: openai.OpenAI, stream: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ANSWER, "strict": True}}
    ask = {"model": "vllm", "messages": ASK, "response_format": form, "max_tokens": 60, "temperature": 0}
    if stream:
        with client.chat.completions.create(**ask, stream=True) as chunks:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    else:
        text = client.chat.completions.create(**ask).choices[0].message.content

    assert json.loads(text)["a"] in ("yes", "no")


def test_an_answer_is_parsed_into_the_clients_own_type(client: openai.OpenAI) -> None:
    class Answer(pydantic.BaseModel):
        a: Literal["yes", "no"]

    answer = client.chat.completions.parse(model="vllm", messages=ASK, response_format=Answer, max_tokens=60, temperature=0)

    assert answer.choices[0].message.parsed.a in ("yes", "no")


def test_several_choices_are_streamed_apart(client: openai.OpenAI) -> None:
    ask = {"model": "vllm", "messages": ASK, "n": 3, "seed": 5, "temperature": 1, "max_tokens": 8}
    whole = client.chat.completions.create(**ask)
    said = ["", "", ""]
    with client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
    assert [choice.message.content for choice in whole.choices] == said
    assert chunk.usage.completion_tokens == whole.usage.completion_tokens


def test_logprobs_are_streamed(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="vllm", messages=ASK, max_tokens=4, temperature=0, logprobs=True, top_logprobs=2, stream=True
    ) as stream:
        found = [entry for chunk in stream if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content or ()]

    assert len(found) == 4
    assert all(len(entry.top_logprobs) == 2 and entry.logprob <= 0 for entry in found)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_prompt_too_long_for_the_engine_is_refused_in_its_words(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="vllm", messages=[{"role": "user", "content": "x y " * 6000}], stream=stream)

    assert raised.value.body["message"].startswith("This model's maximum context length is 1024 tokens.")
    assert raised.value.response.headers["x-greenlane-attempts"] == "1"


def test_a_bad_parameter_is_refused_in_the_engines_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"temperature must be in \[0, 2\]"):
        client.chat.completions.create(model="vllm", messages=ASK, temperature=9)


@pytest.mark.parametrize("model", ["vllm", "transformers", "mlx"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_text_completions_are_served(client: openai.OpenAI, model: str, stream: bool) -> None:
    ask = {"model": model, "prompt": "def f(", "max_tokens": 5, "temperature": 0}
    if stream:
        with client.completions.create(**ask, stream=True) as chunks:
            said = [chunk.choices[0] for chunk in chunks]
        assert "".join(choice.text for choice in said)
        assert [choice.finish_reason for choice in said if choice.finish_reason] in (["length"], ["stop"])
    else:
        answer = client.completions.create(**ask)
        assert answer.choices[0].text
        assert answer.usage.completion_tokens == 5
        assert answer.usage.model_extra["greenlane"]["deployment"] == model


def test_embeddings_are_served_as_numbers_and_in_base64(client: openai.OpenAI, wire: httpx.Client) -> None:
    texts = ["hello", "world"]
    numbers = client.embeddings.create(model="embedder", input=texts, encoding_format="float")
    default = client.embeddings.create(model="embedder", input=texts)  # the client asks for base64 and decodes it
    raw = wire.post("/embeddings", json={"model": "embedder", "input": texts, "encoding_format": "base64"})

    assert [len(entry.embedding) for entry in numbers.data] == [64, 64]
    assert sum(value * value for value in numbers.data[0].embedding) == pytest.approx(1, abs=1e-3)
    for entry, same, packed in zip(numbers.data, default.data, raw.json()["data"], strict=True):
        assert same.embedding == pytest.approx(entry.embedding, abs=1e-3)
        assert struct.unpack("<64f", base64.b64decode(packed["embedding"])) == pytest.approx(entry.embedding, abs=1e-3)
    account = raw.json()["usage"]["greenlane"]
    assert (account["deployment"], raw.headers["x-greenlane-model"]) == ("embedder", "embedder")
    assert numbers.usage.prompt_tokens > 0
    assert account["energy_wh"] > 0


def test_documents_are_ranked(wire: httpx.Client) -> None:
    answer = wire.post("/rerank", json={"model": "embedder", "query": "a", "documents": ["b", "c"]})

    assert answer.status_code == 200
    assert sorted(result["index"] for result in answer.json()["results"]) == [0, 1]


def test_its_own_metrics_are_all_understood_and_count_what_was_done(engines: Engines):
    """Twelve tokens written, and as many read as it says itself."""

    def now() -> EngineSignals:
        return signals_of(engine_signals(get(f"{engines.vllm.root}/metrics")[1]), engines.vllm.model)

    before = now()
    asked = {"model": engines.vllm.model, "messages": ASK, "max_tokens": 12, "ignore_eos": True}
    status, answer = engines.vllm.post("/v1/chat/completions", asked)
    after = now()
    assert status == 200
    assert after.missing == ()
    done = progress(before, after, 0.0, 1.0)
    assert done.generation_tokens is not None
    assert done.prompt_tokens is not None
    assert done.generation_tokens >= 12
    assert done.prompt_tokens >= answer["usage"]["prompt_tokens"]
