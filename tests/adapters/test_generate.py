"""The plain door: a prompt in, text out."""

from __future__ import annotations

import json

import pytest

from adapters._base import AdapterError, Fault, Usage
from adapters.generate import DOOR

COMPLETION = {"id": "c", "model": "host/model-7", "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
USAGE = Usage(input_tokens=5, output_tokens=2)


def test_a_prompt_is_a_user_s_message_and_a_system_prompt_comes_before_it():
    body = {"prompt": "Hi", "system": "Be kind.", "model": "small", "max_tokens": 4, "greenlane": {}}
    assert DOOR.hub(body) == {
        "model": "small",
        "max_tokens": 4,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "prompt"), ({"prompt": ""}, "prompt"), ({"prompt": "x", "system": 1}, "system"), ({"prompt": "x", "n": 2}, "n")],
)
def test_anything_else_is_refused_by_name(body, param):
    with pytest.raises(AdapterError) as caught:
        DOOR.hub(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("account", "request_", "model"),
    [
        (b'{"id":"gl","model":"small"}', {"model": "auto"}, "small"),
        (b'{"id":"gl"}', {"model": "small"}, "small"),
        (None, {"model": "small"}, "small"),
        (None, {}, "host/model-7"),
    ],
)
def test_the_answer_names_the_model_that_served_by_its_public_name(account, request_, model):
    told = json.loads(DOOR.reply(COMPLETION, USAGE, account, request_))
    usage = {"input_tokens": 5, "output_tokens": 2, **({} if account is None else {"greenlane": json.loads(account)})}
    assert told == {"id": "c", "model": model, "text": "Hello", "finish_reason": "stop", "usage": usage}


def test_a_stream_is_text_then_the_reason_and_the_usage():
    writer = DOOR.writer({})
    said = [{"delta": {"role": "assistant", "content": ""}}, {"delta": {"content": "Hel"}}, {"delta": {}, "finish_reason": "stop"}]
    told = b"".join(writer.write({"choices": [choice]}) for choice in said) + writer.close(USAGE, b'{"id":"gl"}')
    end = b'{"finish_reason":"stop","usage":{"input_tokens":5,"output_tokens":2,"greenlane":{"id":"gl"}}}'
    assert told == b'data: {"text":"Hel"}\n\ndata: ' + end + b'\n\n: greenlane {"id":"gl"}\ndata: [DONE]\n\n'
    assert writer.fail(Fault(message="No.")).startswith(b'data: {"error":{"message":"No."')
