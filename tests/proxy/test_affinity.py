"""A conversation goes on where its beginning was served, as long as that costs nothing; never for another team, never past a filter."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest

from tests.harness import ask, completion, until

FLEET = """
deployments:
  first: {{model: small, base_url: "{first}", privacy: {privacy}, concurrency: 10}}
  second: {{model: small, base_url: "{second}", privacy: local, concurrency: 10}}
"""
KEYS = """
teams: {one: {}, two: {}}
keys: {one: {team: one, key: env:AFFINITY_ONE}, also-one: {team: one, key: env:AFFINITY_ALSO}, two: {team: two, key: env:AFFINITY_TWO}}
"""
BEGINNING = "You are a helpful assistant who knows a great deal about birds. " * 6


def conversation(*turns):
    messages = [{"role": "system", "content": BEGINNING}, *({"role": "user", "content": turn} for turn in turns)]
    return {"model": "small", "messages": messages}


class Busy:
    """Keeps `count` requests in flight at an upstream while it is entered."""

    def __init__(self, served, upstream, count, **headers):
        self.served, self.upstream, self.count, self.headers = served, upstream, count, headers

    def __enter__(self):
        self.let = threading.Event()
        self.upstream.requests.clear()
        free = self.upstream.answer

        def waits(received, handler):
            if "keep busy" in received.body.decode():
                self.let.wait(60)
            free(received, handler)

        self.upstream.answer, self.free = waits, free
        self.pool = concurrent.futures.ThreadPoolExecutor(self.count)
        body = {"model": "small", "messages": [{"role": "user", "content": "keep busy"}]}
        self.calls = [self.pool.submit(ask, self.served, body, **self.headers) for _ in range(self.count)]
        until(lambda: sum(b"keep busy" in each.body for each in self.upstream.requests) >= 1)

    def __exit__(self, *_):
        self.let.set()
        for each in self.calls:
            each.result()
        self.pool.shutdown()
        self.upstream.answer = self.free


@pytest.fixture
def pair(proxy, upstream, monkeypatch):
    for name in ("ONE", "ALSO", "TWO"):
        monkeypatch.setenv(f"AFFINITY_{name}", f"sk-affinity-{name.lower()}")
    first, second = upstream(completion), upstream(completion)

    def make(more="", privacy="local"):
        served = proxy(FLEET.format(first=first.url, second=second.url, privacy=privacy) + more)
        served.first, served.second = first, second
        return served

    return make


def where(served, body, **headers):
    answer = ask(served, body, **headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-greenlane-deployment"]


def settled(served, **headers):
    """The conversation begins at the second, because the first is busy just then."""
    with Busy(served, served.first, 1, **headers):
        assert where(served, conversation("Hello"), **headers) == "second"


def test_a_conversation_goes_on_where_it_began(pair):
    served = pair()
    settled(served)
    assert [where(served, conversation("Hello", *["more"] * turns)) for turns in range(4)] == ["second"] * 4
    assert where(served, {"model": "small", "messages": [{"role": "user", "content": "another conversation, " * 20}]}) == "first"
    assert where(served, {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}) == "first"


def test_it_is_kept_there_while_that_has_little_more_to_do_and_says_so(pair):
    served = pair()
    settled(served)
    body = {"model": "small", "messages": [{"role": "system", "content": BEGINNING}, {"role": "user", "content": "keep busy"}]}
    let = threading.Event()

    def waits(received, handler):
        if b"keep busy" in received.body:
            let.wait(60)
        completion(received, handler)

    served.second.answer = waits
    served.second.requests.clear()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(ask, served, body) for _ in range(2)]
        until(lambda: len(served.second.requests) == 2)
        answer = ask(served, conversation("Hello", "again"))
        let.set()
        assert [each.result().headers["x-greenlane-deployment"] for each in busy] == ["second", "second"]
    assert (answer.headers["x-greenlane-deployment"], answer.headers["x-greenlane-reason"]) == ("second", "affinity")


def test_it_moves_when_that_has_much_more_to_do(pair):
    served = pair()
    settled(served)
    body = {"model": "small", "messages": [{"role": "system", "content": BEGINNING}, {"role": "user", "content": "keep busy"}]}
    let = threading.Event()

    def waits(received, handler):
        if b"keep busy" in received.body:
            let.wait(60)
        completion(received, handler)

    served.second.answer = served.first.answer = waits
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        busy = [pool.submit(ask, served, body) for _ in range(8)]
        until(lambda: len(served.second.requests) + len(served.first.requests) >= 9)
        let.set()
        taken = [each.result().headers["x-greenlane-deployment"] for each in busy]
    assert set(taken) == {"first", "second"}


def test_teams_do_not_share_what_is_known_of_a_prompt(pair):
    """Whether another team has asked the same would show in where it is served."""
    served = pair(KEYS)
    one = {"authorization": "Bearer sk-affinity-one"}
    settled(served, **one)
    assert where(served, conversation("Hello"), **one) == "second"
    assert where(served, conversation("Hello"), authorization="Bearer sk-affinity-also") == "second"
    assert where(served, conversation("Hello"), authorization="Bearer sk-affinity-two") == "first"


def test_a_home_that_a_requirement_excludes_is_no_home(pair):
    served = pair(privacy="vendor")
    assert where(served, conversation("Hello")) == "first"
    served.first.requests.clear()
    for turns in range(3):
        assert where(served, conversation("Hello", *["more"] * turns), x_greenlane_privacy="local") == "second"
    assert served.first.requests == []


def test_a_home_that_is_down_is_left(pair):
    served = pair("breaker: {failures: 1}\n")
    settled(served)
    served.second.answer = lambda _, handler: handler.reply(500, {})
    assert [where(served, conversation("Hello", "more")) for _ in range(2)] == ["first", "first"]


def test_an_objective_that_tells_them_apart_outweighs_it(pair):
    served = pair("policies: {cheap: {objective: cheapest}}\n".replace("cheapest", "round_robin"))
    settled(served)
    taken = [where(served, conversation("Hello", "more"), x_greenlane_policy="cheap") for _ in range(4)]
    assert sorted(taken) == ["first", "first", "second", "second"]


SAID = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "And?"}]
ELSEWHERE = {
    "/messages": lambda turns: {"max_tokens": 9, "messages": [{"role": "user", "content": BEGINNING}, *SAID[1 : 2 * turns + 1]]},
    "/responses": lambda turns: {"input": [{"role": "developer", "content": BEGINNING}, *SAID[: 2 * turns + 1]]},
    "/completions": lambda turns: {"prompt": BEGINNING + "and so on " * turns},
}


@pytest.mark.parametrize("path", sorted(ELSEWHERE))
def test_other_apis_keep_their_prefixes_too(pair, path):
    served, body = pair(), ELSEWHERE[path]
    with Busy(served, served.first, 1):
        assert ask(served, {"model": "small", **body(0)}, path).headers["x-greenlane-deployment"] == "second"
    assert [ask(served, {"model": "small", **body(1)}, path).headers["x-greenlane-deployment"] for _ in range(3)] == ["second"] * 3
    other = {name: value if name == "max_tokens" else "another conversation, " * 20 for name, value in body(0).items()}
    if path == "/messages":
        other["messages"] = [{"role": "user", "content": other["messages"]}]
    assert ask(served, {"model": "small", **other}, path).headers["x-greenlane-deployment"] == "first"
