"""Embeddings, models, moderations and text completions by the official client."""

from __future__ import annotations

import asyncio
import math

import httpx
import openai
import pytest

EMBEDDING = ["openai", "gemini"]
"""Public models that embed: the simulation and Gemini."""


@pytest.mark.parametrize("model", EMBEDDING)
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_an_embedding_is_numbers_for_the_client(client, model, encoding):
    wanted = {} if encoding is None else {"encoding_format": encoding}
    answer = client.embeddings.create(model=model, input="Hello", **wanted)
    assert answer.object == "list"
    [one] = answer.data
    assert one.object == "embedding"
    assert one.index == 0
    if encoding == "base64":
        assert isinstance(one.embedding, str)
    else:
        assert all(isinstance(part, float) for part in one.embedding)


@pytest.mark.parametrize("model", EMBEDDING)
def test_both_encodings_hold_the_same_numbers(client, model):
    plain = client.embeddings.create(model=model, input="Hello", encoding_format="float").data[0].embedding
    packed = client.embeddings.create(model=model, input="Hello").data[0].embedding
    assert len(plain) == len(packed)
    assert all(math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-6) for one, other in zip(plain, packed, strict=True))


@pytest.mark.parametrize("model", EMBEDDING)
@pytest.mark.parametrize("size", [1, 8, 64, 256])
def test_dimensions_are_kept(client, model, size):
    assert len(client.embeddings.create(model=model, input="Hello", dimensions=size).data[0].embedding) == size


@pytest.mark.parametrize("model", EMBEDDING)
@pytest.mark.parametrize("count", [1, 2, 5, 50])
def test_a_list_of_texts_gives_as_many_in_order(client, model, count):
    texts = [f"text {number}" for number in range(count)]
    answer = client.embeddings.create(model=model, input=texts)
    assert [one.index for one in answer.data] == list(range(count))
    alone = client.embeddings.create(model=model, input=texts[-1]).data[0].embedding
    assert answer.data[-1].embedding == alone


@pytest.mark.parametrize("model", EMBEDDING)
def test_an_embedding_has_usage_and_account(client, model):
    usage = client.embeddings.create(model=model, input="Hello there").usage
    assert usage.prompt_tokens == usage.total_tokens > 0
    assert usage.greenlane["model"] == model


@pytest.mark.parametrize("model", EMBEDDING)
def test_an_embedding_has_our_headers(client, model):
    headers = client.embeddings.with_raw_response.create(model=model, input="Hello").headers
    assert headers["x-greenlane-model"] == model
    assert headers["x-greenlane-reason"] == "only"


def test_tokens_are_embedded(client):
    assert client.embeddings.create(model="openai", input=[1, 2, 3]).data[0].embedding
    assert len(client.embeddings.create(model="openai", input=[[1, 2], [3]]).data) == 2


def test_tokens_are_refused_where_the_vendor_takes_texts(client):
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="gemini", input=[1, 2, 3])


@pytest.mark.parametrize("model", EMBEDDING)
@pytest.mark.parametrize(
    "members", [{"input": ""}, {"input": []}, {"input": 5}, {"input": "x", "dimensions": 0}, {"input": "x", "encoding_format": "hex"}]
)
def test_a_wrong_request_for_embeddings_is_a_bad_request(client, model, members):
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=model, **members)


def test_a_vendor_without_embeddings_has_no_such_model_there(client):
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        client.embeddings.create(model="anthropic", input="Hello")


def test_the_async_client_embeds(fleet):
    async def ask() -> int:
        async with openai.AsyncOpenAI(base_url=fleet.url, api_key="unused", max_retries=0) as client:
            made = [client.embeddings.create(model=model, input="Hello") for model in EMBEDDING]
            return len([each.data[0].embedding for each in await asyncio.gather(*made)])

    assert asyncio.run(ask()) == 2


def test_models_are_listed(client):
    found = client.models.list().data
    assert {"openai", "anthropic", "gemini"} <= {model.id for model in found}
    assert {model.object for model in found} == {"model"}
    assert all(isinstance(model.created, int) and model.owned_by for model in found)


def test_models_can_be_iterated(client):
    assert "openai" in [model.id for model in client.models.list()]


def test_a_model_is_shown(client, route):
    model = client.models.retrieve(route.model)
    assert model.id == route.model
    assert model.greenlane["deployments"][0]["zone"] == "SWE"


def test_a_simulation_is_labelled(client):
    assert client.models.retrieve("openai").greenlane["simulated"] is True
    assert client.models.retrieve("gemini").greenlane["simulated"] is False


@pytest.mark.parametrize("name", ["unknown", "a/b", "ü"])
def test_an_unknown_model_is_not_found(client, name):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve(name)
    assert caught.value.code == "model_not_found"


def test_models_carry_our_ids(client):
    headers = client.models.with_raw_response.list().headers
    assert headers["x-request-id"]
    assert headers["x-greenlane-id"]
    assert headers["x-carbon-g"] == "0"


def test_models_need_a_key_where_there_are_keys(keyed):
    with openai.OpenAI(base_url=keyed.url, api_key="wrong", max_retries=0) as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_models_answer_head_as_well(fleet, method):
    answer = httpx.request(method, f"{fleet.url}/models", timeout=60)
    assert answer.status_code == 200
    assert bool(answer.content) == (method == "GET")


def test_moderations_are_answered(client):
    answer = client.moderations.create(model="openai", input=["kind words", "more"])
    assert len(answer.results) == 2
    assert answer.results[0].flagged is False
    assert answer.results[0].categories.violence is False


def test_a_text_is_completed(client):
    answer = client.completions.create(model="openai", prompt="Once upon a time", max_tokens=5)
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert answer.usage.greenlane["model"] == "openai"


@pytest.mark.parametrize("usage", [False, True])
def test_a_text_is_completed_in_a_stream(client, usage):
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(client.completions.create(model="openai", prompt="Once", max_tokens=5, stream=True, **options))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert bool(chunks[-1].usage) is usage


@pytest.mark.parametrize(
    "members",
    [
        {"n": 2},
        {"echo": True},
        {"logprobs": 2},
        {"stop": "."},
        {"suffix": "end"},
        {"best_of": 1},
        {"prompt": ["a", "b"]},
        {"prompt": [1, 2]},
    ],
)
def test_the_members_of_a_text_completion_are_taken(client, members):
    assert client.completions.create(**{"model": "openai", "prompt": "Once", "max_tokens": 5, **members}).choices


def test_a_text_completion_is_not_found_where_the_vendor_has_none(client, translated):
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        client.completions.create(model=translated.model, prompt="Once")


def test_health_and_metrics_answer(fleet):
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert httpx.get(fleet.base + path, timeout=60).status_code == 200


def test_a_prompt_is_generated_from(fleet):
    for model in ("openai", "anthropic", "gemini"):
        answer = httpx.post(f"{fleet.base}/generate", json={"model": model, "prompt": "Once"}, timeout=60)
        assert answer.status_code == 200
        assert answer.json()["text"]
        assert answer.json()["model"] == answer.headers["x-greenlane-model"] == model
