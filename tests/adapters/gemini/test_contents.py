"""Messages as turns of user and model: https://ai.google.dev/api/caching#Content."""

import pytest

from adapters._base import AdapterError
from adapters.gemini.contents import OPENING, conversation
from adapters.gemini.models import model_of
from adapters.gemini.signatures import BYPASS

OLDER, NEWER = model_of("gemini-2.5-flash"), model_of("gemini-3-flash-preview")
PIXEL = "data:image/png;base64,AAAA"


def call(identifier, name="f", arguments='{"a":1}', **more):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def test_system_and_developer_become_the_instruction_and_roles_alternate():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "user", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": ""}]},
        {"role": "assistant", "content": "Three"},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "developer", "content": [{"type": "text", "text": "In English."}]},
        {"role": "user", "content": "Four"},
    ]
    assert conversation(messages, OLDER) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "In English."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "One"}, {"text": "Two"}]},
            {"role": "model", "parts": [{"text": "Three"}, {"text": "No."}]},
            {"role": "user", "parts": [{"text": "Four"}]},
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        *((None, {}), ("", {}), (" ", {}), ("null", {}), ('{"a":1}', {"a": 1})),
        *(("[1]", {"unparsed_arguments": "[1]"}), ('{"a": ', {"unparsed_arguments": '{"a": '})),
    ],
)
def test_arguments_that_are_no_object_are_kept_under_one_name(arguments, args):
    """OpenAI takes any string: a history may hold arguments that were cut off."""
    asked = {"role": "assistant", "content": None, "tool_calls": [call("1", arguments=arguments)]}
    messages = [{"role": "user", "content": "Go"}, asked, {"role": "tool", "tool_call_id": "1", "content": "r"}]
    assert conversation(messages, OLDER)["contents"][1]["parts"] == [{"functionCall": {"id": "1", "name": "f", "args": args}}]


def test_instructions_alone_are_what_is_asked():
    assert conversation([{"role": "system", "content": "Say hi."}], OLDER) == {
        "contents": [{"role": "user", "parts": [{"text": "Say hi."}]}]
    }


def test_parallel_calls_and_their_results_are_two_turns_in_the_order_of_the_calls():
    """https://ai.google.dev/gemini-api/docs/function-calling#parallel_function_calling"""
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": "Well.", "tool_calls": [call("call_a", "f"), call("toolu_b", "g", "")]},
        {"role": "tool", "tool_call_id": "toolu_b", "content": '{"t": 20}'},
        {"role": "tool", "tool_call_id": "call_a", "content": "sunny"},
        {"role": "user", "content": "And?"},
    ]
    assert conversation(messages, OLDER)["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Well."},
                {"functionCall": {"id": "a", "name": "f", "args": {"a": 1}}},
                {"functionCall": {"id": "toolu_b", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"output": "sunny"}}},
                {"functionResponse": {"id": "toolu_b", "name": "g", "response": {"t": 20}}},
                {"text": "And?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("message", "response"),
    [
        ({"content": "plain"}, {"output": "plain"}),
        ({"content": ""}, {"output": ""}),
        ({"content": "[1]"}, {"output": "[1]"}),
        ({"content": "{}"}, {"output": "{}"}),
        ({"content": '{"a": [1, 2.5, null]}'}, {"a": [1, 2.5, None]}),
        ({"content": '{"a": {"$ref": "#/x"}}'}, {"output": '{"a": {"$ref": "#/x"}}'}),
        ({"content": '{"id": 9007199254740993}'}, {"output": '{"id": 9007199254740993}'}),
        ({"content": '{"cut": '}, {"output": '{"cut": '}),
        ({"content": "boom", "is_error": True}, {"error": "boom"}),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, {"output": "a\n\nb"}),
    ],
)
def test_a_result_is_an_object_that_says_the_same(message, response):
    """https://ai.google.dev/api/caching#FunctionResponse: `output` and `error` are the documented names."""
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "tool_calls": [call("1")]},
        {"role": "tool", "tool_call_id": "1", **message},
    ]
    told = conversation(messages, OLDER)["contents"][2]["parts"][0]["functionResponse"]
    assert told == {"id": "1", "name": "f", "response": response}


def test_pictures_in_a_result_go_inside_it_where_the_model_takes_that_and_beside_it_otherwise():
    """https://ai.google.dev/gemini-api/docs/function-calling#multimodal: Gemini 3 and later."""
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "tool_calls": [call("1")]},
        {"role": "tool", "tool_call_id": "1", "content": content},
    ]
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    response = {"id": "1", "name": "f", "response": {"output": "see"}}
    assert conversation(messages, OLDER)["contents"][2]["parts"] == [{"functionResponse": response}, picture]
    assert conversation(messages, NEWER)["contents"][2]["parts"] == [{"functionResponse": {**response, "parts": [picture]}}]


def test_signatures_come_back_from_either_place_and_foreign_calls_get_the_bypass():
    """https://ai.google.dev/gemini-api/docs/thought-signatures: the first call of each step must be signed."""
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "tool_calls": [call("x", extra_content={"google": {"thought_signature": "c2ln"}}), call("y")]},
        {"role": "tool", "tool_call_id": "x", "content": "1"},
        {"role": "tool", "tool_call_id": "y", "content": "1"},
        {"role": "assistant", "tool_calls": [call("call_own-1_ts0c2ln")]},
        {"role": "tool", "tool_call_id": "call_own-1_ts0c2ln", "content": "1"},
        {"role": "assistant", "tool_calls": [call("toolu_1"), call("toolu_2")]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "1"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "1"},
    ]

    def signed(model):
        parts = [part for content in conversation(messages, model)["contents"] for part in content["parts"] if "functionCall" in part]
        return [(part["functionCall"]["id"], part.get("thoughtSignature")) for part in parts]

    assert signed(NEWER) == [("x", "c2ln"), ("y", None), ("own-1", "c2ln"), ("toolu_1", BYPASS), ("toolu_2", None)]
    assert signed(OLDER) == [("x", "c2ln"), ("y", None), ("own-1", "c2ln"), ("toolu_1", None), ("toolu_2", None)]


def test_the_older_form_of_calls_is_understood():
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ]
    assert conversation(messages, OLDER)["contents"][1:] == [
        {"role": "model", "parts": [{"functionCall": {"id": "call-legacy", "name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "call-legacy", "name": "f", "response": {"output": "1"}}}]},
    ]


USER, CALLED = {"role": "user", "content": "Go"}, {"role": "assistant", "tool_calls": [call("1"), call("2")]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "x"}


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "user", "content": ""}], "messages"),
        (["Hi"], "messages[0]"),
        ([{"role": "robot", "content": "Hi"}], "messages[0].role"),
        ([{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}], "messages[0].content[0]"),
        ([CALLED], "messages"),
        ([USER, CALLED, RESULT, USER], "messages[3]"),
        ([USER, CALLED, RESULT], "messages"),
        ([USER, CALLED, RESULT, RESULT], "messages[3].tool_call_id"),
        ([USER, RESULT], "messages[1].tool_call_id"),
        ([USER, {"role": "assistant", "tool_calls": [call("1"), call("1")]}], "messages[1].tool_calls[1].id"),
        ([USER, {"role": "assistant", "tool_calls": [call("")]}], "messages[1].tool_calls[0].id"),
        ([USER, {"role": "assistant", "tool_calls": [call("1", "no name")]}], "messages[1].tool_calls[0].function.name"),
        ([USER, {"role": "assistant", "tool_calls": [call("1", arguments=[1])]}], "messages[1].tool_calls[0].function.arguments"),
        ([USER, {"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]}], "messages[1].tool_calls[0]"),
        ([USER, {"role": "assistant", "tool_calls": {}, "content": 5}], "messages[1].content"),
    ],
)
def test_conversations_that_gemini_would_refuse_name_their_member(messages, param):
    with pytest.raises(AdapterError) as refused:
        conversation(messages, OLDER)
    assert refused.value.param == param


def test_calls_that_open_a_conversation_have_a_user_s_turn_before_them():
    """A history cut short; https://ai.google.dev/gemini-api/docs/function-calling: a turn with calls follows a user's."""
    answered = [CALLED, *({"role": "tool", "tool_call_id": number, "content": "x"} for number in "12")]
    opening = {"role": "user", "parts": [{"text": OPENING}]}
    for history in (answered, [{"role": "assistant", "content": "Hello."}, *answered]):
        told = conversation(history, NEWER)["contents"]
        assert told[0] == opening
        assert [content["role"] for content in told] == ["user", "model", "user"]
