"""JSON answers and `.parse()` by the official client, the same on every route."""

from __future__ import annotations

import asyncio
import enum
import json
from typing import Literal

import openai
import pydantic
import pytest

from tests.conformance.samples import ASK_WEATHER, HELLO, WEATHER, Person

JSON_PLEASE = [{"role": "user", "content": "Answer in JSON: who is Ada?"}]


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Node(pydantic.BaseModel):
    name: str
    children: list[Node]


class Choice(pydantic.BaseModel):
    kind: Literal["a", "b"]
    colour: Colour
    score: float
    sure: bool


class Either(pydantic.BaseModel):
    value: int | str
    maybe: float | None


class Described(pydantic.BaseModel):
    """A thing with a description."""

    name: str = pydantic.Field(description="Its name")
    parts: list[Choice] = pydantic.Field(description="What it is made of")


class GetWeather(pydantic.BaseModel):
    city: str
    unit: Literal["c", "f"]


MODELS = [Person, Choice, Either, Described]


@pytest.mark.parametrize("kind", MODELS)
def test_parse_gives_the_object(client, route, kind):
    answer = client.chat.completions.parse(model=route.model, messages=HELLO, response_format=kind)
    assert isinstance(answer.choices[0].message.parsed, kind)
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("kind", MODELS)
def test_a_streamed_format_gives_the_object(client, route, kind):
    with client.chat.completions.stream(model=route.model, messages=HELLO, response_format=kind) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, kind)


def test_parse_gives_a_recursive_object(client):
    answer = client.chat.completions.parse(model="openai", messages=HELLO, response_format=Node)
    assert isinstance(answer.choices[0].message.parsed, Node)


def test_the_async_client_parses(fleet, route):
    async def ask() -> object:
        async with openai.AsyncOpenAI(base_url=fleet.url, api_key="unused", max_retries=0) as client:
            answer = await client.chat.completions.parse(model=route.model, messages=HELLO, response_format=Person)
            return answer.choices[0].message.parsed

    assert isinstance(asyncio.run(ask()), Person)


def test_parse_of_an_answer_that_was_cut_is_the_clients_own_error(client, route):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=route.model, messages=HELLO, response_format=Person, max_tokens=1)


def test_parse_gives_the_arguments_of_a_tool(client, route):
    tool = openai.pydantic_function_tool(GetWeather, name="get_weather")
    answer = client.chat.completions.parse(model=route.model, messages=ASK_WEATHER, tools=[tool], tool_choice="required")
    assert isinstance(answer.choices[0].message.tool_calls[0].function.parsed_arguments, GetWeather)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "wanted", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "any"}}], ids=["object", "any"]
)
def test_json_object_gives_an_object(client, route, stream, wanted):
    assert isinstance(json.loads(_told(client, stream, model=route.model, messages=JSON_PLEASE, response_format=wanted)), dict)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("effort", [None, "high"])
def test_a_claude_that_writes_around_its_json_object_is_cut_to_it(client, stream, effort):
    """Claude has no JSON mode: it is told in words, thinks or not, and a fence or a sentence around the object goes no further."""
    asked = {"model": "anthropic-fenced_json", "messages": JSON_PLEASE, "response_format": {"type": "json_object"}}
    told = _told(client, stream, **asked, **({} if effort is None else {"reasoning_effort": effort}))
    assert json.loads(told) == {"ended": {"with": "Ada?"}, "quote": '"} \\'}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_may_still_be_called_where_json_is_asked_for(client, stream):
    tool = {
        "type": "function",
        "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}},
    }
    asked = {
        "model": "anthropic-prefaced_json_tools",
        "messages": JSON_PLEASE,
        "tools": [tool],
        "response_format": {"type": "json_object"},
    }
    if stream:
        with client.chat.completions.stream(**asked) as events:
            choice = events.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(**asked).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look up Ada?.")
    assert [call.function.name for call in choice.message.tool_calls] == ["lookup"]


def _told(client, stream, **asked):
    if stream:
        return "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True))
    return client.chat.completions.create(**asked).choices[0].message.content


SCHEMAS = {
    "plain": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
    "open": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    "optional": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    },
    "bounds": {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["a"],
        "additionalProperties": False,
    },
    "length": {
        "type": "object",
        "properties": {"a": {"type": "string", "minLength": 1, "maxLength": 99}},
        "required": ["a"],
        "additionalProperties": False,
    },
    "items": {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}, "minItems": 1}},
        "required": ["a"],
        "additionalProperties": False,
    },
    "enum": {
        "type": "object",
        "properties": {"a": {"type": "string", "enum": ["x", "y"]}},
        "required": ["a"],
        "additionalProperties": False,
    },
}


@pytest.mark.parametrize("strict", [True, False, None])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_json_schema_gives_what_fits(client, route, schema, strict):
    wanted = {"name": "answer", "schema": schema} | ({} if strict is None else {"strict": strict})
    answer = client.chat.completions.create(
        model=route.model, messages=HELLO, response_format={"type": "json_schema", "json_schema": wanted}
    )
    assert "a" in json.loads(answer.choices[0].message.content)


def test_a_format_may_stand_beside_tools(client, route):
    format_ = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMAS["plain"], "strict": True}}
    answer = client.chat.completions.create(model=route.model, messages=HELLO, tools=[WEATHER], tool_choice="none", response_format=format_)
    assert "a" in json.loads(answer.choices[0].message.content)
