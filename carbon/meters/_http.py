"""Reading an exporter's page: bounded in bytes and in time, its failures as a meter's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import httpx

from carbon import exposition
from carbon.exposition import Sample
from carbon.meters._base import DeniedError, NotSupportedError, OutOfReachError, Reach, UnreadableError
from carbon.reach import read_body

MOST_BYTES = 8 * 1024 * 1024
"""dcgm-exporter's page on a machine of 8 GPUs with seven MIG devices each is about 2 MB."""


async def page(reach: Reach, url: str, timeout_s: float) -> bytes:
    """The body of a 200. Raises OutOfReachError; a password in the URL is in no message."""
    said = _public(url)
    try:
        async with asyncio.timeout(timeout_s):
            request = reach.http.build_request("GET", url, timeout=None)
            return await read_body(reach.http, request, MOST_BYTES, said, _wanted(said)) or b""
    except TimeoutError as error:
        raise OutOfReachError("timeout", f"{said} did not answer within {timeout_s:g} s") from error
    except httpx.TransportError as error:
        raise OutOfReachError("connect", f"{said} is out of reach: {error or type(error).__name__}") from error
    except httpx.InvalidURL as error:
        raise NotSupportedError(f"{said} is no URL") from error


def _wanted(said: str) -> Callable[[httpx.Response], bool]:
    def wanted(answer: httpx.Response) -> bool:
        if answer.status_code in {401, 403}:
            raise DeniedError(f"{said} refuses us with {answer.status_code}")
        if answer.status_code == 404:
            raise NotSupportedError(f"{said} is not there (404): another path, or a version without it")
        if answer.status_code != 200:
            raise OutOfReachError("status", f"{said} answers {answer.status_code}")
        return True

    return wanted


def samples(body: bytes, names: Iterable[str], url: str) -> list[Sample]:
    """`carbon.exposition.samples` of a page that was read."""
    try:
        return exposition.samples(body, names)
    except ValueError as error:
        raise UnreadableError(f"{_public(url)} does not answer in Prometheus's text format") from error


def _public(url: str) -> str:
    try:
        return str(httpx.URL(url).copy_with(userinfo=b"", query=None, fragment=None))
    except httpx.InvalidURL:
        return "the address"
