"""A head met before is served without being parsed: nobody may be able to tell, but by the clock."""

from __future__ import annotations

import gc
import json
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import server
from proxy.heads import Head, Heads, cut, plain
from tests.harness import Served, Upstream, until

KEYS = {"HEADS_ONE": "sk-heads-one-1a2b", "HEADS_TWO": "sk-heads-two-3c4d"}
FLEET = """
deployments:
  near: {{model: small, base_url: "{url}", zone: SE, privacy: local}}
  far: {{model: small, base_url: "{url}", zone: PL, privacy: vendor}}
limits: {{body_bytes: 4096}}
policies: {{guarded: {{require: {{privacy: local}}}}, dirty: {{require: {{regions: [PL]}}}}}}
teams: {{one: {{}}, two: {{}}}}
keys:
  one: {{team: one, key: env:HEADS_ONE}}
"""
SECOND_KEY = "  two: {{team: two, key: env:HEADS_TWO}}\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    host = Upstream()
    made = Served((FLEET + SECOND_KEY).format(url=host.url), tmp_path_factory.mktemp("heads") / "proxy", KEYS)
    made.host = host
    yield made
    made.close()
    host.close()


class Wire:
    """One connection on which answers are read one by one."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._held = b""

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self._held:
            self._more()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        while len(self._held) < int(headers["content-length"]):
            self._more()
        size = int(headers["content-length"])
        body, self._held = self._held[:size], self._held[size:]
        return int(lines[0].split()[1]), headers, body

    def _more(self) -> None:
        more = self._socket.recv(65536)
        assert more, "closed without an answer"
        self._held += more

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(served):
    made = Wire(served.port)
    yield made
    made.close()


def chat(text: str = "Hi", *lines: bytes, key: str = KEYS["HEADS_ONE"], path: bytes = b"/v1/chat/completions") -> bytes:
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": text}]}).encode()
    known = (b"host: localhost", b"content-type: application/json", b"authorization: Bearer " + key.encode(), *lines)
    head = b"\r\n".join((b"POST " + path + b" HTTP/1.1", *known, b"content-length: %d" % len(body)))
    return head + b"\r\n\r\n" + body


def told(answer) -> dict[str, str]:
    """What an answer says, less what differs from one to the next."""
    status, headers, _ = answer
    own = ("x-request-id", "x-greenlane-id", "date", "content-length")
    return {"status": str(status), **{name: value for name, value in headers.items() if name not in own}}


def asked(served) -> str:
    return json.loads(served.host.requests[-1].body)["messages"][0]["content"]


def test_each_request_under_one_head_is_answered_as_itself(served, wire):
    ids = set()
    for text in ("one", "another", "a third that is longer", "é", ""):
        wire.say(chat(text))
        answer = wire.answer()
        assert answer[0] == 200
        assert asked(served) == text
        ids.add(answer[1]["x-greenlane-id"])
        assert answer[1]["x-request-id"] == answer[1]["x-greenlane-id"]
    assert len(ids) == 5


def test_the_second_answer_says_what_the_first_did(wire):
    said = []
    for _ in range(3):
        wire.say(chat("Hi", b"x-greenlane-policy: guarded", b"origin: http://page.example"))
        said.append(told(wire.answer()))
    assert said[0] == said[1] == said[2]
    assert said[0]["x-greenlane-deployment"] == "near"
    assert said[0]["x-greenlane-policy"] == "guarded"


ALIKE = {
    "plain": {},
    "another prompt": {"messages": [{"role": "user", "content": "another and a longer one " * 40}]},
    "a prompt that is no array": {"messages": "Hi"},
    "no prompt": {"messages": None},
    "too deep": {"messages": json.loads("[" * 200 + "]" * 200)},
    "an image": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}]},
    "a cap": {"max_tokens": 7},
    "another cap": {"max_tokens": 8},
    "no number as a cap": {"max_tokens": "many"},
    "another model": {"model": "nothing"},
    "a policy behind the model": {"model": "small/dirty"},
    "a wish": {"greenlane": {"policy": "guarded"}},
    "another wish": {"greenlane": {"policy": "dirty"}},
    "a wish nobody knows": {"greenlane": {"policy": "nobody"}},
    "choices": {"n": 2},
    "too many": {"n": 1000},
    "json": {"response_format": {"type": "json_object"}},
    "tools": {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
    "a user": {"user": "somebody"},
    "a seed": {"seed": 7},
    "a member nobody knows": {"zzz": [1]},
}


def test_requests_with_the_same_members_are_read_like_the_first(served, wire):
    """Whatever came before on the connection, each is answered as under a head that is not known."""

    def said(body: bytes, *lines: bytes) -> tuple[dict[str, str], object]:
        request = chat("", *lines)
        before, _, _ = request.partition(b"content-length")
        wire.say(before + b"content-length: %d\r\n\r\n" % len(body) + body)
        answer = wire.answer()
        error = json.loads(answer[2]).get("error")
        return told(answer), error

    bodies = [json.dumps({"model": "small", "messages": [{"role": "user", "content": "Hi"}]} | more).encode() for more in ALIKE.values()]
    expected = [said(body, b"x-request-id: not-kept") for body in bodies]
    assert len({status["status"] for status, _ in expected}) >= 3
    for order in (range(len(bodies)), reversed(range(len(bodies))), [0, 0, 1, 1, 0, 2, 2, 0, 6, 6, 7, 6, 0]):
        for index in order:
            assert said(bodies[index]) == expected[index], list(ALIKE)[index]


def test_another_wish_in_the_head_is_another_head(wire):
    found = []
    for policy in (b"guarded", b"dirty", b"guarded", b"dirty"):
        wire.say(chat("Hi", b"x-greenlane-policy: " + policy))
        found.append(wire.answer()[1]["x-greenlane-deployment"])
    assert found == ["near", "far", "near", "far"]


def test_a_wrong_key_is_refused_behind_a_good_one_and_the_other_way_round(wire):
    found = []
    for key in (KEYS["HEADS_ONE"], "sk-heads-one-1a2c", KEYS["HEADS_ONE"], "", KEYS["HEADS_ONE"]):
        wire.say(chat("Hi", key=key))
        found.append(wire.answer()[0])
    assert found == [200, 401, 200, 401, 200]


def test_what_stands_behind_the_length_is_part_of_the_head_too(served, wire):
    found = []
    for key, policy in (
        *((KEYS["HEADS_ONE"], b"guarded"), (KEYS["HEADS_ONE"], b"guarded"), ("sk-heads-one-1a2c", b"guarded")),
        *((KEYS["HEADS_ONE"], b"guarded"), (KEYS["HEADS_ONE"], b"dirty  "), (KEYS["HEADS_TWO"], b"guarded")),
    ):
        first, rest = chat("Hi").split(b"authorization: Bearer ")
        length = re.search(rb"content-length: \d+\r\n", rest)
        behind = b"authorization: Bearer " + key.encode() + b"\r\nx-greenlane-policy: " + policy + b"\r\n"
        wire.say(first + length[0] + behind + rest[length.end() :])
        status, headers, _ = wire.answer()
        found.append((status, headers.get("x-greenlane-deployment")))
    near, far = (200, "near"), (200, "far")
    assert found == [near, near, (401, None), near, far, near]
    assert [entry.team for entry in served.entries() if entry.id == headers["x-greenlane-id"]] == ["two"]


@pytest.mark.parametrize("name", [b"api-key", b"x-api-key"])
def test_a_key_of_azures_or_anthropics_header_is_part_of_the_head(served, wire, name):
    found = []
    for key in (KEYS["HEADS_ONE"], KEYS["HEADS_ONE"], "sk-heads-one-1a2c", KEYS["HEADS_TWO"], KEYS["HEADS_TWO"], ""):
        wire.say(chat("Hi").replace(b"authorization: Bearer " + KEYS["HEADS_ONE"].encode(), name + b": " + key.encode()))
        found.append(wire.answer()[0])
    assert found == [200, 200, 401, 200, 200, 401]
    assert {entry.team for entry in served.entries() if entry.status == 200} >= {"one", "two"}
    kept = [value for value in gc.get_objects() if type(value) is Head]
    assert kept
    assert not [head for head in kept if name in head.fields or b"authorization" in head.fields]


def test_a_second_line_with_a_key_is_refused(wire):
    wire.say(chat("Hi", b"api-key: " + KEYS["HEADS_ONE"].encode(), b"api-key: other"))
    assert wire.answer()[0] == 400


def test_azures_path_names_its_model_under_a_known_head_too(wire):
    for _ in range(2):
        for model, status in ((b"small", 200), (b"nothing", 404)):
            wire.say(chat("Hi", path=b"/openai/deployments/" + model + b"/chat/completions?api-version=2024-10-21"))
            assert wire.answer()[0] == status


def test_a_key_taken_from_the_configuration_is_refused_at_once(tmp_path):
    host = Upstream()
    served = Served((FLEET + SECOND_KEY).format(url=host.url), tmp_path / "proxy", KEYS)
    wire = Wire(served.port)
    try:
        for _ in range(2):
            wire.say(chat("Hi", key=KEYS["HEADS_TWO"]))
            assert wire.answer()[0] == 200
        served.write(FLEET.format(url=host.url))
        assert served.reload()
        wire.say(chat("Hi", key=KEYS["HEADS_TWO"]))
        assert wire.answer()[0] == 401
    finally:
        wire.close()
        served.close()
        host.close()


def test_a_body_that_is_too_large_is_refused_under_a_known_head(served, wire):
    wire.say(chat("Hi"))
    assert wire.answer()[0] == 200
    before = len(served.host.requests)
    wire.say(chat("x" * 5000))
    assert wire.answer()[0] == 413
    assert len(served.host.requests) == before


def test_a_request_id_is_the_one_that_was_sent(wire):
    for number in (b"a-1", b"a-2", b"a-2"):
        wire.say(chat("Hi", b"x-request-id: " + number))
        assert wire.answer()[1]["x-request-id"] == number.decode()


def test_requests_sent_ahead_under_a_known_head_are_answered_in_order(served, wire):
    wire.say(chat("first"))
    assert wire.answer()[0] == 200
    served.host.requests.clear()
    wire.say(chat("second") + chat("third") + chat("fourth"))
    assert [wire.answer()[0] for _ in range(3)] == [200, 200, 200]
    assert [json.loads(each.body)["messages"][0]["content"] for each in served.host.requests] == ["second", "third", "fourth"]


@pytest.mark.parametrize("at", [1, 40, -30, -1])
def test_a_known_head_that_comes_in_pieces_is_understood(served, wire, at):
    wire.say(chat("whole"))
    assert wire.answer()[0] == 200
    request = chat("in pieces")
    wire.say(request[:at])
    wire.say(request[at:])
    assert wire.answer()[0] == 200
    assert asked(served) == "in pieces"


def test_other_paths_and_methods_share_nothing_with_it(wire):
    wire.say(chat("Hi"))
    assert wire.answer()[0] == 200
    wire.say(chat("Hi", path=b"/v1/nothing"))
    assert wire.answer()[0] == 404
    wire.say(chat("Hi").replace(b"POST", b"PUT", 1))
    assert wire.answer()[0] == 405
    wire.say(chat("Hi"))
    assert wire.answer()[0] == 200


def head(*lines: bytes) -> bytes:
    return b"\r\n".join((b"POST /v1/chat/completions HTTP/1.1", *lines, b"", b""))


ODD = {
    "two lengths": head(b"content-length: 2", b"content-length: 2"),
    "a length in the value of another": head(b"x: a\nContent-Length: 2", b"content-length: 2"),
    "a folded line": head(b"x: a", b" b", b"content-length: 2"),
    "chunked": head(b"transfer-encoding: chunked", b"content-length: 2"),
    "an id of its own": head(b"x-request-id: 7", b"content-length: 2"),
    "a name given twice": head(b"x: 1", b"x: 2", b"content-length: 2"),
    "a bare CR": head(b"x: a\rb", b"content-length: 2"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_head_is_never_kept(name):
    found = cut(ODD[name] + b"{}")
    lines = [line.split(b":", 1) for line in re.split(rb"\r?\n", ODD[name])[1:] if b":" in line]
    fields = {name.strip().lower(): value.strip() for name, value in lines}
    assert found is None or not plain(found, fields, len(lines))


def test_of_a_read_that_holds_more_or_less_than_one_request_nothing_is_known():
    whole = head(b"content-length: 5") + b"hello"
    assert cut(whole) is not None
    assert cut(whole + b"x") is None
    assert cut(whole[:-1]) is None
    assert cut(head(b"host: a") + b"hello") is None
    assert cut(b"POST / HTTP/1.1\r\ncontent-length: 5") is None


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 10**6))
def test_two_heads_share_a_digest_only_if_their_bytes_but_the_length_are_the_same(one, other, size):
    def digest(value: bytes, length: int) -> bytes | None:
        data = head(b"x: " + value, b"content-length: %d" % length) + b"y" * length
        found = cut(data)
        return None if found is None else found.digest

    a, b = digest(one, 3), digest(other, size % 50)
    if a is not None and b is not None:
        assert (a == b) == (one == other)


def test_no_key_is_held_by_what_is_kept(served, wire):
    for _ in range(2):
        wire.say(chat("Hi", key=KEYS["HEADS_ONE"]))
        assert wire.answer()[0] == 200

    kept = [each for each in gc.get_objects() if isinstance(each, Heads)]
    assert kept
    for heads in kept:
        for digest, each in heads._kept.items():
            shown = repr((digest, each.fields, each.notes.headers, each.path))
            assert KEYS["HEADS_ONE"] not in shown
            assert b"authorization" not in each.fields


def test_a_connection_that_falls_silent_forgets_the_key(served, wire, monkeypatch):
    """And is served as before when it asks again."""

    def lasts():
        return served.call(lambda _: [each.last for each in served.server.server_state.connections if each.last is not None])

    monkeypatch.setattr(server, "HELD_S", 1000.0)
    for _ in range(3):
        wire.say(chat("Hi", key=KEYS["HEADS_ONE"]))
        assert wire.answer()[0] == 200
    assert any(KEYS["HEADS_ONE"].encode() in last.framed.before + last.framed.after for last in lasts())
    monkeypatch.setattr(server, "HELD_S", 0.0)
    until(lambda: not lasts())
    wire.say(chat("Hi", key=KEYS["HEADS_ONE"]))
    assert wire.answer()[0] == 200
