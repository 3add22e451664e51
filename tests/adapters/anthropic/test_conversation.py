"""Messages of the hub as Anthropic's turns."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from adapters._base import AdapterError, Target
from adapters.anthropic import ADAPTER
from adapters.anthropic.conversation import OPENING
from tests.imitations.anthropic_rules import check, sign

Json = dict[str, Any]
PIXEL = "iVBORw0KGgo="


def sent(messages: list[Json], model: str = "claude-opus-5-5") -> Json:
    made = ADAPTER.outbound({"messages": messages}, Target(upstream_model=model))
    body: Json = json.loads(made.body)
    check(body, dict(made.headers)[b"anthropic-version"].decode())
    return body


def refused(messages: Any, model: str = "claude-opus-5-5") -> str | None:
    with pytest.raises(AdapterError) as caught:
        ADAPTER.outbound({"messages": messages}, Target(upstream_model=model))
    return caught.value.param


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def call(name: str = "f", arguments: str = "{}", call_id: str = "c1") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(*calls: Json, content: Any = None, **more: Any) -> Json:
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {}), **more}


def result(content: Any = "42", call_id: str = "c1", **more: Any) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **more}


class TestSystem:
    """https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages"""

    def test_it_stays_in_place_where_the_model_takes_that(self) -> None:
        body = sent([{"role": "system", "content": "A"}, user("Hi"), {"role": "developer", "content": "B"}])
        assert body["system"] == "A"
        assert body["messages"] == [{"role": "user", "content": "Hi"}, {"role": "system", "content": "B"}]

    def test_it_goes_to_the_top_where_the_model_does_not(self) -> None:
        body = sent([user("Hi"), {"role": "system", "content": "B"}], "claude-sonnet-5")
        assert body["system"] == "B"
        assert body["messages"] == [{"role": "user", "content": "Hi"}]

    def test_it_goes_to_the_top_where_it_stands_before_a_user(self) -> None:
        body = sent([user("a"), {"role": "system", "content": "B"}, user("c")])
        assert body["system"] == "B"
        assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "c"}]}]

    def test_blank_text_is_left_out(self) -> None:
        body = sent([{"role": "system", "content": "  "}, user([{"type": "text", "text": ""}, {"type": "text", "text": "Hi"}])])
        assert "system" not in body
        assert body["messages"] == [{"role": "user", "content": "Hi"}]

    @pytest.mark.parametrize("blank", ["", " \n", [], [{"type": "text", "text": ""}]])
    def test_a_blank_message_among_others_is_left_out(self, blank: Any) -> None:
        before = [user("Hi"), assistant(content="Yes?")]
        assert sent([*before, user(blank), user("Go")]) == sent([*before, user("Go")]) == sent([*before, user("Go"), user(blank)])
        assert refused([*before, user(blank)]) == "messages[2].content"
        assert refused([{"role": "system", "content": "Be brief."}, user(blank)]) == "messages[1].content"

    def test_answers_around_a_blank_message_are_one_turn(self) -> None:
        body = sent([user("Hi"), assistant(content="A"), user(""), assistant(content="B"), user("Go")])
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


class TestImagesAndDocuments:
    """https://platform.claude.com/docs/en/build-with-claude/vision and .../pdf-support"""

    def test_images_come_as_data_or_https(self) -> None:
        parts = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        ]
        assert sent([user(parts)])["messages"][0]["content"] == [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        ]

    @pytest.mark.parametrize("data", ["iVBORw0KGgo", "iVBO\nRw0K\r\nGgo=\n"])
    def test_line_breaks_and_missing_padding_are_mended(self, data: str) -> None:
        (image,) = sent([user([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}])])["messages"][0]["content"]
        assert image["source"]["data"] == "iVBORw0KGgo="

    def test_documents_come_as_pdf_text_or_url(self) -> None:
        parts = [
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8;base64,SGVsbG8="}},
            {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "b.PDF"}},
            {"type": "file", "file": {"file_url": "https://example.org/c.pdf"}},
            {"type": "file", "file": {"file_data": f"data:image/png;base64,{PIXEL}"}},
        ]
        pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
        assert sent([user(parts)])["messages"][0]["content"] == [
            {"type": "document", "source": pdf, "title": "a.pdf"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hello"}},
            {"type": "document", "source": pdf, "title": "b.PDF"},
            {"type": "document", "source": {"type": "url", "url": "https://example.org/c.pdf"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        ]

    @pytest.mark.parametrize(
        ("part", "param"),
        [
            ({"type": "image_url", "image_url": {"url": "http://example.org/a.png"}}, "image_url"),
            ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0="}}, "image_url"),
            ({"type": "image_url", "image_url": {"url": "data:image/png;base64,***"}}, "image_url"),
            ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "image_url"),
            ({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO Rw0KGgo="}}, "image_url"),
            ({"type": "image_url", "image_url": {}}, "image_url"),
            ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, None),
            ({"type": "file", "file": {"file_id": "file-of-somebody"}}, "file.file_id"),
            ({"type": "file", "file": {"file_data": "data:application/zip;base64,AA=="}}, "file.file_data"),
            ({"type": "file", "file": {}}, "file"),
            ("text", None),
        ],
    )
    def test_what_cannot_be_sent_is_refused(self, part: Any, param: str | None) -> None:
        assert refused([user([part])]) == "messages[0].content[0]" + ("" if param is None else f".{param}")


class TestTools:
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls"""

    def test_results_come_first_and_in_one_message(self) -> None:
        messages = [
            user("Hi"),
            assistant(call(arguments='{"a": 1.50}'), call("g", call_id="c2"), content="Let me see."),
            result("one"),
            result(
                [{"type": "text", "text": "two"}, {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}], "c2", is_error=True
            ),
            user("Well?"),
        ]
        assert sent(messages)["messages"][1:] == [
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1.5}},
                    {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "c2",
                        "content": [
                            {"type": "text", "text": "two"},
                            {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
                        ],
                        "is_error": True,
                    },
                    {"type": "text", "text": "Well?"},
                ],
            },
        ]

    def test_arguments_go_through_byte_for_byte(self) -> None:
        text = '{"big":12345678901234567890123,"small":1.10}'
        made = ADAPTER.outbound(
            {"messages": [user("Hi"), assistant(call(arguments=text)), result()]}, Target(upstream_model="claude-opus-5")
        )
        assert text.encode() in made.body

    @pytest.mark.parametrize("text", ["[1]", "not json", '{"a":'])
    def test_arguments_that_are_no_object_are_kept_under_a_name(self, text: str) -> None:
        body = sent([user("Hi"), assistant(call(arguments=text)), result()])
        assert body["messages"][1]["content"][0]["input"] == {"unparsed_arguments": text}

    @pytest.mark.parametrize("text", ["", " ", "null", " null "])
    def test_arguments_that_say_nothing_are_none(self, text: str) -> None:
        body = sent([user("Hi"), assistant(call(arguments=text)), result()])
        assert body["messages"][1]["content"][0]["input"] == {}

    def test_an_empty_result_has_no_content(self) -> None:
        body = sent([user("Hi"), assistant(call(arguments="")), result("")])
        assert body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "c1"}]

    def test_an_id_that_does_not_fit_is_mapped_alike_for_call_and_result(self) -> None:
        odd = "call:1|ü" * 20
        first = sent([user("Hi"), assistant(call(call_id=odd)), result(call_id=odd)])
        used = first["messages"][1]["content"][0]["id"]
        assert re.fullmatch(r"call_[0-9a-f]{32}", used)
        assert first["messages"][2]["content"][0]["tool_use_id"] == used
        assert sent([user("Hi"), assistant(call(call_id=odd)), result(call_id=odd)]) == first

    def test_an_id_used_again_later_is_made_unique(self) -> None:
        messages = [user("Hi"), assistant(call()), result("a"), assistant(call()), result("b"), assistant(call()), result("c")]
        turns = sent(messages)["messages"]
        assert [turn["content"][0]["id"] for turn in turns if turn["role"] == "assistant"] == ["c1", "c1_2", "c1_3"]
        assert [turn["content"][0]["tool_use_id"] for turn in turns[2:] if turn["role"] == "user"] == ["c1", "c1_2", "c1_3"]

    def test_legacy_functions_are_calls_too(self) -> None:
        legacy = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}}
        turns = sent([user("Hi"), legacy, {"role": "function", "name": "f", "content": "42"}])["messages"]
        assert turns[1]["content"][0] == {"type": "tool_use", "id": turns[2]["content"][0]["tool_use_id"], "name": "f", "input": {"a": 1}}
        assert turns[2]["content"][0]["content"] == "42"

    @pytest.mark.parametrize(
        ("messages", "param"),
        [
            ([user("Hi"), assistant(call())], "messages[1].tool_calls"),
            ([user("Hi"), assistant(call()), user("So?")], "messages[1].tool_calls"),
            ([user("Hi"), result()], "messages[1].tool_call_id"),
            ([user("Hi"), assistant(call()), result(), result()], "messages[3].tool_call_id"),
            ([user("Hi"), assistant(call(), call()), result()], "messages[1].tool_calls[1].id"),
            ([user("Hi"), assistant(call("")), result()], "messages[1].tool_calls[0].function.name"),
            ([user("Hi"), assistant({"id": "c", "type": "custom"})], "messages[1].tool_calls[0]"),
            ([{"role": "system", "content": " "}], "messages"),
            ([user("")], "messages[0].content"),
            ([user(" \n")], "messages[0].content"),
            ([user({"text": "x"})], "messages[0].content"),
            ([{"role": "critic", "content": "x"}], "messages[0].role"),
            (["Hi"], "messages[0]"),
        ],
    )
    def test_a_broken_conversation_is_refused(self, messages: list[Any], param: str) -> None:
        assert refused(messages) == param


class TestThinking:
    """https://platform.claude.com/docs/en/build-with-claude/thinking#preserving-thinking-blocks"""

    def test_blocks_come_back_first_and_verbatim(self) -> None:
        blocks = [
            {"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")},
            {"type": "redacted_thinking", "data": "abc"},
        ]
        said = assistant(call(), content="Let me see.", thinking_blocks=blocks, reasoning_content="Hm.")
        content = sent([user("Hi"), said, result()])["messages"][1]["content"]
        assert content[:2] == blocks
        assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "text", "tool_use"]

    def test_what_bears_no_signature_is_left_out(self) -> None:
        said = assistant(
            content="Hello.", thinking_blocks=[{"type": "thinking", "thinking": "Hm.", "signature": ""}], reasoning_content="Hm."
        )
        assert sent([user("Hi"), said, user("So?")])["messages"][1] == {"role": "assistant", "content": "Hello."}

    def test_a_turn_of_thinking_alone_is_left_out(self) -> None:
        said = assistant(content="", thinking_blocks=[{"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")}])
        body = sent([user("a"), said, user("b")])
        assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]


class TestPrefill:
    """https://platform.claude.com/docs/en/api/errors: refused from Claude 4.6 on."""

    def test_an_older_model_continues_from_the_last_word(self) -> None:
        body = sent([user("Hi"), assistant(content="The answer is: \n")], "claude-haiku-4-5")
        assert body["messages"][1] == {"role": "assistant", "content": "The answer is:"}

    def test_a_newer_model_refuses(self) -> None:
        assert refused([user("Hi"), assistant(content="The answer is")], "claude-sonnet-4-6") == "messages"

    def test_thinking_and_formats_do_not_go_with_it(self) -> None:
        def made(**chat: Any) -> Any:
            messages = [user("Hi"), assistant(content="The answer is")]
            return ADAPTER.outbound({"messages": messages, **chat}, Target(upstream_model="claude-haiku-4-5"))

        assert made(reasoning_effort="low").ignored == ("reasoning_effort",)
        schema = {"type": "object", "properties": {"a": {"type": "null"}}}
        for name, value in (
            ("thinking", {"type": "enabled", "budget_tokens": 2000}),
            ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}),
        ):
            with pytest.raises(AdapterError) as caught:
                made(**{name: value})
            assert caught.value.param == name


class TestBeginning:
    """https://github.com/anthropics/anthropic-sdk-typescript/issues/622: not every host takes an assistant's turn first."""

    def test_a_greeting_of_the_assistant_has_a_user_s_turn_before_it(self) -> None:
        body = sent([{"role": "system", "content": "Be kind."}, assistant(content="Hello! How can I help?"), user("Hi")])
        assert body["system"] == "Be kind."
        assert body["messages"] == [user(OPENING), {"role": "assistant", "content": "Hello! How can I help?"}, user("Hi")]

    def test_a_history_cut_short_may_begin_with_calls(self) -> None:
        turns = sent([assistant(call()), result(), user("So?")])["messages"]
        assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
        assert turns[1]["content"][0]["type"] == "tool_use"

    def test_instructions_alone_are_what_is_asked(self) -> None:
        body = sent([{"role": "system", "content": "Say hi."}, {"role": "developer", "content": "In French."}])
        assert "system" not in body
        assert body["messages"] == [user([{"type": "text", "text": "Say hi."}, {"type": "text", "text": "In French."}])]


def test_a_refusal_of_the_model_is_text_when_it_comes_back() -> None:
    said = {"role": "assistant", "content": None, "refusal": "I cannot."}
    assert sent([user("Hi"), said, user("Why?")])["messages"][1] == {"role": "assistant", "content": "I cannot."}


def test_no_error_quotes_what_was_said() -> None:
    with pytest.raises(AdapterError) as caught:
        ADAPTER.outbound({"messages": [user([{"type": "my secret", "text": "secret"}])]}, Target(upstream_model="claude-opus-5"))
    assert "secret" not in caught.value.message
