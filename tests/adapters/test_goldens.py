"""Every translated feature, both ways, for all nine pairs of a client's dialect and an upstream's; see `goldens/README.md`.

The proxy runs on sockets: what the upstream gets and what the client is told are compared whole. Streams are cut without sockets.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from adapters import adapters
from adapters._base import Fault, FaultError, Parallel, Stream, Target, Worded
from adapters._changed import ChangedReader
from adapters._chat import DOOR as CHAT
from adapters._json import view
from adapters._json_mode import ObjectsOnly
from adapters._one_call import first_calls
from adapters._passthrough import ChatStream
from adapters._translated import TranslatedStream
from adapters.anthropic.door import DOOR as MESSAGES
from adapters.anthropic.door_request import _Request as MessagesRequest
from adapters.anthropic.identity import MessagesStream
from adapters.openai import ADAPTER as OPENAI
from adapters.responses import DOOR as RESPONSES
from adapters.responses.request import _Request as ResponsesRequest
from tests.adapters import golden_streams
from tests.adapters.golden import CLIENTS, CREATED_S, PATHS, SAME, UPSTREAMS, Case, Json, cases
from tests.harness import Handler, Received, Served, Upstream
from tests.imitations import anthropic_rules, gemini_rules

CASES = list(cases())
PAIRS = [(client, upstream) for client in CLIENTS for upstream in UPSTREAMS]
DOORS = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
STORED = {"openai": "/openai/v1", "anthropic": "/anthropic/v1", "gemini": "/gemini/v1beta"}
ACCOUNT = b'{"id":"gl-1"}'


def _named(case: Case) -> str:
    return f"{case.feature}-{case.name.replace(' ', '_')}"


class Wire:
    """The proxy, an upstream behind it that plays all three vendors, and a client."""

    def __init__(self, host: Upstream, served: Served) -> None:
        self.host, self.served = host, served
        self.http = httpx.Client(base_url=served.url, timeout=20)

    def post(self, client: str, ask: Json, answer: Callable[[Handler], None]) -> httpx.Response:
        self.host.requests.clear()
        self.host.answer = lambda _received, handler: answer(handler)
        headers = {"x-greenlane-verbose": "true", "content-type": "application/json"}
        return self.http.post(PATHS[client], content=json.dumps(ask).encode(), headers=headers)

    def broken(self, client: str, ask: Json, sent: bytes, begun: int) -> httpx.Response:
        """The answer to a stream whose error comes after the client has read what came before it."""
        read = threading.Event()

        def pieces() -> Iterator[bytes]:
            yield sent[:begun]
            assert read.wait(10)
            yield sent[begun:]

        self.host.requests.clear()
        self.host.answer = lambda _received, handler: handler.events(pieces())
        with self.http.stream("POST", PATHS[client], json=ask) as answer:
            content = b""
            for data in answer.iter_raw():
                read.set()
                content += data
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)

    @property
    def received(self) -> Received:
        [found] = self.host.requests
        return found


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    host = Upstream()
    base = host.url.removesuffix("/v1")
    models = sorted({(upstream, case.public(upstream), case.model(upstream)) for case in CASES for upstream in UPSTREAMS})
    lines = [
        f"  {public}: {{model: {public}, dialect: {upstream}, upstream_model: {model}, base_url: '{base}{STORED[upstream]}'}}"
        for upstream, public, model in models
    ]
    text = "breaker: {failures: 1000000}\ndeployments:\n" + "\n".join(lines) + "\n"
    served = Served(text, tmp_path_factory.mktemp("goldens") / "proxy")
    made = Wire(host, served)
    yield made
    made.http.close()
    served.close()
    host.close()


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=[f"{client}-{upstream}" for client, upstream in PAIRS])
@pytest.mark.parametrize("case", CASES, ids=_named)
def test_it_is_asked_and_told_as_the_golden_says(wire: Wire, case: Case, client: str, upstream: str) -> None:
    for stream in (False, True):
        ask = case.asks(client, upstream, stream=stream)
        if ask is None:
            continue
        failed = case.fails(upstream)
        if failed is not None and stream and failed[0] == 200:
            sent = golden_streams.wire(upstream, [failed[1]])
            answer = wire.post(client, ask, lambda handler, sent=sent: handler.events([sent]))
        elif failed is not None:
            answer = wire.post(client, ask, lambda handler, failed=failed: handler.reply(*failed))
        elif stream and upstream in case.data.get("breaks", {}):
            answer = wire.broken(client, ask, golden_streams.wire(upstream, case.events(upstream)), _begun(case, upstream))
        elif stream:
            sent = golden_streams.wire(upstream, case.events(upstream))
            answer = wire.post(client, ask, lambda handler, sent=sent: handler.events([sent]))
        else:
            answer = wire.post(client, ask, lambda handler: handler.reply(200, case.answers(upstream)))
        refused = case.refuses(client, upstream)
        if refused is not None:
            _is_refused(wire, client, answer, refused)
            continue
        _is_sent(wire.received, case, (client, upstream), stream=stream)
        if failed is not None:
            assert (answer.status_code, _anonymous(answer.json())) == case.error(client, upstream)
        else:
            _is_told(answer, case, (client, upstream), stream=stream)


def _is_refused(wire: Wire, client: str, answer: httpx.Response, member: str) -> None:
    """400 in the client's dialect, naming the member; no upstream has heard of it."""
    assert answer.status_code == 400, answer.text
    assert not wire.host.requests
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    if client == "messages":
        assert member in error["message"] or member.replace("[", ".").replace("]", "") in error["message"]
    else:
        assert error["param"] == member


def _is_sent(received: Received, case: Case, pair: tuple[str, str], *, stream: bool) -> None:
    client, upstream = pair
    body = json.loads(received.body)
    assert body == case.sends(client, upstream, stream=stream)
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    path = {"openai": "/chat/completions", "anthropic": "/messages", "gemini": f"/models/{case.model(upstream)}:{method}"}[upstream]
    assert received.path == STORED[upstream] + path
    if pair in SAME:
        return
    if upstream == "anthropic":
        anthropic_rules.check(body, received.headers["anthropic-version"])
    elif upstream == "gemini":
        gemini_rules.check(body, case.model(upstream))


def _is_told(answer: httpx.Response, case: Case, pair: tuple[str, str], *, stream: bool) -> None:
    client, upstream = pair
    assert answer.status_code == 200, answer.text
    assert sorted(filter(None, answer.headers.get("x-greenlane-ignored", "").split(", "))) == sorted(case.ignored(client, upstream))
    if stream and upstream in case.data.get("breaks", {}):
        events = list(golden_streams.blocks(answer.content))
        assert len(events) > 1
        assert (200, _anonymous(events[-1][1])) == case.error(client, upstream)
        assert not any(mark in answer.text for mark in ("[DONE]", "message_stop", "response.completed", "greenlane"))
        return
    found = golden_streams.told(client, answer.content) if stream else answer.json()
    assert found["usage"].pop("greenlane")["deployment"] == case.public(upstream)
    for name in ("created", "created_at"):
        if name in found and upstream != "openai":
            assert found[name] > 1_700_000_000
            found[name] = CREATED_S
    expected = case.tells(client, upstream, stream=stream)
    if client == "responses" and pair not in SAME:
        found = _under_its_id(found, expected, answer.headers["x-greenlane-id"])
    assert (_read(found) == _read(expected)) if stream and client == "chat" else (found == expected)


def _under_its_id(found: Json, expected: Json, entry_id: str) -> Json:
    """A translated response whose ids are made of our id of the request, with those that the golden makes of the host's."""
    own = entry_id.removeprefix("gl-").replace("-", "_")
    assert found["id"] == f"resp_{own}"
    told: Json = json.loads(json.dumps(found).replace(own, expected["id"].removeprefix("resp_")))
    return told


def _anonymous(error: Json) -> Json:
    """Without our id of the request, and without a number of an event."""
    return {name: value for name, value in error.items() if name not in ("request_id", "sequence_number")}


def _read(answer: Json) -> Json:
    """As a client reads it, to which an empty text, a null and nothing are the same."""

    def plain(holder: Json) -> Json:
        return {name: value for name, value in holder.items() if value not in (None, "", [])}

    choices = [{**plain(choice), "message": plain(choice["message"])} for choice in answer["choices"]]
    return {**plain(answer), "choices": choices}


# cuts


def _stream_of(case: Case, client: str, upstream: str) -> Stream:
    ask = case.asks(client, upstream, stream=True)
    assert ask is not None
    if client == "chat" and upstream == "openai":
        return ChatStream(wants_usage=True, capture=False)
    if client == "messages" and upstream == "anthropic":
        return MessagesStream()
    adapter, target = adapters()[upstream], Target(upstream_model=case.model(upstream))
    reader = adapter.reader(target)
    if isinstance(adapter, Worded) and adapter.json_by_words(DOORS[client].hub(ask), target):
        reader = ChangedReader(reader, ObjectsOnly())
    if isinstance(adapter, Parallel) and adapter.one_call(DOORS[client].hub(ask)):
        reader = ChangedReader(reader, first_calls)
    return TranslatedStream(reader, DOORS[client].writer(ask), capture=False, created_s=CREATED_S)


def _cut(case: Case, client: str, upstream: str, sent: bytes, cuts: list[int]) -> bytes:
    """What the client gets of a stream that comes in the pieces between these places."""
    stream = _stream_of(case, client, upstream)
    # an error in the very first read is no error in the middle: nothing has gone out, and another deployment may answer
    begun = [_begun(case, upstream)] if "breaks" in case.data else []
    places = sorted({0, *cuts, *begun, len(sent)})
    out = []
    try:
        for start, end in pairwise(places):
            out.append(stream.feed(sent[start:end]))
        out.append(stream.finish())
    except FaultError as error:
        return b"".join(out) + stream.fail(error.fault)
    if "breaks" in case.data:
        return b"".join(out) + stream.fail(Fault(message="the upstream's own error has gone out"))
    assert stream.ended
    return b"".join(out) + stream.close(ACCOUNT)


def _begun(case: Case, upstream: str) -> int:
    """Bytes of a broken stream before its error."""
    return len(golden_streams.wire(upstream, case.events(upstream)[:-1]).removesuffix(b"data: [DONE]\n\n"))


def _streamed(client: str, upstream: str) -> list[Case]:
    """Cases with a stream of their own for this pair, the plain one left out."""
    return [
        case
        for case in CASES
        if ("answers" in case.data or "streams" in case.data)
        and case.asks(client, upstream, stream=True) is not None
        and case.refuses(client, upstream) is None
    ]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_short_stream_may_be_cut_at_every_byte(client: str, upstream: str) -> None:
    for name in ("plain", "mid_stream_errors"):
        [case] = [case for case in CASES if case.feature == name][:1]
        sent = golden_streams.wire(upstream, case.events(upstream))
        expected = _cut(case, client, upstream, sent, [])
        for at in range(1, len(sent)):
            assert _cut(case, client, upstream, sent, [at]) == expected
        assert _cut(case, client, upstream, sent, list(range(1, len(sent)))) == expected


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_every_stream_may_come_byte_by_byte(client: str, upstream: str) -> None:
    for case in _streamed(client, upstream):
        sent = golden_streams.wire(upstream, case.events(upstream))
        told = _cut(case, client, upstream, sent, list(range(1, len(sent))))
        assert told == _cut(case, client, upstream, sent, []), case.name


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@given(data=st.data())
@settings(max_examples=60)
def test_any_stream_may_be_cut_at_any_bytes(client: str, upstream: str, data: Any) -> None:
    case = data.draw(st.sampled_from(_streamed(client, upstream)), label="case")
    sent = golden_streams.wire(upstream, case.events(upstream))
    cuts = data.draw(st.lists(st.integers(1, len(sent) - 1), min_size=1, max_size=12, unique=True), label="cuts")
    assert _cut(case, client, upstream, sent, cuts) == _cut(case, client, upstream, sent, [])


@pytest.mark.parametrize("case", CASES, ids=_named)
def test_where_a_host_has_the_responses_api_what_the_client_sent_goes_there(case: Case) -> None:
    ask = case.asks("responses", "openai", stream=True)
    if ask is not None:
        body = json.dumps(ask).encode()
        told = OPENAI.identity("responses", body, view(body), Target(upstream_model="up"))
        assert json.loads(told.body) == {**ask, "model": "up"}
        assert (told.path, told.ignored) == ("/responses", ())


# completeness


FEATURES = {
    "audio": "audio in a message, and refused",
    "choices": "n and logprobs",
    "citations": "annotations",
    "custom_tools": "tools that take free text",
    "documents": "documents",
    "elsewhere": "members that one vendor alone has",
    "errors": "errors with their statuses, of all types",
    "failed_answers": "reasons that are errors",
    "finish_reasons": "finish reasons, all",
    "formats": "json_schema and json_object",
    "functions": "the older form of tools",
    "hints": "user, metadata, service_tier and the like",
    "images": "images by URL and by data",
    "mid_stream_errors": "errors in the middle of a stream",
    "multi_part": "content of several parts",
    "output_limits": "max_tokens and max_completion_tokens",
    "parallel_tool_calls": "parallel calls and their streamed deltas",
    "plain": "one text",
    "prompt_cache": "prompt-cache marks",
    "reasoning_effort": "reasoning effort",
    "reasoning_loop": "reasoning content and signatures through a tool loop",
    "refusals": "refusals and safety blocks",
    "roles": "system and developer roles",
    "sampling": "sampling parameters by the model's rules",
    "stop": "stop",
    "tool_choice": "none, auto, required, named, allowed",
    "tool_results": "results, errors and images included",
    "tools": "tools",
    "web_search": "the vendor's search of the web, and its citations",
    "usage": "usage with cached read and write and reasoning tokens",
}
LACKS = {"chat": set(), "responses": {"functions", "stop"}, "messages": {"audio", "choices", "custom_tools", "functions"}}
"""What a client's dialect has no way to ask for."""
DIALECTS = adapters()
MATRIX = sorted(frozenset().union(*(each.members for each in DIALECTS.values())))


def test_every_feature_has_its_file() -> None:
    assert {case.feature for case in CASES} == FEATURES.keys()


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("member", MATRIX)
def test_every_member_of_the_matrix_has_a_golden_of_what_the_matrix_says(member: str, upstream: str) -> None:
    adapter = DIALECTS[upstream]
    support = adapter.members.get(member, "passed" if adapter.open_members else "refused")
    pairs = [(case, client) for case in CASES for client in CLIENTS]
    if support == "dropped":
        assert any(member in case.ignored(client, upstream) for case, client in pairs)
        return
    asked = [case for case in CASES if member in (case.asks("chat", upstream, stream=True) or {})]
    if support == "refused":
        assert any(case.refuses("chat", upstream) == member for case in asked)
    else:
        assert any(case.refuses("chat", upstream) is None for case in asked)


@pytest.mark.parametrize(("client", "shape"), [("responses", ResponsesRequest), ("messages", MessagesRequest)])
def test_every_member_that_a_door_knows_has_a_golden(client: str, shape: type[Struct]) -> None:
    asked = {name for case in CASES for upstream in UPSTREAMS for name in case.asks(client, upstream, stream=True) or ()}
    assert set(shape.__struct_fields__) - {"greenlane"} <= asked


def test_every_pair_has_every_feature_that_its_client_can_ask_for() -> None:
    for client, upstream in PAIRS:
        told = {case.feature for case in CASES if case.asks(client, upstream, stream=False) is not None}
        assert FEATURES.keys() - told == LACKS[client]
