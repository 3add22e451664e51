"""Hub requests as bodies of POST /v1/messages; each golden pair cites the vendor's page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters._base import AdapterError, Quirks, Target
from adapters._json import view
from adapters._json_mode import WORDS
from adapters.anthropic import ADAPTER
from tests.imitations.anthropic_rules import check

Json = dict[str, Any]
HI = {"role": "user", "content": "Hi"}


def sent(chat: Json, model: str = "claude-opus-5-5", **target: Any) -> Json:
    """The body for a target, after the imitation has found nothing wrong with it."""
    made = ADAPTER.outbound({"model": "public", "messages": [HI], **chat}, Target(upstream_model=model, **target))
    body: Json = json.loads(made.body)
    check(body, dict(made.headers)[b"anthropic-version"].decode())
    return body


def refused(chat: Json, model: str = "claude-opus-5-5", **target: Any) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        ADAPTER.outbound({"model": "public", "messages": [HI], **chat}, Target(upstream_model=model, **target))
    return caught.value


def ignored(chat: Json, model: str = "claude-opus-5-5", **target: Any) -> tuple[str, ...]:
    return ADAPTER.outbound({"model": "public", "messages": [HI], **chat}, Target(upstream_model=model, **target)).ignored


def test_the_least_request_names_model_max_tokens_and_messages() -> None:
    """https://platform.claude.com/docs/en/api/messages/create"""
    made = ADAPTER.outbound({"model": "public", "messages": [HI]}, Target(upstream_model="claude-opus-5-5"))
    assert made.path == "/messages"
    assert made.headers == ((b"anthropic-version", b"2026-10-21"),)
    assert made.ignored == ()
    assert json.loads(made.body) == {"model": "claude-opus-5-5", "max_tokens": 16000, "messages": [{"role": "user", "content": "Hi"}]}


def test_one_token_is_enough_to_ask_for() -> None:
    assert sent({"max_tokens": 1})["max_tokens"] == 1


def test_hosts_of_other_models_know_the_first_version_alone() -> None:
    made = ADAPTER.outbound({"model": "public", "messages": [HI]}, Target(upstream_model="kimi-k2-thinking"))
    assert made.headers == ((b"anthropic-version", b"2023-06-01"),)


def test_the_key_goes_in_its_own_header() -> None:
    assert ADAPTER.authorize("sk-ant-1") == ((b"x-api-key", b"sk-ant-1"),)


def test_a_request_with_everything_is_told_whole() -> None:
    """https://platform.claude.com/docs/en/api/messages/create: every member that both dialects know."""
    chat = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}, HI],
        "max_completion_tokens": 500,
        "max_tokens": 9,
        "stop": "END",
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "service_tier": "default",
        "safety_identifier": "u-1",
    }
    assert sent(chat) == {
        "model": "claude-opus-5-5",
        "max_tokens": 500,
        "system": "Be brief.\n\nBe kind.",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low"},
        "stream": True,
        "stop_sequences": ["END"],
        "service_tier": "standard_only",
        "metadata": {"user_id": "u-1"},
    }


def test_what_is_at_its_default_is_never_a_reason_to_refuse() -> None:
    neutral = {
        "n": 1,
        "temperature": 1,
        "top_p": 1.0,
        "logprobs": False,
        "top_logprobs": 0,
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "logit_bias": {},
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": {"type": "text"},
        "stop": [],
        "service_tier": "auto",
        "modalities": ["text"],
        "store": False,
        "metadata": {},
        "audio": None,
        "web_search_options": None,
        "anything": None,
    }
    assert sent(neutral) == sent({})
    unsaid = ("n", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty", "logit_bias", "modalities", "store", "metadata")
    assert ignored(neutral) == unsaid


@pytest.mark.parametrize(("stop", "expected"), [("", None), ([""], None), (["", "END"], ["END"])])
def test_a_stop_without_characters_stops_nothing(stop: Any, expected: list[str] | None) -> None:
    assert sent({"stop": stop}).get("stop_sequences") == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("logit_bias", {"5": 1}),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -1),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "x"}),
        ("min_p", 0.1),
        ("response_format", {"type": "yaml"}),
        ("tool_choice", "required"),
        ("stop", " \n"),
        ("stop", ["ok", 3]),
        ("max_tokens", 0),
        ("max_tokens", "many"),
        ("max_tokens", True),
        ("temperature", "hot"),
        ("temperature", 2.5),
        ("top_p", -0.1),
        ("top_k", 1.5),
        ("stream", "yes"),
        ("reasoning_effort", "utmost"),
        ("parallel_tool_calls", "no"),
        ("messages", []),
        ("messages", "Hi"),
        ("tools", {}),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(name: str, value: Any) -> None:
    assert refused({name: value}).param == name


def test_inert_hints_are_left_out_and_told() -> None:
    chat = {
        "metadata": {"a": "b"},
        "store": True,
        "seed": 7,
        "prompt_cache_key": "k",
        "prompt_cache_options": {},
        "verbosity": "low",
        "service_tier": "flex",
    }
    assert sent(chat) == sent({})
    assert ignored(chat) == ("metadata", "store", "seed", "prompt_cache_key", "prompt_cache_options", "verbosity", "service_tier")


def test_a_user_goes_on_as_an_opaque_id_and_never_as_an_address() -> None:
    """types/metadata_param: no name, e-mail address or phone number."""
    assert sent({"user": "u-17"})["metadata"] == {"user_id": "u-17"}
    assert sent({"user": "u-17", "safety_identifier": "s-1"})["metadata"] == {"user_id": "s-1"}
    assert ignored({"user": "u-17", "safety_identifier": "s-1"}) == ("user",)
    assert "metadata" not in sent({"user": "ada@example.org"})
    assert ignored({"user": "ada@example.org"}) == ("user",)


class TestMaxTokens:
    """max_tokens is mandatory there: https://platform.claude.com/docs/en/api/messages/create"""

    def test_without_a_limit_the_deployment_s_or_the_vendor_s_advice_counts(self) -> None:
        assert sent({})["max_tokens"] == 16_000
        assert sent({"stream": True})["max_tokens"] == 64_000
        assert sent({"stream": True}, max_output_tokens=4096)["max_tokens"] == 4096

    def test_a_limit_above_the_model_s_is_the_model_s(self) -> None:
        assert sent({"max_tokens": 1_000_000}, "claude-haiku-4-5")["max_tokens"] == 64_000
        assert sent({"stream": True}, "claude-3-5-haiku-20241022")["max_tokens"] == 8192

    def test_of_the_two_names_the_newer_wins(self) -> None:
        assert sent({"max_tokens": 5, "max_completion_tokens": 7})["max_tokens"] == 7


class TestSampling:
    """https://platform.claude.com/docs/en/api/versioning; .../models/opus-4-7/migration-guide"""

    def test_an_older_model_takes_it_under_the_older_version(self) -> None:
        made = ADAPTER.outbound({"messages": [HI], "temperature": 0.2, "top_k": 5}, Target(upstream_model="claude-haiku-4-5"))
        body = json.loads(made.body)
        assert (body["temperature"], body["top_k"]) == (0.2, 5)
        assert made.headers == ((b"anthropic-version", b"2023-06-01"),)

    def test_a_newer_model_refuses_it(self) -> None:
        for name, value in (("temperature", 0.2), ("top_p", 0.5), ("top_k", 3)):
            assert refused({name: value}).param == name

    def test_a_deployment_may_have_it_left_out(self) -> None:
        quirks = Quirks(drops=("temperature",))
        assert sent({"temperature": 0.2}, quirks=quirks) == sent({})
        assert ignored({"temperature": 0.2}, quirks=quirks) == ("temperature",)

    def test_above_one_it_is_capped_as_the_vendor_s_own_openai_endpoint_does(self) -> None:
        assert "temperature" not in sent({"temperature": 1.7}, "claude-haiku-4-5")

    def test_both_at_once_are_refused_where_the_model_takes_one(self) -> None:
        assert refused({"temperature": 0.2, "top_p": 0.5}, "claude-sonnet-4-5").param == "top_p"
        assert sent({"temperature": 0.2, "top_p": 0.5}, "claude-sonnet-4-20250514")["top_p"] == 0.5

    def test_it_does_not_go_with_thinking(self) -> None:
        assert refused({"temperature": 0.2, "reasoning_effort": "low"}, "claude-sonnet-4-6").param == "temperature"
        assert refused({"top_p": 0.2, "reasoning_effort": "low"}, "claude-sonnet-4-6").param == "top_p"

    def test_a_pinned_newer_version_refuses_it_for_every_model(self) -> None:
        assert refused({"temperature": 0.2}, "claude-haiku-4-5", api_version="2026-10-21").param == "temperature"

    def test_a_model_of_another_vendor_takes_what_it_is_given(self) -> None:
        made = ADAPTER.outbound({"messages": [HI], "temperature": 1.3}, Target(upstream_model="deepseek-chat"))
        assert json.loads(made.body)["temperature"] == 1.3
        assert made.headers == ((b"anthropic-version", b"2023-06-01"),)


class TestFormat:
    """https://platform.claude.com/docs/en/build-with-claude/structured-outputs"""

    def test_a_schema_becomes_output_config_format(self) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
        chat = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "description": "A count.", "schema": schema}}}
        assert sent(chat)["output_config"] == {
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "description": "A count.",
                    "properties": {"n": {"type": "integer", "description": "{minimum: 3}"}},
                    "required": ["n"],
                    "additionalProperties": False,
                },
            }
        }

    @pytest.mark.parametrize("wanted", [{"type": "grammar"}, {"type": "json_schema"}, "json", {"type": "json_schema", "json_schema": {}}])
    def test_a_malformed_format_is_refused(self, wanted: Any) -> None:
        assert str(refused({"response_format": wanted}).param).startswith("response_format")

    def test_a_model_without_it_refuses_what_is_strict(self) -> None:
        schema = {"type": "object", "properties": {}, "additionalProperties": False}
        chat = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}}
        assert refused(chat, "claude-sonnet-4-20250514").param == "response_format"

    @pytest.mark.parametrize(
        ("model", "schema"),
        [
            ("claude-sonnet-4-20250514", {"type": "object", "properties": {"a": {"type": "string"}}}),
            ("claude-opus-5-5", {"type": "object", "additionalProperties": {"type": "integer"}}),
            ("claude-opus-5-5", {"$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"}),
            ("claude-opus-5-5", {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}),
        ],
    )
    def test_a_schema_that_cannot_be_kept_to_is_asked_for_in_words_unless_it_is_strict(self, model: str, schema: Json) -> None:
        """Without `strict` it is a best effort at OpenAI too; open maps and recursion are not compiled."""
        holder = {"name": "x", "description": "Counts.", "schema": schema}
        chat = {"messages": [HI], "response_format": {"type": "json_schema", "json_schema": holder}}
        body = sent(chat, model)
        assert body["system"].startswith(WORDS)
        assert body["system"].endswith("(Counts.):\n" + json.dumps(schema, separators=(",", ":")))
        assert "output_config" not in body
        assert ADAPTER.json_by_words(chat, Target(upstream_model=model))
        holder["strict"] = True
        assert str(refused(chat, model).param).startswith("response_format")


class TestMarks:
    """https://platform.claude.com/docs/en/build-with-claude/prompt-caching"""

    def test_they_are_kept_where_they_stand(self) -> None:
        mark = {"type": "ephemeral"}
        hour = {"type": "ephemeral", "ttl": "1h"}
        tool = {"type": "function", "function": {"name": "f"}, "cache_control": hour}
        messages = [
            {"role": "system", "content": [{"type": "text", "text": "Long.", "cache_control": hour}]},
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": mark}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42", "cache_control": mark},
        ]
        body = sent({"messages": messages, "tools": [tool]})
        assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}, "cache_control": hour}]
        assert body["system"] == [{"type": "text", "text": "Long.", "cache_control": hour}]
        assert body["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": mark}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "42", "cache_control": mark}]},
        ]

    def test_five_are_too_many(self) -> None:
        parts = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5
        assert refused({"messages": [{"role": "user", "content": parts}]}).param == "cache_control"

    def test_an_hour_cannot_come_after_five_minutes(self) -> None:
        parts = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": ttl}} for ttl in ("5m", "1h")]
        assert refused({"messages": [{"role": "user", "content": parts}]}).param == "cache_control"

    def test_a_malformed_mark_is_refused(self) -> None:
        parts = [{"type": "text", "text": "x", "cache_control": {"type": "eternal"}}]
        assert refused({"messages": [{"role": "user", "content": parts}]}).param == "messages[0].content[0].cache_control"


def test_the_request_it_was_given_is_not_changed() -> None:
    chat = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}],
        "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object", "properties": {}}}}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    before = json.dumps(chat)
    ADAPTER.outbound(chat, Target(upstream_model="claude-opus-5"))
    assert json.dumps(chat) == before


def test_every_member_is_told_as_translated_dropped_or_refused() -> None:
    assert set(ADAPTER.members.values()) == {"translated", "dropped", "refused"}
    assert not ADAPTER.open_members


def test_a_messages_client_s_own_body_changes_only_in_its_model() -> None:
    body = b'{"model": "public", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "later": [1.0]}'
    made = ADAPTER.identity("messages", body, view(body), Target(upstream_model="claude-opus-5-5"))
    assert made.body == body.replace(b'"public"', b'"claude-opus-5-5"')
    assert made.headers == ((b"anthropic-version", b"2026-10-21"),)
    warm = body.replace(b'"later"', b'"top_k"')
    made = ADAPTER.identity("messages", warm, view(warm), Target(upstream_model="claude-haiku-4-5"))
    assert made.headers == ((b"anthropic-version", b"2023-06-01"),)


def test_thinking_that_others_left_unsigned_is_taken_out_of_a_messages_client_s_own_body() -> None:
    """The door tells it with an empty signature, and a group may go on at Anthropic: 400 `Invalid signature in thinking block`."""
    unsigned, signed = ({"type": "thinking", "thinking": "Hm", "signature": signature} for signature in ("", "c2ln"))
    text = {"type": "text", "text": "A"}
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [unsigned, signed, text]}]
    messages = [*turns, {"role": "assistant", "content": [unsigned]}, {"role": "user", "content": [{**text, "text": "So?"}]}]
    target = Target(upstream_model="m")
    for separators in ((",", ":"), (", ", ": ")):
        body = json.dumps({"model": "m", "max_tokens": 5, "messages": messages}, separators=separators).encode()
        made = json.loads(ADAPTER.identity("messages", body, view(body), target).body)["messages"]
        assert made == [turns[0], {"role": "assistant", "content": [signed, text]}, messages[-1]]
    quoted = b'{"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type":"x","signature":""}, {"type": "y"}]}]}'
    assert ADAPTER.identity("messages", quoted, view(quoted), target).body == quoted


def test_openais_own_marks_of_the_cache_stand_in_the_same_places() -> None:
    """https://developers.openai.com/api/docs/guides/prompt-caching; the lifetimes differ, so the vendor's default holds."""
    mark = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    said = [{"type": "text", "text": "Long.", **mark}, {"type": "text", "text": "Hi"}]
    body = sent({"messages": [{"role": "user", "content": said}]})
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Hi"},
    ]


@pytest.mark.parametrize("wanted", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "any"}}])
@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-haiku-4-5", "claude-3-5-haiku-20241022"])
def test_a_format_without_a_schema_is_asked_for_in_words(wanted: Json, model: str) -> None:
    """There is no such mode (.../build-with-claude/structured-outputs); the words come last, behind what is cached."""
    assert sent({"response_format": wanted}, model)["system"] == WORDS
    said = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    body = sent({"response_format": wanted, "messages": [{"role": "system", "content": said}, HI]}, model)
    assert body["system"] == [*said, {"type": "text", "text": WORDS}]
    assert "output_config" not in body
    target = Target(upstream_model=model)
    assert ADAPTER.json_by_words({"messages": [HI], "response_format": wanted}, target)


def test_an_answer_that_goes_on_from_the_client_s_words_is_not_cut() -> None:
    chat = {"messages": [HI, {"role": "assistant", "content": "{"}], "response_format": {"type": "json_object"}}
    assert sent(chat, "claude-haiku-4-5")["messages"][-1] == {"role": "assistant", "content": "{"}
    assert not ADAPTER.json_by_words(chat, Target(upstream_model="claude-haiku-4-5"))
    assert not ADAPTER.json_by_words({"messages": [HI]}, Target(upstream_model="claude-haiku-4-5"))
