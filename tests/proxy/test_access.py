"""Who is let in, what they may use and see, and that no secret leaves by any door."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import socket
import threading
import time

import httpx
import pytest

from tests.harness import Received, Served, Upstream, ask, chunk, completion, exchange, serving, until

ENV_KEY, HASHED_KEY, OTHER_KEY, UP_KEY = "sk-env-9f8e7d6c5b4a", "sk-hashed-1a2b3c4d5e", "sk-other-0f1e2d3c4b", "sk-upstream-a1b2c3d4e5"
KEYED = """
deployments:
  north: {{model: small, base_url: "{url}", privacy: local, zone: SE, api_key: env:ACCESS_UP, usd_per_mtok: {{input: 1, output: 1}}}}
  south: {{model: large, base_url: "{url}", privacy: vendor, zone: PL, api_key: env:ACCESS_UP}}
models: {{auto: {{members: [small, large]}}}}
policies:
  free: {{}}
  strict: {{require: {{privacy: local}}}}
teams: {{one: {{}}, two: {{}}, guarded: {{policy: strict}}}}
keys:
  by-env: {{team: one, key: env:ACCESS_KEY}}
  by-hash: {{team: one, key: "sha256:{hash}", models: [small]}}
  other: {{team: two, key: env:ACCESS_OTHER}}
  bound: {{team: two, key: env:ACCESS_BOUND, policy: strict}}
  of-team: {{team: guarded, key: env:ACCESS_TEAM}}
"""


SECRETS_OF = {
    "ACCESS_KEY": ENV_KEY,
    "ACCESS_OTHER": OTHER_KEY,
    "ACCESS_UP": UP_KEY,
    "ACCESS_BOUND": "sk-bound-key",
    "ACCESS_TEAM": "sk-team-key",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(
        lambda url: KEYED.format(url=url, hash=hashlib.sha256(HASHED_KEY.encode()).hexdigest()),
        tmp_path_factory.mktemp("access"),
        SECRETS_OF,
    ) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.requests.clear()
    shared.host.answer = completion
    return shared


@pytest.fixture
def host(served):
    return served.host


def get(served, path, **headers):
    return httpx.get(
        served.base + path, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=10, verify=False
    )


GOOD = {
    "by environment": {"authorization": f"Bearer {ENV_KEY}"},
    "by hash": {"authorization": f"Bearer {HASHED_KEY}"},
    "lower case scheme": {"authorization": f"bearer {ENV_KEY}"},
    "x-api-key": {"x_api_key": HASHED_KEY},
    "api-key": {"api_key": HASHED_KEY},
    "both": {"x_api_key": ENV_KEY, "authorization": f"Bearer {ENV_KEY}"},
    "x-api-key before api-key": {"x_api_key": ENV_KEY, "api_key": "sk-wrong"},
    "api-key before bearer": {"api_key": ENV_KEY, "authorization": "Bearer sk-wrong"},
}


@pytest.mark.parametrize("case", GOOD)
def test_a_known_key_is_let_in(served, host, case):
    assert ask(served, **GOOD[case]).status_code == 200
    assert (
        ask(
            served, {"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}, "/messages", **GOOD[case]
        ).status_code
        == 200
    )
    assert get(served, "/v1/models", **GOOD[case]).status_code == 200
    assert {received.headers["authorization"] for received in host.requests} == {f"Bearer {UP_KEY}"}


BAD = {
    "none": {},
    "wrong": {"authorization": "Bearer sk-wrong"},
    "prefix": {"authorization": f"Bearer {ENV_KEY[:-1]}"},
    "longer": {"authorization": f"Bearer {ENV_KEY}x"},
    "another case": {"authorization": f"Bearer {ENV_KEY.upper()}"},
    "its hash": {"authorization": f"Bearer {hashlib.sha256(ENV_KEY.encode()).hexdigest()}"},
    "our key upstream": {"authorization": f"Bearer {UP_KEY}"},
    "its name": {"authorization": "Bearer by-env"},
    "reference": {"authorization": "Bearer env:ACCESS_KEY"},
    "basic": {"authorization": f"Basic {ENV_KEY}"},
    "bare": {"authorization": ENV_KEY},
    "scheme alone": {"authorization": "Bearer"},
    "empty x-api-key": {"x_api_key": ""},
    "empty api-key": {"api_key": "", "authorization": f"Bearer {ENV_KEY}"},
    "wrong api-key": {"api_key": "sk-wrong", "authorization": f"Bearer {ENV_KEY}"},
    "wrong x-api-key": {"x_api_key": "sk-wrong", "api_key": ENV_KEY},
    "api-key with a scheme": {"api_key": f"Bearer {ENV_KEY}"},
    "injection": {"authorization": "Bearer ' OR '1'='1' --"},
    "union": {"authorization": "Bearer x') UNION SELECT key FROM keys; DROP TABLE ledger;--"},
    "template": {"authorization": "Bearer {{config}}${jndi:ldap://x}%n%s"},
    "list": {"x_api_key": f"{ENV_KEY},{OTHER_KEY}"},
    "long": {"authorization": "Bearer " + "a" * 8000},
    "latin": {"authorization": "Bearer \xe9\xff"},
    "wildcard": {"authorization": "Bearer *"},
}


@pytest.mark.parametrize("case", BAD)
def test_any_other_is_401_in_the_form_of_its_route(served, host, case):
    headers = {name.replace("_", "-"): value.encode("latin-1") for name, value in BAD[case].items()}
    body = {"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    with httpx.Client(timeout=10, verify=False, headers=headers) as client:
        plain = client.post(f"{served.url}/chat/completions", json=body)
        anthropic = client.post(f"{served.url}/messages", json=body)
        models = client.get(f"{served.url}/models")
        entry = client.get(f"{served.url}/greenlane/requests/x")
    assert [each.status_code for each in (plain, anthropic, models, entry)] == [401] * 4
    assert plain.json()["error"] == {**plain.json()["error"], "code": "invalid_api_key", "type": "invalid_request_error"}
    assert models.json()["error"]["code"] == "invalid_api_key"
    assert anthropic.json()["type"] == "error"
    assert anthropic.json()["error"]["type"] == "authentication_error"
    for each in (plain, anthropic, models, entry):
        assert each.headers["x-carbon-method"] == "none"
        assert not any(len(value) > 6 and value.decode("latin-1") in each.text for value in headers.values())
    assert host.requests == []


def test_a_wrong_key_is_answered_before_a_large_body_is_sent(served):
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-wrong\r\ncontent-type: application/json\r\n"
    began_s = time.monotonic()
    answer = exchange(served.port, head + b"content-length: 30000000\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer
    assert time.monotonic() - began_s < 20


def test_a_wrong_key_is_answered_instead_of_100_continue(served):
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-wrong\r\nexpect: 100-continue\r\n"
    answer = exchange(served.port, head + b"content-length: 30\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_small_refused_body_keeps_the_connection(served):
    with httpx.Client(timeout=10, verify=False) as client:
        first = client.post(f"{served.url}/chat/completions", json={"model": "small", "messages": []})
        second = client.post(
            f"{served.url}/chat/completions", json={"model": "small", "messages": []}, headers={"authorization": f"Bearer {ENV_KEY}"}
        )
    assert (first.status_code, second.status_code) == (401, 200)
    assert "connection" not in first.headers


# without keys


@pytest.fixture
def keyless(proxy, upstream):
    return proxy(f'deployments: {{north: {{model: small, base_url: "{upstream().url}", privacy: local}}}}\n')


HOSTS = {
    b"localhost": 200,
    b"LocalHost:8080": 200,
    b"127.0.0.1:1": 200,
    b"[::1]:8080": 200,
    b"evil.example": 403,
    b"localhost.evil.example": 403,
    b"127.0.0.1.evil.example": 403,
    b"evil.example:127": 403,
    b"10.0.0.1": 403,
    b"[::1]evil.example": 403,
    b"127.0.0.1:80@evil.example": 403,
    b"localhost:evil.example": 403,
    b"": 403,
}
CHAT = json.dumps({"model": "small", "messages": []}).encode()


def raw(method, path, host, more=b"", body=b""):
    head = b"%b %b HTTP/1.1\r\nhost: %b\r\nconnection: close\r\ncontent-type: application/json\r\n" % (method, path, host)
    return head + more + b"content-length: %d\r\n\r\n" % len(body) + body


def status(answer):
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("host", HOSTS)
def test_without_keys_only_loopback_names_are_answered(keyless, host):
    for request in (
        raw(b"POST", b"/v1/chat/completions", host, body=CHAT),
        raw(b"GET", b"/v1/models", host),
        raw(b"GET", b"/metrics", host),
    ):
        assert status(exchange(keyless.port, request)) == HOSTS[host]


ORIGINS = {
    b"http://localhost:3000": 200,
    b"http://127.0.0.1": 200,
    b"https://evil.example": 403,
    b"https://localhost.evil.example": 403,
    b"https://[::1].evil.example": 403,
    b"https://localhost:1@evil.example": 403,
    b"null": 403,
    b"file://": 403,
    b"": 403,
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_without_keys_pages_of_other_origins_are_refused(keyless, origin):
    more = b"origin: %b\r\n" % origin
    for request in (
        raw(b"POST", b"/v1/chat/completions", b"localhost", more, CHAT),
        raw(b"GET", b"/v1/models", b"localhost", more),
        raw(b"GET", b"/v1/greenlane/usage", b"localhost", more),
        raw(b"GET", b"/metrics", b"localhost", more),
    ):
        answer = exchange(keyless.port, request)
        assert status(answer) == ORIGINS[origin], answer
        if status(answer) == 403:
            assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "forbidden"
            assert b"x-greenlane-id" in answer


def test_with_keys_any_host_name_is_answered(served):
    more = b"authorization: Bearer " + ENV_KEY.encode() + b"\r\norigin: https://app.example\r\n"
    assert status(exchange(served.port, raw(b"POST", b"/v1/chat/completions", b"gateway.example", more, CHAT))) == 200


# what a key may use and see


def test_a_key_with_a_list_of_models_sees_and_uses_those_alone(served):
    mine = {"authorization": f"Bearer {HASHED_KEY}"}
    assert [each["id"] for each in get(served, "/v1/models", **mine).json()["data"]] == ["small"]
    assert get(served, "/v1/models/small", **mine).status_code == 200
    assert get(served, "/v1/models/large", **mine).status_code == 404
    for name in ("large", "auto", "auto/free", "nonesuch"):
        answer = ask(served, {"model": name, "messages": []}, **mine)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert ask(served, **mine).status_code == 200
    # what is not allowed is told in the words of what does not exist
    for hidden, absent in (("large", "nonesuch"), ("auto/free", "none/free")):
        for members in ({"messages": []}, {"messages": 5}, {"messages": [], "n": "x"}, {"messages": [], "stream": "perhaps"}):
            told = [ask(served, {"model": name, **members}, **mine).text.replace(f"`{name}`", "") for name in (hidden, absent)]
            assert told[0] == told[1]
            assert "model_not_found" in told[0]


@pytest.mark.parametrize("key", ["sk-bound-key", "sk-team-key"])
def test_naming_another_policy_does_not_loosen_the_keys_own(served, key):
    mine = {"authorization": f"Bearer {key}"}
    large = {"model": "large", "messages": []}
    assert ask(served, large, **mine).status_code == 422
    assert ask(served, large, x_greenlane_policy="free", **mine).status_code == 422
    assert ask(served, {**large, "model": "large/free"}, **mine).status_code == 422
    assert ask(served, {**large, "greenlane": {"policy": "free", "privacy": "vendor"}}, **mine).status_code == 422
    assert ask(served, {**large, "model": "auto/free"}, **mine).headers["x-greenlane-deployment"] == "north"


def test_entries_are_read_by_their_own_team_only(served):
    one, two = {"authorization": f"Bearer {ENV_KEY}"}, {"authorization": f"Bearer {OTHER_KEY}"}
    entry_id = ask(served, **one).headers["x-greenlane-id"]
    mine = get(served, f"/v1/greenlane/requests/{entry_id}", **one)
    assert (mine.status_code, mine.json()["team"], mine.json()["key"]) == (200, "one", "by-env")
    # another key of the same team reads it too
    assert get(served, f"/v1/greenlane/requests/{entry_id}", authorization=f"Bearer {HASHED_KEY}").status_code == 200
    theirs, absent = get(served, f"/v1/greenlane/requests/{entry_id}", **two), get(served, "/v1/greenlane/requests/gl-0-1", **two)
    assert (theirs.status_code, absent.status_code) == (404, 404)
    assert theirs.json() == absent.json()


def test_a_refused_request_has_an_entry_of_its_team_too(served):
    two = {"authorization": f"Bearer {OTHER_KEY}"}
    answer = ask(served, {"model": "nonesuch", "messages": []}, **two)
    assert answer.status_code == 404
    assert get(served, f"/v1/greenlane/requests/{answer.headers['x-greenlane-id']}", **two).json()["outcome"] == "refused"
    assert get(served, f"/v1/greenlane/requests/{answer.headers['x-greenlane-id']}", authorization=f"Bearer {ENV_KEY}").status_code == 404


def test_sums_are_of_the_own_team_only(served):
    one, two = {"authorization": f"Bearer {ENV_KEY}"}, {"authorization": f"Bearer {OTHER_KEY}"}

    def sums(group, key):
        return {row[group]: row["requests"] for row in get(served, f"/v1/greenlane/usage?group_by={group}", **key).json()["data"]}

    before = {team: sums("team", key).get(team, 0) for team, key in (("one", one), ("two", two))}
    for key in (one, one, two):
        ask(served, **key)
    assert sums("team", one) == {"one": before["one"] + 2}
    assert sums("team", two) == {"two": before["two"] + 1}
    assert set(sums("key", one)) <= {"by-env", "by-hash"}
    assert set(sums("key", two)) <= {"other", "bound"}


@pytest.mark.parametrize("entry_id", ["' OR 1=1 --", "%27%20OR%201%3D1", "..%2f..%2fusage", "gl-%00", "a" * 3000, "%25", "é"])
def test_odd_ids_are_not_found(served, entry_id):
    answer = get(served, "/v1/greenlane/requests/" + entry_id.replace(" ", "%20"), authorization=f"Bearer {ENV_KEY}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


# secrets


SECRETS = (ENV_KEY, HASHED_KEY, OTHER_KEY, UP_KEY, "the prompt nobody may see")


def told_back(received: Received, handler) -> None:
    """An upstream that tells everything it was sent: keys and prompt, in headers and body."""
    text = f"You sent {received.headers.get('authorization')} and {UP_KEY}"
    handler.reply(401, {"error": {"message": text, "type": "t", "code": "c"}}, {"x-secret": UP_KEY, "set-cookie": f"key={UP_KEY}"})


KEYS_UPSTREAM = {
    "usual": UP_KEY,
    "hexadecimal": "0c1d2e3f405162738495a6b7c8d9eafb",
    "hub": "hf_QwErTyUiOpAsDfGhJkLz",
    "odd": "Zx81.Spectrum/48+K=",
}
TOLD = {
    "message": lambda key: {"error": {"message": f"Incorrect API key provided: {key}.", "code": "c", "type": "t"}},
    "other members": lambda key: {"error": {"message": "m", "code": key, "type": key, "param": key}},
    "text": lambda key: {"error": f"no {key}"},
    "detail": lambda key: {"detail": [{"loc": ["body", key], "msg": key}]},
}


@pytest.fixture(scope="module")
def quoting(tmp_path_factory):
    host = Upstream()
    lines = "\n".join(
        f"  {kind}: {{model: {kind}, base_url: '{host.url}', privacy: local, api_key: env:QUOTED_{kind}}}" for kind in KEYS_UPSTREAM
    )
    environ = {f"QUOTED_{kind}": key for kind, key in KEYS_UPSTREAM.items()}
    made = Served(f"deployments:\n{lines}\nbreaker: {{failures: 1000}}\n", tmp_path_factory.mktemp("quoting") / "proxy", environ)
    made.host = host
    yield made
    made.close()
    host.close()


@pytest.mark.parametrize("kind", KEYS_UPSTREAM)
@pytest.mark.parametrize("told", TOLD)
def test_our_key_is_in_no_answer_whatever_the_upstream_tells(quoting, told, kind):
    """Hosts do quote the key they were sent: in messages, codes, members and headers. Whole, and in a stream that breaks."""
    key = KEYS_UPSTREAM[kind]
    body = TOLD[told](key)
    bodies_of = {"/chat/completions": {"messages": []}, "/messages": {"max_tokens": 9, "messages": []}, "/responses": {"input": "Hi"}}
    headers = {"x-secret": key, "set-cookie": key, "www-authenticate": key}
    for code in (400, 401, 404, 429, 503):
        quoting.host.answer = lambda _, handler, code=code: handler.reply(code, body, headers)
        for path, members in bodies_of.items():
            answer = ask(quoting, {"model": kind, **members}, path)
            assert key not in answer.text + str(answer.headers), (path, code)
    pieces = [chunk({"role": "assistant", "content": "Hal"}), b"data: " + json.dumps(body).encode() + b"\n\n"]
    quoting.host.answer = lambda _, handler: handler.events(pieces)
    answer = ask(quoting, {"model": kind, "messages": [], "stream": True})
    assert key not in answer.text


def test_no_secret_is_in_entries_metrics_models_logs_or_the_repr_of_anything_alive(served, host, caplog, capfd):
    """Looked for while a request is under way, when all that is known of it is alive."""
    caplog.set_level(logging.DEBUG, logger="greenlane")
    served.call(lambda runtime: setattr(runtime.request_log, "enabled", True))
    prompt = "the prompt nobody may see"
    let = threading.Event()

    def waits(received, handler):
        let.wait(60)
        told_back(received, handler)

    host.answer = waits
    key = {"authorization": f"Bearer {ENV_KEY}"}
    body = {"model": "small", "messages": [{"role": "user", "content": prompt}]}
    asker = threading.Thread(target=lambda: ask(served, body, **key))
    asker.start()
    until(lambda: host.requests)
    shown = served.call(lambda _: alive())
    let.set()
    asker.join()
    pages = [get(served, path, **key).text for path in ("/metrics", "/v1/models", "/v1/greenlane/usage", "/health/ready")]
    entries = [str(entry) for entry in served.entries()]
    written = []
    until(lambda: written.append("".join(capfd.readouterr())) or '"outcome"' in "".join(written))
    for secret in SECRETS:
        for where, text in {**shown, "pages": "".join(pages), "entries": "".join(entries), "logs": caplog.text + "".join(written)}.items():
            assert secret not in text, where


def alive() -> dict[str, str]:
    """The repr of every object of ours, by type; of those, too, that the collector does not know and that others hold."""
    found = {id(each): each for each in gc.get_objects()}
    for each in gc.get_referents(*(each for each in found.values() if ours(each) or type(each).__name__ in ("coroutine", "dict", "list"))):
        found[id(each)] = each
    shown: dict[str, str] = {}
    for each in found.values():
        if ours(each):
            name = type(each).__qualname__
            shown[name] = shown.get(name, "") + repr(each)
    assert {"Snapshot", "Keyring", "Served", "Admission", "Call"} <= shown.keys()
    return shown


def ours(each: object) -> bool:
    module = type(each).__module__
    return isinstance(module, str) and module.partition(".")[0] in ("proxy", "policies", "adapters")


def test_a_connection_that_says_nothing_or_rubbish_gets_no_secret(served):
    with socket.create_connection(("127.0.0.1", served.port)) as wire:
        wire.sendall(b"\x00\x01\x02 Bearer " + ENV_KEY.encode() + b"\r\n\r\n")
        wire.settimeout(60)
        assert ENV_KEY.encode() not in wire.recv(65536)
