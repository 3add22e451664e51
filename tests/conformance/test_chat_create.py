"""Whole chat completions by the official client, the same on every route."""

from __future__ import annotations

import asyncio
import json
import time

import openai
import pytest

from tests.conformance.fleet import ENVIRON
from tests.conformance.samples import HELLO, PDF, PICTURE_URL, PIXEL, PIXEL_BASE64

TEXTS = {
    "ascii": "plain",
    "accents": "Grüße, señor",
    "emoji": "wave 👋🏽 family 👩‍👩‍👧",
    "separators": "a\u2028b\u2029c\u0085d",
    "quotes": 'say "hi" and \\ back',
    "newlines": "one\ntwo\r\nthree\ttab",
    "null": "a\x00b",
    "right to left": "שלום عالم",
    "data line": "data: [DONE]\n\ndata: {}",
}


def test_the_answer_has_the_shape_of_the_reference(client, route):
    answer = client.chat.completions.create(model=route.model, messages=HELLO)
    assert answer.id
    assert answer.object == "chat.completion"
    assert answer.model
    [choice] = answer.choices
    assert choice.index == 0
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.message.tool_calls is None
    assert choice.message.refusal is None


def test_the_answer_says_when_it_was_made(client, route):
    answer = client.chat.completions.create(model=route.model, messages=HELLO)
    assert abs(answer.created - time.time()) < 60


def test_usage_adds_up(client, route):
    usage = client.chat.completions.create(model=route.model, messages=HELLO).usage
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_usage_carries_the_account(client, route):
    account = client.chat.completions.create(model=route.model, messages=HELLO).usage.greenlane
    assert account["model"] == route.model
    assert account["carbon_low_g"] <= account["carbon_g"] <= account["carbon_high_g"]
    assert account["cost_usd"] > 0
    assert account["zone"] == "SWE"


def test_two_answers_have_two_entries(client, route):
    made = [client.chat.completions.create(model=route.model, messages=HELLO).usage.greenlane["id"] for _ in range(2)]
    assert len(set(made)) == 2


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_prompt_arrives_as_it_was_said(client, translated, text):
    client.chat.completions.create(model=translated.model, messages=[{"role": "user", "content": text}])
    assert _prompt(translated) == [text]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_is_answered(client, route, text):
    assert client.chat.completions.create(model=route.model, messages=[{"role": "user", "content": text}]).choices[0].message.content


@pytest.mark.parametrize("word", ["naïve", "👋🏽", "a\u2028b", "כן", '"quoted"'])
def test_the_answer_arrives_as_it_was_said(client, translated, word):
    answer = client.chat.completions.create(model=translated.model, messages=[{"role": "user", "content": f"Echo {word}"}])
    assert word.split()[-1].splitlines()[-1] in answer.choices[0].message.content


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_reach_the_vendors_place_for_them(client, translated, role):
    messages = [{"role": role, "content": "Be brief."}, *HELLO]
    client.chat.completions.create(model=translated.model, messages=messages)
    assert _system(translated) == "Be brief."
    assert _prompt(translated) == [HELLO[0]["content"]]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "Be brief."}, *HELLO],
        [{"role": "developer", "content": "Be brief."}, *HELLO],
        [{"role": "system", "content": "One."}, {"role": "system", "content": "Two."}, *HELLO],
        [{"role": "system", "content": "One."}, {"role": "developer", "content": "Two."}, *HELLO],
        [{"role": "system", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]}, *HELLO],
        [*HELLO, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}],
        [*HELLO, {"role": "user", "content": "Twice."}],
        [*HELLO, {"role": "assistant", "content": "Hi."}, {"role": "assistant", "content": "Again."}, {"role": "user", "content": "So?"}],
        [*HELLO, {"role": "assistant", "content": "Hi."}, {"role": "system", "content": "Be short."}, {"role": "user", "content": "So?"}],
        [*HELLO, {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}, {"role": "user", "content": "So?"}],
        [*HELLO, {"role": "assistant", "content": ""}, {"role": "user", "content": "So?"}],
        [*HELLO, {"role": "assistant", "content": None, "refusal": "No."}, {"role": "user", "content": "So?"}],
        [*HELLO, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, {"role": "user", "content": "So?"}],
        [{"role": "user", "name": "ada", "content": "Named."}],
        [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PIXEL}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}, {"type": "text", "text": "?"}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}] * 3 + [{"type": "text", "text": "?"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]}],
        [{"role": "user", "content": [{"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}, {"type": "text", "text": "?"}]}],
    ],
    ids=[
        *("system", "developer", "two systems", "system and developer", "system in parts", "three turns", "user twice"),
        *("assistant twice", "system later", "assistant in parts", "empty assistant", "refused before", "refusal part", "name"),
        *("two parts", "data image", "image first", "three images", "image address", "document"),
    ],
)
def test_every_form_of_a_conversation_is_taken(client, route, messages):
    answer = client.chat.completions.create(model=route.model, messages=messages)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content


def test_a_conversation_may_begin_with_the_assistant(client, route):
    answer = client.chat.completions.create(model=route.model, messages=[{"role": "assistant", "content": "I begin."}, *HELLO])
    assert answer.choices[0].message.content


def test_an_image_in_the_request_reaches_claude(client, imitations):
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    client.chat.completions.create(model="anthropic", messages=[{"role": "user", "content": parts}])
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL_BASE64}
    assert imitations["anthropic"][0].last.body["messages"][0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image", "source": source},
    ]


def test_an_image_by_address_reaches_claude(client, imitations):
    parts = [{"type": "image_url", "image_url": {"url": PICTURE_URL}}, {"type": "text", "text": "Look"}]
    client.chat.completions.create(model="anthropic", messages=[{"role": "user", "content": parts}])
    sent = imitations["anthropic"][0].last.body["messages"][0]["content"][0]
    assert sent == {"type": "image", "source": {"type": "url", "url": PICTURE_URL}}


def test_an_image_in_the_request_reaches_gemini(client, imitations):
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    client.chat.completions.create(model="gemini", messages=[{"role": "user", "content": parts}])
    sent = imitations["gemini"][0].last.body["contents"][0]["parts"]
    assert sent == [{"text": "Look"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL_BASE64}}]


def test_max_tokens_cuts_the_answer(client, route):
    for name in ("max_tokens", "max_completion_tokens"):
        answer = client.chat.completions.create(model=route.model, messages=HELLO, **{name: 3})
        assert answer.choices[0].finish_reason == "length"
        assert len(answer.choices[0].message.content.split()) <= 3


@pytest.mark.parametrize("stop", [" of", [" of"], ["zebra", " of"]], ids=["text", "list", "second of two"])
def test_a_stop_sequence_ends_the_answer_and_is_not_in_it(client, translated, stop):
    words = {"anthropic": "You said", "gemini": "You said: Hello"}
    cut = {"anthropic": " words", "gemini": " there"}[translated.name]
    stop = cut if isinstance(stop, str) else [*stop[:-1], cut]
    answer = client.chat.completions.create(model=translated.model, messages=HELLO, stop=stop)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content.startswith(words[translated.name])
    assert cut not in answer.choices[0].message.content


def test_a_stop_sequence_ends_a_simulations_answer(client):
    whole = client.chat.completions.create(model="openai", messages=HELLO).choices[0].message.content
    word = whole.split()[4]
    answer = client.chat.completions.create(model="openai", messages=HELLO, stop=word)
    assert answer.choices[0].message.content == whole[: whole.index(word)]
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("count", [2, 3, 5])
def test_n_gives_so_many_choices(client, multiple, count):
    answer = client.chat.completions.create(model=multiple.model, messages=HELLO, n=count)
    assert [choice.index for choice in answer.choices] == list(range(count))
    assert all(choice.message.content for choice in answer.choices)


@pytest.mark.parametrize("top", [None, 0, 1, 3])
def test_logprobs_come_with_every_token(client, multiple, top):
    wanted = {} if top is None else {"top_logprobs": top}
    answer = client.chat.completions.create(model=multiple.model, messages=HELLO, logprobs=True, **wanted)
    tokens = answer.choices[0].logprobs.content
    assert tokens
    for token in tokens:
        assert token.logprob <= 0
        assert isinstance(token.token, str)
        assert len(token.top_logprobs) == (top or 0)


def test_the_same_seed_gives_the_same_answer(client, route):
    made = {client.chat.completions.create(model=route.model, messages=HELLO, seed=7).choices[0].message.content for _ in range(2)}
    assert len(made) == 1


def test_the_async_client_gets_ten_answers_at_a_time(fleet, route):
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=fleet.url, api_key="unused", max_retries=0) as client:
            made = [client.chat.completions.create(model=route.model, messages=HELLO) for _ in range(10)]
            return [answer.choices[0].message.content for answer in await asyncio.gather(*made)]

    answers = asyncio.run(ask())
    assert len(answers) == 10
    assert all(answers)


def test_reasoning_is_readable_beside_the_answer(client, translated):
    message = client.chat.completions.create(model=translated.thinks, messages=HELLO, reasoning_effort="low").choices[0].message
    assert message.reasoning_content
    assert message.content.startswith("You said")


def test_reasoning_tokens_are_told(client, translated):
    usage = client.chat.completions.create(model=translated.thinks, messages=HELLO, reasoning_effort="low").usage
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens


def test_cached_tokens_are_told(client, imitations):
    answer = client.chat.completions.create(model="gemini-cached", messages=HELLO)
    assert 0 < answer.usage.prompt_tokens_details.cached_tokens < answer.usage.prompt_tokens


def test_a_prompt_cache_mark_reaches_claude_and_the_second_answer_is_read_from_the_cache(client, imitations):
    text = {"type": "text", "text": f"A long text. {time.time()}", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "content": [text, {"type": "text", "text": "Well?"}]}]
    first, second = (client.chat.completions.create(model="anthropic", messages=messages).usage for _ in range(2))
    assert first.prompt_tokens == second.prompt_tokens
    assert not first.prompt_tokens_details.cached_tokens
    assert second.prompt_tokens_details.cached_tokens > 0


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("anthropic-refusal", "content_filter"),
        ("anthropic-max_tokens", "length"),
        ("anthropic-context_exceeded", "length"),
        ("anthropic-pause_turn", "stop"),
        ("gemini-safety", "content_filter"),
        ("gemini-recitation", "content_filter"),
        ("gemini-blocklist", "content_filter"),
        ("gemini-prohibited", "content_filter"),
        ("gemini-spii", "content_filter"),
        ("gemini-block_prompt", "content_filter"),
        ("gemini-max_tokens", "length"),
        ("gemini-stop_everywhere", "stop"),
        ("gemini-late_stop", "stop"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_vendors_reason_to_stop_becomes_openais(client, model, reason, stream):
    if stream:
        chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
        assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == [reason]
    else:
        assert client.chat.completions.create(model=model, messages=HELLO).choices[0].finish_reason == reason


def test_our_key_goes_to_the_vendor_and_the_clients_does_not(fleet, imitations):
    with openai.OpenAI(base_url=fleet.url, api_key="the-clients-own", max_retries=0) as client:
        for vendor, header in (("anthropic", "x-api-key"), ("gemini", "x-goog-api-key")):
            client.chat.completions.create(model=vendor, messages=HELLO)
            last = imitations[vendor][0].last
            assert last.headers[header] == ENVIRON[f"IMITATED_{vendor.upper()}_KEY"]
            assert "the-clients-own" not in json.dumps(last.headers) + last.raw.decode()


def _prompt(route) -> list[str]:
    """The user's texts, as the vendor got them."""
    if route.name == "gemini":
        return [part["text"] for turn in route.last["contents"] if turn["role"] == "user" for part in turn["parts"]]
    users = [turn["content"] for turn in route.last["messages"] if turn["role"] == "user"]
    return [text for content in users for text in ([content] if isinstance(content, str) else [part["text"] for part in content])]


def _system(route) -> str:
    if route.name == "gemini":
        return "".join(part["text"] for part in route.last["systemInstruction"]["parts"])
    system = route.last["system"]
    return system if isinstance(system, str) else "".join(part["text"] for part in system)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_tokens_of_sound_are_told_apart(client, stream):
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    asked = {"model": "gemini", "messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, sound]}]}
    if stream:
        usage = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))[-1].usage
    else:
        usage = client.chat.completions.create(**asked).usage
    assert usage.prompt_tokens_details.audio_tokens == 1
    assert usage.completion_tokens_details is None
    assert client.chat.completions.create(model="gemini", messages=HELLO).usage.prompt_tokens_details is None


@pytest.mark.parametrize("model", ["gemini", "gemini-2.5-flash"])
def test_how_closely_images_are_looked_at_reaches_gemini(client, imitations, model):
    images = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in (PIXEL, PICTURE_URL)]
    messages = [{"role": "user", "content": [{"type": "text", "text": "Look"}, *images]}]
    answer = client.chat.completions.with_raw_response.create(model=model, messages=messages, extra_headers={"x-greenlane-verbose": "true"})
    assert "x-greenlane-ignored" not in answer.headers
    assert answer.parse().choices[0].message.content


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_claudes_rate_limits_are_told_as_openais(client, claude, imitations, stream):
    openais = {f"x-ratelimit-{member}-{kind}" for member in ("limit", "remaining", "reset") for kind in ("requests", "tokens")}
    headers = client.chat.completions.with_raw_response.create(model="anthropic", messages=HELLO, stream=stream).headers
    assert openais <= set(headers)
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-tokens"]) == ("49", "0s")
    assert headers["anthropic-ratelimit-requests-remaining"] == "49"
    of_its_own = claude.messages.with_raw_response.create(model="anthropic", messages=HELLO, max_tokens=9, stream=stream).headers
    assert not openais & set(of_its_own)
    assert of_its_own["anthropic-ratelimit-tokens-limit"] == "96000"
