"""Anthropic's client with the tools whose schemas Anthropic keeps, at the models of others."""

import pytest

WEATHER = [{"role": "user", "content": "What is the weather in 'Paris'?"}]
KNOWN = [("bash_20250124", "bash"), ("text_editor_20250728", "str_replace_based_edit_tool"), ("memory_20250818", "memory")]


def ask(claude, model, messages, kind, name, **members):
    return claude.messages.create(model=model, max_tokens=500, messages=messages, tools=[{"type": kind, "name": name}], **members)


@pytest.mark.parametrize("model", ["openai", "gemini", "gemini-2.5-flash"])
@pytest.mark.parametrize(("kind", "name"), KNOWN)
def test_it_is_called_and_its_result_goes_back(claude, model, kind, name):
    answer = ask(claude, model, WEATHER, kind, name, tool_choice={"type": "any"})
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, answer.stop_reason) == (name, "tool_use")
    assert name == "bash" or call.input["command"] in ("view", "create", "str_replace", "insert", "delete", "rename")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "done"}
    more = [*WEATHER, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    assert ask(claude, model, more, kind, name).content
