"""A hub request as generateContent's body: https://ai.google.dev/api/generate-content#request-body."""

import json

import pytest

from adapters._base import AdapterError, Target
from adapters._json_mode import WORDS
from adapters.gemini import ADAPTER
from adapters.gemini.request import MEMBERS, outbound

FLASH = Target(upstream_model="gemini-2.5-flash")
ASK = [{"role": "user", "content": "Hi"}]
CONTENTS = [{"role": "user", "parts": [{"text": "Hi"}]}]


def body(target=FLASH, **members):
    return json.loads(outbound({"model": "m", "messages": ASK, **members}, target).body)


def test_a_plain_question_is_one_user_turn_and_nothing_else():
    out = outbound({"model": "m", "messages": ASK}, FLASH)
    assert (out.path, json.loads(out.body), out.headers, out.ignored) == (
        "/models/gemini-2.5-flash:generateContent",
        {"contents": CONTENTS},
        (),
        (),
    )


@pytest.mark.parametrize(
    ("name", "stream", "path"),
    [
        ("gemini-2.5-pro", True, "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        ("models/gemini-2.5-pro", False, "/models/gemini-2.5-pro:generateContent"),
        ("tunedModels/my-tune", None, "/tunedModels/my-tune:generateContent"),
        ("odd name/x", False, "/models/odd%20name%2Fx:generateContent"),
    ],
)
def test_stream_and_model_decide_the_path(name, stream, path):
    assert outbound({"model": "m", "messages": ASK, "stream": stream}, Target(upstream_model=name)).path == path


def test_every_sampling_member_has_its_place_in_generation_config():
    """https://ai.google.dev/api/generate-content#generationconfig"""
    assert body(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        frequency_penalty=0.25,
        presence_penalty=-0.5,
        seed=7,
        stop=["END", "", "END", "STOP"],
        n=2,
        max_tokens=10,
        max_completion_tokens=20,
        logprobs=True,
        top_logprobs=3,
        service_tier="flex",
        modalities=["text", "image"],
    ) == {
        "contents": CONTENTS,
        "serviceTier": "flex",
        "generationConfig": {
            "maxOutputTokens": 20,
            "temperature": 0.5,
            "topP": 0.9,
            "frequencyPenalty": 0.25,
            "presencePenalty": -0.5,
            "topK": 40,
            "seed": 7,
            "candidateCount": 2,
            "stopSequences": ["END", "STOP"],
            "responseLogprobs": True,
            "logprobs": 3,
            "responseModalities": ["TEXT", "IMAGE"],
        },
    }


def test_members_at_their_default_leave_no_trace():
    assert body(
        n=1,
        temperature=None,
        logprobs=False,
        top_logprobs=0,
        presence_penalty=0,
        frequency_penalty=0.0,
        logit_bias={},
        tools=[],
        tool_choice="auto",
        parallel_tool_calls=True,
        response_format={"type": "text"},
        stop=[],
        service_tier="auto",
        modalities=["text"],
        audio=None,
        stream=False,
        stream_options=None,
    ) == {"contents": CONTENTS}


def test_inert_hints_are_left_out_and_listed():
    out = outbound(
        {"messages": ASK, "user": "u", "metadata": {"a": "b"}, "store": True, "verbosity": "low", "service_tier": "scale"}, FLASH
    )
    assert (json.loads(out.body), out.ignored) == ({"contents": CONTENTS}, ("user", "metadata", "verbosity", "store", "service_tier"))


def test_what_must_not_be_stored_says_so():
    """New projects keep requests unless told otherwise: https://ai.google.dev/gemini-api/docs/changelog, 2026-10-26."""
    out = outbound({"messages": ASK, "store": False}, FLASH)
    assert (json.loads(out.body), out.ignored) == ({"contents": CONTENTS, "store": False}, ())


@pytest.mark.parametrize(("name", "value"), [("frequency_penalty", 0.5), ("presence_penalty", -1), ("n", 2)])
@pytest.mark.parametrize("model", ["gemini-4-argon", "gemini-4-hydrogen", "gemini-4.5-neon"])
def test_what_gemini_4_takes_no_more_is_refused_by_name(name, value, model):
    with pytest.raises(AdapterError) as caught:
        body(Target(upstream_model=model), **{name: value})
    assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")
    assert body(Target(upstream_model=model), frequency_penalty=0, presence_penalty=0, n=1) == {"contents": CONTENTS}


def test_what_it_has_no_place_for_is_listed_at_its_default():
    out = outbound({"model": "m", "messages": ASK, "logit_bias": {}, "audio": None}, FLASH)
    assert (json.loads(out.body), out.ignored) == ({"contents": CONTENTS}, ("logit_bias",))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"web_search_options": {"search_context_size": "all"}}, "web_search_options.search_context_size"),
        ({"web_search_options": {"filters": {"allowed_domains": ["example.org"]}}}, "web_search_options.filters"),
        ({"web_search_options": {}, "tools": [{"type": "function", "function": {"name": "f"}}]}, "web_search_options"),
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"stop": ["a", "b", "c", "d", "e", "f"]}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"n": 9}, "n"),
        ({"n": 0}, "n"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": True}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"seed": 1.5}, "seed"),
        ({"logprobs": 5}, "logprobs"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_its_name(members, param):
    with pytest.raises(AdapterError) as refused:
        body(**members)
    assert refused.value.param == param


def test_a_seed_is_folded_into_the_bits_the_api_takes():
    assert [body(seed=seed)["generationConfig"]["seed"] for seed in (2**31 + 5, -1)] == [5, 2**31 - 1]


def test_json_formats_become_a_media_type_and_a_schema():
    """https://ai.google.dev/gemini-api/docs/structured-output"""
    schema = {"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"], "additionalProperties": False}
    assert body(response_format={"type": "json_object"})["generationConfig"] == {"responseMimeType": "application/json"}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "description": "An a.", "strict": True, "schema": schema}}
    assert body(response_format=wanted)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {
            "description": "An a.",
            "type": "object",
            "properties": {"a": {"enum": ["x"], "type": "string"}},
            "additionalProperties": False,
            "required": ["a"],
        },
    }


def test_json_beside_tools_is_for_gemini_3_only_and_asked_in_words_before():
    tools = [{"type": "function", "function": {"name": "f"}}]
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    with pytest.raises(AdapterError) as refused:
        body(tools=tools, response_format=schema)
    assert refused.value.param == "response_format"
    older, newer = Target(upstream_model="gemini-2.5-flash"), Target(upstream_model="gemini-3-flash-preview")
    wanted = {"tools": tools, "response_format": {"type": "json_object"}}
    assert "generationConfig" not in body(older, **wanted)
    assert body(older, **wanted)["systemInstruction"] == {"parts": [{"text": WORDS}]}
    assert body(newer, **wanted)["generationConfig"] == {"responseMimeType": "application/json"}
    assert ADAPTER.json_by_words(wanted, older)
    assert not ADAPTER.json_by_words(wanted, newer)
    assert not ADAPTER.json_by_words({"response_format": {"type": "json_object"}}, older)


def test_the_request_is_not_changed():
    chat = {
        "messages": [{"role": "system", "content": "S"}, *ASK],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"const": 1}}}}}],
        "stop": "x",
    }
    before = json.dumps(chat)
    outbound(chat, FLASH)
    assert json.dumps(chat) == before


def test_every_member_of_the_table_is_known_by_one_verdict():
    assert set(MEMBERS.values()) == {"translated", "dropped", "refused"}
    assert {name for name, verdict in MEMBERS.items() if verdict == "refused"} == {
        "logit_bias",
        "audio",
        "moderation",
    }
