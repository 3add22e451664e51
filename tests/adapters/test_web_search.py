"""A search of the web in a hub request: https://platform.openai.com/docs/api-reference/chat/create#chat-create-web_search_options"""

import json
from typing import Any

import pytest

from adapters import adapters
from adapters._base import AdapterError, Target
from adapters._chat import DOOR as CHAT
from adapters._web_search import cited, numbered, search_of
from adapters.anthropic.door import DOOR as MESSAGES
from adapters.anthropic.door_search import own
from adapters.responses import DOOR as RESPONSES

MODELS = {"anthropic": "claude-sonnet-4-6", "gemini": "gemini-3-flash-preview", "openai": "gpt-5-mini"}
F = {"type": "function", "function": {"name": "f"}}


def sent(dialect: str, members: dict[str, Any]) -> Any:
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members}
    return json.loads(adapters()[dialect].outbound(chat, Target(upstream_model=MODELS[dialect])).body)


def test_nothing_is_searched_unasked() -> None:
    assert search_of({}) is None
    assert search_of({"web_search_options": None}) is None
    assert "tools" not in sent("anthropic", {}) | sent("gemini", {})


WRONG = {
    "no object": (5, "web_search_options"),
    "size": ({"search_context_size": "all"}, "web_search_options.search_context_size"),
    "place": ({"user_location": {"type": "exact", "approximate": {}}}, "web_search_options.user_location.type"),
    "no place": ({"user_location": {"type": "approximate"}}, "web_search_options.user_location.approximate"),
    "city": ({"user_location": {"approximate": {"city": 5}}}, "web_search_options.user_location.approximate.city"),
    "unknown": ({"depth": 5}, "web_search_options.depth"),
}


@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
@pytest.mark.parametrize("case", WRONG)
def test_a_misfit_names_its_member(dialect: str, case: str) -> None:
    told, param = WRONG[case]
    with pytest.raises(AdapterError) as caught:
        sent(dialect, {"web_search_options": told})
    assert caught.value.param == param


def test_a_tool_of_the_search_s_name_stands_in_its_way() -> None:
    with pytest.raises(AdapterError) as caught:
        sent("anthropic", {"web_search_options": {}, "tools": [{"type": "function", "function": {"name": "web_search"}}]})
    assert caught.value.param == "web_search_options"


def test_without_functions_it_searches_all_the_same() -> None:
    """`tool_choice: none` is about the client's functions; the vendor's would forbid its search too."""
    body = sent("anthropic", {"web_search_options": {}, "tools": [F], "tool_choice": "none"})
    assert [tool["name"] for tool in body["tools"]] == ["web_search"]
    assert "tool_choice" not in body


def test_one_call_at_a_time_stays_said() -> None:
    body = sent("anthropic", {"web_search_options": {}, "tools": [F], "parallel_tool_calls": False})
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_json_of_an_earlier_gemini_is_asked_for_in_words() -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}], "web_search_options": {}, "response_format": {"type": "json_object"}}
    adapter, target = adapters()["gemini"], Target(upstream_model="gemini-2.5-flash")
    body = json.loads(adapter.outbound(chat, target).body)
    assert "generationConfig" not in body
    assert adapter.json_by_words(chat, target)


def test_a_place_in_a_responses_tool_is_named_there() -> None:
    request = {
        "model": "m",
        "input": "Hi",
        "tools": [
            {"type": "web_search", "filters": {"allowed_domains": ["e.org"]}},
            {"type": "namespace", "name": "s", "tools": [{"type": "function", "name": "a"}, {"type": "function", "name": "b"}]},
            {"type": "function", "name": "f", "parameters": {}},
        ],
    }
    places = {
        "web_search_options": "tools[0]",
        "web_search_options.filters": "tools[0].filters",
        "web_search_options.user_location.approximate.city": "tools[0].user_location.city",
        "tools[1].function.name": "tools[1].tools[1].name",
        "tools[2].function.parameters": "tools[2].parameters",
        "tools[9]": "tools",
    }
    assert {param: RESPONSES.place(param, request) for param in places} == places
    assert [tool["function"]["name"] for tool in RESPONSES.hub(request)["tools"]] == ["s__a", "s__b", "f"]


def test_annotations_of_deltas_are_numbered_on() -> None:
    one = cited("https://e.org", None, 1, 2)
    assert [each["index"] for each in numbered([one, one], 3)] == [3, 4]
    assert one == {
        "type": "url_citation",
        "url_citation": {"start_index": 1, "end_index": 2, "url": "https://e.org", "title": "https://e.org"},
    }


def test_a_search_that_failed_is_told_so() -> None:
    content = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": {"type": "web_search_tool_result_error"}},
        {"type": "text", "text": "Sorry"},
    ]
    body = json.dumps({"type": "message", "id": "msg_1", "content": content, "stop_reason": "end_turn"}).encode()
    completion = adapters()["anthropic"].completion(body).body
    request: dict[str, Any] = {"model": "m", "input": "Hi", "tools": [{"type": "web_search"}]}
    (search, message) = json.loads(RESPONSES.reply(completion, None, None, request))["output"]
    assert (search["type"], search["status"], search["action"]["queries"]) == ("web_search_call", "failed", ["q"])
    assert message["content"][0]["text"] == "Sorry"
    assert "searches" not in json.loads(CHAT.reply(completion, None, None, {}))["choices"][0]["message"]
    told = json.loads(MESSAGES.reply(completion, None, None, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}))
    assert [block["type"] for block in told["content"]] == ["server_tool_use", "web_search_tool_result", "text"]
    assert told["content"][1]["content"] == {"type": "web_search_tool_result_error", "error_code": "unavailable"}


MESSAGES_FOR_ANTHROPIC = [
    (b'"Hi"', b'"Hi"'),
    (b'[5, {"role": "user", "content": "greenlane_search"}]', b'[5,{"role":"user","content":"greenlane_search"}]'),
    (b'[{"role": "assistant", "content": [{"type": "server_tool_use", "id": "srvtoolu_greenlane_search_1_0"}]}]', b"[]"),
    (
        b'[{"content": [{"type":"text", "text":"a", "citations": [{"encrypted_index":"greenlane_search"}, {"encrypted_index": "eA=="}]}]}]',
        b'[{"content":[{"type":"text","text":"a","citations":[{"encrypted_index":"eA=="}]}]}]',
    ),
    (b'[{"role": "user", "content": []}]', b'[{"role":"user","content":[]}]'),
]


@pytest.mark.parametrize(("messages", "told"), MESSAGES_FOR_ANTHROPIC)
def test_what_anthropic_has_not_sealed_is_left_out(messages: bytes, told: bytes) -> None:
    """Whatever the messages are: what is wrong with them is Anthropic's to say."""
    assert own(messages) == told


def test_beside_a_search_a_choice_of_what_is_not_there_is_refused() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    asked: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "tools": [search]}
    with pytest.raises(AdapterError) as caught:
        MESSAGES.hub(asked | {"tool_choice": {"type": "tool", "name": "other"}})
    assert caught.value.param == "tool_choice.name"
