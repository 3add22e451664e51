"""Streamed chat completions by the official client, the same on every route."""

from __future__ import annotations

import asyncio
import json
import time

import openai
import pytest

from tests.conformance.samples import ASK_WEATHER, HELLO, WEATHER
from tests.harness import until


def text_of(chunks) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_a_stream_says_what_a_whole_answer_says(client, route):
    whole = client.chat.completions.create(model=route.model, messages=HELLO).choices[0].message.content
    assert text_of(client.chat.completions.create(model=route.model, messages=HELLO, stream=True)) == whole


def test_every_chunk_has_the_same_head(client, route):
    chunks = list(client.chat.completions.create(model=route.model, messages=HELLO, stream=True))
    assert len(chunks) > 2
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def test_every_chunk_says_when_it_was_made(client, route):
    chunks = list(client.chat.completions.create(model=route.model, messages=HELLO, stream=True))
    assert len(chunks) > 2
    assert all(abs(chunk.created - time.time()) < 60 for chunk in chunks)


def test_the_first_delta_has_the_role_and_no_other(client, route):
    chunks = list(client.chat.completions.create(model=route.model, messages=HELLO, stream=True))
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices] == ["assistant"] + [None] * (len(chunks) - 1)


def test_the_reason_comes_once_and_is_null_before(client, route):
    chunks = list(client.chat.completions.create(model=route.model, messages=HELLO, stream=True))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert [choice.finish_reason for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert all("finish_reason" in choice.model_fields_set for choice in choices)


def test_no_usage_comes_that_was_not_asked_for(client, route):
    chunks = list(client.chat.completions.create(model=route.model, messages=HELLO, stream=True))
    assert len(chunks) > 2
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


@pytest.mark.parametrize("options", [{"include_usage": False}, {}], ids=["off", "empty"])
def test_no_usage_comes_that_was_declined(client, route, options):
    chunks = list(client.chat.completions.create(model=route.model, messages=HELLO, stream=True, stream_options=options))
    assert len(chunks) > 2
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_usage_that_was_asked_for_comes_once_and_last(client, route):
    chunks = list(client.chat.completions.create(model=route.model, messages=HELLO, stream=True, stream_options={"include_usage": True}))
    *before, last = chunks
    assert last.choices == []
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in before)


def test_the_usage_of_a_stream_is_that_of_the_whole_answer(client, route):
    whole = client.chat.completions.create(model=route.model, messages=HELLO).usage
    options = {"include_usage": True}
    *_, last = client.chat.completions.create(model=route.model, messages=HELLO, stream=True, stream_options=options)
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (whole.prompt_tokens, whole.completion_tokens)


def test_usage_carries_the_account(client, route):
    options = {"include_usage": True}
    *_, last = client.chat.completions.create(model=route.model, messages=HELLO, stream=True, stream_options=options)
    assert last.usage.greenlane["carbon_g"] > 0
    assert last.usage.greenlane["model"] == route.model


def test_the_wire_ends_with_the_account_and_done(client, route):
    with client.chat.completions.with_streaming_response.create(model=route.model, messages=HELLO, stream=True) as response:
        lines = list(response.iter_lines())
    assert response.headers["content-type"].startswith("text/event-stream")
    assert lines.count("data: [DONE]") == 1
    at = lines.index("data: [DONE]")
    assert not any(lines[at + 1 :])
    assert json.loads(lines[at - 1].removeprefix(": greenlane "))["model"] == route.model


def test_the_wire_has_only_data_lines_and_the_comment(client, route):
    with client.chat.completions.with_streaming_response.create(model=route.model, messages=HELLO, stream=True) as response:
        kinds = {line.partition(":")[0] for line in response.iter_lines() if line}
    assert kinds == {"data", ""}


def test_the_helper_accumulates_a_completion(client, route):
    with client.chat.completions.stream(model=route.model, messages=HELLO) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_completion()
    assert final.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"
    assert events.count("content.done") == 1
    assert "content.delta" in events


def test_the_helper_gives_usage_that_was_asked_for(client, route):
    with client.chat.completions.stream(model=route.model, messages=HELLO, stream_options={"include_usage": True}) as stream:
        assert stream.get_final_completion().usage.completion_tokens > 0


def test_max_tokens_cuts_a_stream(client, route):
    chunks = list(client.chat.completions.create(model=route.model, messages=HELLO, stream=True, max_tokens=3))
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "length"
    assert text_of(chunks)


@pytest.mark.parametrize("count", [2, 4])
def test_n_choices_are_streamed_side_by_side(client, multiple, count):
    chunks = list(client.chat.completions.create(model=multiple.model, messages=HELLO, stream=True, n=count))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    for index in range(count):
        own = [choice for choice in choices if choice.index == index]
        assert own[0].delta.role == "assistant"
        assert [choice.finish_reason for choice in own if choice.finish_reason] == ["stop"]
        assert "".join(choice.delta.content or "" for choice in own)


def test_logprobs_are_streamed(client, multiple):
    chunks = list(client.chat.completions.create(model=multiple.model, messages=HELLO, stream=True, logprobs=True, top_logprobs=2))
    tokens = [token for chunk in chunks for choice in chunk.choices if choice.logprobs for token in choice.logprobs.content or ()]
    assert tokens
    assert all(len(token.top_logprobs) == 2 for token in tokens)


def test_the_async_client_streams_ten_at_a_time(fleet, route):
    async def read(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model=route.model, messages=HELLO, stream=True)
        return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])

    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=fleet.url, api_key="unused", max_retries=0) as client:
            return await asyncio.gather(*(read(client) for _ in range(10)))

    said = asyncio.run(ask())
    assert len(said) == 10
    assert len(set(said)) == 1


def test_the_async_helper_accumulates_a_completion(fleet, route):
    async def ask() -> str:
        async with (
            openai.AsyncOpenAI(base_url=fleet.url, api_key="unused", max_retries=0) as client,
            client.chat.completions.stream(model=route.model, messages=HELLO) as stream,
        ):
            return (await stream.get_final_completion()).choices[0].message.content

    assert asyncio.run(ask())


def test_reasoning_is_streamed_before_the_answer(client, translated):
    chunks = list(client.chat.completions.create(model=translated.thinks, messages=HELLO, stream=True, reasoning_effort="low"))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    kinds = [
        "r" if getattr(delta, "reasoning_content", None) else "c"
        for delta in deltas
        if delta.content or hasattr(delta, "reasoning_content")
    ]
    assert "".join(kinds).strip("r").strip("c") == ""
    assert "r" in kinds
    assert "c" in kinds


@pytest.mark.parametrize(
    ("model", "part"),
    [("anthropic-overloaded_midstream", "verloaded"), ("gemini-error_in_stream", "overloaded"), ("anthropic-cut", ""), ("gemini-cut", "")],
)
def test_a_stream_that_breaks_ends_in_an_error_after_what_was_said(client, paced, model, part):
    said = []
    with pytest.raises(openai.APIError) as caught:
        said.extend(chunk for chunk in client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert part in caught.value.message
    assert text_of(said)
    assert all(choice.finish_reason is None for chunk in said for choice in chunk.choices)


@pytest.mark.parametrize("model", ["anthropic-cut", "gemini-cut", "gemini-error_in_stream", "anthropic-overloaded_midstream"])
def test_a_stream_that_breaks_has_no_end_marker(client, paced, model):
    with client.chat.completions.with_streaming_response.create(model=model, messages=HELLO, stream=True) as response:
        lines = [line for line in response.iter_lines() if line]
    assert "data: [DONE]" not in lines
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["message"]


def test_a_client_that_leaves_ends_the_vendors_stream(client, paced, translated):
    app = translated.imitation
    app.pace_s, before = 0.1, app.left
    stream = client.chat.completions.create(model=translated.model, messages=[{"role": "user", "content": "x " * 500}], stream=True)
    next(iter(stream))
    stream.close()
    until(lambda: app.left == before + 1)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 61])
@pytest.mark.parametrize("tools", [False, True], ids=["text", "tools"])
def test_the_vendors_stream_may_be_cut_anywhere(client, translated, size, tools):
    ask = {"messages": ASK_WEATHER, "tools": [WEATHER], "tool_choice": "required"} if tools else {"messages": HELLO}
    whole = client.chat.completions.create(model=translated.model, **ask).choices[0].message
    translated.imitation.piece_bytes = size
    try:
        with client.chat.completions.stream(model=translated.model, **ask) as stream:
            cut = stream.get_final_completion().choices[0].message
    finally:
        translated.imitation.piece_bytes = None
    assert (cut.content or None) == whole.content
    assert [(call.function.name, json.loads(call.function.arguments)) for call in cut.tool_calls or ()] == [
        (call.function.name, json.loads(call.function.arguments)) for call in whole.tool_calls or ()
    ]


@pytest.mark.parametrize("model", ["anthropic-overloaded_midstream", "gemini-error_in_stream"])
def test_words_that_come_in_one_piece_with_the_error_are_kept(client, imitations, model):
    """The first bytes end inside the first words; the rest of the words and the error arrive together."""
    app = imitations[model.partition("-")[0]][0]
    paced = []
    for piece_bytes, pace_s in ((None, 0.02), (700 if model.startswith("anthropic") else 260, 0.05)):
        app.piece_bytes, app.pace_s = piece_bytes, pace_s
        said = ""
        try:
            for chunk in client.chat.completions.create(model=model, messages=HELLO, stream=True):
                said += chunk.choices[0].delta.content or ""
        except openai.APIError as error:
            said += f" | {type(error).__name__}"
        finally:
            app.piece_bytes, app.pace_s = None, 0.0
        paced.append(said)
    assert paced[0].startswith("You")
    assert paced[1] == paced[0]
