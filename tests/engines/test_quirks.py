"""What each engine does otherwise than OpenAI does not reach the client. Each test first shows that the engine still does it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from tests.engines.fleet import Engines
from tests.engines.launch import get

ASK = [{"role": "user", "content": "Say hello"}]
STREAM = {"messages": ASK, "max_tokens": 6, "temperature": 0, "stream": True}


def _chunks(text: str) -> list[str]:
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return lines


def _direct(url: str, body: dict) -> str:
    status, answer = get(url, json.dumps(body).encode())
    assert status == 200
    return answer.decode()


def test_a_stream_of_transformers_serve_that_has_no_done_gets_one(engines: Engines, wire: httpx.Client) -> None:
    direct = _direct(f"{engines.transformers.url}/chat/completions", {**STREAM, "model": engines.transformers.model})
    assert "[DONE]" not in direct

    answer = wire.post("/chat/completions", json={**STREAM, "model": "transformers"}).text

    assert answer.count("[DONE]") == 1
    assert answer.endswith("\ndata: [DONE]\n\n")


def test_usage_in_the_last_choice_comes_in_a_chunk_of_its_own_and_only_if_asked_for(engines: Engines, wire: httpx.Client) -> None:
    direct = _direct(f"{engines.transformers.url}/chat/completions", {**STREAM, "model": engines.transformers.model})
    last = json.loads(direct.strip().split("\n\n")[-1].removeprefix("data: "))
    assert (bool(last["choices"]), bool(last["usage"])) == (True, True)

    unasked = _chunks(wire.post("/chat/completions", json={**STREAM, "model": "transformers"}).text)
    asking = {**STREAM, "model": "transformers", "stream_options": {"include_usage": True}}
    asked = [json.loads(chunk) for chunk in _chunks(wire.post("/chat/completions", json=asking).text)]

    assert not [chunk for chunk in unasked if json.loads(chunk).get("usage")]
    assert [bool(chunk.get("usage")) for chunk in asked] == [*[False] * (len(asked) - 1), True]
    assert (asked[-2]["choices"][0]["finish_reason"], asked[-1]["choices"]) == ("length", [])


def test_an_unknown_field_that_transformers_serve_refuses_is_a_clear_error(client: openai.OpenAI, engines: Engines) -> None:
    status, _ = engines.transformers.post(
        "/v1/chat/completions", {"model": engines.transformers.model, "messages": ASK, "ignore_eos": True}
    )
    assert status == 422

    with pytest.raises(openai.UnprocessableEntityError) as raised:
        client.chat.completions.create(model="transformers", messages=ASK, extra_body={"ignore_eos": True})

    assert raised.value.body["message"] == "Unexpected fields in the request: {'ignore_eos'}"
    assert raised.value.response.headers["x-greenlane-attempts"] == "1"


@pytest.mark.parametrize("text", [False, True], ids=["chat", "completions"])
def test_comment_lines_of_mlx_do_not_disturb_the_stream(client: openai.OpenAI, engines: Engines, wire: httpx.Client, text: bool) -> None:
    path, asks = ("/completions", {"prompt": "def "}) if text else ("/chat/completions", {"messages": ASK})
    body = {**STREAM, **asks}
    if text:
        del body["messages"]
    direct = _direct(f"{engines.mlx.url}{path}", {**body, "model": engines.mlx.model})
    assert direct.startswith(": keepalive")

    answer = wire.post(path, json={**body, "model": "mlx"}).text

    assert answer.startswith("data: {")
    assert len(_chunks(answer)) == len(_chunks(direct))
    create = client.completions.create if text else client.chat.completions.create
    with create(model="mlx", max_tokens=6, temperature=0, stream=True, **asks) as stream:
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] in ("length", "stop")


def test_usage_is_asked_of_mlx_for_the_account_where_the_client_does_not(engines: Engines, wire: httpx.Client) -> None:
    body = {"prompt": "def ", "max_tokens": 6, "temperature": 0, "stream": True}
    assert '"usage"' not in _direct(f"{engines.mlx.url}/completions", {**body, "model": engines.mlx.model})

    answer = wire.post("/completions", json={**body, "model": "mlx"})

    assert '"usage"' not in answer.text
    entry = wire.get(f"/greenlane/requests/{answer.headers['x-greenlane-id']}").json()
    assert (entry["tokens"]["output"], entry["tokens"]["estimated"]) == (6, False)
    assert entry["account"]["energy_wh"] > 0


def test_tokens_are_told_from_usage_where_vllm_merges_several_in_a_chunk(wire: httpx.Client) -> None:
    body = {**STREAM, "model": "vllm", "max_tokens": 64, "ignore_eos": True, "stream_options": {"include_usage": True}}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _chunks(wire.post("/chat/completions", json=body).text), range(8)))

    assert [json.loads(answer[-1])["usage"]["completion_tokens"] for answer in answers] == [64] * 8


def test_an_error_inside_an_engine_is_a_bad_gateway_without_its_words(client: openai.OpenAI, engines: Engines) -> None:
    failing = {"model": engines.transformers.model, "messages": ASK, "logit_bias": {"300": 100}}
    assert get(f"{engines.transformers.url}/chat/completions", json.dumps(failing).encode()) == (500, b"Internal Server Error")

    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="transformers", messages=ASK, logit_bias={"300": 100})

    assert (raised.value.status_code, raised.value.code) == (502, "upstream_error")
