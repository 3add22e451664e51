"""Tool calls by the official client, there and back, the same on every route."""

from __future__ import annotations

import json

import openai
import pytest

from tests.conformance.samples import ASK_BOTH, ASK_WEATHER, HELLO, PLAIN, TIME, WEATHER

CALLING = {
    "auto": {"tools": [WEATHER]},
    "auto said": {"tools": [WEATHER], "tool_choice": "auto"},
    "required": {"tools": [WEATHER], "tool_choice": "required"},
    "named": {"tools": [TIME, WEATHER], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    "allowed": {
        "tools": [TIME, WEATHER],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
        },
    },
    "not parallel": {"tools": [WEATHER], "parallel_tool_calls": False},
    "strict": {"tools": [{"type": "function", "function": {**WEATHER["function"], "strict": True}}]},
}


def ask(client, route, members, messages=ASK_WEATHER, **more):
    model = route.model if "tool_choice" in members and members["tool_choice"] != "auto" else route.calls_one
    return client.chat.completions.create(model=model, messages=messages, **members, **more)


def streamed(chunks) -> tuple[list[dict[str, str]], list[int], str]:
    """The calls put together as a client does, the indexes in order of appearance, the reason."""
    calls: dict[int, dict[str, str]] = {}
    reason = ""
    for chunk in chunks:
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            for delta in choice.delta.tool_calls or ():
                call = calls.setdefault(delta.index, {"id": "", "name": "", "arguments": "", "ids": "0"})
                call["ids"] = str(int(call["ids"]) + (delta.id is not None))
                call["id"] += delta.id or ""
                call["name"] += delta.function.name or ""
                call["arguments"] += delta.function.arguments or ""
    return list(calls.values()), list(calls), reason


@pytest.mark.parametrize("members", CALLING.values(), ids=CALLING)
def test_a_tool_is_called(client, route, members):
    choice = ask(client, route, members).choices[0]
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert call.type == "function"
    assert call.id
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) >= {"city", "unit"}


@pytest.mark.parametrize("members", CALLING.values(), ids=CALLING)
def test_a_tool_is_called_in_a_stream(client, route, members):
    [call], indexes, reason = streamed(ask(client, route, members, stream=True))
    assert indexes == [0]
    assert reason == "tool_calls"
    assert call["ids"] == "1"
    assert call["name"] == "get_weather"
    assert set(json.loads(call["arguments"])) >= {"city", "unit"}


def test_the_arguments_keep_to_the_schema(client, route):
    [call] = ask(client, route, CALLING["required"]).choices[0].message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert isinstance(arguments["city"], str)
    assert arguments["unit"] in ("c", "f")


def test_a_stream_calls_what_a_whole_answer_calls(client, route):
    [whole] = ask(client, route, CALLING["required"]).choices[0].message.tool_calls
    [call], _, _ = streamed(ask(client, route, CALLING["required"], stream=True))
    assert (call["name"], json.loads(call["arguments"])) == (whole.function.name, json.loads(whole.function.arguments))


def test_the_content_beside_calls_is_null_or_text(client, route):
    message = ask(client, route, CALLING["required"]).choices[0].message
    assert message.content is None or message.content


def test_the_first_delta_has_the_role(client, route):
    first = next(iter(ask(client, route, CALLING["required"], stream=True)))
    assert first.choices[0].delta.role == "assistant"


def test_two_tools_are_called_at_once(client, route):
    answer = client.chat.completions.create(model=route.calls_two, messages=ASK_BOTH, tools=[WEATHER, TIME])
    calls = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2


def test_two_tools_are_called_at_once_in_a_stream(client, route):
    calls, indexes, reason = streamed(
        client.chat.completions.create(model=route.calls_two, messages=ASK_BOTH, tools=[WEATHER, TIME], stream=True)
    )
    assert indexes == [0, 1]
    assert [call["name"] for call in calls] == ["get_weather", "get_time"]
    assert [call["ids"] for call in calls] == ["1", "1"]
    assert all(isinstance(json.loads(call["arguments"]), dict) for call in calls)
    assert reason == "tool_calls"


def test_parallel_tool_calls_off_is_kept(client):
    for model in ("openai", "anthropic-parallel_tools", "gemini-parallel"):
        answer = client.chat.completions.create(model=model, messages=ASK_BOTH, tools=[WEATHER, TIME], parallel_tool_calls=False)
        assert len(answer.choices[0].message.tool_calls) == 1


def test_tool_choice_none_calls_nothing(client, route):
    answer = client.chat.completions.create(model=route.model, messages=ASK_WEATHER, tools=[WEATHER], tool_choice="none")
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].message.content


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object", "properties": {}}], ids=["absent", "empty", "no properties"])
def test_a_tool_without_arguments_is_called_with_an_empty_object(client, route, parameters):
    function = dict(PLAIN["function"]) if parameters is None else {**PLAIN["function"], "parameters": parameters}
    tools = [{"type": "function", "function": function}]
    whole = client.chat.completions.create(model=route.model, messages=HELLO, tools=tools, tool_choice="required")
    assert json.loads(whole.choices[0].message.tool_calls[0].function.arguments) == {}
    [call], _, _ = streamed(
        client.chat.completions.create(model=route.model, messages=HELLO, tools=tools, tool_choice="required", stream=True)
    )
    assert json.loads(call["arguments"]) == {}


def test_an_empty_input_of_claude_is_an_empty_object(client):
    messages = client.chat.completions.create(model="anthropic-empty_tool", messages=ASK_WEATHER, tools=[PLAIN])
    assert messages.choices[0].message.tool_calls[0].function.arguments == "{}"
    [call], _, _ = streamed(client.chat.completions.create(model="anthropic-empty_tool", messages=ASK_WEATHER, tools=[PLAIN], stream=True))
    assert call["arguments"] == "{}"


def answered(message, results) -> list[dict[str, object]]:
    return [
        message.model_dump(exclude_none=True),
        *({"role": "tool", "tool_call_id": call.id, "content": result} for call, result in zip(message.tool_calls, results, strict=True)),
    ]


def test_a_tools_result_comes_back_to_the_model(client, route):
    message = ask(client, route, CALLING["required"]).choices[0].message
    messages = [*ASK_WEATHER, *answered(message, ["It is 21 degrees"])]
    answer = client.chat.completions.create(model=route.model, messages=messages, tools=[WEATHER])
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content
    if route.name != "openai":
        assert "degrees" in answer.choices[0].message.content


def test_two_results_come_back_to_the_model(client, route):
    message = client.chat.completions.create(model=route.calls_two, messages=ASK_BOTH, tools=[WEATHER, TIME]).choices[0].message
    messages = [*ASK_BOTH, *answered(message, ["rain", "noon"])]
    answer = client.chat.completions.create(model=route.model, messages=messages, tools=[WEATHER, TIME])
    assert answer.choices[0].message.content


def test_results_may_come_in_another_order_than_the_calls(client, route):
    message = client.chat.completions.create(model=route.calls_two, messages=ASK_BOTH, tools=[WEATHER, TIME]).choices[0].message
    said, first, second = answered(message, ["rain", "noon"])
    answer = client.chat.completions.create(model=route.model, messages=[*ASK_BOTH, said, second, first], tools=[WEATHER, TIME])
    assert answer.choices[0].message.content


@pytest.mark.parametrize("rounds", [2, 3])
def test_a_tool_loop_of_several_rounds(client, route, rounds):
    messages = list(ASK_WEATHER)
    for number in range(rounds):
        message = ask(client, route, CALLING["required"], messages=messages).choices[0].message
        assert message.tool_calls
        messages += answered(message, [f"result {number}"])
    assert client.chat.completions.create(model=route.model, messages=messages, tools=[WEATHER]).choices[0].message.content


def test_a_tool_loop_of_streams(client, route):
    messages = list(ASK_WEATHER)
    for number in range(2):
        with client.chat.completions.stream(model=route.model, messages=messages, tools=[WEATHER], tool_choice="required") as stream:
            message = stream.get_final_completion().choices[0].message
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
            for call in message.tool_calls
        ]
        messages.append({"role": "assistant", "content": message.content, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": f"result {number}"} for call in calls]
    assert client.chat.completions.create(model=route.model, messages=messages, tools=[WEATHER]).choices[0].message.content


@pytest.mark.parametrize("content", [None, "", "I look it up."], ids=["null", "empty", "text"])
def test_the_assistants_content_beside_calls_may_be_anything(client, route, content):
    message = ask(client, route, CALLING["required"]).choices[0].message
    said, result = answered(message, ["rain"])
    said["content"] = content
    assert (
        client.chat.completions.create(model=route.model, messages=[*ASK_WEATHER, said, result], tools=[WEATHER]).choices[0].message.content
    )


def test_the_assistants_content_beside_calls_may_be_absent(client, route):
    message = ask(client, route, CALLING["required"]).choices[0].message
    said, result = answered(message, ["rain"])
    said.pop("content", None)
    assert (
        client.chat.completions.create(model=route.model, messages=[*ASK_WEATHER, said, result], tools=[WEATHER]).choices[0].message.content
    )


@pytest.mark.parametrize(
    "content",
    [
        "rain",
        "",
        '{"degrees": 21}',
        "[1, 2]",
        [{"type": "text", "text": "rain"}],
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    ],
    ids=["text", "empty", "object", "array", "part", "parts"],
)
def test_a_result_may_have_any_form(client, route, content):
    message = ask(client, route, CALLING["required"]).choices[0].message
    messages = [*ASK_WEATHER, *answered(message, [content])]
    assert client.chat.completions.create(model=route.model, messages=messages, tools=[WEATHER]).choices[0].message.content


def test_a_user_may_speak_after_the_results(client, route):
    message = ask(client, route, CALLING["required"]).choices[0].message
    messages = [*ASK_WEATHER, *answered(message, ["rain"]), {"role": "user", "content": "And in short?"}]
    assert client.chat.completions.create(model=route.model, messages=messages, tools=[WEATHER]).choices[0].message.content


@pytest.mark.parametrize(
    "call_id", ["call_1", "call.1:2/3", "ü" * 5, "x" * 200, "chatcmpl-tool-0123456789abcdef", "functions.get_weather:0"]
)
def test_a_history_of_another_model_is_taken(client, route, call_id):
    """Ids and calls that this route did not make: a client moves a conversation from one model to another."""
    call = {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo", "unit": "c"}'}}
    messages = [
        *ASK_WEATHER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "rain"},
    ]
    assert client.chat.completions.create(model=route.model, messages=messages, tools=[WEATHER]).choices[0].message.content


@pytest.mark.parametrize("arguments", ["", "{}"])
def test_a_history_with_empty_arguments_is_taken(client, route, arguments):
    call = {"id": "call_1", "type": "function", "function": {"name": "ring_bell", "arguments": arguments}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "ding"},
    ]
    assert client.chat.completions.create(model=route.model, messages=messages, tools=[PLAIN]).choices[0].message.content


def test_a_history_with_calls_is_taken_without_tools(client, route):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo", "unit": "c"}'}}
    messages = [
        *ASK_WEATHER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "user", "content": "Thanks"},
    ]
    assert client.chat.completions.create(model=route.model, messages=messages).choices[0].message.content


def test_the_helper_accumulates_arguments(client, route):
    with client.chat.completions.stream(model=route.model, messages=ASK_WEATHER, tools=[WEATHER], tool_choice="required") as stream:
        events = [event for event in stream if event.type.startswith("tool_calls")]
        final = stream.get_final_completion().choices[0].message
    assert json.loads(events[-1].arguments) == json.loads(final.tool_calls[0].function.arguments)
    assert events[-1].type == "tool_calls.function.arguments.done"


def test_legacy_functions_are_called(client, translated):
    answer = client.chat.completions.create(
        model=translated.model, messages=ASK_WEATHER, functions=[WEATHER["function"]], function_call={"name": "get_weather"}
    )
    message = answer.choices[0].message
    assert message.function_call is not None or message.tool_calls


def test_names_of_tools_may_be_long_and_hold_dashes(client, route):
    name = "get-the_weather" + "x" * 49
    tool = {"type": "function", "function": {**WEATHER["function"], "name": name}}
    answer = client.chat.completions.create(model=route.model, messages=HELLO, tools=[tool], tool_choice="required")
    assert answer.choices[0].message.tool_calls[0].function.name == name


INTERLEAVED = ["thinking", "text", "thinking", "redacted_thinking", "text", "tool_use", "redacted_thinking", "tool_use"]
SCHEMAS = {
    "nested": {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}},
        "required": ["a"],
    },
    "array": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}, "required": ["a"]},
    "null": {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
    "anyOf": {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "required": ["a"]},
    "defs": {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "required": ["a"],
        "$defs": {"A": {"type": "string", "enum": ["x"]}},
    },
    "const": {"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"]},
    "default": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}, "required": ["a"]},
    "format": {"type": "object", "properties": {"a": {"type": "string", "format": "date-time"}}, "required": ["a"]},
    "bounds": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 3}}, "required": ["a"]},
    "pattern": {"type": "object", "properties": {"a": {"type": "string", "pattern": "^x+$"}}, "required": ["a"]},
    "additional": {
        "type": "object",
        "properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}},
        "required": ["a"],
    },
    "draft 7": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
    },
    "title": {"title": "Args", "type": "object", "properties": {"a": {"title": "A", "type": "string"}}, "required": ["a"]},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_tool_may_have_any_schema(client, route, schema):
    tool = {"type": "function", "function": {"name": "act", "description": "Acts.", "parameters": schema}}
    answer = client.chat.completions.create(model=route.model, messages=HELLO, tools=[tool], tool_choice="required")
    assert "a" in json.loads(answer.choices[0].message.tool_calls[0].function.arguments)


def test_thinking_comes_back_with_the_calls_it_led_to(client, imitations):
    """Anthropic refuses a tool loop whose thinking blocks have been lost; the client returns what it was given."""
    messages = list(ASK_WEATHER)
    answer = client.chat.completions.create(
        model="anthropic-thinking_tools", messages=messages, tools=[WEATHER], reasoning_effort="low", max_tokens=4000
    )
    message = answer.choices[0].message
    messages += answered(message, ["rain"])
    after = client.chat.completions.create(
        model="anthropic-thinking", messages=messages, tools=[WEATHER], reasoning_effort="low", max_tokens=4000
    )
    assert after.choices[0].message.content
    sent = imitations["anthropic"][0].last.body["messages"][1]["content"]
    assert [block["type"] for block in sent] == ["thinking", "text", "tool_use"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_thinking_between_text_and_calls_comes_back_where_it_was(client, imitations, stream):
    """Anthropic takes thinking back only as it was; the imitation compares the turn with what it answered."""
    asked = {"tools": [WEATHER], "reasoning_effort": "low", "max_tokens": 4000}
    if stream:
        with client.chat.completions.stream(model="anthropic-interleaved", messages=ASK_WEATHER, **asked) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(model="anthropic-interleaved", messages=ASK_WEATHER, **asked).choices[0].message
    messages = [*ASK_WEATHER, *answered(message, ["rain", "sun"])]
    assert client.chat.completions.create(model="anthropic-thinking", messages=messages, **asked).choices[0].message.content
    sent = imitations["anthropic"][0].last.body["messages"][1]["content"]
    assert [block["type"] for block in sent] == INTERLEAVED


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_of_the_older_functions_is_answered_in_their_form(client, translated, stream):
    asked = {"model": translated.calls_two, "functions": [WEATHER["function"]], "function_call": "auto"}
    if stream:
        chunks = list(client.chat.completions.create(messages=ASK_WEATHER, stream=True, **asked))
        deltas = [chunk.choices[0].delta for chunk in chunks]
        assert not any(delta.tool_calls for delta in deltas)
        calls = [delta.function_call for delta in deltas if delta.function_call]
        names, arguments = "".join(call.name or "" for call in calls), "".join(call.arguments or "" for call in calls)
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["function_call"]
    else:
        choice = client.chat.completions.create(messages=ASK_WEATHER, **asked).choices[0]
        assert (choice.finish_reason, choice.message.tool_calls) == ("function_call", None)
        names, arguments = choice.message.function_call.name, choice.message.function_call.arguments
    assert names == "get_weather"
    assert "city" in json.loads(arguments)
    said = {"role": "assistant", "content": None, "function_call": {"name": names, "arguments": arguments}}
    messages = [*ASK_WEATHER, said, {"role": "function", "name": names, "content": "rain"}]
    after = client.chat.completions.create(messages=messages, model=translated.model, functions=[WEATHER["function"]])
    assert after.choices[0].message.content


def test_a_signature_of_gemini_survives_a_client_that_drops_what_it_does_not_know(client, imitations):
    message = client.chat.completions.create(model="gemini", messages=ASK_WEATHER, tools=[WEATHER]).choices[0].message
    call = message.tool_calls[0]
    plain = {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
    messages = [
        *ASK_WEATHER,
        {"role": "assistant", "content": None, "tool_calls": [plain]},
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    assert client.chat.completions.create(model="gemini", messages=messages, tools=[WEATHER]).choices[0].message.content
    assert imitations["gemini"][0].last.body["contents"][1]["parts"][0]["thoughtSignature"]


def test_an_unknown_result_is_a_bad_request(client, translated):
    message = ask(client, translated, CALLING["required"]).choices[0].message
    said, result = answered(message, ["rain"])
    result["tool_call_id"] = "call_of_nobody"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=translated.model, messages=[*ASK_WEATHER, said, result], tools=[WEATHER])


RUN = {"type": "custom", "custom": {"name": "run", "description": "Runs a line."}}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_custom_tool_is_called_with_text_and_answered(client, route, stream):
    """The client's types of chunks have no custom calls yet; it keeps what comes."""
    asked = {"tools": [RUN], "tool_choice": {"type": "custom", "custom": {"name": "run"}}}
    if stream:
        call: dict = {"type": "custom", "custom": {"name": "", "input": ""}}
        for chunk in ask(client, route, asked, stream=True):
            for delta in chunk.choices[0].delta.tool_calls or () if chunk.choices else ():
                told = delta.model_dump(exclude_none=True)
                call["id"] = call.get("id") or told["id"]
                call["custom"] = {name: text + told["custom"].get(name, "") for name, text in call["custom"].items()}
    else:
        [made] = ask(client, route, asked).choices[0].message.tool_calls
        call = made.model_dump(exclude_none=True)
    assert (call["type"], call["custom"]["name"]) == ("custom", "run")
    assert call["custom"]["input"]
    history = [*ASK_WEATHER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": call["id"], "content": "rain"}]
    assert ask(client, route, {"tools": [RUN]}, history).choices[0].finish_reason in ("stop", "tool_calls")
