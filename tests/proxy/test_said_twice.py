"""What a request says of where it may go, said twice or in several places: the strictest counts, or it is refused."""

from __future__ import annotations

import httpx
import pytest

from tests.harness import ask, chosen

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
FLEET = """
deployments:
  north: {{model: small, base_url: "{north}", privacy: local, quality: 0.5}}
  south: {{model: small, base_url: "{south}", privacy: vendor, quality: 0.9}}
"""


@pytest.fixture
def pair(proxy, upstream):
    """North is local, South a vendor's and the better one."""
    north, south = upstream(), upstream()

    def make(more=""):
        served = proxy(FLEET.format(north=north.url, south=south.url) + more)
        served.north, served.south = north, south
        return served

    return make


TWICE = {
    "ours": b'{"model":"small","greenlane":{"privacy":"local"},"greenlane":{},"messages":[]}',
    "ours, the other way": b'{"model":"small","greenlane":{},"greenlane":{"privacy":"local"},"messages":[]}',
    "ours, null": b'{"model":"small","greenlane":{"privacy":"local"},"greenlane":null,"messages":[]}',
    "ours, escaped": b'{"model":"small","greenlane":{"privacy":"local"},"gr\\u0065enlane":{},"messages":[]}',
    "ours, escaped otherwise": b'{"model":"small","g\\u0072eenlane":{"privacy":"local"},"greenlane":{},"messages":[]}',
    "beside a number of 5,000 digits": b'{"model":"small","seed":%b,"greenlane":{"privacy":"local"},"greenlane":{}}' % (b"9" * 5000),
    "a member of ours": b'{"model":"small","greenlane":{"privacy":"local","privacy":"vendor"},"messages":[]}',
    "a wish": b'{"model":"small","greenlane":{"prefer":{"max_g":1,"max_g":2}},"messages":[]}',
}


@pytest.mark.parametrize("case", TWICE)
def test_what_a_body_says_twice_is_refused(pair, case):
    """JSON's readers take the last: what the first requires would go unheard."""
    served = pair()
    answer = httpx.post(f"{served.url}/chat/completions", content=TWICE[case], headers={"content-type": "application/json"}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "greenlane")
    assert served.north.requests == served.south.requests == []


def test_a_name_that_occurs_twice_is_not_said_twice(pair):
    """In a message, beside a number that no int may be read from: nothing of it is ours to judge."""
    served = pair()
    for host in (served.north, served.south):
        host.answer = lambda _, handler: handler.reply(200, {"object": "chat.completion", "choices": []})
    body = b'{"model":"small",          "seed":%b,"messages":[{"role":"user","content":"Hi","x":{"model":1}}]}' % (b"9" * 5000)
    answer = httpx.post(f"{served.url}/chat/completions", content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 200


def test_a_form_that_says_it_twice_is_refused_too(pair):
    parts = [("model", (None, "small")), ("greenlane", (None, '{"privacy": "local"}')), ("greenlane", (None, "{}"))]
    served = pair()
    answer = httpx.post(f"{served.url}/audio/transcriptions", files=[*parts, ("file", ("a.wav", b"x"))], timeout=60)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "greenlane")
    assert served.north.requests == served.south.requests == []


def test_a_header_with_underscores_is_no_second_name_of_ours(pair):
    """Of `zero-retention` and `zero_retention` the one that came last would win."""
    served = pair()
    for lines in ({"x-greenlane-zero-retention": "true", "x-greenlane-zero_retention": "false"}, {"x-greenlane-max_g": "9"}):
        assert httpx.post(f"{served.url}/chat/completions", json=CHAT, headers=lines, timeout=60).status_code == 400
    assert served.north.requests == served.south.requests == []


SEVERAL = {
    "behind the model and in a header": ({"model": "small/mine"}, {"x_greenlane_policy": "open"}),
    "in a header and behind the model": ({"model": "small/open"}, {"x_greenlane_policy": "mine"}),
    "in the body and in a header": ({"greenlane": {"policy": "mine"}}, {"x_greenlane_policy": "open"}),
    "in the body and behind the model": ({"greenlane": {"policy": "mine"}, "model": "small/open"}, {}),
    "behind the model and in the body": ({"greenlane": {"policy": "open"}, "model": "small/mine"}, {}),
    "everywhere": ({"greenlane": {"policy": "open"}, "model": "small/mine"}, {"x_greenlane_policy": "open"}),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_of_several_policies_that_a_request_names_all_requirements_count(pair, case):
    """A gateway in between that adds a header undoes nothing. The one that the header names decides, else that of the body."""
    members, headers = SEVERAL[case]
    served = pair("policies: {open: {objective: best_quality}, mine: {objective: cheapest, require: {privacy: local}}}\n")
    for _ in range(3):
        answer = ask(served, CHAT | members, **headers)
        assert chosen(answer)[0] == "north"
        named = headers.get("x_greenlane_policy") or members["greenlane"]["policy"]
        assert answer.headers["x-greenlane-policy"] == named
    assert served.south.requests == []
    assert chosen(ask(served, CHAT | {"model": "small/open"}))[0] == "south"


@pytest.mark.parametrize("members", [{"greenlane": {"policy": "nobody"}}, {"model": "small/nobody"}])
def test_a_policy_that_is_not_there_is_told_beside_another_as_well(pair, members):
    served = pair("policies: {open: {objective: best_quality}}\n")
    assert ask(served, CHAT | members, x_greenlane_policy="open").status_code in (400, 404)
