"""One PostgreSQL server for the whole session, and an empty database for each test. Where there is none the tests fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres.server import Server
from tests.store.conftest import entry_with  # noqa: F401 - the fixture `entry`


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    made = Server()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def database(server: Server) -> str:
    return server.database()


@pytest.fixture
def url(server: Server, database: str) -> str:
    return server.url(database)
