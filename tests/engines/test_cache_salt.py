"""vLLM's prefix cache with salts by team: a team meets its own prompts there, and nobody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.engines.fleet import Engines
from tests.engines.launch import get
from tests.harness import Served, ask

KEYS = {"GL_SALT": "a secret of many characters", "GL_ONE": "key-one", "GL_TWO": "key-two", "GL_OTHER": "key-other"}
CONFIGURATION = """
teams: {{sales: {{}}, legal: {{}}}}
keys:
  one: {{team: sales, key: env:GL_ONE}}
  two: {{team: sales, key: env:GL_TWO}}
  other: {{team: legal, key: env:GL_OTHER}}
deployments:
  vllm: {{model: vllm, base_url: "{url}", upstream_model: tiny, apis: [chat, completions, responses, messages], cache_salt: env:GL_SALT}}
"""
# two blocks of vLLM's on a CPU, and the prompt of each test is its own
LONG = " ".join(f"word {number}" for number in range(80))
ROUTES = {
    "/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 2},
    "/completions": lambda text: {"prompt": text, "max_tokens": 2},
    "/responses": lambda text: {"input": text, "max_output_tokens": 2},
    "/messages": lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 2},
}


@pytest.fixture(scope="module")
def salted(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(CONFIGURATION.format(url=engines.vllm.url), tmp_path_factory.mktemp("salted") / "proxy", KEYS)
    yield made
    made.close()


def hits(engines: Engines) -> float:
    _, page = get(f"{engines.vllm.root}/metrics")
    return sum(float(value) for value in re.findall(rb"^vllm:prefix_cache_hits_total\{[^}]*\} (\S+)", page, re.MULTILINE))


@pytest.mark.parametrize("path", ROUTES)
def test_a_prefix_is_met_by_the_team_that_wrote_it_alone(engines: Engines, salted: Served, path: str) -> None:
    body = {"model": "vllm", "temperature": 0, **ROUTES[path](f"{path} {LONG}")}
    met = []
    for key in ("key-one", "key-two", "key-other", "key-other"):
        before = hits(engines)
        answer = ask(salted, body, path, x_api_key=key)
        assert answer.status_code == 200, answer.text
        met.append(hits(engines) > before)
    assert met == [False, True, False, True]
