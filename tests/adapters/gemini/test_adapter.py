"""The adapter against the strict imitation: whatever it writes is accepted, and loops of tools, signatures and streams close."""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import adapters
from adapters._base import AdapterError, FaultError, Target
from adapters.gemini import ADAPTER
from tests.imitations.gemini import FAILING, KEY, SCENARIOS, create_app, stream_bytes
from tests.imitations.gemini_rules import RefusedError, check, check_embedding
from tests.imitations.gemini_says import say, whole

BASE = "/v1beta"
HEADERS = {"content-type": "application/json", "x-goog-api-key": KEY}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    },
    {"type": "function", "function": {"name": "now"}},
]


async def post(app, out, key=KEY, **headers):
    """Status and body of the imitation's answer to an Outbound."""
    named = [(b"content-type", b"application/json"), *((name.encode(), value.encode()) for name, value in headers.items())]
    if key is not None:
        named += ADAPTER.authorize(key)
    url = urlsplit(BASE + out.path)
    scope = {"type": "http", "method": "POST", "path": url.path, "query_string": url.query.encode(), "headers": named}
    sent, asked = [], iter([{"type": "http.request", "body": out.body}])

    async def receive():
        return next(asked, None) or {"type": "http.nothing"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def run(coroutine):
    """The imitation waits for nothing but its own pauses, so a loop is not needed where there is no stream."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the imitation waited")


def answered(chat, model="gemini-3-flash-preview", scenario="text"):
    """The hub's answer to a chat, through the imitation."""
    target = Target(upstream_model=f"{model}--{scenario}")
    status, body = run(post(create_app(), ADAPTER.outbound(chat, target)))
    assert status == 200, body
    return ADAPTER.completion(body).body


def streamed(chat, model="gemini-3-flash-preview", scenario="text"):
    """The message that the chunks of a stream add up to, and its reader."""
    target = Target(upstream_model=model)
    out = ADAPTER.outbound({**chat, "stream": True}, target)
    assert parse_qs(urlsplit(out.path).query) == {"alt": ["sse"]}
    reader, message, finish = ADAPTER.reader(target), {}, None
    chunks = []
    for part in stream_bytes(say(check(json.loads(out.body), model), model, scenario)):
        chunks += reader.feed(part)
    for chunk in chunks + reader.finish():
        [choice] = chunk["choices"]
        finish = choice["finish_reason"] or finish
        for name, value in choice["delta"].items():
            if name == "tool_calls":
                calls = [{key: part for key, part in call.items() if key != "index"} for call in value]
                message.setdefault(name, []).extend(calls)
            else:
                message[name] = value if name not in message or message[name] is None else message[name] + value
    return message, finish, reader


def test_the_dialect_is_found_by_its_name_and_names_what_it_serves():
    assert adapters()["gemini"] is ADAPTER
    assert (ADAPTER.open_members, ADAPTER.apis) == (False, {"chat", "embeddings"})
    assert ADAPTER.authorize("k") == ((b"x-goog-api-key", b"k"),)


@pytest.mark.parametrize("model", ["gemini-3-flash-preview", "gemini-2.5-pro"])
@pytest.mark.parametrize("way", ["whole", "streamed"])
@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("scenario", ["tools", "parallel", "late_stop"])
def test_a_loop_of_tools_closes_though_the_client_drops_unknown_members(model, way, forgetful, scenario):
    """The imitation refuses a signature that is missing or beside the wrong call."""
    chat = {"messages": [{"role": "user", "content": "How is it?"}], "tools": TOOLS}
    for turn in range(3):
        if turn:
            chat["tool_choice"] = "required"
        if way == "whole":
            choice = answered(chat, model, scenario)["choices"][0]
            message, finish = choice["message"], choice["finish_reason"]
        else:
            message, finish, _ = streamed(chat, model, scenario)
        assert finish == "tool_calls"
        calls = message["tool_calls"]
        assert len(calls) == (2 if scenario == "parallel" else 1)
        assert "extra_content" in calls[0]
        kept = [{"id": call["id"], "type": "function", "function": call["function"]} for call in calls] if forgetful else calls
        chat["messages"] = [*chat["messages"], {"role": "assistant", "content": None, "tool_calls": kept}]
        chat["messages"] += [{"role": "tool", "tool_call_id": call["id"], "content": '{"sun": 1}'} for call in reversed(kept)]
    chat["tool_choice"] = "auto"
    said = answered(chat, model)["choices"][0]
    assert (said["finish_reason"], "weather" in said["message"]["content"]) == ("stop", True)


@pytest.mark.parametrize(
    "scenario", ["text", "thinking", "max_tokens", "safety", "block_prompt", "stop_everywhere", "cached", "image", "empty"]
)
def test_a_stream_adds_up_to_the_whole_answer(scenario):
    chat = {"messages": [{"role": "user", "content": "Say something long enough to be cut into several pieces."}]}
    complete = answered(chat, scenario=scenario)
    expected = complete["choices"][0]
    message, finish, reader = streamed(chat, scenario=scenario)
    assert finish == expected["finish_reason"]
    said, meant = message.get("content") or "", expected["message"]["content"] or ""
    assert meant.startswith(said) if scenario == "safety" else said == meant
    assert message.get("reasoning_content") == expected["message"].get("reasoning_content")
    assert reader.ended
    assert reader.usage == ADAPTER.completion(json.dumps(whole(said_again(chat, scenario))).encode()).usage


def said_again(chat, scenario):
    out = ADAPTER.outbound(chat, Target(upstream_model="gemini-3-flash-preview"))
    return say(check(json.loads(out.body), "gemini-3-flash-preview"), "gemini-3-flash-preview", scenario)


@pytest.mark.parametrize("piece_bytes", [None, 1, 7])
def test_the_imitation_streams_over_http_in_pieces_of_any_size(piece_bytes):
    async def talk():
        app = create_app(piece_bytes=piece_bytes)
        out = ADAPTER.outbound(
            {"messages": [{"role": "user", "content": "Hi there"}], "stream": True}, Target(upstream_model="gemini-2.5-flash")
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://imitation") as client:
            return [await client.post(BASE + path, content=out.body, headers=HEADERS) for path in (out.path, out.path.partition("?")[0])]

    events, array = asyncio.run(talk())
    assert (events.headers["content-type"], array.headers["content-type"]) == ("text/event-stream", "application/json; charset=UTF-8")
    reader = ADAPTER.reader(Target(upstream_model="gemini-2.5-flash"))
    chunks = reader.feed(events.content) + reader.finish()
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "You said: Hi there"
    assert [json.dumps(one) for one in array.json()] == [line.removeprefix("data: ") for line in events.text.split("\r\n\r\n")[:-1]]


@pytest.mark.parametrize(("scenario", "ended"), [("cut", False), ("text", True)])
def test_a_stream_that_was_cut_does_not_end(scenario, ended):
    _, finish, reader = streamed({"messages": [{"role": "user", "content": "One two three four five six seven"}]}, scenario=scenario)
    assert (reader.ended, reader.finish_reason, finish) == ((True, "stop", "stop") if ended else (False, None, None))


@pytest.mark.parametrize("scenario", ["error_in_stream", "malformed_call"])
def test_a_stream_that_fails_raises_its_fault(scenario):
    with pytest.raises(FaultError) as told:
        streamed({"messages": [{"role": "user", "content": "One two three four five six seven"}]}, scenario=scenario)
    assert told.value.fault.status in (502, 503)


@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [
        ("exhausted", 429, "rate_limit_exceeded"),
        ("unavailable", 503, "unavailable"),
        ("invalid", 400, None),
        ("internal", 500, None),
        ("not_found", 404, "model_not_found"),
        ("suspended", 403, "forbidden"),
        ("html_500", None, None),
    ],
)
def test_each_error_is_told_without_the_key(scenario, status, code):
    out = ADAPTER.outbound({"messages": [{"role": "user", "content": "Hi"}]}, Target(upstream_model="gemini-2.5-flash"))
    answered_with, body = run(post(create_app(), out, **{"x-imitate": scenario}))
    fault = ADAPTER.fault(answered_with, body)
    assert (fault.code, KEY in fault.message) == (code, False)
    assert fault.status == (status or 500)
    assert fault.retry_after_s == (37.0 if scenario == "exhausted" else None)


@pytest.mark.parametrize(("key", "status", "fault_status"), [(None, 403, 403), ("wrong", 400, 401)])
def test_a_missing_and_a_wrong_key_are_refused(key, status, fault_status):
    out = ADAPTER.outbound({"messages": [{"role": "user", "content": "Hi"}]}, Target(upstream_model="gemini-2.5-flash"))
    answered_with, body = run(post(create_app(), out, key))
    assert (answered_with, ADAPTER.fault(answered_with, body).status) == (status, fault_status)


def test_json_formats_and_logprobs_come_through():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "exclusiveMinimum": 4}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    chat = {"messages": [{"role": "user", "content": "Hi there"}], "logprobs": True, "top_logprobs": 2, "n": 2}
    assert json.loads(answered({**chat, "response_format": wanted})["choices"][0]["message"]["content"]) == {"n": 5}
    choices = answered(chat)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert [[top["token"] for top in one["top_logprobs"]] for one in choices[1]["logprobs"]["content"]] == [
        ["You", "other1"],
        ["said:", "other1"],
        ["Hi", "other1"],
        ["there", "other1"],
    ]


@pytest.mark.parametrize("given_input", ["a b", ["a", "b c"]])
@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_come_through(given_input, form):
    request = {"model": "e", "input": given_input, "encoding_format": form, "dimensions": 4}
    out = ADAPTER.embeddings_outbound(request, Target(upstream_model="gemini-embedding-001"))
    status, body = run(post(create_app(), out))
    assert status == 200
    answer, usage = ADAPTER.embeddings_reply(body, request)
    assert [len(one["embedding"]) for one in answer["data"]] == [4 if form == "float" else 24] * (2 if isinstance(given_input, list) else 1)
    assert answer["usage"]["prompt_tokens"] == usage.input_tokens == (3 if isinstance(given_input, list) else 2)


def test_the_imitation_refuses_what_the_api_refuses():
    """Google's shape: https://ai.google.dev/gemini-api/docs/troubleshooting"""
    app = create_app()
    out = ADAPTER.outbound({"messages": [{"role": "user", "content": "Hi"}]}, Target(upstream_model="gemini-2.5-flash"))
    odd = json.dumps({"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"maxTokens": 3}}).encode()
    status, body = run(post(app, type(out)(path=out.path, body=odd)))
    message = "Invalid JSON payload received. Unknown name \"maxTokens\" at 'generation_config': Cannot find field."
    violation = {"field": "generation_config", "description": message}
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    assert (status, json.loads(body)) == (
        400,
        {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details}},
    )
    assert (app.received, app.last.body["generationConfig"]) == (1, {"maxTokens": 3})
    assert FAILING.keys() < SCENARIOS


CALL_TURN = {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "1", "args": {}}}]}
RESULT_TURN = {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "1", "response": {}}}]}
ASKED = {"role": "user", "parts": [{"text": "a"}]}


@pytest.mark.parametrize(
    ("contents", "more", "said"),
    [
        ([ASKED, CALL_TURN, RESULT_TURN], {}, "missing a thought_signature"),
        ([ASKED, CALL_TURN], {}, "function response turn"),
        ([CALL_TURN, RESULT_TURN], {}, "function call turn comes immediately after"),
        ([ASKED, RESULT_TURN], {}, "alternate"),
        ([], {}, "contents is not specified"),
        ([ASKED], {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_declarations"),
        ([ASKED], {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 1}}}, "only one of"),
        ([ASKED], {"generationConfig": {"responseJsonSchema": {"pattern": "a"}, "responseMimeType": "application/json"}}, "pattern"),
        ([ASKED], {"generationConfig": {"logprobs": 3}}, "response_logprobs"),
    ],
)
def test_the_imitation_knows_the_rules_between_members(contents, more, said):
    with pytest.raises(RefusedError) as refused:
        check({"contents": contents, **more}, "gemini-3-flash-preview")
    assert said in str(refused.value)


TEXT = st.text(max_size=6)
IDS = st.sampled_from(["call_1", "toolu_2", "call_x-0-0_ts0c2ln", "x"])
NAMES = st.sampled_from(["f", "g_2", "1bad", "h.i"])
PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
    st.just({"type": "image_url", "image_url": {"url": "https://x.org/a.webp"}}),
    st.just({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    st.just({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}),
)
CONTENT = st.none() | TEXT | st.lists(PARTS, max_size=3)
CALL = st.builds(
    lambda identifier, name, arguments: {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}},
    IDS,
    NAMES,
    st.sampled_from(["{}", "", '{"a": [1, {"b": null}]}', "[]"]),
)
MESSAGE = st.one_of(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "developer"]), TEXT),
    st.builds(lambda content: {"role": "user", "content": content}, CONTENT),
    st.builds(lambda text: {"role": "assistant", "content": text}, st.none() | TEXT),
)


@st.composite
def exchanges(draw):
    """A message, or a call turn with its results, some of which may be lacking."""
    calls = draw(st.lists(CALL, min_size=1, max_size=2, unique_by=lambda call: call["id"]))
    results = [{"role": "tool", "tool_call_id": call["id"], "content": draw(CONTENT), "is_error": draw(st.booleans())} for call in calls]
    if draw(st.integers(0, 9)) == 0:
        results = results[1:]
    return [{"role": "assistant", "content": draw(st.none() | TEXT), "tool_calls": calls}, *draw(st.permutations(results))]


SCHEMA = st.sampled_from(
    [
        None,
        {},
        {"type": "object", "properties": {}},
        {
            "type": "object",
            "properties": {"a": {"type": ["string", "null"], "pattern": "x", "default": "y"}},
            "additionalProperties": False,
        },
        {"$defs": {"A": {"enum": ["a", 1, None]}}, "properties": {"a": {"$ref": "#/$defs/A", "description": "d"}}},
        {"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]},
        {"anyOf": [{"type": "object"}, {"type": "null"}]},
        {"type": "string"},
    ]
)
TOOL = st.builds(lambda name, schema: {"type": "function", "function": {"name": name, "parameters": schema, "strict": True}}, NAMES, SCHEMA)
FORMAT = st.one_of(
    st.sampled_from([None, {"type": "text"}, {"type": "json_object"}]),
    st.builds(lambda schema: {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}, SCHEMA),
)
CHATS = st.fixed_dictionaries(
    {
        "messages": st.lists(st.one_of(MESSAGE.map(lambda one: [one]), exchanges()), min_size=1, max_size=4).map(
            lambda lists: [message for listed in lists for message in listed]
        )
    },
    optional={
        "tools": st.lists(TOOL, max_size=3, unique_by=lambda tool: tool["function"]["name"]),
        "tool_choice": st.sampled_from([None, "auto", "none", "required", {"type": "function", "function": {"name": "f"}}]),
        "parallel_tool_calls": st.booleans(),
        "response_format": FORMAT,
        "temperature": st.none() | st.floats(-1, 3),
        "top_p": st.none() | st.floats(-1, 2),
        "top_k": st.none() | st.integers(-1, 100),
        "n": st.integers(0, 10),
        "seed": st.integers(),
        "stop": st.none() | TEXT | st.lists(TEXT, max_size=6),
        "logprobs": st.booleans(),
        "top_logprobs": st.none() | st.integers(0, 25),
        "max_tokens": st.none() | st.integers(-1, 10**10),
        "max_completion_tokens": st.none() | st.integers(0, 100),
        "frequency_penalty": st.floats(-3, 3),
        "presence_penalty": st.integers(-3, 3),
        "reasoning_effort": st.sampled_from([None, "none", "minimal", "low", "medium", "high", "xhigh", "odd"]),
        "thinking": st.sampled_from([None, {"type": "enabled", "budget_tokens": 1}, {"type": "adaptive"}, {"type": "disabled"}]),
        "service_tier": st.sampled_from(["auto", "flex", "priority", "scale"]),
        "modalities": st.sampled_from([["text"], ["text", "image"], ["audio"]]),
        "logit_bias": st.sampled_from([None, {}, {"1": 1}]),
        "user": TEXT,
        "stream": st.booleans(),
    },
)
MODELS = st.sampled_from(
    [
        *("gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite"),
        *("gemini-3-pro-preview", "gemini-3-flash-preview", "gemini-3.8-flash", "gemini-flash-latest"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(CHATS, MODELS)
def test_whatever_is_not_refused_is_accepted_by_the_imitation(chat, model):
    before = json.dumps(chat)
    try:
        out = ADAPTER.outbound(chat, Target(upstream_model=model))
    except AdapterError:
        return
    finally:
        assert json.dumps(chat) == before
    body = json.loads(out.body)
    for content in body["contents"]:
        for part in content["parts"]:
            # made up for the test: the imitation would rightly call it a forgery
            if part.get("thoughtSignature") == "c2ln":
                part["thoughtSignature"] = "skip_thought_signature_validator"
    check(body, model)


@given(st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=4), st.none() | st.integers(-1, 9))
def test_whatever_can_be_embedded_is_accepted_by_the_imitation(texts, dimensions):
    try:
        out = ADAPTER.embeddings_outbound(
            {"model": "e", "input": texts, "dimensions": dimensions}, Target(upstream_model="text-embedding-004")
        )
    except AdapterError:
        return
    check_embedding(json.loads(out.body), "text-embedding-004", batch=isinstance(texts, list))
