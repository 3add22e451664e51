"""The Responses API by the official client, on every route (the upstreams here have it through translation)."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest

from tests.conformance.samples import PDF, PICTURE_URL, PIXEL, TIME, WEATHER, Person, flat_tool

TOOL = flat_tool(WEATHER)
OTHER = flat_tool(TIME)
ASK = "Please get weather for Oslo"


def test_the_answer_has_the_shape_of_the_reference(client, route):
    answer = client.responses.create(model=route.model, input="Hello there")
    assert answer.id.startswith("resp_")
    assert answer.object == "response"
    assert answer.status == "completed"
    assert answer.error is None
    assert answer.output_text
    [item] = answer.output
    assert item.type == "message"
    assert item.role == "assistant"
    assert item.status == "completed"
    assert item.id
    assert item.content[0].type == "output_text"
    assert item.content[0].annotations == []


def test_the_answer_says_when_it_was_made(client, route):
    import time

    assert abs(client.responses.create(model=route.model, input="Hello").created_at - time.time()) < 60


def test_usage_adds_up_and_carries_the_account(client, route):
    usage = client.responses.create(model=route.model, input="Hello there").usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0
    assert usage.input_tokens_details.cached_tokens == 0
    assert usage.output_tokens_details.reasoning_tokens == 0
    assert usage.greenlane["model"] == route.model


def test_the_headers_are_there(client, route):
    headers = client.responses.with_raw_response.create(model=route.model, input="Hello").headers
    assert headers["x-greenlane-model"] == route.model
    assert headers["x-carbon-g"]


MEMBERS: dict[str, dict[str, object]] = {
    "instructions": {"instructions": "Be brief."},
    "max_output_tokens": {"max_output_tokens": 500},
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.9},
    "metadata": {"metadata": {"a": "b"}},
    "store": {"store": False},
    "user": {"user": "user-1"},
    "safety_identifier": {"safety_identifier": "id-1"},
    "prompt_cache_key": {"prompt_cache_key": "key-1"},
    "truncation": {"truncation": "disabled"},
    "service_tier": {"service_tier": "auto"},
    "parallel_tool_calls": {"tools": [TOOL], "parallel_tool_calls": False},
    "text": {"text": {"format": {"type": "text"}}},
    "verbosity": {"text": {"verbosity": "low"}},
    "reasoning": {"reasoning": {"effort": "low"}},
    "summary": {"reasoning": {"effort": "medium", "summary": "auto"}},
    "include": {"include": ["reasoning.encrypted_content"]},
    "tools": {"tools": [TOOL]},
    "tool_choice": {"tools": [TOOL], "tool_choice": "none"},
    "background": {"background": False},
    "stream": {"stream": False},
    "nulls": {"extra_body": {"instructions": None, "previous_response_id": None, "tools": None, "conversation": None, "prompt": None}},
}


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_a_member_is_taken_on_every_route(client, route, members):
    answer = client.responses.create(**{"model": route.model, "input": "Hello there", **members})
    assert answer.status == "completed"


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_what_was_asked_is_repeated(client, route, members):
    answer = client.responses.create(**{"model": route.model, "input": "Hello there", **members})
    for name in ("instructions", "max_output_tokens", "temperature", "metadata"):
        if name in members:
            assert getattr(answer, name) == members[name]


INPUTS: dict[str, object] = {
    "text": "Hello",
    "message": [{"role": "user", "content": "Hello"}],
    "typed message": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
    "system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    "developer": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    "three turns": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "And?"}],
    "image": [{"role": "user", "content": [{"type": "input_text", "text": "?"}, {"type": "input_image", "image_url": PIXEL}]}],
    "image address": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "?"}, {"type": "input_image", "image_url": PICTURE_URL, "detail": "auto"}],
        }
    ],
    "file": [
        {"role": "user", "content": [{"type": "input_file", "filename": "a.pdf", "file_data": PDF}, {"type": "input_text", "text": "?"}]}
    ],
}


@pytest.mark.parametrize("given", INPUTS.values(), ids=INPUTS)
def test_every_form_of_input_is_taken(client, route, given):
    assert client.responses.create(model=route.model, input=given).output_text


def test_a_cut_answer_is_incomplete(client, route):
    answer = client.responses.create(model=route.model, input="Hello there, dear friend", max_output_tokens=3)
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"


CHOICES = {"required": "required", "named": {"type": "function", "name": "get_weather"}}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_a_tool_is_called(client, route, choice):
    answer = client.responses.create(model=route.model, input=ASK, tools=[TOOL], tool_choice=choice)
    [call] = [item for item in answer.output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert call.call_id
    assert call.id
    assert call.status == "completed"
    assert set(json.loads(call.arguments)) >= {"city", "unit"}
    assert answer.status == "completed"


def test_two_tools_are_called(client, route):
    answer = client.responses.create(model=route.calls_two, input="Please get weather and get time", tools=[TOOL, OTHER])
    assert [item.name for item in answer.output if item.type == "function_call"] == ["get_weather", "get_time"]


def test_a_custom_tool_is_called_with_text(client, route):
    tool = {"type": "custom", "name": "run", "description": "Runs a line."}
    answer = client.responses.create(model=route.model, input="Hello", tools=[tool], tool_choice={"type": "custom", "name": "run"})
    [call] = [item for item in answer.output if item.type == "custom_tool_call"]
    assert call.name == "run"
    assert isinstance(call.input, str)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
def test_a_tool_of_a_namespace_is_called_in_it(client, route, stream, kind):
    """As Codex offers the tools of MCP servers. The model's next turn knows the call by the same name."""
    custom = {"type": "custom", "name": "run", "description": "Runs a line."}
    space = {"type": "namespace", "name": "mcp__far", "description": "Far away.", "tools": [TOOL if kind == "function_call" else custom]}
    asked = {"model": route.model, "tools": [space], "extra_body": {"client_metadata": {"session": "s"}}}
    if stream:
        answer = events_of(client, input=ASK, tool_choice="required", **asked)[-1].response
    else:
        answer = client.responses.create(input=ASK, tool_choice="required", **asked)
    [call] = [item for item in answer.output if item.type == kind]
    assert (call.namespace, call.name) == ("mcp__far", "get_weather" if kind == "function_call" else "run")
    conversation = [
        {"role": "user", "content": ASK},
        *(item.model_dump(exclude_none=True) for item in answer.output),
        {"type": f"{kind}_output", "call_id": call.call_id, "output": "rain"},
    ]
    assert client.responses.create(input=conversation, **asked).output_text


def test_a_tools_output_comes_back_to_the_model(client, route):
    answer = client.responses.create(model=route.model, input=ASK, tools=[TOOL], tool_choice="required")
    [call] = [item for item in answer.output if item.type == "function_call"]
    conversation = [
        {"role": "user", "content": ASK},
        *(item.model_dump(exclude_none=True) for item in answer.output),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    after = client.responses.create(model=route.model, input=conversation, tools=[TOOL])
    assert after.output_text
    assert after.status == "completed"


def test_reasoning_comes_before_the_answer(client, translated):
    answer = client.responses.create(model=translated.thinks, input="Hello there", reasoning={"effort": "low", "summary": "auto"})
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.output[0].summary[0].text


def test_reasoning_goes_back_with_the_next_turn(client, translated):
    answer = client.responses.create(
        model=translated.thinks, input="Hello there", reasoning={"effort": "low"}, include=["reasoning.encrypted_content"]
    )
    conversation = [
        {"role": "user", "content": "Hello there"},
        *(item.model_dump(exclude_none=True) for item in answer.output),
        {"role": "user", "content": "And?"},
    ]
    assert client.responses.create(model=translated.thinks, input=conversation, reasoning={"effort": "low"}).output_text


def test_thinking_survives_a_tool_loop_of_claude(client, imitations):
    asked = {"tools": [TOOL], "reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"], "max_output_tokens": 4000}
    answer = client.responses.create(model="anthropic-thinking_tools", input=ASK, **asked)
    [call] = [item for item in answer.output if item.type == "function_call"]
    conversation = [
        {"role": "user", "content": ASK},
        *(item.model_dump(exclude_none=True) for item in answer.output),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    assert client.responses.create(model="anthropic-thinking", input=conversation, **asked).output_text
    sent = imitations["anthropic"][0].last.body["messages"][1]["content"]
    assert [block["type"] for block in sent] == ["thinking", "text", "tool_use"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_thinking_between_text_and_calls_comes_back_where_it_was(client, imitations, stream):
    """Anthropic takes thinking back only as it was; the imitation compares the turn with what it answered."""
    asked = {"tools": [TOOL], "reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"], "max_output_tokens": 4000}
    if stream:
        with client.responses.stream(model="anthropic-interleaved", input=ASK, **asked) as events:
            answer = events.get_final_response()
    else:
        answer = client.responses.create(model="anthropic-interleaved", input=ASK, **asked)
    kinds = ["reasoning", "message", "reasoning", "message", "function_call", "reasoning", "function_call"]
    assert [item.type for item in answer.output] == kinds
    results = [{"type": "function_call_output", "call_id": item.call_id, "output": "rain"} for item in answer.output if "call" in item.type]
    conversation = [{"role": "user", "content": ASK}, *(item.model_dump(exclude_none=True) for item in answer.output), *results]
    assert client.responses.create(model="anthropic-thinking", input=conversation, **asked).output_text
    sent = imitations["anthropic"][0].last.body["messages"][1]["content"]
    kinds = ["thinking", "text", "thinking", "redacted_thinking", "text", "tool_use", "redacted_thinking", "tool_use"]
    assert [block["type"] for block in sent] == kinds


def test_parse_gives_the_object(client, route):
    answer = client.responses.parse(model=route.model, input="Hello", text_format=Person)
    assert isinstance(answer.output_parsed, Person)


def test_a_json_schema_gives_what_fits(client, route):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    text = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
    assert "a" in json.loads(client.responses.create(model=route.model, input="Hello", text=text).output_text)


def test_json_object_gives_an_object(client, route):
    answer = client.responses.create(model=route.model, input="Answer in JSON", text={"format": {"type": "json_object"}})
    assert isinstance(json.loads(answer.output_text), dict)


def events_of(client, **members):
    return list(client.responses.create(stream=True, **members))


def test_a_stream_says_what_a_whole_answer_says(client, route):
    whole = client.responses.create(model=route.model, input="Hello there, friend").output_text
    events = events_of(client, model=route.model, input="Hello there, friend")
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole
    assert events[-1].response.output_text == whole


def test_the_events_of_text_come_in_order(client, route):
    events = events_of(client, model=route.model, input="Hello there, friend")
    kinds = [event.type for event in events]
    without = [kind for number, kind in enumerate(kinds) if number == 0 or kind != kinds[number - 1]]
    assert without == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_the_last_event_has_usage_and_account(client, route):
    last = events_of(client, model=route.model, input="Hello")[-1].response
    assert last.status == "completed"
    assert last.usage.total_tokens > 0
    assert last.usage.greenlane["model"] == route.model


def test_the_events_of_a_call_come_in_order(client, route):
    events = events_of(client, model=route.model, input=ASK, tools=[TOOL], tool_choice="required")
    kinds = [event.type for event in events if "function_call" in event.type]
    assert set(kinds[:-1]) == {"response.function_call_arguments.delta"}
    assert kinds[-1] == "response.function_call_arguments.done"
    text = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert text == done.arguments
    [call] = [item for item in events[-1].response.output if item.type == "function_call"]
    assert call.arguments == text
    assert call.name == "get_weather"


def test_the_wire_names_each_event_by_its_type(client, route):
    with client.responses.with_streaming_response.create(model=route.model, input="Hello", stream=True) as response:
        lines = list(response.iter_lines())
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    types = [json.loads(line.removeprefix("data: "))["type"] for line in lines if line.startswith("data: {")]
    assert names == types
    assert names[-1] == "response.completed"


def test_the_helper_accumulates_a_response(client, route):
    with client.responses.stream(model=route.model, input="Hello") as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.output_text.delta" in kinds
    assert final.output_text


def test_the_helper_parses(client, route):
    with client.responses.stream(model=route.model, input="Hello", text_format=Person) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Person)


def test_the_async_client_answers_and_streams(fleet, route):
    async def ask() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=fleet.url, api_key="unused", max_retries=0) as client:
            whole = await client.responses.create(model=route.model, input="Hello")
            stream = await client.responses.create(model=route.model, input="Hello", stream=True)
            return whole.output_text, "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])

    whole, streamed = asyncio.run(ask())
    assert whole == streamed


def test_a_cut_stream_is_incomplete(client, route):
    last = events_of(client, model=route.model, input="Hello there, dear friend", max_output_tokens=3)[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("model", ["anthropic-cut", "gemini-cut", "anthropic-overloaded_midstream", "gemini-error_in_stream"])
def test_a_stream_that_breaks_never_completes(client, paced, model):
    kinds = []
    try:
        kinds += [event.type for event in client.responses.create(model=model, input="Hello there, dear friend of mine", stream=True)]
    except openai.APIError:
        kinds.append("error")
    assert kinds[-1] in ("error", "response.failed")
    assert "response.completed" not in kinds


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "no input": ({"input": []}, "input"),
    "temperature": ({"temperature": 5}, "temperature"),
    "max_output_tokens": ({"max_output_tokens": 0}, "max_output_tokens"),
    "unknown member": ({"extra_body": {"hologram": True}}, "hologram"),
    "unknown item": ({"input": [{"type": "hologram"}]}, "input"),
    "stored prompt": ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    "conversation": ({"conversation": "conv_1"}, "conversation"),
    "background": ({"background": True}, "background"),
    "file search": ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools"),
    "previous response": ({"previous_response_id": "resp_of_nobody"}, "previous_response_id"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_expressed_is_a_bad_request_by_name(client, route, name):
    members, param = WRONG[name]
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
        client.responses.create(**{"model": route.model, "input": "Hello", **members})
    assert param in f"{caught.value.param} {caught.value.body['message']}"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("anthropic-rate_limited", openai.RateLimitError),
        ("gemini-invalid", openai.BadRequestError),
        ("nobody", openai.NotFoundError),
        ("anthropic-server_error", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_errors_are_the_clients_classes(client, model, kind, stream):
    with pytest.raises(kind):
        client.responses.create(model=model, input="Hello", stream=stream)
