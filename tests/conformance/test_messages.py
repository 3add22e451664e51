"""`/v1/messages` by Anthropic's official client, on every route: through, and translated."""

from __future__ import annotations

import asyncio
import json
import time

import anthropic
import pytest

from tests.conformance.samples import ASK_BOTH, ASK_WEATHER, HELLO, PICTURE_URL, PIXEL_BASE64, PLAIN, TIME, WEATHER, Person, claude_tool

TOOL, OTHER, BELL = claude_tool(WEATHER), claude_tool(TIME), claude_tool(PLAIN)
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL_BASE64}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQKJSVFT0YK"}}

OLD = {"anthropic-version": "2023-06-01"}
"""The API's last version that takes sampling parameters."""


def ask(client, model: str, **members):
    return client.messages.create(**{"model": model, "max_tokens": 1000, "messages": HELLO, **members})


def test_the_answer_has_the_shape_of_the_reference(claude, route):
    answer = ask(claude, route.model)
    assert answer.id
    assert answer.type == "message"
    assert answer.role == "assistant"
    assert answer.model
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text
    assert answer.stop_reason == "end_turn"
    assert answer.stop_sequence is None


def test_usage_is_told_and_carries_the_account(claude, route):
    usage = ask(claude, route.model).usage
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.greenlane["model"] == route.model


def test_the_headers_are_there(claude, route):
    headers = claude.messages.with_raw_response.create(model=route.model, max_tokens=100, messages=HELLO).headers
    assert headers["x-greenlane-model"] == route.model
    assert headers["x-carbon-g"]
    assert headers["x-request-id"]


def test_the_vendors_own_answer_keeps_its_bytes(claude, imitations):
    """Same dialect: only the account is added."""
    raw = claude.messages.with_raw_response.create(model="anthropic", max_tokens=100, messages=HELLO)
    body = json.loads(raw.text())
    body["usage"].pop("greenlane")
    assert body["usage"]["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    assert imitations["anthropic"][0].last.body == {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": HELLO}


def test_the_key_may_come_in_either_header(keyed):
    for key in ({"api_key": "search-key-0123456789"}, {"auth_token": "search-key-0123456789", "api_key": None}):
        with anthropic.Anthropic(base_url=keyed.base, max_retries=0, **key) as client:
            assert ask(client, "echo").content[0].text


def test_no_such_key_is_an_authentication_error(keyed):
    for key in ({"api_key": "wrong"}, {"auth_token": "wrong", "api_key": None}):
        with (
            anthropic.Anthropic(base_url=keyed.base, max_retries=0, **key) as client,
            pytest.raises(anthropic.AuthenticationError) as caught,
        ):
            ask(client, "echo")
        assert caught.value.body["type"] == "error"
        assert caught.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("suffix", ["", "/"])
def test_the_base_url_may_end_in_a_slash(fleet, suffix):
    with anthropic.Anthropic(base_url=fleet.base + suffix, api_key="unused", max_retries=0) as client:
        assert ask(client, "openai").content


MEMBERS: dict[str, dict[str, object]] = {
    "system": {"system": "Be brief."},
    "system blocks": {"system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
    "cached system": {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
    "stop_sequences": {"stop_sequences": ["###"]},
    "stop_sequences empty": {"stop_sequences": []},
    "metadata": {"metadata": {"user_id": "user-1"}},
    "service_tier": {"service_tier": "auto"},
    "temperature": {"extra_body": {"temperature": 0.5}, "extra_headers": OLD},
    "top_p": {"extra_body": {"top_p": 0.9}, "extra_headers": OLD},
    "top_k": {"extra_body": {"top_k": 40}, "extra_headers": OLD},
    "tools": {"tools": [TOOL, OTHER]},
    "tool_choice auto": {"tools": [TOOL], "tool_choice": {"type": "auto"}},
    "tool_choice none": {"tools": [TOOL], "tool_choice": {"type": "none"}},
    "not parallel": {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "cached tool": {"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]},
    "thinking": {"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
    "thinking off": {"thinking": {"type": "disabled"}},
    "format": {
        "output_config": {
            "format": {
                "type": "json_schema",
                "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
            }
        }
    },
    "greenlane": {"extra_body": {"greenlane": {"policy": "green"}}},
    "thinking of a beta": {
        "max_tokens": 3000,
        "extra_body": {
            "thinking": {"type": "enabled", "budget_tokens": 1024, "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
        },
        "extra_headers": {"anthropic-beta": "thinking-binding-controls-2026-08-01"},
    },
    "member of a beta": {
        "extra_body": {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
        "extra_headers": {"anthropic-beta": "interleaved-thinking-2025-05-14,context-management-2025-06-27"},
    },
    "beta": {"extra_headers": {"anthropic-beta": "prompt-caching-2024-07-31"}},
}


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_a_member_is_taken_on_every_route(claude, route, members):
    assert ask(claude, route.model, **members).content


def test_what_concerns_anthropics_signatures_is_listed_as_ignored_elsewhere(claude):
    given = {"type": "enabled", "budget_tokens": 1024, "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    headers = {"x-greenlane-verbose": "true"}
    asked = {"model": "openai", "max_tokens": 3000, "messages": HELLO, "extra_body": {"thinking": given}, "extra_headers": headers}
    assert "thinking.block_binding" in claude.messages.with_raw_response.create(**asked).headers["x-greenlane-ignored"]


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_a_member_is_taken_in_a_stream_on_every_route(claude, route, members):
    events = list(ask(claude, route.model, stream=True, **members))
    assert events[-1].type == "message_stop"


CONVERSATIONS: dict[str, list[dict[str, object]]] = {
    "blocks": [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]}],
    "cached block": [{"role": "user", "content": [{"type": "text", "text": "One", "cache_control": {"type": "ephemeral"}}]}],
    "three turns": [*HELLO, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And?"}],
    "assistant blocks": [*HELLO, {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}, {"role": "user", "content": "And?"}],
    "user twice": [*HELLO, {"role": "user", "content": "Twice."}],
    "image": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "?"}]}],
    "image address": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": PICTURE_URL}}, {"type": "text", "text": "?"}]}
    ],
    "document": [{"role": "user", "content": [PDF, {"type": "text", "text": "?"}]}],
}


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_every_form_of_a_conversation_is_taken(claude, route, messages):
    assert ask(claude, route.model, messages=messages).content[0].text


def test_max_tokens_cuts_the_answer(claude, route):
    answer = ask(claude, route.model, max_tokens=3)
    assert answer.stop_reason == "max_tokens"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_stop_sequence_ends_the_answer(claude, translated, stream):
    word = {"anthropic": " words", "gemini": " there"}[translated.name]
    if stream:
        with claude.messages.stream(model=translated.model, max_tokens=100, messages=HELLO, stop_sequences=[word]) as events:
            answer = events.get_final_message()
    else:
        answer = ask(claude, translated.model, stop_sequences=[word])
    assert word not in answer.content[0].text
    assert answer.stop_reason in ("stop_sequence", "end_turn")


def test_a_tool_is_called(claude, route):
    answer = ask(claude, route.model, messages=ASK_WEATHER, tools=[TOOL], tool_choice={"type": "any"})
    assert answer.stop_reason == "tool_use"
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert call.name == "get_weather"
    assert call.id
    assert set(call.input) >= {"city", "unit"}


def test_a_named_tool_is_called(claude, route):
    answer = ask(claude, route.model, messages=ASK_WEATHER, tools=[OTHER, TOOL], tool_choice={"type": "tool", "name": "get_weather"})
    assert [block.name for block in answer.content if block.type == "tool_use"] == ["get_weather"]


def test_two_tools_are_called(claude, route):
    answer = ask(claude, route.calls_two, messages=ASK_BOTH, tools=[TOOL, OTHER])
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2


def test_a_tool_without_arguments_has_an_empty_input(claude, route):
    answer = ask(claude, route.model, tools=[BELL], tool_choice={"type": "any"})
    assert [block.input for block in answer.content if block.type == "tool_use"] == [{}]


def test_a_tool_is_called_in_a_stream(claude, route):
    with claude.messages.stream(
        model=route.model, max_tokens=500, messages=ASK_WEATHER, tools=[TOOL], tool_choice={"type": "any"}
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        answer = stream.get_final_message()
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert json.loads("".join(pieces)) == call.input
    assert answer.stop_reason == "tool_use"


def back(answer, *results):
    calls = [block for block in answer.content if block.type == "tool_use"]
    content = [{"type": "tool_result", "tool_use_id": call.id, "content": result} for call, result in zip(calls, results, strict=True)]
    return [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": content},
    ]


RESULTS: dict[str, object] = {
    "text": "rain",
    "blocks": [{"type": "text", "text": "rain"}],
    "two blocks": [{"type": "text", "text": "rain"}, {"type": "text", "text": "21"}],
    "image": [{"type": "text", "text": "Look"}, IMAGE],
    "json": '{"degrees": 21}',
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_a_result_goes_back_in_any_form(claude, route, result):
    answer = ask(claude, route.model, messages=ASK_WEATHER, tools=[TOOL], tool_choice={"type": "any"})
    after = ask(claude, route.model, messages=[*ASK_WEATHER, *back(answer, result)], tools=[TOOL])
    assert after.stop_reason == "end_turn"
    assert after.content[0].text


def test_a_failed_tool_goes_back(claude, route):
    answer = ask(claude, route.model, messages=ASK_WEATHER, tools=[TOOL], tool_choice={"type": "any"})
    said, result = back(answer, "no such city")
    result["content"][0]["is_error"] = True
    assert ask(claude, route.model, messages=[*ASK_WEATHER, said, result], tools=[TOOL]).content[0].text


def test_two_results_go_back_with_a_word_of_the_user(claude, route):
    answer = ask(claude, route.calls_two, messages=ASK_BOTH, tools=[TOOL, OTHER])
    said, result = back(answer, "rain", "noon")
    result["content"].append({"type": "text", "text": "In short?"})
    assert ask(claude, route.model, messages=[*ASK_BOTH, said, result], tools=[TOOL, OTHER]).content[0].text


@pytest.mark.parametrize("rounds", [2, 3])
def test_a_tool_loop_of_streams(claude, route, rounds):
    messages = list(ASK_WEATHER)
    for number in range(rounds):
        with claude.messages.stream(
            model=route.model, max_tokens=500, messages=messages, tools=[TOOL], tool_choice={"type": "any"}
        ) as stream:
            messages += back(stream.get_final_message(), f"result {number}")
    assert ask(claude, route.model, messages=messages, tools=[TOOL]).content[0].text


def test_a_stream_says_what_a_whole_answer_says(claude, route):
    whole = ask(claude, route.model)
    with claude.messages.stream(model=route.model, max_tokens=1000, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == whole.content[0].text
        final = stream.get_final_message()
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_the_events_come_in_order(claude, route):
    kinds = [event.type for event in ask(claude, route.model, stream=True) if event.type != "ping"]
    without = [kind for number, kind in enumerate(kinds) if number == 0 or kind != kinds[number - 1]]
    assert without == ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]


def test_the_blocks_are_numbered_from_zero(claude, route):
    asked = {"messages": ASK_BOTH, "tools": [TOOL, OTHER], "stream": True}
    starts = [event.index for event in ask(claude, route.calls_two, **asked) if event.type == "content_block_start"]
    assert starts == list(range(len(starts)))
    assert len(starts) >= 2


def test_the_wire_names_each_event_by_its_type(claude, route):
    with claude.messages.with_streaming_response.create(model=route.model, max_tokens=100, messages=HELLO, stream=True) as response:
        lines = list(response.iter_lines())
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    types = [json.loads(line.removeprefix("data: "))["type"] for line in lines if line.startswith("data: {")]
    assert names == types
    assert "data: [DONE]" not in lines


def test_the_usage_of_a_stream_carries_the_account(claude, route):
    deltas = [event for event in ask(claude, route.model, stream=True) if event.type == "message_delta"]
    assert deltas[-1].usage.output_tokens > 0
    assert deltas[-1].usage.greenlane["model"] == route.model


def test_thinking_comes_before_the_answer(claude, translated):
    answer = ask(claude, translated.thinks, max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking


def test_thinking_is_streamed(claude, translated):
    with claude.messages.stream(
        model=translated.thinks, max_tokens=4000, messages=HELLO, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        answer = stream.get_final_message()
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking


def test_thinking_goes_back_with_its_signature(claude, translated):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    answer = ask(claude, translated.thinks, max_tokens=4000, thinking=thinking)
    messages = [
        *HELLO,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": "And?"},
    ]
    assert ask(claude, translated.thinks, max_tokens=4000, thinking=thinking, messages=messages).content


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_thinking_survives_a_tool_loop(claude, imitations, stream):
    asked = {"tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}
    if stream:
        with claude.messages.stream(model="anthropic-thinking_tools", messages=ASK_WEATHER, **asked) as events:
            answer = events.get_final_message()
    else:
        answer = ask(claude, "anthropic-thinking_tools", messages=ASK_WEATHER, **asked)
    assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
    assert ask(claude, "anthropic-thinking", messages=[*ASK_WEATHER, *back(answer, "rain")], **asked).content


def test_redacted_thinking_passes(claude):
    answer = ask(claude, "anthropic-redacted_thinking")
    assert [block.type for block in answer.content] == ["redacted_thinking", "text"]


def test_the_cache_is_written_then_read(claude, imitations):
    system = [{"type": "text", "text": f"A long text {time.time()}", "cache_control": {"type": "ephemeral"}}]
    first, second = (ask(claude, "anthropic", system=system).usage for _ in range(2))
    assert first.cache_creation_input_tokens > 0
    assert first.cache_read_input_tokens == 0
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert second.input_tokens == first.input_tokens


def test_tokens_from_the_cache_are_told_apart(claude):
    usage = ask(claude, "gemini-cached").usage
    assert usage.cache_read_input_tokens > 0
    assert usage.input_tokens > 0


def test_the_async_client_answers_and_streams(fleet, route):
    async def run() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(base_url=fleet.base, api_key="unused", max_retries=0) as client:
            whole = await client.messages.create(model=route.model, max_tokens=1000, messages=HELLO)
            async with client.messages.stream(model=route.model, max_tokens=1000, messages=HELLO) as stream:
                return whole.content[0].text, await stream.get_final_text()

    whole, streamed = asyncio.run(run())
    assert whole == streamed


def test_parse_gives_the_object(claude, route):
    answer = claude.messages.parse(model=route.model, max_tokens=1000, messages=HELLO, output_format=Person)
    assert isinstance(answer.parsed_output, Person)


ERRORS = {
    "nobody": (404, anthropic.NotFoundError, "not_found_error"),
    "anthropic-invalid": (400, anthropic.BadRequestError, "invalid_request_error"),
    "anthropic-not_found": (404, anthropic.NotFoundError, "not_found_error"),
    "anthropic-too_large": (413, anthropic.APIStatusError, "request_too_large"),
    "anthropic-rate_limited": (429, anthropic.RateLimitError, "rate_limit_error"),
    "anthropic-server_error": (502, anthropic.InternalServerError, "api_error"),
    "anthropic-overloaded": (502, anthropic.InternalServerError, "api_error"),
    "anthropic-unauthorized": (502, anthropic.InternalServerError, "api_error"),
    "anthropic-html_500": (502, anthropic.InternalServerError, "api_error"),
    "gemini-invalid": (400, anthropic.BadRequestError, "invalid_request_error"),
    "gemini-exhausted": (429, anthropic.RateLimitError, "rate_limit_error"),
    "gemini-internal": (502, anthropic.InternalServerError, "api_error"),
    "gemini-not_found": (404, anthropic.NotFoundError, "not_found_error"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ERRORS)
def test_errors_are_the_clients_classes(claude, model, stream):
    status, kind, name = ERRORS[model]
    with pytest.raises(kind) as caught:
        ask(claude, model, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == name
    assert caught.value.body["error"]["message"]
    assert "imitation-0123456789" not in caught.value.response.text
    assert caught.value.response.headers["x-greenlane-id"]
    assert caught.value.request_id == caught.value.body["request_id"] == caught.value.response.headers["x-request-id"]


def test_the_client_knows_the_request_by_our_id(claude, route):
    """Its `_request_id` is read from the header `request-id`."""
    assert ask(claude, route.model, extra_headers={"x-request-id": "of-the-client"})._request_id == "of-the-client"
    with claude.messages.stream(model=route.model, max_tokens=100, messages=HELLO) as events:
        assert events.response.headers["request-id"] == events.response.headers["x-request-id"]


@pytest.mark.parametrize(("model", "seconds_s"), [("anthropic-rate_limited", "7"), ("gemini-exhausted", "37")])
def test_a_rate_limit_tells_when_to_come_back(claude, model, seconds_s):
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(claude, model)
    assert caught.value.response.headers["retry-after"] == seconds_s


@pytest.mark.parametrize("model", ["anthropic-overloaded_midstream", "anthropic-cut", "gemini-cut", "gemini-error_in_stream"])
def test_a_stream_that_breaks_ends_in_an_error_event(claude, paced, model):
    said = []
    with pytest.raises(anthropic.APIError) as caught:
        said.extend(event for event in ask(claude, model, stream=True))
    assert not isinstance(caught.value, anthropic.APIConnectionError)
    assert caught.value.body["error"]["type"]


def test_a_constraint_that_nobody_meets_is_unprocessable(claude):
    with pytest.raises(anthropic.UnprocessableEntityError):
        ask(claude, "anthropic", extra_body={"greenlane": {"privacy": "local"}})


WRONG: dict[str, dict[str, object]] = {
    "max_tokens": {"max_tokens": 0},
    "max_tokens text": {"max_tokens": "many"},
    "messages": {"messages": []},
    "role": {"messages": [{"role": "wizard", "content": "Hi"}]},
    "block": {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
    "tool": {"tools": [{"name": "x"}]},
    "tool_choice": {"tools": [TOOL], "tool_choice": {"type": "tool"}},
    "temperature": {"extra_body": {"temperature": 5}},
    "unknown": {"extra_body": {"hologram": 1}},
}


@pytest.mark.parametrize("members", WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_a_bad_request(claude, route, members):
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(claude, route.model, **members)
    assert caught.value.body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("size", [1, 3, 16])
def test_the_vendors_stream_may_be_cut_anywhere(claude, translated, size):
    whole = ask(claude, translated.model, messages=ASK_WEATHER, tools=[TOOL], tool_choice={"type": "any"})
    translated.imitation.piece_bytes = size
    try:
        with claude.messages.stream(
            model=translated.model, max_tokens=1000, messages=ASK_WEATHER, tools=[TOOL], tool_choice={"type": "any"}
        ) as stream:
            cut = stream.get_final_message()
    finally:
        translated.imitation.piece_bytes = None
    assert [block.input for block in cut.content if block.type == "tool_use"] == [
        block.input for block in whole.content if block.type == "tool_use"
    ]


def test_our_key_goes_to_the_vendor_and_the_clients_does_not(fleet, imitations):
    with anthropic.Anthropic(base_url=fleet.base, api_key="the-clients-own", max_retries=0) as client:
        ask(client, "anthropic")
    last = imitations["anthropic"][0].last
    assert last.headers["x-api-key"] == "sk-ant-imitation-0123456789"
    assert "the-clients-own" not in json.dumps(last.headers)


def test_the_models_are_listed_as_the_client_knows_them(claude):
    """https://platform.claude.com/docs/en/api/models-list"""
    found = {each.id: each for each in claude.models.list()}
    assert {"openai", "anthropic", "gemini"} <= found.keys()
    assert all((each.type, each.display_name, each.lifecycle) == ("model", each.id, "active") for each in found.values())
    assert found["gemini"].created_at.year > 2000
    assert claude.models.retrieve("gemini").display_name == "gemini"
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("nobody")
