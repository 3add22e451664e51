"""Servers on loopback, well-behaved and not, and what is found of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from proxy.configuration.discovery import Found, discover


@contextlib.asynccontextmanager
async def serving(answers: dict[str, bytes] | bytes | None) -> AsyncIterator[int]:
    """A server that answers each path with raw bytes, any path with one, or (None) not at all. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        while (await reader.readline()).strip():
            pass
        path = line.split()[1].decode()
        if answers is None:
            await reader.read()
        elif isinstance(answers, bytes):
            writer.write(answers)
        else:
            writer.write(answers.get(path, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def reply(value: object, *, status: str = "200 OK", headers: str = "") -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


def listing(*names: object) -> dict[str, object]:
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


def test_models_are_found_in_the_order_of_the_servers():
    async def run() -> None:
        async with (
            serving({"/v1/models": reply(listing("Qwen/Qwen3-32B"))}) as vllm,
            serving({"/api/tags": reply({"models": [{"name": "llama3.2:latest"}, {"name": "qwen3:8b"}]})}) as ollama,
        ):
            found = await discover(2.0, ports={"ollama": ollama, "vllm": vllm})
            assert found == [
                Found("ollama", f"http://127.0.0.1:{ollama}/v1", "llama3.2:latest"),
                Found("ollama", f"http://127.0.0.1:{ollama}/v1", "qwen3:8b"),
                Found("vllm", f"http://127.0.0.1:{vllm}/v1", "Qwen/Qwen3-32B"),
            ]

    asyncio.run(run())


def test_what_a_server_sends_to_a_cloud_and_what_writes_nothing_is_told_apart():
    tags = [
        {"name": "gpt-oss:120b-cloud", "details": {"family": "gptoss"}},
        {"name": "copied:latest", "remote_host": "https://ollama.com:443", "remote_model": "glm-5"},
        {"name": "clouds:3b", "details": {"family": "llama"}},
        {"name": "nomic-embed-text:latest", "details": None},
        {"name": "mine:latest", "details": {"family": "nomic-bert"}},
    ]
    kinds = [{"id": "qwen/qwen3-8b", "type": "llm"}, {"id": "search-v2", "type": "embeddings"}]

    async def run() -> None:
        async with (
            serving({"/v1/models": reply(listing(*(tag["name"] for tag in tags))), "/api/tags": reply({"models": tags})}) as ollama,
            serving({"/v1/models": reply(listing("qwen/qwen3-8b", "search-v2")), "/api/v0/models": reply({"data": kinds})}) as studio,
            serving(
                {"/v1/models": reply(listing("BAAI/bge-m3", "intfloat/e5-mistral-7b-instruct", "Qwen/Qwen3-Reranker-4B", "a-cloud"))}
            ) as vllm,
            serving({"/v1/models": reply(listing("/data/embedded/e5/llama.gguf", "/models/nomic-embed.gguf"))}) as llama,
        ):
            found = await discover(60.0, ports={"ollama": ollama, "lm-studio": studio, "vllm": vllm, "llama.cpp": llama})
            assert {one.model for one in found if one.leaves} == {"gpt-oss:120b-cloud", "copied:latest"}
            assert {one.model for one in found if one.writes} == {
                "gpt-oss:120b-cloud",
                "copied:latest",
                "clouds:3b",
                "qwen/qwen3-8b",
                "a-cloud",
                "/data/embedded/e5/llama.gguf",
            }

    asyncio.run(run())


def test_our_own_port_is_not_asked():
    async def run() -> None:
        async with serving({"/v1/models": reply(listing("m"))}) as port:
            assert await discover(2.0, ports={"llama.cpp": port}, own_port=port) == []

    asyncio.run(run())


def test_another_proxy_of_this_kind_is_no_engine():
    async def run() -> None:
        async with serving(reply(listing("auto"), headers="x-greenlane-id: 1\r\n")) as port:
            assert await discover(2.0, ports={"llama.cpp": port}) == []

    asyncio.run(run())


def test_whatever_else_answers_is_passed_over():
    answers = [
        reply(b"", status="500 Internal Server Error"),
        reply(b""),
        reply(b"<html>hello</html>"),
        reply(b"\xff\xfe"),
        reply([1, 2]),
        reply({"data": None}),
        reply({"data": [5, {"id": None}, {"id": ""}, {}]}),
        reply({"data": []}),
        reply(listing("m"), status="302 Found", headers="location: http://127.0.0.1:1/\r\n"),
        reply(b"[" * 100_000),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{",
        b"",
    ]

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            ports = {str(number): await stack.enter_async_context(serving(answer)) for number, answer in enumerate(answers)}
            good = await stack.enter_async_context(serving(reply(listing("m", "m", 7, "n"))))
            found = await discover(60.0, ports=ports | {"good": good, "closed": 1})
            assert [(one.server, one.model) for one in found] == [("good", "m"), ("good", "n")]

    asyncio.run(run())


def test_a_server_that_never_answers_holds_nothing_up():
    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with serving(None) as silent, serving(reply(listing("m"))) as quick:
            began = loop.time()
            found = await discover(1.5, ports={"silent": silent, "quick": quick})
            assert loop.time() - began < 30
            assert [one.model for one in found] == ["m"]

    asyncio.run(run())


def test_without_ports_nothing_is_found():
    assert asyncio.run(discover(0.1, ports={"x": 1}, own_port=1)) == []
