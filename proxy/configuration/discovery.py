"""Which model servers answer on this machine's usual ports. Asks for lists of models only, on loopback only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx
import msgspec

from proxy.configuration.vendors import CLOUD

PORTS: dict[str, int] = {"vllm": 8000, "ollama": 11434, "llama.cpp": 8080, "sglang": 30000, "lm-studio": 1234}
"""Each server's documented default."""
LISTS = ("/v1/models", "/api/tags")
"""OpenAI's list, then Ollama's own."""
TELLING = {"ollama": "/api/tags", "lm-studio": "/api/v0/models"}
"""Lists of the servers' own, which tell what kind a model is.

References: https://docs.ollama.com/api/tags, https://docs.ollama.com/cloud, https://lmstudio.ai/docs/developer/rest/endpoints
"""
_NO_TEXT = re.compile(r"(.*/)?([^/]*(embed|rerank)|(multilingual-)?(bge|gte|e5|all-minilm|paraphrase)\b)[^/]*", re.IGNORECASE)
"""Names of models that make embeddings or rank. Servers list them among the others, and refuse to chat with them.

Of a path, as llama.cpp names its models, the last part tells.
"""
_ENCODERS = re.compile(r".*bert.*", re.IGNORECASE)
"""Families of them, in Ollama's list."""
MAX_MODELS = 100
MAX_BYTES = 4 * 1024 * 1024


class Found(msgspec.Struct, frozen=True):
    """One model of one server."""

    server: str
    """A name of PORTS."""
    base_url: str
    model: str
    """As the server calls it."""
    writes: bool = True
    """Generates text; otherwise it makes embeddings or ranks."""
    leaves: bool = False
    """The server answers on this machine and sends the prompts to a vendor's."""


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
    telling = TELLING.get(server)
    rows = {} if telling is None else dict(_rows(await _asked(client, root + telling)))
    for path in LISTS:
        names = _names(await _asked(client, root + path))
        if names:
            return [_found(server, f"{root}/v1", name, rows.get(name, {})) for name in names]
    return []


def _found(server: str, base_url: str, name: str, row: Mapping[str, Any]) -> Found:
    """`row` is what the server itself tells of the model, as far as it does."""
    details = row.get("details")
    family = details.get("family") if isinstance(details, dict) else None
    encodes = row.get("type") == "embeddings" or (isinstance(family, str) and _ENCODERS.fullmatch(family) is not None)
    leaves = bool(row.get("remote_host") or row.get("remote_model")) or (server == "ollama" and CLOUD.fullmatch(name) is not None)
    return Found(server, base_url, name, writes=not encodes and _NO_TEXT.fullmatch(name) is None, leaves=leaves)


def _rows(listed: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row of a list, by the name of its model."""
    for column, key in (("data", "id"), ("models", "name")):
        rows = listed.get(column) if isinstance(listed, dict) else None
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and isinstance(row.get(key), str):
                yield row[key], row


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
