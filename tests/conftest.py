"""Fixtures for tests from outside: a whole proxy on a socket, and upstreams that do as they are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import Served, Upstream

# before numpy is loaded: on a busy machine its threads for small products wait for each other
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# every run elsewhere looks at new examples; a merge must not depend on the luck of the draw
settings.register_profile("merge", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# how fast examples are drawn is the machine's affair, and it may be busy
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("merge" if os.environ.get("CI") else "anywhere")


@pytest.fixture
def upstream() -> Iterator[Callable[..., Upstream]]:
    """Makes OpenAI-speaking upstreams whose answers the test writes."""
    made: list[Upstream] = []

    def make(*args: object, **settings: object) -> Upstream:
        made.append(Upstream(*args, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts proxies from the text of a configuration."""
    made: list[Served] = []

    def make(text: str, **settings: object) -> Served:
        made.append(Served(text, tmp_path / f"proxy-{len(made)}", **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
