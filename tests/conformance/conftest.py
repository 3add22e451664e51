"""The proxy of the conformance tests, started once, and the official clients on it."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.conformance.faulty import Faulty
from tests.conformance.faulty import configuration as faults_configuration
from tests.conformance.fleet import ENVIRON, Route, configuration, serve
from tests.harness import Served, Upstream
from tests.imitations import anthropic as anthropic_api
from tests.imitations import gemini as gemini_api


@pytest.fixture(scope="session")
def imitations() -> Iterator[dict[str, tuple[object, str]]]:
    """Name → the imitation and its address."""
    apps = {"anthropic": anthropic_api.create_app(), "gemini": gemini_api.create_app()}
    served = {name: serve(app) for name, app in apps.items()}
    yield {name: (apps[name], served[name].url) for name in apps}
    for each in served.values():
        each.stop()


@pytest.fixture(scope="session")
def fleet(imitations, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The proxy before all three routes."""
    text = configuration(imitations["anthropic"][1], imitations["gemini"][1])
    served = Served(text, tmp_path_factory.mktemp("conformance") / "fleet", ENVIRON)
    yield served
    served.close()


@pytest.fixture(params=["openai", "anthropic", "gemini"])
def route(request: pytest.FixtureRequest, imitations) -> Route:
    """Each of the three ways to an upstream."""
    return Route(request.param, imitations.get(request.param, (None,))[0])


@pytest.fixture(params=["anthropic", "gemini"])
def translated(request: pytest.FixtureRequest, imitations) -> Route:
    """The two routes whose upstream does not speak OpenAI's dialect."""
    return Route(request.param, imitations[request.param][0])


@pytest.fixture(params=["openai", "gemini"])
def multiple(request: pytest.FixtureRequest, imitations) -> Route:
    """The two routes that can give several choices and logprobs."""
    return Route(request.param, imitations.get(request.param, (None,))[0])


@pytest.fixture
def paced(imitations) -> Iterator[None]:
    """Events of the imitations' streams come one by one, each in a read of its own."""
    for app, _ in imitations.values():
        app.pace_s = 0.01
    yield
    for app, _ in imitations.values():
        app.pace_s = 0.0


@pytest.fixture(scope="session")
def client(fleet: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=fleet.url, api_key="unused", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def claude(fleet: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=fleet.base, api_key="unused", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def faulty() -> Faulty:
    return Faulty()


@pytest.fixture(scope="session")
def faulty_host(faulty: Faulty) -> Iterator[Upstream]:
    host = Upstream(faulty)
    yield host
    host.close()


@pytest.fixture(scope="session")
def faulty_proxy(faulty_host: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A proxy before a host that fails as it is told."""
    served = Served(faults_configuration(faulty_host.url), tmp_path_factory.mktemp("conformance") / "faulty")
    yield served
    served.close()


@pytest.fixture(scope="session")
def faults(faulty_proxy: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=faulty_proxy.url, api_key="unused", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def keyed(faulty_host: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same with keys."""
    text = faults_configuration(faulty_host.url) + (
        "teams: {search: {}, other: {}}\n"
        "keys:\n"
        "  search: {team: search, key: env:CONFORMANCE_SEARCH_KEY}\n"
        "  other: {team: other, key: env:CONFORMANCE_OTHER_KEY}\n"
        "  narrow: {team: search, key: env:CONFORMANCE_NARROW_KEY, models: [echo]}\n"
    )
    environ = {f"CONFORMANCE_{name.upper()}_KEY": f"{name}-key-0123456789" for name in ("search", "other", "narrow")}
    served = Served(text, tmp_path_factory.mktemp("conformance") / "keyed", environ)
    yield served
    served.close()
