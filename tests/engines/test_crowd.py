"""Many at once do not mix, and who leaves stops the engine."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import openai
import pytest

from tests.engines.fleet import Engines, Proxy

ASK = [{"role": "user", "content": "Say hello"}]
LONG = {"model": "vllm", "messages": ASK, "max_tokens": 900, "ignore_eos": True, "seed": 1, "n": 64}
"""Ten seconds of work: on a busy machine the engine's metrics can lag seconds behind what it does."""
FEW = 40_000
"""Of the 57,600 tokens of a LONG answer; an engine that was stopped has made far fewer."""


def _until(holds: Callable[[], bool], timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


async def _came(reader: asyncio.StreamReader) -> bytes:
    """What there is to read now: why a request did not get as far as the engine."""
    try:
        return await asyncio.wait_for(reader.read(65536), 0.1)
    except TimeoutError:
        return b"(nothing)"


@pytest.fixture(scope="module")
def tokens(engines: Engines) -> list[int]:
    """Eight tokens that are whole words."""
    words = [" return", " self", " import", " class", " None", " True", " if", " for"]
    found = [engines.vllm.post("/tokenize", {"model": "tiny", "prompt": word})[1]["tokens"] for word in words]
    assert all(len(each) == 1 for each in found), found
    return [each[0] for each in found]


@pytest.mark.parametrize("model", ["vllm", "mlx"])
def test_eight_streams_at_once_each_get_their_own_words(proxy: Proxy, model: str, tokens: list[int]) -> None:
    async def one(client: openai.AsyncOpenAI, token: int) -> str:
        bias = {str(token): 100}
        stream = await client.chat.completions.create(model=model, messages=ASK, max_tokens=48, temperature=0, logit_bias=bias, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async def all_at_once() -> list[str]:
        async with openai.AsyncOpenAI(base_url=proxy.url, api_key="unused", max_retries=0) as client:
            return await asyncio.gather(*(one(client, token) for token in tokens))

    answers = asyncio.run(all_at_once())

    words = [answer.split() for answer in answers]
    assert [len(set(each)) for each in words] == [1] * 8, answers
    assert [len(each) for each in words] == [48] * 8
    assert len({each[0] for each in words}) == 8


def test_a_client_that_leaves_a_stream_stops_the_engine(engines: Engines, proxy: Proxy, wire: httpx.Client) -> None:
    before = engines.vllm.metric("vllm:generation_tokens_total")
    with wire.stream("POST", "/chat/completions", json={**LONG, "stream": True}) as answer:
        assert answer.status_code == 200
        next(answer.iter_raw())
        assert _until(lambda: engines.vllm.metric("vllm:generation_tokens_total") > before, 20)
        entry_id = answer.headers["x-greenlane-id"]

    assert _until(lambda: engines.vllm.metric("vllm:num_requests_running") == 0, 5)
    assert engines.vllm.metric("vllm:generation_tokens_total") - before < FEW
    entry = wire.get(f"/greenlane/requests/{entry_id}").json()
    assert (entry["outcome"], entry["status"]) == ("client_gone", 499)
    assert entry["tokens"]["output"] > 0
    assert entry["account"]["energy_wh"] > 0
    assert _until(lambda: proxy.metric("greenlane_inflight", deployment="vllm") == 0, 2)


def test_a_client_that_leaves_before_a_whole_answer_stops_the_engine(engines: Engines, proxy: Proxy) -> None:
    before = engines.vllm.metric("vllm:generation_tokens_total")

    async def ask_and_leave() -> None:
        port = int(proxy.root.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps(LONG).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        try:
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            # a counter, not the gauge of those that run: it cannot be missed between two looks
            begun = lambda: engines.vllm.metric("vllm:generation_tokens_total") > before
            assert await asyncio.to_thread(_until, begun, 20), await _came(reader)
        finally:
            writer.close()
            await writer.wait_closed()

    asyncio.run(ask_and_leave())

    assert _until(lambda: engines.vllm.metric("vllm:num_requests_running") == 0, 5)
    assert engines.vllm.metric("vllm:generation_tokens_total") - before < FEW


def test_a_stream_goes_on_when_the_configuration_is_replaced_beneath_it(proxy: Proxy, wire: httpx.Client) -> None:
    ask = {**LONG, "n": 1, "model": "anywhere", "stream": True}
    try:
        with wire.stream("POST", "/chat/completions", json=ask) as answer:
            pieces = answer.iter_raw()
            seen = next(pieces)
            proxy.write(north="PL", east="SE")
            proxy.process.send_signal(signal.SIGHUP)
            seen += b"".join(pieces)
    finally:
        proxy.write()
        proxy.process.send_signal(signal.SIGHUP)

    assert seen.endswith(b"data: [DONE]\n\n")
    assert answer.headers["x-greenlane-deployment"] == "anywhere-north"
    assert json.loads(seen.split(b": greenlane ")[1].split(b"\n")[0])["deployment"] == "anywhere-north"


def test_a_stream_is_finished_before_the_proxy_ends(engines: Engines, tmp_path: Path) -> None:
    proxy = Proxy(engines, tmp_path)
    try:
        proxy.wait()
        with httpx.stream("POST", f"{proxy.url}/chat/completions", json={**LONG, "n": 1, "stream": True}) as answer:
            pieces = answer.iter_raw()
            seen = next(pieces)
            proxy.process.terminate()
            seen += b"".join(pieces)
        assert seen.endswith(b"data: [DONE]\n\n")
        assert proxy.process.wait(10) == 0
    finally:
        proxy.stop()
