"""Which model servers answer on this machine's usual ports. Asks for lists of models only, on loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import msgspec

PORTS: dict[str, int] = {"vllm": 8000, "ollama": 11434, "llama.cpp": 8080, "sglang": 30000, "lm-studio": 1234}
"""Each server's documented default."""
LISTS = ("/v1/models", "/api/tags")
"""OpenAI's list, then Ollama's own."""
MAX_MODELS = 100
MAX_BYTES = 4 * 1024 * 1024


class Found(msgspec.Struct, frozen=True):
    """One model of one server."""

    server: str
    """A name of PORTS."""
    base_url: str
    model: str
    """As the server calls it."""


async def discover(deadline_s: float = 2.0, *, ports: Mapping[str, int] | None = None, own_port: int | None = None) -> list[Found]:
    """Every model that was listed before the deadline, servers in the order of PORTS. Never raises for what a server does."""
    wanted = {server: port for server, port in (ports or PORTS).items() if port != own_port}
    # environment proxies have no business with loopback
    async with httpx.AsyncClient(trust_env=False, timeout=deadline_s, follow_redirects=False) as client:
        asking = [asyncio.create_task(_models(client, server, port)) for server, port in wanted.items()]
        if not asking:
            return []
        done, late = await asyncio.wait(asking, timeout=deadline_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return [found for task in asking if task in done for found in task.result()]


async def _models(client: httpx.AsyncClient, server: str, port: int) -> list[Found]:
    root = f"http://127.0.0.1:{port}"
    for path in LISTS:
        names = _names(await _asked(client, root + path))
        if names:
            return [Found(server, f"{root}/v1", name) for name in names]
    return []


async def _asked(client: httpx.AsyncClient, url: str) -> Any:
    """The JSON at `url`; None for anything else."""
    try:
        async with client.stream("GET", url, headers={"accept-encoding": "identity"}) as response:
            # another proxy of this kind is no engine: asking it could go round in circles
            if response.status_code != 200 or "x-greenlane-id" in response.headers:
                return None
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_BYTES:
                    return None
        return msgspec.json.decode(bytes(body))
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _names(listed: Any) -> list[str]:
    """Names in OpenAI's list (`data[].id`) or Ollama's (`models[].name`)."""
    if not isinstance(listed, dict):
        return []
    return list(dict.fromkeys([*_column(listed.get("data"), "id"), *_column(listed.get("models"), "name")]))[:MAX_MODELS]


def _column(rows: Any, name: str) -> Iterable[str]:
    rows = rows if isinstance(rows, list) else []
    return (row[name] for row in rows if isinstance(row, dict) and isinstance(row.get(name), str) and row[name])
