"""One team's prompts are never met in another's prefix cache, where a deployment says so: vLLM's `cache_salt`, by vLLM's rules."""

from __future__ import annotations

import re

import pytest

from tests.harness import USAGE, ask, said

SECRET = "a secret of many characters"
KEYS = {"GL_SALT": SECRET, "GL_ONE": "key-one", "GL_TWO": "key-two", "GL_OTHER": "key-other"}
FLEET = """
teams: {{sales: {{}}, legal: {{}}}}
keys:
  one: {{team: sales, key: env:GL_ONE}}
  two: {{team: sales, key: env:GL_TWO}}
  other: {{team: legal, key: env:GL_OTHER}}
deployments:
  salted: {{model: m, base_url: "{url}", cache_salt: env:GL_SALT}}
  native: {{model: n, base_url: "{url}", apis: [chat, responses, messages], cache_salt: env:GL_SALT}}
  plain: {{model: p, base_url: "{url}"}}
"""
PROMPT = "word " * 40
CHAT = {"messages": [{"role": "user", "content": PROMPT}]}
MESSAGES = {**CHAT, "max_tokens": 5}
ROUTES = [
    ("/chat/completions", "m", CHAT),
    ("/chat/completions", "m", {**CHAT, "stream": True}),
    ("/completions", "m", {"prompt": PROMPT}),
    ("/responses", "m", {"input": PROMPT}),
    ("/messages", "m", MESSAGES),
    ("/responses", "n", {"input": PROMPT}),
    ("/messages", "n", MESSAGES),
    ("/embeddings", "m", {"input": PROMPT}),
    ("/rerank", "m", {"query": "q", "documents": [PROMPT]}),
]


class Vllm:
    """vLLM 0.32 as far as salts go: 400 for one it does not take; what was cached under a salt is met under that salt alone."""

    def __init__(self):
        self.seen = set()

    def answer(self, received, handler):
        salt = received.json.get("cache_salt")
        if salt is not None and (not isinstance(salt, str) or not 0 < len(salt) <= 128 or set(salt) & set("@/\\\0")):
            handler.reply(400, {"error": {"message": "Parameter 'cache_salt' is wrong", "type": "BadRequestError", "code": 400}})
            return
        prefix = (salt, received.path, bool(received.json.get("stream")))
        cached, _ = 32 * (prefix in self.seen), self.seen.add(prefix)
        usage = {**USAGE, "prompt_tokens": 40, "prompt_tokens_details": {"cached_tokens": cached}}
        if received.json.get("stream"):
            handler.events(said(usage=True))
            return
        kind = received.path.rpartition("/v1/")[2]
        told = {
            "chat/completions": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]},
            "completions": {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]},
            "responses": {"object": "response", "status": "completed", "output": []},
            "messages": {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"},
            "embeddings": {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]},
            "rerank": {"results": [{"index": 0, "relevance_score": 0.5}]},
        }[kind]
        claude = {"input_tokens": 40, "output_tokens": 3}
        handler.reply(200, {"id": "x", "model": "m", **told, "usage": claude if kind == "messages" else usage})


@pytest.fixture
def host(upstream):
    return upstream(Vllm().answer)


def salt(served, host, path, body, key="key-one"):
    """What the upstream was sent."""
    answer = ask(served, body, path, x_api_key=key)
    assert answer.status_code == 200, answer.text
    return host.requests[-1].json.get("cache_salt")


@pytest.mark.parametrize(("path", "model", "body"), ROUTES)
def test_every_route_that_has_a_cache_has_the_teams_salt(proxy, host, path, model, body):
    """One of a team, whatever its key; another of another; and neither tells whose it is."""
    served = proxy(FLEET.format(url=host.url), environ=KEYS)
    asked = {"model": model, **body}
    one, two, other = (salt(served, host, path, asked, key) for key in ("key-one", "key-two", "key-other"))
    assert one == two != other
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in (one, other))


def test_a_team_meets_its_own_prefixes_and_no_others(proxy, host):
    served = proxy(FLEET.format(url=host.url), environ=KEYS)

    def cached(key):
        return ask(served, {"model": "m", **CHAT}, x_api_key=key).json()["usage"]["prompt_tokens_details"]["cached_tokens"]

    assert [cached(key) for key in ("key-one", "key-two", "key-other", "key-other")] == [0, 32, 0, 32]


def test_processes_with_the_same_secret_have_the_same_salts_and_others_have_not(proxy, host):
    text = FLEET.format(url=host.url)
    asked = {"model": "m", **CHAT}
    first, second = (salt(proxy(text, environ=KEYS), host, "/chat/completions", asked) for _ in range(2))
    changed = salt(proxy(text, environ=KEYS | {"GL_SALT": SECRET + "!"}), host, "/chat/completions", asked)
    assert first == second != changed


def test_a_salt_of_the_clients_own_is_kept_and_none_is_none(proxy, host):
    served = proxy(FLEET.format(url=host.url), environ=KEYS)
    assert salt(served, host, "/chat/completions", {"model": "m", **CHAT, "cache_salt": "mine"}) == "mine"
    assert len(salt(served, host, "/chat/completions", {"model": "m", **CHAT, "cache_salt": None})) == 64


def test_where_nobody_asked_for_salts_nothing_is_sent(proxy, host):
    served = proxy(FLEET.format(url=host.url), environ=KEYS)
    assert salt(served, host, "/chat/completions", {"model": "p", **CHAT}) is None
    assert b"cache_salt" not in host.requests[-1].body


def test_without_keys_there_is_one_salt_for_all_who_reach_the_proxy(proxy, host):
    served = proxy(f'deployments: {{a: {{model: m, base_url: "{host.url}", cache_salt: env:GL_SALT}}}}', environ=KEYS)
    assert len(salt(served, host, "/chat/completions", {"model": "m", **CHAT})) == 64


def test_no_repr_tells_a_salt_or_its_secret(proxy, host):
    served = proxy(FLEET.format(url=host.url), environ=KEYS)
    made = salt(served, host, "/chat/completions", {"model": "m", **CHAT})
    plans = served.call(lambda runtime: list(runtime.snapshot().plans.values()))
    told = repr([(each, each.target, each.settings) for plan in plans for each in plan.served.values()])
    assert made not in told
    assert SECRET not in told
