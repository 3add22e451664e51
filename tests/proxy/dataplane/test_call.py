"""Requests of a kind: what comparing one with an earlier one tells, and sends, is what reading it would."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters._base import AdapterError
from carbon.sources.static import Static
from proxy.access import ANYONE
from proxy.configuration import loads
from proxy.dataplane.ask import read
from proxy.dataplane.call import ALIKE, ALIKE_BYTES, ROAD_BYTES, ROADS
from proxy.dataplane.carriage import Hub, asked
from proxy.dataplane.operations import operation_of
from proxy.errors import Refusal
from proxy.runtime import compiled

FLEET = """
deployments:
  same: {model: m, base_url: "http://127.0.0.1:1/v1"}
  named: {model: m, upstream_model: Qwen/Qwen3-32B, base_url: "http://127.0.0.1:1/v1"}
  odd: {model: m, base_url: "http://127.0.0.1:1/v1", quirks: {developer_role: false, stream_options: false, drops: [top_k]}}
  mistral: {model: m, upstream_model: mistral-small, base_url: "https://api.mistral.ai/v1"}
  hosted: {model: m, upstream_model: gpt-5-mini, base_url: "https://api.openai.com/v1"}
  claude: {model: m, upstream_model: claude-opus-4-6, dialect: anthropic, base_url: "https://api.anthropic.com"}
"""
SNAPSHOT = compiled(loads(FLEET), Static().table())
PATHS = {"chat": b"/v1/chat/completions", "messages": b"/v1/messages", "completions": b"/v1/completions", "responses": b"/v1/responses"}
PROMPT = {"chat": "messages", "messages": "messages", "completions": "prompt", "responses": "input"}
WORDS = st.text(max_size=40) | st.sampled_from(
    ['"model"', '"messages": [1]', '{"model":"x"}', "\\u006dodel", "[[[[", '"type":"image"', "reasoning_content", "é\u2028"]
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "developer", "tool"]), "content": WORDS | st.none()}
)
PARTS = st.just({"role": "user", "content": [{"type": "text", "text": "hi"}]})
CALLING = st.just(
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
)
THOUGHT = st.just({"role": "assistant", "content": "so", "reasoning_content": "hm"})
MESSAGES = st.lists(MESSAGE, max_size=4) | st.lists(MESSAGE | PARTS | CALLING | THOUGHT, max_size=4)
GIVEN = {"chat": MESSAGES, "messages": MESSAGES, "completions": WORDS | st.lists(WORDS, max_size=2), "responses": WORDS | MESSAGES}
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.sampled_from([1, 64, 2000]),
        "temperature": st.sampled_from([0, 0.7]),
        "top_k": st.just(3),
        "stream": st.booleans(),
        "stream_options": st.just({"include_usage": True}),
        "stop": st.sampled_from([[], ["a"], "b"]),
        "greenlane": st.sampled_from([{"max_g": 2}, {"privacy": "local"}]),
        "user": st.just("somebody"),
        "tools": st.just([{"type": "function", "function": {"name": "f"}}]),
    },
)


@st.composite
def rounds(draw):
    """Bodies for one path: some members, in one order, and several prompts."""
    api = draw(st.sampled_from(list(PATHS)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    kinds = []
    for others in draw(st.lists(OTHERS, min_size=1, max_size=2)):
        members = draw(st.permutations([*others.items(), ("model", "m"), (PROMPT[api], None)]))
        kinds.append((members, draw(st.booleans())))
    bodies = []
    for prompt in draw(st.lists(GIVEN[api], min_size=2, max_size=5)):
        members, escaped = draw(st.sampled_from(kinds))
        told = {name: prompt if name == PROMPT[api] else value for name, value in members}
        bodies.append(json.dumps(told, separators=separators, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))
    return api, bodies


def seen(call):
    """All that is told of a call, but for the way it was read."""
    own = {name: getattr(call, name) for name in call.__struct_fields__ if name not in ("view", "like")}
    return own | {"members": {name: bytes(value) for name, value in call.members.items()}}


def told(api, body, kinds):
    """What is read, and what goes to each deployment; or why not."""
    headers = {b"anthropic-version": b"2023-06-01", b"tracestate": b"a=b"}
    try:
        call = read(body, b"application/json", operation_of(PATHS[api]), {}, (SNAPSHOT, ANYONE), kinds)
    except (AdapterError, Refusal) as error:
        return str(error), {}
    sent = {}
    for name, served in SNAPSHOT.served.items():
        try:
            made, ignored = asked(call, served, Hub(call), headers, "gl-1")
        except AdapterError as error:
            sent[name] = str(error)
        else:
            sent[name] = (msgspec.structs.replace(made, body=b""), json.loads(made.body), ignored)
    return seen(call), sent


@given(rounds())
@example(
    ("chat", [b'{"model":"m","messages":[{"role":"user","content":"a"}]}', b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}'])
)
@example(
    (
        "chat",
        [b'{"model":"m","messages":[{"role":"user","content":"a"}]}', b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}'],
    )
)
@example(("chat", [b'{"model":"m","messages":[{"role":"user","content":"a"}]}', b'{"model":"m","messages":[],"model":"n","messages":[]}']))
@example(("chat", [b'{"model":"m","messages":[{"role":"user","content":"a"}]}', b'{"model":"m","messages":]}']))
@example(("completions", [b'{"model":"m","prompt":"a"}', b'{"model":"m","prompt":"a","model":"n"}', b'{"model":"m","prompt":"a"x"b"}']))
@example(("chat", [b'{"m\\u006fdel":"m","messages":[]}', b'{"m\\u006fdel":"m","messages":[{"role":"user"}]}']))
def test_like_requests_are_what_reading_them_would_tell(given_round):
    api, bodies = given_round
    kinds = []
    for body in bodies:
        assert told(api, body, kinds) == told(api, body, None)
    assert len(kinds) <= ALIKE


def call_of(body, kinds):
    return read(body, b"application/json", operation_of(PATHS["chat"]), {}, (SNAPSHOT, ANYONE), kinds)


def test_the_second_of_a_kind_is_known_and_so_is_the_road_of_the_third():
    """`same` gets the client's own bytes, `named` another model's name around the same prompt."""
    kinds, named = [], SNAPSHOT.served["named"]
    bodies = [b'{"model":"m","messages":[{"role":"user","content":"%d"}],"top_p":1}' % number for number in range(3)]
    calls = [call_of(body, kinds) for body in bodies]
    assert [call.like for call in calls] == [None, kinds[0], kinds[0]]
    made = [asked(call, named, Hub(call), {}, "gl-1")[0].body for call in calls]
    assert made == [body.replace(b'"m"', b'"Qwen/Qwen3-32B"') for body in bodies]
    assert asked(calls[2], SNAPSHOT.served["same"], Hub(calls[2]), {}, "gl-1")[0].body is bodies[2]
    assert kinds[0].sent(calls[2], named, "gl-1") is not None


def test_kinds_of_which_one_ends_as_another_are_each_known_the_second_time():
    kinds = []
    rests = (b"", b',"stream":true', b',"top_p":1,"stream":true')
    bodies = [b'{"model":"m","messages":[{"role":"user","content":"%d"}]%b}' % (number, rests[number % 3]) for number in range(9)]
    known = [call_of(body, kinds).like is not None for body in bodies]
    assert (known, len(kinds)) == ([False] * 3 + [True] * 6, 3)


@pytest.mark.parametrize(("more_bytes", "most"), [(10, ROADS), (900, ROAD_BYTES // 900)], ids=["short", "long"])
def test_what_is_remembered_of_roads_is_bounded_in_bytes(more_bytes, most):
    """Each deployment has another name, so each road has its own copy of the members."""
    one = '  d{0}: {{model: m, upstream_model: u{0}, base_url: "http://127.0.0.1:1/v1"}}\n'
    fleet = compiled(loads("deployments:\n" + "".join(one.format(number) for number in range(ROADS))), Static().table())
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stop":"%b"}' % (b"s" * more_bytes)
    kinds = []
    for _ in range(2):
        call = read(body, b"application/json", operation_of(PATHS["chat"]), {}, (fleet, ANYONE), kinds)
    made = [asked(call, served, Hub(call), {}, "gl-1")[0].body for served in fleet.served.values()]
    known = [kinds[0].sent(call, served, "gl-1") for served in fleet.served.values()]
    assert 1 <= len([each for each in known if each is not None]) <= most
    assert all(each is None or each[0].body == sent for each, sent in zip(known, made, strict=True))
    assert more_bytes > 10 or None not in known


def test_where_a_role_is_not_taken_every_prompt_is_looked_at():
    """`odd` takes no developer: `system` is sent, also behind a like request that had none."""
    kinds, odd = [], SNAPSHOT.served["odd"]
    bodies = [b'{"model":"m","messages":[{"role":"%b","content":"x"}]}' % role for role in (b"user", b"user", b"user", b"developer")]
    made = [asked(call, odd, Hub(call), {}, "gl-1")[0].body for call in [call_of(body, kinds) for body in bodies]]
    assert [json.loads(body)["messages"][0]["role"] for body in made] == ["user", "user", "user", "system"]


@pytest.mark.parametrize("more", [b'"user":"me"', b'"stop":"%b"' % (b"x" * ALIKE_BYTES), b'"s\\u0065ed":1'])
def test_what_is_every_requests_own_or_large_or_escaped_is_not_remembered(more):
    kinds = []
    call_of(b'{"model":"m","messages":[],' + more + b"}", kinds)
    assert kinds == []


def test_a_prompt_that_is_what_stands_between_a_name_and_a_text_is_not_taken_for_it():
    """`":"` is the prompt of the second, and the end of every name with the beginning of its text."""
    kinds, named, operation = [], SNAPSHOT.served["named"], operation_of(PATHS["completions"])
    bodies = [b'{"model": "m","prompt":"%b"}' % prompt for prompt in (b"a", b":", b"b")]
    calls = [read(body, b"application/json", operation, {}, (SNAPSHOT, ANYONE), kinds) for body in bodies]
    made = [asked(call, named, Hub(call), {}, "gl-1")[0].body for call in calls]
    assert made == [body.replace(b'"m"', b'"Qwen/Qwen3-32B"') for body in bodies]
