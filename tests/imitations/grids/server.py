"""What the imitations of intensity providers share: a socket, requests read apart, and answers that go wrong when a test says so."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import parse_qsl, unquote, urlsplit


class Request(NamedTuple):
    """A GET as it came; of a parameter given twice, all values."""

    path: str
    params: dict[str, list[str]]
    headers: dict[str, str]

    def one(self, name: str) -> str | None:
        values = self.params.get(name, [])
        return values[0] if len(values) == 1 else None


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json; charset=utf-8"),)


class Provider(Protocol):
    def answer(self, request: Request) -> Answer: ...


def said(value: Any, status: int = 200, *headers: tuple[str, str]) -> Answer:
    return Answer(status, json.dumps(value).encode(), (("content-type", "application/json; charset=utf-8"), *headers))


def page(status: int, text: str = "<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>") -> Answer:
    """What a proxy before the provider says."""
    return Answer(status, text.encode(), (("content-type", "text/html"),))


def instant(unix_s: float, form: str = "%Y-%m-%dT%H:%M:%S.000Z") -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime(form)


STALL = Answer(0, b"")
"""Instead of an answer: silence until the client leaves."""


class Server:
    """Serves a provider on 127.0.0.1. `instead` is said in place of the next answers; `requests` is what came, in order."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.requests: list[Request] = []
        self.instead: list[Answer] = []
        self.url = ""
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            self.requests.append(_read(head))
            answer = self.instead.pop(0) if self.instead else _answer(self.provider, head[0], self.requests[-1])
            if answer is STALL:
                await reader.read()
                return
            headers = [*answer.headers, ("connection", "close")]
            if "content-length" not in dict(headers):
                headers.append(("content-length", str(len(answer.body))))
            lines = [f"HTTP/1.1 {answer.status} Said", *(f"{name}: {value}" for name, value in headers), "", ""]
            writer.write("\r\n".join(lines).encode())
            writer.write(answer.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _answer(provider: Provider, line: str, request: Request) -> Answer:
    if not line.startswith("GET "):
        return said({"error": "method not allowed"}, 405)
    return provider.answer(request)


def _read(head: list[str]) -> Request:
    target = urlsplit(head[0].split(" ")[1])
    params: dict[str, list[str]] = {}
    for name, value in parse_qsl(target.query, keep_blank_values=True, strict_parsing=bool(target.query)):
        params.setdefault(name, []).append(value)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Request(unquote(target.path), params, headers)
