"""The engines and the proxy before them run once for the whole session. An engine that does not start fails the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from tests.engines.fleet import Engines, Proxy
from tests.engines.launch import Engine, Launcher

HERE = Path(__file__).parent
# JSON without blanks between its tokens: a random model would write them for ever
STRICT_JSON = ("--structured-outputs-config", '{"backend":"xgrammar","disable_any_whitespace":true}')


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Left out unless asked for by path: `make test` needs no engine, `make test-engines` names this folder."""
    asked = (Path(arg.split("::")[0]).resolve() for arg in config.args)
    return None if any(path == HERE or HERE in path.parents for path in asked) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.engines)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    launcher = Launcher(tmp_path_factory.mktemp("engines"))
    started: list[Engine] = []
    try:
        started.append(launcher.vllm("vllm", "--enable-auto-tool-choice", "--tool-call-parser", "hermes", *STRICT_JSON))
        started.append(launcher.vllm("embedder", "--runner", "pooling", "--convert", "embed"))
        started.append(launcher.transformers("transformers"))
        started.append(launcher.mlx("mlx"))
        started.append(launcher.mlx("spare"))
        for engine in started:
            engine.wait()
        yield Engines(*started)
    finally:
        for engine in started:
            engine.stop()


@pytest.fixture(scope="session")
def proxy(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    running = Proxy(engines, tmp_path_factory.mktemp("proxy"))
    try:
        running.wait()
        yield running
    finally:
        running.stop()
    assert "Traceback" not in running.said(), running.said()


@pytest.fixture(scope="session")
def client(proxy: Proxy) -> Iterator[openai.OpenAI]:
    """OpenAI's own client; only its base_url is ours."""
    with openai.OpenAI(base_url=proxy.url, api_key="unused", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def anthropic_client(proxy: Proxy) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=proxy.root, api_key="unused", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def wire(proxy: Proxy) -> Iterator[httpx.Client]:
    """For looking at the bytes themselves."""
    with httpx.Client(base_url=proxy.url, timeout=60) as made:
        yield made
