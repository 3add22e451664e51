"""What is wrong with a request that is translated is told by the place where the client wrote it, in each client's dialect."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.harness import ask, serving

FLEET = """
deployments:
  claude: {{model: claude, upstream_model: claude-haiku-4-5, dialect: anthropic, base_url: "{url}", apis: [chat]}}
  new: {{model: new, upstream_model: claude-opus-5-5, dialect: anthropic, base_url: "{url}", apis: [chat]}}
  gemini: {{model: gemini, upstream_model: gemini-3-flash-preview, dialect: gemini, base_url: "{url}"}}
  plain: {{model: plain, upstream_model: gemini-1.5-flash, dialect: gemini, base_url: "{url}"}}
  openai: {{model: openai, base_url: "{url}", apis: [chat]}}
  bare: {{model: bare, base_url: "{url}", apis: [chat], abilities: [], quirks: {{refuses: [temperature, stop, reasoning_effort, user]}}}}
  tiny: {{model: tiny, base_url: "{url}", apis: [chat, completions], context_tokens: 100}}
"""
BAD_SCHEMA = {"type": "object", "properties": {"x": {"$ref": "#/$defs/nowhere"}}}
CHOICE_OF_SCHEMAS = {"anyOf": [{"type": "object"}]}
FTP = "ftp://example.org/a.png"
SIX = ["a", "b", "c", "d", "e", "f"]
LONG = "word " * 2000
HI = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("places")) as made:
        yield made


def user(*parts) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def called(name: str = "f", call_id: str = "c1", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def chat_call(name: str = "f", call_id: str = "c1", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def used(name: str = "f", call_id: str = "c1") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}}


def text(words: str, kind: str = "text") -> dict[str, Any]:
    return {"type": kind, "text": words}


def chat_format(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}}


PICTURE = {"type": "image", "source": {"type": "url", "url": FTP}}
PAPER = {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
SPOKEN = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "opus"}}
CHAT = "/chat/completions"
RESPONSES = "/responses"
MESSAGES = "/messages"
GENERATE = "/generate"
CASES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    # what is asked, the model, the members, and the place
    "chat: image": (
        CHAT,
        "gemini",
        {"messages": [HI, user({"type": "image_url", "image_url": {"url": FTP}})]},
        "messages[1].content[0].image_url.url",
    ),
    "chat: name": (
        CHAT,
        "claude",
        {"messages": [HI, {"role": "assistant", "tool_calls": [chat_call("")]}]},
        "messages[1].tool_calls[0].function.name",
    ),
    "chat: schema": (CHAT, "gemini", {"messages": [HI], **chat_format(BAD_SCHEMA)}, "response_format.json_schema.schema"),
    "chat: stop": (CHAT, "gemini", {"messages": [HI], "stop": SIX}, "stop"),
    "chat: an older tool": (CHAT, "claude", {"messages": [HI], "functions": [{"name": ""}]}, "functions[0].name"),
    "chat: an older choice": (
        CHAT,
        "claude",
        {"messages": [HI], "functions": [{"name": "f"}], "function_call": {"name": "g"}},
        "function_call",
    ),
    "chat: an older call": (
        CHAT,
        "gemini",
        {"messages": [HI, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": [1]}}]},
        "messages[1].function_call.arguments",
    ),
    # responses
    "image": (
        RESPONSES,
        "gemini",
        {"input": [user(text("a", "input_text"), {"type": "input_image", "image_url": FTP})]},
        "input[0].content[1].image_url",
    ),
    "image behind instructions": (
        *(RESPONSES, "gemini"),
        {"instructions": "Be brief.", "input": [HI, user({"type": "input_image", "image_url": FTP})]},
        "input[1].content[0].image_url",
    ),
    "image in a result": (
        *(RESPONSES, "gemini"),
        {
            "input": [
                HI,
                called(),
                {
                    "type": "function_call_output",
                    "call_id": "c1",
                    "output": [text("a", "input_text"), {"type": "input_image", "image_url": FTP}],
                },
            ]
        },
        "input[2].output[1].image_url",
    ),
    "file": (
        RESPONSES,
        "openai",
        {"input": [HI, user({"type": "input_file", "file_url": "https://example.org/a.pdf"})]},
        "input[1].content[0].file_url",
    ),
    "file's data": (
        RESPONSES,
        "gemini",
        {"input": [user({"type": "input_file", "file_data": "data:nonsense"})]},
        "input[0].content[0].file_data",
    ),
    "audio": (RESPONSES, "gemini", {"input": [user(SPOKEN)]}, "input[0].content[0].input_audio.format"),
    "name of a call": (RESPONSES, "claude", {"input": [HI, called("")]}, "input[1].name"),
    "name of the second call of a turn": (
        *(RESPONSES, "claude"),
        {
            "input": [
                HI,
                {"type": "reasoning", "summary": [{"text": "hm"}]},
                {"role": "assistant", "content": "I see"},
                called(),
                called("", "c2"),
            ]
        },
        "input[4].name",
    ),
    "id of a call": (RESPONSES, "claude", {"input": [HI, called(), called()]}, "input[2].call_id"),
    "a call without result": (RESPONSES, "claude", {"input": [HI, called(), HI]}, "input[1]"),
    "a result without call": (
        RESPONSES,
        "claude",
        {"input": [HI, {"type": "function_call_output", "call_id": "c9", "output": "x"}]},
        "input[1].call_id",
    ),
    "blank input": (RESPONSES, "claude", {"input": " "}, "input"),
    "blank item": (RESPONSES, "claude", {"instructions": "x", "input": [{"role": "user", "content": " "}]}, "input[0].content"),
    "parts of an answer": (
        *(RESPONSES, "gemini"),
        {
            "input": [
                HI,
                {"role": "assistant", "content": [text("a", "output_text")]},
                called(),
                {"role": "assistant", "content": [text("b", "output_text"), {"type": "input_image", "image_url": FTP}]},
            ]
        },
        "input[3].content[1].image_url",
    ),
    "the last word": (RESPONSES, "new", {"input": [HI, {"role": "assistant", "content": "I"}]}, "input"),
    "schema of a tool": (
        RESPONSES,
        "gemini",
        {"input": "Hi", "tools": [{"type": "custom", "name": "g"}, {"type": "function", "name": "f", "parameters": BAD_SCHEMA}]},
        "tools[1].parameters",
    ),
    "a tool's name": (RESPONSES, "claude", {"input": "Hi", "tools": [{"type": "custom", "name": ""}]}, "tools[0].name"),
    "tool_choice": (
        RESPONSES,
        "claude",
        {"input": "Hi", "tools": [{"type": "custom", "name": "g"}], "tool_choice": {"type": "function", "name": "f"}},
        "tool_choice",
    ),
    "allowed tools": (
        *(RESPONSES, "claude"),
        {
            "input": "Hi",
            "tools": [{"type": "custom", "name": "g"}],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        },
        "tool_choice.tools",
    ),
    "format": (
        RESPONSES,
        "gemini",
        {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "a", "schema": BAD_SCHEMA, "strict": True}}},
        "text.format.schema",
    ),
    "effort": (RESPONSES, "plain", {"input": "Hi", "reasoning": {"effort": "high"}}, "reasoning.effort"),
    "effort refused by a host": (RESPONSES, "bare", {"input": "Hi", "reasoning": {"effort": "high"}}, "reasoning.effort"),
    "temperature": (RESPONSES, "new", {"input": "Hi", "temperature": 0.5}, "temperature"),
    "logprobs": (RESPONSES, "claude", {"input": "Hi", "include": ["message.output_text.logprobs"]}, "include"),
    "top_logprobs": (RESPONSES, "claude", {"input": "Hi", "top_logprobs": 3}, "top_logprobs"),
    "an ability": (RESPONSES, "bare", {"input": [user({"type": "input_image", "image_url": "https://example.org/a.png"})]}, "input"),
    "length": (RESPONSES, "tiny", {"input": LONG}, "input"),
    "the door's own": (RESPONSES, "gemini", {"input": [HI, {"type": "item_reference", "id": "x"}]}, "input[1]"),
}
MESSAGES_CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "image": ("gemini", {"messages": [HI, user(text("a"), PICTURE)]}, "messages[1].content[1].source"),
    "image behind a system prompt": ("gemini", {"system": "Be brief.", "messages": [user(PICTURE)]}, "messages[0].content[0].source"),
    "image behind results": (
        "gemini",
        {
            "messages": [
                HI,
                {"role": "assistant", "content": [used(), used("g", "c2")]},
                user(
                    {"type": "tool_result", "tool_use_id": "c1", "content": "x"},
                    {"type": "tool_result", "tool_use_id": "c2"},
                    text("a"),
                    PICTURE,
                ),
            ]
        },
        "messages[2].content[3].source",
    ),
    "image in a result": (
        "gemini",
        {
            "messages": [
                HI,
                {"role": "assistant", "content": [used()]},
                user({"type": "tool_result", "tool_use_id": "c1", "content": [text("a"), PICTURE]}),
            ]
        },
        "messages[2].content[0].content[1].source",
    ),
    "image in a document": (
        "gemini",
        {"messages": [user({"type": "document", "title": "T", "source": {"type": "content", "content": [text("a"), PICTURE]}}, text("b"))]},
        "messages[0].content[0].source",
    ),
    "document": ("openai", {"messages": [user(text("a"), PAPER)]}, "messages[0].content[1].source"),
    "name of a call": (
        "gemini",
        {"messages": [HI, {"role": "assistant", "content": [text("a"), used("")]}]},
        "messages[1].content[1].name",
    ),
    "id of a call": (
        "gemini",
        {"messages": [HI, {"role": "assistant", "content": [used(), text("a"), used()]}]},
        "messages[1].content[2].id",
    ),
    "a result without call": (
        "gemini",
        {"messages": [HI, user({"type": "tool_result", "tool_use_id": "c9", "content": "x"})]},
        "messages[1].content[0].tool_use_id",
    ),
    "a call without result": ("gemini", {"messages": [HI, {"role": "assistant", "content": [used()]}, HI]}, "messages[2]"),
    "a result later": (
        "gemini",
        {
            "system": "x",
            "messages": [
                HI,
                {"role": "assistant", "content": [used()]},
                user({"type": "tool_result", "tool_use_id": "c1"}, {"type": "tool_result", "tool_use_id": "c1"}),
            ],
        },
        "messages[2].content[1].tool_use_id",
    ),
    "blank": ("claude", {"messages": [HI, {"role": "assistant", "content": "I"}, {"role": "user", "content": " "}]}, "messages[2].content"),
    "blank block": ("claude", {"messages": [user(text(" "), text(""))]}, "messages[0].content"),
    "a tool's schema": ("gemini", {"messages": [HI], "tools": [{"name": "f", "input_schema": BAD_SCHEMA}]}, "tools[0].input_schema"),
    "a choice of schemas": (
        "claude",
        {"messages": [HI], "tools": [{"name": "f", "input_schema": CHOICE_OF_SCHEMAS}]},
        "tools[0].input_schema",
    ),
    "a tool's name": (
        "gemini",
        {
            "messages": [HI],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"name": "", "input_schema": {"type": "object"}}],
        },
        "tools[1].name",
    ),
    "tool_choice": (
        "gemini",
        {"messages": [HI], "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "g"}},
        "tool_choice",
    ),
    "stop": ("gemini", {"messages": [HI], "stop_sequences": SIX}, "stop_sequences"),
    "stop refused by a host": ("bare", {"messages": [HI], "stop_sequences": ["a"]}, "stop_sequences"),
    "user refused by a host": ("bare", {"messages": [HI], "metadata": {"user_id": "u"}}, "metadata.user_id"),
    "temperature": ("new", {"messages": [HI], "temperature": 0.5}, "temperature"),
    "thinking": ("plain", {"messages": [HI], "thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking"),
    "effort": ("plain", {"messages": [HI], "output_config": {"effort": "high"}}, "output_config.effort"),
    "effort refused by a host": (
        "bare",
        {"messages": [HI], "thinking": {"type": "disabled"}, "output_config": {"effort": "high"}},
        "thinking",
    ),
    "format": (
        "gemini",
        {"messages": [HI], "output_config": {"format": {"type": "json_schema", "schema": BAD_SCHEMA}}},
        "output_config.format.schema",
    ),
    "the older format": (
        "gemini",
        {"messages": [HI], "output_format": {"type": "json_schema", "schema": BAD_SCHEMA}},
        "output_format.schema",
    ),
    "an ability": (
        "bare",
        {"messages": [user({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}})]},
        "messages",
    ),
    "a tool": ("bare", {"messages": [HI], "tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "tools"),
    "length": ("tiny", {"messages": [{"role": "user", "content": LONG}]}, "messages"),
    "the door's own": ("gemini", {"messages": [HI], "container": "c"}, "container"),
}
CASES |= {
    f"messages: {name}": (MESSAGES, model, {"max_tokens": 3000, **members}, place)
    for name, (model, members, place) in MESSAGES_CASES.items()
}
CASES |= {
    "generate: stop": (GENERATE, "gemini", {"prompt": "Hi", "stop": SIX}, "stop"),
    "generate: prompt": (GENERATE, "claude", {"prompt": " "}, "prompt"),
    "generate: prompt behind a system prompt": (GENERATE, "claude", {"system": "x", "prompt": " "}, "prompt"),
    "generate: length": (GENERATE, "tiny", {"prompt": LONG}, "prompt"),
    "completions: length": ("/completions", "tiny", {"prompt": LONG}, "prompt"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_place_is_the_clients_own(served, case):
    path, model, members, place = CASES[case]
    served.host.requests.clear()
    where = "/../generate" if path == GENERATE else path
    answer = ask(served, {"model": model, **members}, where)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    if path == MESSAGES:
        # Anthropic's errors have the place in their message alone, as `messages.0.content`
        dotted = re.sub(r"\[(\d+)\]", r".\1", place)
        assert f"{dotted}: " in error["message"] or f"`{place}`" in error["message"], error
    else:
        assert error["param"] == place, error
        # most clients show the message alone
        assert f"`{place}`" in error["message"] or f"'{place}'" in error["message"], error
    assert served.host.requests == []


TWO = [text("a"), text("b")]
UPSTREAMS = {
    "responses": (
        RESPONSES,
        {"instructions": "x", "input": [HI, user(*(text(each, "input_text") for each in "ab"))]},
        "input[1].content[1].text",
    ),
    "messages": (MESSAGES, {"max_tokens": 9, "system": "x", "messages": [HI, user(*TWO)]}, "messages[1].content[1].text"),
    "chat": (CHAT, {"messages": [HI, HI, user(*TWO)]}, "messages[2].content[1].text"),
}


def refuses(param: str):
    """An upstream that says 400 and names a member."""
    error = {"message": f"Invalid type for '{param}'.", "type": "invalid_request_error", "param": param, "code": "invalid_type"}
    return lambda _, handler: handler.reply(400, {"error": error})


@pytest.mark.parametrize("client", UPSTREAMS)
def test_what_an_upstream_says_of_the_translated_request_is_told_likewise(served, client):
    path, members, place = UPSTREAMS[client]
    served.host.answer = refuses("messages[2].content[1].text")
    told = ask(served, {"model": "openai", **members}, path)
    assert told.status_code == 400
    assert f"'{place}'" in told.json()["error"]["message"]
    assert told.json()["error"].get("param", place) == place


ODD = [
    "messages[99].content[7]",
    "messages[2].tool_calls[7].id",
    "tools[99].function.name",
    "messages[",
    "x" * 500,
    "messages[999999999999]",
]
TURNS = [HI, {"role": "assistant", "content": [used()]}, user({"type": "tool_result", "tool_use_id": "c1"})]
ASKED = [
    (RESPONSES, UPSTREAMS["responses"][1]),
    (RESPONSES, {"input": [HI, called(), {"type": "function_call_output", "call_id": "c1", "output": "x"}]}),
    (MESSAGES, UPSTREAMS["messages"][1]),
    (MESSAGES, {"max_tokens": 9, "messages": TURNS}),
]


@pytest.mark.parametrize("param", ODD)
@pytest.mark.parametrize(("path", "members"), ASKED)
def test_an_upstream_may_name_what_is_not_there(served, path, members, param):
    served.host.answer = refuses(param)
    answer = ask(served, {"model": "openai", **members}, path)
    assert answer.status_code == 400
    assert "Invalid type for" in answer.json()["error"]["message"]
