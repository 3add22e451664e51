"""A proxy with the embedded fleet, as README starts it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from proxy.configuration.embedded import embedded
from tests.harness import Served


@pytest.fixture(scope="session")
def embedded_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """What `make run` serves on a machine without model servers."""
    config = msgspec.to_builtins(embedded((), vendors=False, environ={}))
    text = "".join(f"{name}: {json.dumps(config[name])}\n" for name in ("models", "deployments", "policies"))
    served = Served(text, tmp_path_factory.mktemp("docs") / "proxy")
    yield served
    served.close()
