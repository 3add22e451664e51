"""OpenAI's client with items of the input that add tools or change the request, as Codex sends them to models it knows."""

import pytest

SPACE = {
    "type": "namespace",
    "name": "town",
    "description": "About towns.",
    "tools": [
        {
            "type": "function",
            "name": "get_weather",
            "description": "Tells the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        }
    ],
}
ADDED = {"type": "additional_tools", "role": "developer", "tools": [SPACE]}
WEATHER = {"role": "user", "content": "What is the weather in 'Paris'?"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_that_an_item_adds_is_called_by_its_own_name(client, route, stream):
    answer = client.responses.create(model=route.model, input=[ADDED, WEATHER], tool_choice="required", stream=stream)
    if stream:
        answer = list(answer)[-1].response
    [call] = [item for item in answer.output if item.type == "function_call"]
    assert (call.name, call.namespace) == ("get_weather", "town")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    asked = {"type": "function_call", "call_id": call.call_id, "name": call.name, "namespace": "town", "arguments": call.arguments}
    assert client.responses.create(model=route.model, input=[ADDED, WEATHER, asked, output]).output_text


def test_an_item_changes_what_is_asked_for(client, imitations):
    update = {"type": "configuration_update", "reasoning": {"effort": "low"}}
    assert client.responses.create(model="gemini", input=[{"role": "user", "content": "Hi"}, update]).output_text
    thinking = imitations["gemini"][0].last.body["generationConfig"]["thinkingConfig"]
    assert thinking["thinkingLevel"] == "LOW"
