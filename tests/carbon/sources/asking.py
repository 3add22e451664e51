"""Asking a source of a provider that is imitated on a socket, at an hour and with secrets of the test's own."""

from __future__ import annotations

import asyncio
from typing import Self

import httpx

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError, Reach
from carbon.sources._base import IntensitySource
from tests.imitations.grids.server import Answer, Provider, Request, Server

NOW_S = 1_795_263_000.0
"""2026-11-21T12:10:00Z."""


class World:
    """A provider on a socket, and a reach to it. `now_s` and `secrets` may be changed at any time."""

    def __init__(self, provider: Provider, **secrets: str) -> None:
        self.now_s = NOW_S
        self.secrets = secrets
        self.server = Server(provider)

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self._runner.run(self.server.__aenter__())
        self.reach = Reach(httpx.AsyncClient(trust_env=False), self._secret, lambda: self.now_s)
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.reach.http.aclose())
        self._runner.run(self.server.__aexit__())
        self._runner.close()

    def _secret(self, reference: str) -> str:
        try:
            return self.secrets[reference.removeprefix("env:")]
        except KeyError:
            raise ValueError(f"{reference} is not set") from None

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def requests(self) -> list[Request]:
        return self.server.requests

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def instead(self, *answers: Answer) -> None:
        """Said in place of the next answers."""
        self.server.instead.extend(answers)

    def latest(self, source: IntensitySource, *zones: str) -> dict[str, Intensity]:
        """By zone; of the marginal signal by zone and `~`."""
        found = self._runner.run(source.latest(frozenset(zones), self.reach))
        by_name = {each.zone + ("~" if each.signal == "marginal" else ""): each for each in found}
        assert len(by_name) == len(found)
        return dict(sorted(by_name.items()))

    def ahead(self, source: IntensitySource, zone: str, hours: float = 24) -> tuple[Intensity, ...]:
        return self._runner.run(source.ahead(zone, hours, self.reach))

    def run(self, waiting: object) -> object:
        return self._runner.run(waiting)

    def failure(self, source: IntensitySource, *zones: str) -> OutOfReachError:
        try:
            told = self.latest(source, *zones)
        except OutOfReachError as error:
            return error
        raise AssertionError(f"it told {told}")
