"""`previous_response_id` goes back to the deployment that made the response, also after a restart, and never to another team."""

from __future__ import annotations

import json

import httpx
import pytest

from proxy.configuration import key_hash

FLEET = """
deployments:
  a: {{model: small, base_url: "{a}", privacy: local, apis: [chat, responses]}}
  b: {{model: small, base_url: "{b}", privacy: local, apis: [chat, responses]}}
policies:
  turns: {{objective: round_robin}}
policy: turns
teams: {{one: {{}}, two: {{}}}}
keys:
  one: {{team: one, key: "sha256:{one}"}}
  two: {{team: two, key: "sha256:{two}"}}
"""


def stored(name):
    def answer(received, handler):
        made = len(handler.upstream.requests)
        usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        response = {"id": f"resp_{name}{made}", "object": "response", "status": "completed", "model": "up", "output": [], "usage": usage}
        if not received.json.get("stream"):
            handler.reply(200, response)
            return
        told = ({"type": "response.created", "response": {**response, "usage": None}}, {"type": "response.completed", "response": response})
        handler.events([f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in told])

    return answer


def told_id(answer):
    if answer.headers["content-type"].startswith("application/json"):
        return answer.json()["id"]
    return json.loads(answer.text.rpartition("data: ")[2])["response"]["id"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_continued_response_goes_where_it_was_made(proxy, upstream, stream):
    hosts = {name: upstream(stored(name)) for name in "ab"}
    served = proxy(FLEET.format(a=hosts["a"].url, b=hosts["b"].url, one=key_hash("sk-one"), two=key_hash("sk-two")))

    def ask(key="sk-one", **more):
        return httpx.post(
            f"{served.url}/responses",
            json={"model": "small", "input": "Hi", "stream": stream, **more},
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
        )

    first = told_id(ask())
    home = first.removeprefix("resp_")[0]
    for _ in range(4):
        answer = ask(previous_response_id=first)
        assert answer.status_code == 200
        assert answer.headers["x-greenlane-deployment"] == home
    assert ask(key="sk-two", previous_response_id=first).json()["error"]["code"] == "previous_response_not_found"
    assert ask(previous_response_id="resp_unknown").status_code == 400
    served.call(lambda runtime: runtime.plane.continuity._made.clear())
    assert ask(previous_response_id=first).headers["x-greenlane-deployment"] == home


@pytest.mark.parametrize("stream", [False, True])
def test_an_id_of_any_length_costs_neither_the_entry_nor_memory(proxy, upstream, stream):
    """Fifty thousand of them would be remembered, and an entry with one of two megabytes fits into no slot of the spool."""
    host = upstream(stored("x" * (50_000 if stream else 2_000_000)))
    served = proxy(f'deployments:\n  a: {{model: small, base_url: "{host.url}", apis: [chat, responses]}}\n')
    answer = httpx.post(f"{served.url}/responses", json={"model": "small", "input": "Hi", "stream": stream}, timeout=60)
    assert len(told_id(answer)) > 40_000
    (entry,) = served.entries()
    assert (entry.outcome, entry.response_id) == ("completed", None)
    later = httpx.post(f"{served.url}/responses", json={"model": "small", "input": "Hi", "previous_response_id": "r" * 500_000}, timeout=60)
    assert later.status_code == 400
