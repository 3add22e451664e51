"""A search of the web by the vendor, asked for and read by the official client."""

from __future__ import annotations

import openai
import pytest

ASKED = [{"role": "user", "content": "Who won in Zürich"}]
PLACE = {"type": "approximate", "approximate": {"country": "CH", "city": "Zürich"}}


def tool_of(translated):
    return translated.last["tools"][-1]


def quoted(message):
    """The words that each citation is about."""
    return [message.content[each.url_citation.start_index : each.url_citation.end_index] for each in message.annotations]


def test_it_is_asked_for_and_its_citations_are_told(client, translated):
    found = client.chat.completions.create(model=translated.model, messages=ASKED, web_search_options={"user_location": PLACE})
    choice = found.choices[0]
    assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
    assert all(each.type == "url_citation" and each.url_citation.url.startswith("https://") for each in choice.message.annotations)
    if translated.name == "anthropic":
        assert tool_of(translated)["user_location"] == {"type": "approximate", "country": "CH", "city": "Zürich"}
        assert quoted(choice.message) == ["You said 4 words and ended with Zürich."]
    else:
        assert tool_of(translated) == {"googleSearch": {}}
        assert quoted(choice.message) == ["You", "Zürich"]


def test_the_client_adds_up_the_citations_of_a_stream(client, translated):
    with client.chat.completions.stream(model=translated.model, messages=ASKED, web_search_options={}) as stream:
        found = stream.get_final_completion()
    whole = client.chat.completions.create(model=translated.model, messages=ASKED, web_search_options={})
    assert found.choices[0].message.content == whole.choices[0].message.content
    assert [each.url_citation for each in found.choices[0].message.annotations] == [
        each.url_citation for each in whole.choices[0].message.annotations
    ]
    assert not found.choices[0].message.tool_calls


def test_the_answer_may_be_told_back(client, translated):
    first = client.chat.completions.create(model=translated.model, messages=ASKED, web_search_options={})
    again = [*ASKED, first.choices[0].message, {"role": "user", "content": "And in Bern"}]
    assert client.chat.completions.create(model=translated.model, messages=again, web_search_options={}).choices[0].message.content


def test_a_paused_turn_is_not_whole(client):
    found = client.chat.completions.create(model="anthropic-pause_turn", messages=ASKED, web_search_options={})
    assert found.choices[0].finish_reason == "length"


def test_beside_functions_gemini_cannot_search(client):
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gemini", messages=ASKED, web_search_options={}, tools=[function])
    assert caught.value.param == "web_search_options"
    assert client.chat.completions.create(model="anthropic", messages=ASKED, web_search_options={}, tools=[function]).choices


def test_a_response_has_them_too(client, translated):
    found = client.responses.create(model=translated.model, input="Who won in Zürich", tools=[{"type": "web_search"}])
    part = found.output[-1].content[0]
    assert part.annotations
    assert all(part.text[each.start_index : each.end_index] for each in part.annotations)
    assert [each.type for each in found.output] == ["web_search_call", "message"]
    assert (found.output[0].status, found.output[0].action.query) == ("completed", "Zürich")
    events = list(client.responses.create(model=translated.model, input="Who won in Zürich", tools=[{"type": "web_search"}], stream=True))
    added = [event.annotation for event in events if event.type == "response.output_text.annotation.added"]
    assert [each.to_dict() for each in added] == [each.to_dict() for each in part.annotations]
    told = {each.type: each for each in events[-1].response.output}
    assert told["message"].content[0].annotations == part.annotations
    assert told["web_search_call"].action == found.output[0].action
    stages = [event.type.removeprefix("response.") for event in events if getattr(event, "item_id", "").startswith("ws_")]
    assert stages == ["web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_what_was_read_is_told_where_it_is_asked_for(client, translated):
    more = {"tools": [{"type": "web_search"}], "include": ["web_search_call.action.sources"]}
    (search, _) = client.responses.create(model=translated.model, input="Who won in Zürich", **more).output
    (source,) = search.action.sources
    assert source.url.startswith("https://")


def test_a_response_may_be_told_back(client, translated):
    tools = [{"type": "web_search"}]
    first = client.responses.create(model=translated.model, input=ASKED, tools=tools)
    again = [*ASKED, *(each.to_dict() for each in first.output), {"role": "user", "content": "And in Bern"}]
    assert client.responses.create(model=translated.model, input=again, tools=tools).output_text


SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
CLAUDE = {"max_tokens": 500, "messages": ASKED, "tools": [SEARCH]}


def test_anthropics_client_searches_with_gemini(claude, imitations):
    found = claude.messages.create(model="gemini", **CLAUDE)
    call, result, text = found.content
    assert (call.type, call.name, call.input) == ("server_tool_use", "web_search", {"query": "Zürich"})
    assert (result.type, result.tool_use_id, [each.title for each in result.content]) == (
        "web_search_tool_result",
        call.id,
        ["example.org"],
    )
    assert [each.cited_text for each in text.citations] == ["You", "Zürich"]
    assert found.stop_reason == "end_turn"
    assert imitations["gemini"][0].last.body["tools"] == [{"googleSearch": {}}]
    with claude.messages.stream(model="gemini", **CLAUDE) as stream:
        streamed = stream.get_final_message()
    told = {each.type: each.to_dict() for each in streamed.content}
    assert told == {each.type: each.to_dict() for each in found.content}


def test_what_another_vendor_found_does_not_go_to_anthropic(claude, imitations):
    """Which would refuse what it has not sealed; what it has stays."""
    first = claude.messages.create(model="gemini", **CLAUDE)
    second = claude.messages.create(model="anthropic", **CLAUDE)
    again = [*ASKED, {"role": "assistant", "content": first.content}, *ASKED, {"role": "assistant", "content": second.content}, *ASKED]
    assert claude.messages.create(model="gemini", **{**CLAUDE, "messages": again}).content
    assert claude.messages.create(model="anthropic", **{**CLAUDE, "messages": again}).content
    _, theirs, _, own, _ = imitations["anthropic"][0].last.body["messages"]
    assert theirs["content"] == [{"type": "text", "text": first.content[-1].text}]
    assert [each["type"] for each in own["content"]] == [each.type for each in second.content]
    assert own["content"][-1]["citations"]
