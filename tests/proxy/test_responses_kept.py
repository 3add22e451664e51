"""A client may go on by id from a response that was translated: to the deployment that made it, and within its team."""

from __future__ import annotations

import json

import httpx
import pytest

from proxy.configuration import key_hash
from tests.harness import said

FLEET = """
deployments:
  a: {{model: small, base_url: "{a}", privacy: local, zero_retention: true}}
  b: {{model: small, base_url: "{b}", privacy: local, zero_retention: true}}
policies:
  turns: {{objective: round_robin}}
  forgetful: {{objective: round_robin, require: {{zero_retention: true}}}}
policy: turns
teams: {{one: {{}}, two: {{}}}}
keys:
  one: {{team: one, key: "sha256:{one}"}}
  two: {{team: two, key: "sha256:{two}"}}
"""


def constant(received, handler):
    """A host whose every answer has one id, as transformers serve's."""
    if received.json.get("stream"):
        handler.events([piece.replace(b'"c1"', b'"req_0"') for piece in said(["Hello"])])
        return
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]
    handler.reply(200, {"id": "req_0", "object": "chat.completion", "created": 1, "model": "up", "choices": choices})


def answering(name):
    """A host of chat completions, whose every answer has another id."""

    def answer(received, handler):
        made = f"{name}{len(handler.upstream.requests)}"
        if received.json.get("stream"):
            handler.events([piece.replace(b'"c1"', b'"chatcmpl-%b"' % made.encode()) for piece in said(["Said ", made])])
            return
        message = {"role": "assistant", "content": f"Said {made}"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        handler.reply(
            200, {"id": f"chatcmpl-{made}", "object": "chat.completion", "created": 1, "model": "up", "choices": choices, "usage": usage}
        )

    return answer


class Fleet:
    def __init__(self, hosts, served):
        self.hosts, self.served = hosts, served

    def ask(self, key="sk-one", **members):
        body = {"model": "small", "input": "Hi", **members}
        return httpx.post(f"{self.served.url}/responses", json=body, headers={"authorization": f"Bearer {key}"}, timeout=20)

    def heard(self, answer):
        """What the deployment that answered was last told."""
        messages = self.hosts[answer.headers["x-greenlane-deployment"]].requests[-1].json["messages"]
        return [(message["role"], message["content"]) for message in messages]


@pytest.fixture
def fleet(proxy, upstream):
    hosts = {name: upstream(answering(name)) for name in "ab"}
    keys = {"one": key_hash("sk-one"), "two": key_hash("sk-two")}
    return Fleet(hosts, proxy(FLEET.format(a=hosts["a"].url, b=hosts["b"].url, **keys)))


@pytest.mark.parametrize("stream", [False, True])
def test_answers_of_a_host_that_gives_all_one_id_are_told_apart(proxy, upstream, stream):
    """Who goes on from a response goes on from that one, not from the last that anybody of the team had from there."""
    host = upstream(constant)
    served = proxy(f'deployments: {{only: {{model: small, base_url: "{host.url}"}}}}\n')

    def ask(**members):
        answer = httpx.post(f"{served.url}/responses", json={"model": "small", "stream": stream, **members}, timeout=60)
        assert answer.status_code == 200
        if not stream:
            return answer.json()
        return json.loads(answer.text.rsplit("data: ", 1)[1])["response"]

    alice, bob = ask(input="I am Alice"), ask(input="I am Bob")
    assert alice["id"] != bob["id"]
    assert alice["output"][0]["id"] != bob["output"][0]["id"]
    ask(input="Who am I?", previous_response_id=alice["id"])
    assert [message["content"] for message in host.requests[-1].json["messages"]] == ["I am Alice", "Hello", "Who am I?"]


def test_what_is_kept_here_goes_on_at_another_model_too(proxy, upstream):
    hosts = [upstream(answering(name)) for name in "ab"]
    first, second = (f'{name}: {{model: {name}, base_url: "{host.url}"}}' for name, host in zip("ab", hosts, strict=True))
    served = proxy(f"deployments:\n  {first}\n  {second}\n")

    def ask(**members):
        return httpx.post(f"{served.url}/responses", json=members, timeout=60)

    made = ask(model="a", input="Hi").json()["id"]
    assert ask(model="b", input="More", previous_response_id=made).status_code == 200
    assert [message["content"] for message in hosts[1].requests[-1].json["messages"]] == ["Hi", "Said a1", "More"]


def test_a_response_is_gone_on_from_where_it_was_made(fleet):
    first = fleet.ask()
    home, response = first.headers["x-greenlane-deployment"], first.json()
    assert (response["store"], response["previous_response_id"]) == (True, None)
    text = response["output"][0]["content"][0]["text"]
    for _ in range(3):
        more = fleet.ask(input="More", previous_response_id=response["id"], instructions="Be brief.")
        assert (more.status_code, more.headers["x-greenlane-deployment"]) == (200, home)
        assert more.json()["previous_response_id"] == response["id"]
        assert fleet.heard(more) == [("system", "Be brief."), ("user", "Hi"), ("assistant", text), ("user", "More")]


def test_a_stream_is_gone_on_from_too(fleet):
    first = fleet.ask(stream=True)
    last = json.loads(first.text.strip().rpartition("\ndata: ")[2])["response"]
    more = fleet.ask(input="More", previous_response_id=last["id"], stream=True)
    assert fleet.heard(more)[:2] == [("user", "Hi"), ("assistant", last["output"][0]["content"][0]["text"])]
    assert more.headers["x-greenlane-deployment"] == first.headers["x-greenlane-deployment"]


def test_an_item_may_be_referred_to_as_the_ai_sdk_does(fleet):
    item = fleet.ask().json()["output"][0]
    told = [{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": item["id"]}, {"role": "user", "content": "More"}]
    more = fleet.ask(input=told)
    assert fleet.heard(more) == [("user", "Hi"), ("assistant", item["content"][0]["text"]), ("user", "More")]


def test_another_team_s_is_not_known(fleet):
    response = fleet.ask().json()
    refused = fleet.ask(key="sk-two", input="More", previous_response_id=response["id"])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "previous_response_id")
    referred = fleet.ask(key="sk-two", input=[{"type": "item_reference", "id": response["output"][0]["id"]}])
    assert (referred.status_code, referred.json()["error"]["param"]) == (400, "input[0]")
    assert "store: false" in referred.json()["error"]["message"]
    assert sum(len(host.requests) for host in fleet.hosts.values()) == 1


@pytest.mark.parametrize("members", [{"store": False}, {"greenlane": {"policy": "forgetful"}}])
def test_nothing_is_kept_of_who_does_not_want_it(fleet, members):
    response = fleet.ask(**members).json()
    assert response["store"] is False
    assert fleet.ask(previous_response_id=response["id"]).json()["error"]["param"] == "previous_response_id"
    assert fleet.served.call(lambda runtime: runtime.plane.kept.size_bytes) == 0


def test_an_error_names_the_client_s_own_item(fleet):
    response = fleet.ask().json()
    told = [{"role": "user", "content": "a"}, {"type": "hologram"}]
    error = fleet.ask(input=told, previous_response_id=response["id"]).json()["error"]
    assert error["param"] == "input[1].type"


def test_where_there_is_no_room_the_answer_says_what_to_do(proxy, upstream):
    host = upstream(answering("a"))
    text = f'limits: {{kept_responses_bytes: 0}}\ndeployments:\n  a: {{model: small, base_url: "{host.url}"}}\n'
    served = proxy(text)
    response = httpx.post(f"{served.url}/responses", json={"model": "small", "input": "Hi"}, timeout=20).json()
    assert response["store"] is False
    told = {"model": "small", "input": [{"type": "item_reference", "id": response["output"][0]["id"]}]}
    assert httpx.post(f"{served.url}/responses", json=told, timeout=20).json()["error"]["param"] == "input[0]"
