"""A simulation from outside: requests in OpenAI's dialect in, callbacks out, in one transcript."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion, CreateEmbeddingResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from proxy.configuration.simulated import Pace
from proxy.upstream._base import Request
from proxy.upstream.simulation import Simulation
from proxy.upstream.simulation.upstream import respond

FAST = "sim://north/v1?ttft_s=0&tokens_per_s=1000000"
_MEMBERS = [
    *("messages", "role", "content", "type", "text", "image_url", "url", "tool_calls", "tool_call_id", "id", "name", "model", "input"),
    *("tools", "function", "custom", "parameters", "tool_choice", "allowed_tools", "mode", "response_format", "json_schema", "schema"),
    *("stream", "stream_options", "include_usage", "stop", "n", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens"),
    *("temperature", "top_p", "seed", "modalities", "prompt", "echo", "encoding_format", "dimensions", "properties", "required"),
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
TIME = {"type": "function", "function": {"name": "currentTime", "parameters": {"type": "object", "properties": {}}}}


class Transcript:
    """A Receiver that writes down what happened."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.errors: list[str] = []
        self.order: list[str] = []
        self.over = asyncio.Event()
        self.piece = asyncio.Event()

    def on_response(self, status, headers):
        self.order.append("response")
        self.status, self.headers = status, dict(headers)

    def on_data(self, data):
        self.order.append("data")
        self.pieces.append(data)
        self.piece.set()

    def on_end(self):
        self.order.append("end")
        self.over.set()

    def on_error(self, error):
        self.order.append("error")
        self.errors.append(error.kind)
        self.over.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def _request(body: Any, path: str = "/v1/chat/completions", method: bytes = b"POST") -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method=method, path=path.encode(), headers=(), body=raw)


def exchange(body: Any, path: str = "/v1/chat/completions", url: str = FAST, method: bytes = b"POST") -> Transcript:
    async def run() -> Transcript:
        seen = Transcript()
        Simulation(url).send(_request(body, path, method), seen)
        assert seen.order == []
        async with asyncio.timeout(10):
            await seen.over.wait()
        return seen

    return asyncio.run(run())


def ask(**members: Any) -> dict[str, Any]:
    return {"model": "simulation", "messages": [{"role": "user", "content": "Tell me something."}]} | members


def whole(**members: Any) -> ChatCompletion:
    seen = exchange(ask(**members))
    assert seen.status == 200, seen.body
    return ChatCompletion.model_validate_json(seen.body)


def streamed(**members: Any) -> list[ChatCompletionChunk]:
    seen = exchange(ask(stream=True, **members))
    assert seen.status == 200, seen.body
    assert seen.headers[b"content-type"].startswith(b"text/event-stream")
    blocks = seen.body.split(b"\n\n")
    assert blocks[-2:] == [b"data: [DONE]", b""]
    return [ChatCompletionChunk.model_validate_json(block.removeprefix(b"data: ")) for block in blocks[:-2]]


def test_an_answer_has_the_form_of_a_chat_completion():
    seen = exchange(ask())
    assert seen.order == ["response", "data", "end"]
    assert (seen.status, seen.headers[b"content-type"]) == (200, b"application/json")
    assert seen.headers[b"content-length"] == str(len(seen.body)).encode()
    reply = ChatCompletion.model_validate_json(seen.body)
    assert (reply.object, reply.model, reply.choices[0].finish_reason) == ("chat.completion", "simulation", "stop")
    assert reply.choices[0].message.content
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert 4 <= reply.usage.prompt_tokens <= 12


def test_the_same_request_has_the_same_answer_streamed_or_not_and_another_has_another():
    text = whole().choices[0].message.content
    assert text == whole().choices[0].message.content
    assert text == "".join(chunk.choices[0].delta.content or "" for chunk in streamed())
    assert text != whole(seed=3).choices[0].message.content
    assert text != whole(messages=[{"role": "user", "content": "Tell me more."}]).choices[0].message.content


def test_a_stream_begins_with_the_role_ends_with_the_reason_and_says_null_in_between():
    chunks = streamed()
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    raw = exchange(ask(stream=True)).body
    assert raw.count(b'"finish_reason":null') == len(chunks) - 1
    assert b'"usage"' not in raw


def test_usage_comes_in_one_last_chunk_when_asked_for():
    chunks = streamed(stream_options={"include_usage": True})
    assert [bool(chunk.choices) for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].usage == whole().usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("member", ["max_tokens", "max_completion_tokens"])
def test_the_cap_on_tokens_holds(member):
    reply = whole(**{member: 5})
    assert (reply.choices[0].finish_reason, reply.usage.completion_tokens) == ("length", 5)
    assert len(streamed(**{member: 5})) == 5 + 2


def test_text_ends_before_a_stop_sequence():
    text = whole().choices[0].message.content
    word = text.split()[4]
    reply = whole(stop=[word, "never said"])
    assert reply.choices[0].message.content == text[: text.index(word)]
    assert reply.choices[0].finish_reason == "stop"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed(stop=word)) == text[: text.index(word)]


def test_n_choices_differ_and_are_numbered_in_streams_too():
    reply = whole(n=3)
    texts = [choice.message.content for choice in reply.choices]
    assert len(set(texts)) == 3
    gathered = ["", "", ""]
    for chunk in streamed(n=3):
        for choice in chunk.choices:
            gathered[choice.index] += choice.delta.content or ""
    assert gathered == texts


def test_logprobs_are_one_a_token_with_the_taken_one_first():
    content = whole(logprobs=True, top_logprobs=4).choices[0].logprobs.content
    for token in content:
        assert bytes(token.bytes).decode() == token.token
        assert (token.top_logprobs[0].token, token.top_logprobs[0].logprob) == (token.token, token.logprob)
        tops = [top.logprob for top in token.top_logprobs]
        assert tops == sorted(tops, reverse=True)
        assert len(tops) == 4
        assert all(value <= 0 for value in tops)
    assert "".join(token.token for token in content) == whole().choices[0].message.content
    chunks = streamed(logprobs=True)
    assert [part.token for chunk in chunks if chunk.choices[0].logprobs for part in chunk.choices[0].logprobs.content] == [
        token.token for token in content
    ]


def test_json_meets_the_schema_of_the_request():
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}
    value = json.loads(whole(response_format=wanted).choices[0].message.content)
    jsonschema.validate(value, schema)
    assert isinstance(json.loads(whole(response_format={"type": "json_object"}).choices[0].message.content), dict)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_required_or_named_tool_is_called_with_arguments_of_its_schema(choice):
    reply = whole(tools=[WEATHER, TIME], tool_choice=choice)
    message = reply.choices[0].message
    assert (reply.choices[0].finish_reason, message.content) == ("tool_calls", None)
    assert [call.function.name for call in message.tool_calls] == ["get_weather"]
    jsonschema.validate(json.loads(message.tool_calls[0].function.arguments), WEATHER["function"]["parameters"])


@pytest.mark.parametrize(
    ("text", "members", "names"),
    [
        ("What is the weather?", {}, []),
        ("Use get_weather for Oslo.", {}, ["get_weather"]),
        ("Get weather and current time.", {}, ["get_weather", "currentTime"]),
        ("Get weather and current time.", {"parallel_tool_calls": False}, ["get_weather"]),
        ("Use get_weather for Oslo.", {"tool_choice": "none"}, []),
        ("Call currentTime.", {"tool_choice": "required"}, ["currentTime"]),
    ],
)
def test_with_a_free_choice_the_tools_are_called_that_the_user_mentions(text, members, names):
    message = whole(messages=[{"role": "user", "content": text}], tools=[WEATHER, TIME], **members).choices[0].message
    assert [call.function.name for call in message.tool_calls or []] == names
    assert (message.content is None) == bool(names)


def test_after_a_tools_result_comes_text():
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Use get_weather."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "get_weather says 21"},
    ]
    assert whole(messages=messages, tools=[WEATHER]).choices[0].message.content


def test_streamed_tool_calls_come_to_the_same_as_whole_ones():
    members = {"messages": [{"role": "user", "content": "Get weather and current time."}], "tools": [WEATHER, TIME]}
    expected = whole(**members).choices[0].message.tool_calls
    chunks = streamed(**members)
    gathered: dict[int, list[Any]] = {}
    for chunk in chunks:
        for delta in chunk.choices[0].delta.tool_calls or []:
            if delta.id is not None:
                assert delta.index == len(gathered)
                gathered[delta.index] = [delta.id, delta.function.name, ""]
            gathered[delta.index][2] += delta.function.arguments
    assert list(gathered.values()) == [[call.id, call.function.name, call.function.arguments] for call in expected]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert chunks[0].choices[0].delta.role == "assistant"


def test_a_custom_tool_is_given_text():
    tool = {"type": "custom", "custom": {"name": "note"}}
    call = whole(tools=[tool], tool_choice="required").choices[0].message.tool_calls[0]
    assert (call.type, call.custom.name, bool(call.custom.input)) == ("custom", "note", True)


def test_text_completions_answer_each_prompt_and_stream():
    body = {"model": "simulation", "prompt": ["One", "Two"], "max_tokens": 4, "logprobs": 2, "echo": True}
    reply = Completion.model_validate_json(exchange(body, "/v1/completions").body)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert reply.choices[0].text.startswith("One")
    assert len(reply.choices[0].logprobs.tokens) == 4
    assert reply.usage.completion_tokens == 8
    seen = exchange(body | {"stream": True}, "/v1/completions")
    texts = ["", ""]
    for block in seen.body.split(b"\n\n")[:-2]:
        choice = json.loads(block[6:])["choices"][0]
        texts[choice["index"]] += choice["text"]
    assert texts == [choice.text for choice in reply.choices]


def test_embeddings_are_unit_vectors_and_the_same_in_both_forms():
    body = {"model": "simulation", "input": ["a", "b", "a"], "dimensions": 8}
    floats = CreateEmbeddingResponse.model_validate_json(exchange(body, "/v1/embeddings").body)
    vectors = [item.embedding for item in floats.data]
    assert vectors[0] == vectors[2] != vectors[1]
    assert all(len(vector) == 8 and abs(sum(part * part for part in vector) - 1) < 1e-9 for vector in vectors)
    packed = json.loads(exchange(body | {"encoding_format": "base64"}, "/v1/embeddings").body)
    assert struct.unpack("<8f", base64.b64decode(packed["data"][1]["embedding"])) == pytest.approx(vectors[1], rel=1e-6)
    assert floats.usage.total_tokens == 3


def test_moderations_and_models_have_their_forms():
    reply = ModerationCreateResponse.model_validate_json(exchange({"input": "x"}, "/v1/moderations").body)
    assert [result.flagged for result in reply.results] == [False]
    listed = json.loads(exchange(b"", "/v1/models", method=b"GET").body)
    assert [model["id"] for model in listed["data"]] == ["north"]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "messages[0].content[0].image_url"),
        ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"model": ""}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 1000000}, "n"),
        ({"n": True}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": "yes"}, "stream"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"modalities": ["text", "audio"]}, "modalities"),
    ],
)
def test_what_openai_refuses_is_refused_with_the_members_name(members, param):
    seen = exchange(ask(**members))
    error = json.loads(seen.body)["error"]
    assert (seen.status, error["type"], error["param"]) == (400, "invalid_request_error", param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_a_bad_request(body):
    assert exchange(body).status == 400


def test_a_prompt_beyond_the_context_says_so():
    seen = exchange(ask(), url=FAST + "&context_tokens=3")
    assert (seen.status, json.loads(seen.body)["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize(("path", "method"), [("/v1/audio/speech", b"POST"), ("/v1/chat/completions", b"GET"), ("/", b"POST")])
def test_an_operation_it_does_not_have_is_not_found(path, method):
    assert exchange({}, path, method=method).status == 404


def test_a_stream_takes_the_time_its_settings_say_and_a_whole_answer_a_share_of_it():
    async def waited(url: str, stream: bool) -> float:
        loop, waits_s = asyncio.get_running_loop(), []
        loop.call_later = lambda seconds_s, step: (waits_s.append(seconds_s), loop.call_soon(step))[1]
        seen = Transcript()
        Simulation(url).send(_request(ask(stream=stream, max_tokens=10)), seen)
        await seen.over.wait()
        return sum(waits_s)

    paced = "sim://north/v1?ttft_s=0.05&tokens_per_s=200&whole=0"
    assert asyncio.run(waited(FAST, True)) == 0
    assert 0.05 + 9 / 200 < asyncio.run(waited(paced, True)) < 0.05 + 13 / 200
    assert asyncio.run(waited(paced, False)) < 0.05


def test_a_paused_answer_says_nothing_until_it_is_resumed():
    async def run() -> None:
        seen = Transcript()
        sending = Simulation(FAST).send(_request(ask(stream=True)), seen)
        await seen.piece.wait()
        sending.pause()
        said = len(seen.pieces)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(seen.pieces) == said
        sending.resume()
        sending.resume()
        await seen.over.wait()
        assert seen.body.endswith(b"data: [DONE]\n\n")
        assert seen.body.count(b"data: [DONE]") == 1

    asyncio.run(run())


def test_nothing_arrives_after_an_abort_in_any_phase():
    async def run() -> None:
        simulation = Simulation(FAST)
        for pieces in (0, 1, 3):
            seen = Transcript()
            sending = simulation.send(_request(ask(stream=True)), seen)
            assert simulation.inflight == 1
            while len(seen.pieces) < pieces:
                seen.piece.clear()
                await seen.piece.wait()
            sending.abort()
            assert simulation.inflight == 0
            order = list(seen.order)
            for _ in range(20):
                await asyncio.sleep(0)
            assert seen.order == order
            sending.abort()

    asyncio.run(run())


def test_an_abort_from_within_a_callback_is_the_last_word():
    class Leaves(Transcript):
        def on_data(self, data):
            super().on_data(data)
            sending.abort()

    async def run() -> Transcript:
        nonlocal sending
        seen = Leaves()
        sending = Simulation(FAST).send(_request(ask(stream=True)), seen)
        await seen.piece.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        return seen

    sending: Any = None
    assert asyncio.run(run()).order == ["response", "data"]


def test_a_closed_simulation_takes_nothing_more_and_finishes_what_it_has():
    async def run() -> tuple[Transcript, Transcript]:
        simulation = Simulation(FAST)
        first, second = Transcript(), Transcript()
        simulation.send(_request(ask()), first)
        simulation.close()
        simulation.send(_request(ask()), second)
        await first.over.wait()
        await second.over.wait()
        assert simulation.inflight == 0
        return first, second

    first, second = asyncio.run(run())
    assert (first.order[-1], second.errors) == ("end", ["closed"])


@pytest.mark.parametrize("url", ["sim://a?ttft=1", "sim://a?ttft_s=-1", "sim://a?tokens_per_s=many", "sim://a?tokens_per_s=0"])
def test_a_wrong_setting_in_the_address_is_told(url):
    with pytest.raises(ValueError, match="setting"):
        Simulation(url)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_MEMBERS) | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(["/chat/completions", "/completions", "/embeddings", "/moderations"]), st.dictionaries(st.sampled_from(_MEMBERS), _JSON)
)
@settings(max_examples=300, deadline=None)
def test_whatever_the_body_holds_the_answer_is_200_or_a_400(path, members):
    request = Request(method=b"POST", path=path.encode(), headers=(), body=json.dumps(ask(input="x", prompt="y") | members).encode())
    assert respond(request, "north", "", Pace()).status in {200, 400}
