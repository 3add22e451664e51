"""The matrix: every member of a chat completion request on every route, taken or refused with its name."""

from __future__ import annotations

import openai
import pytest

from tests.conformance.samples import HELLO, WEATHER

EVERYWHERE: dict[str, dict[str, object]] = {
    "temperature 0": {"temperature": 0},
    "temperature 0.5": {"temperature": 0.5},
    "temperature 1": {"temperature": 1},
    "temperature 2": {"temperature": 2},
    "top_p": {"top_p": 0.9},
    "top_p 1": {"top_p": 1},
    "max_tokens": {"max_tokens": 100},
    "max_completion_tokens": {"max_completion_tokens": 100},
    "both limits": {"max_tokens": 100, "max_completion_tokens": 50},
    "stop text": {"stop": "###"},
    "stop list": {"stop": ["###", "@@@"]},
    "stop four": {"stop": ["#1", "#2", "#3", "#4"]},
    "stop empty": {"stop": []},
    "seed": {"seed": 42},
    "seed large": {"seed": 2**60},
    "seed negative": {"seed": -1},
    "n 1": {"n": 1},
    "logprobs false": {"logprobs": False},
    "penalties 0": {"presence_penalty": 0, "frequency_penalty": 0},
    "penalties 0.0": {"presence_penalty": 0.0, "frequency_penalty": 0.0},
    "logit_bias empty": {"logit_bias": {}},
    "tools empty": {"tools": []},
    "tools": {"tools": [WEATHER]},
    "tool_choice none": {"tools": [WEATHER], "tool_choice": "none"},
    "parallel_tool_calls": {"tools": [WEATHER], "parallel_tool_calls": True},
    "one tool call": {"tools": [WEATHER], "parallel_tool_calls": False},
    "response_format text": {"response_format": {"type": "text"}},
    "user": {"user": "user-1234"},
    "user address": {"user": "ada@example.org"},
    "metadata": {"metadata": {"team": "search"}},
    "store false": {"store": False},
    "store": {"store": True},
    "service_tier auto": {"service_tier": "auto"},
    "service_tier default": {"service_tier": "default"},
    "safety_identifier": {"safety_identifier": "hash-1"},
    "service_tier flex": {"service_tier": "flex"},
    "service_tier priority": {"service_tier": "priority"},
    "prompt_cache_key": {"prompt_cache_key": "tenant-1"},
    "prompt_cache_options": {"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}},
    "prompt_cache_retention": {"prompt_cache_retention": "24h"},
    "verbosity": {"verbosity": "low"},
    "modalities": {"modalities": ["text"]},
    "prediction": {"prediction": {"type": "content", "content": "You said"}},
    "stream false": {"stream": False},
    "effort low": {"reasoning_effort": "low"},
    "effort medium": {"reasoning_effort": "medium"},
    "effort high": {"reasoning_effort": "high"},
    "effort minimal": {"reasoning_effort": "minimal"},
    "effort none": {"reasoning_effort": "none"},
    "effort xhigh": {"reasoning_effort": "xhigh"},
    "effort max": {"reasoning_effort": "max"},
    "nulls": {
        "extra_body": {
            **dict.fromkeys(("temperature", "top_p", "n", "stop", "max_tokens", "logprobs", "logit_bias", "seed", "user", "tools")),
            **dict.fromkeys(("presence_penalty", "frequency_penalty", "response_format", "metadata", "store", "stream_options")),
            **dict.fromkeys(("tool_choice", "parallel_tool_calls", "service_tier", "reasoning_effort", "modalities", "audio")),
        }
    },
}
NOT_CLAUDE: dict[str, dict[str, object]] = {
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "presence_penalty": {"presence_penalty": -0.5},
}
NOT_VENDORS: dict[str, dict[str, object]] = {
    "logit_bias": {"logit_bias": {"50256": -100}},
    "moderation": {"moderation": {"model": "omni-moderation-latest"}},
    "an unknown member": {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
    "min_p": {"extra_body": {"min_p": 0.1}},
}
WRONG: dict[str, dict[str, object]] = {
    "max_tokens": {"max_tokens": "many"},
    "max_tokens below zero": {"max_tokens": -5},
    "max_completion_tokens": {"max_completion_tokens": 1.5},
    "temperature": {"temperature": "hot"},
    "temperature too high": {"temperature": 3},
    "top_p": {"top_p": 2},
    "n zero": {"n": 0},
    "n too many": {"n": 1_000_000},
    "n text": {"n": "two"},
    "stop": {"stop": [1]},
    "stream": {"extra_body": {"stream": "yes"}},
    "stream_options": {"stream": True, "stream_options": []},
    "stream_options without a stream": {"stream_options": {"include_usage": True}},
    "tools": {"tools": {"a": 1}},
    "tool without a name": {"tools": [{"type": "function", "function": {}}]},
    "tool_choice": {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "unknown"}}},
    "tool_choice word": {"tools": [WEATHER], "tool_choice": "sometimes"},
    "response_format": {"response_format": {"type": "xml"}},
    "messages empty": {"messages": []},
    "messages text": {"messages": "Hi"},
    "message text": {"messages": ["Hi"]},
    "role": {"messages": [{"role": "wizard", "content": "Hi"}]},
    "no role": {"messages": [{"content": "Hi"}]},
    "content number": {"messages": [{"role": "user", "content": 5}]},
    "part": {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
    "part without text": {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    "image without address": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
    "lost tool result": {"messages": [*HELLO, {"role": "tool", "tool_call_id": "x", "content": "1"}]},
}


def ask(client, model: str, members: dict[str, object]):
    return client.chat.completions.create(**{"model": model, "messages": HELLO, **members})


@pytest.mark.parametrize("members", EVERYWHERE.values(), ids=EVERYWHERE)
def test_a_member_is_taken_on_every_route(client, route, members):
    assert ask(client, route.model, members).choices[0].message


@pytest.mark.parametrize("members", EVERYWHERE.values(), ids=EVERYWHERE)
def test_a_member_is_taken_in_a_stream_on_every_route(client, route, members):
    if members.get("stream") is False:
        members = {}
    chunks = list(ask(client, route.model, {**members, "stream": True}))
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


@pytest.mark.parametrize("name", NOT_CLAUDE)
def test_a_member_is_taken_where_the_vendor_has_it(client, multiple, name):
    assert ask(client, multiple.model, NOT_CLAUDE[name]).choices[0].message.content


@pytest.mark.parametrize("name", NOT_CLAUDE)
def test_a_member_that_anthropic_cannot_express_is_refused_by_name(client, name):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "anthropic", NOT_CLAUDE[name])
    assert caught.value.param in (name, "logprobs" if name == "top_logprobs" else name)
    assert caught.value.param in caught.value.body["message"]


@pytest.mark.parametrize("name", NOT_VENDORS)
def test_a_member_that_no_vendor_can_express_is_refused_by_name(client, translated, name):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, translated.model, NOT_VENDORS[name])
    told = f"{caught.value.param} {caught.value.body['message']}"
    assert name in told or "chat_template_kwargs" in told


@pytest.mark.parametrize("name", NOT_VENDORS)
def test_what_the_host_may_know_passes_to_a_host_of_the_same_dialect(client, name):
    assert ask(client, "openai", NOT_VENDORS[name]).choices[0].message.content


@pytest.mark.parametrize("members", WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_a_bad_request_on_every_route(client, route, members):
    with pytest.raises(openai.BadRequestError) as caught:
        list(ask(client, route.model, members))
    error = caught.value
    assert error.body["message"]
    assert error.type == "invalid_request_error"
    assert set(error.body) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("name", ["n", "logprobs", "frequency_penalty"])
def test_a_refused_member_leaves_the_vendor_alone(client, imitations, name):
    before = imitations["anthropic"][0].received
    with pytest.raises(openai.BadRequestError):
        ask(client, "anthropic", NOT_CLAUDE[name])
    assert imitations["anthropic"][0].received == before


@pytest.mark.parametrize(
    "model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-opus-4-8", "claude-sonnet-4-6", "claude-3-5-haiku-20241022"]
)
@pytest.mark.parametrize("effort", [None, "low", "medium", "high"])
def test_every_claude_takes_an_effort(client, model, effort):
    members = {} if effort is None else {"reasoning_effort": effort}
    assert ask(client, model, members).choices[0].message.content


@pytest.mark.parametrize(
    "model", ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro-preview", "gemini", "gemini-4-argon", "gemini-4-hydrogen"]
)
@pytest.mark.parametrize("effort", [None, "minimal", "low", "medium", "high", "xhigh"])
def test_every_gemini_takes_an_effort(client, model, effort):
    members = {} if effort is None else {"reasoning_effort": effort}
    assert ask(client, model, members).choices[0].message.content


@pytest.mark.parametrize("members", [{"n": 2}, {"frequency_penalty": 0.5}, {"presence_penalty": -0.5}])
def test_gemini_4_refuses_by_name_what_it_takes_no_more(client, imitations, members):
    (name,) = members
    before = imitations["gemini"][0].received
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "gemini-4-argon", members)
    assert (caught.value.param, imitations["gemini"][0].received) == (name, before)
    assert ask(client, "gemini", members).choices[0].message.content


@pytest.mark.parametrize("store", [None, True, False])
def test_gemini_is_told_what_it_must_not_store(client, imitations, store):
    assert ask(client, "gemini", {} if store is None else {"store": store}).choices[0].message.content
    assert imitations["gemini"][0].last.body.get("store") is (False if store is False else None)


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-opus-4-8"])
@pytest.mark.parametrize("member", ["temperature", "top_p"])
def test_a_claude_without_sampling_refuses_it_by_name_but_takes_the_default(client, model, member):
    assert ask(client, model, {member: 1}).choices[0].message.content
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model, {member: 0.2})
    assert caught.value.param == member
