"""OpenAI's bytes go through, with the account put in: https://platform.openai.com/docs/api-reference/responses-streaming"""

import itertools
import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from adapters._base import Fault, FaultError, GarbledError, Usage
from adapters.responses.identity import ResponsesStream, responses_reply, responses_text

ACCOUNT = b'{"id":"gl_1","carbon_g":0.00011}'
COMMENT = b': greenlane {"id":"gl_1","carbon_g":0.00011}\n'
ITEM = '{"id": "msg_1", "type": "message", "status": "%s", "role": "assistant", "content": [%s]}'
PART = '{"type": "output_text", "text": "%s", "annotations": [], "logprobs": []}'
PLACE = '"item_id": "msg_1", "output_index": 0, "content_index": 0'


def response(status: str, output: str = "", usage: str = "null", more: str = "") -> str:
    return (
        f'{{"id": "resp_1", "object": "response", "created_at": 1.0, "status": "{status}", "model": "gpt", "output": [{output}],'
        f' "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "new": 1.50, "usage": {usage}{more} }}'
    )


def event(number: int, kind: str, rest: str) -> bytes:
    return f'event: {kind}\ndata: {{"type": "{kind}", "sequence_number": {number}, {rest} }}\n\n'.encode()


COUNTS = (
    '{"input_tokens": 12, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}, "output_tokens": 7,'
    ' "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 19%s}'
)
TOLD = COUNTS % ',"greenlane":{"id":"gl_1","carbon_g":0.00011}'
WHOLE_ITEM = ITEM % ("completed", PART % "Hello\u2028")
START = event(0, "response.created", f'"response": {response("in_progress")}')
ADDED = event(1, "response.output_item.added", f'"output_index": 0, "item": {ITEM % ("in_progress", "")}')
CONTENT = (
    event(2, "response.content_part.added", f'{PLACE}, "part": {PART % ""}')
    + event(3, "response.output_text.delta", f'{PLACE}, "delta": "Hello\u2028", "logprobs": [], "obfuscation": "x"')
    + event(4, "response.output_text.done", f'{PLACE}, "text": "Hello\u2028", "logprobs": []')
    + event(5, "response.output_item.done", f'"output_index": 0, "item": {WHOLE_ITEM}')
)
END = event(6, "response.completed", f'"response": {response("completed", WHOLE_ITEM, COUNTS % "")}')
OUR_END = COMMENT + event(6, "response.completed", f'"response": {response("completed", WHOLE_ITEM, TOLD)}')
WHOLE = START + ADDED + CONTENT + END
OURS = START + ADDED + CONTENT + OUR_END
USAGE = Usage(input_tokens=12, cached_tokens=4, cache_write_tokens=3, output_tokens=7, reasoning_tokens=2)


def passed(stream: ResponsesStream, pieces: list[bytes], account: bytes | None = ACCOUNT) -> bytes:
    out = b"".join([stream.feed(piece) for piece in pieces]) + stream.finish()
    return out + stream.close(account)


@pytest.mark.parametrize("whole", [WHOLE, WHOLE + b"data: [DONE]\n\n", WHOLE.removesuffix(b"\n\n")])
def test_only_the_account_is_added_and_everything_is_noted(whole: bytes) -> None:
    stream = ResponsesStream(capture=True)
    assert passed(stream, [whole]) == OURS
    assert (stream.usage, stream.finish_reason, stream.started, stream.ended) == (USAGE, "stop", True, True)
    assert stream.text.decode() == "Hello\u2028"


def test_without_an_account_the_bytes_are_the_same() -> None:
    assert passed(ResponsesStream(), [WHOLE], None) == WHOLE


def test_byte_by_byte_is_the_same() -> None:
    assert passed(ResponsesStream(), [WHOLE[at : at + 1] for at in range(len(WHOLE))]) == OURS


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_cut_anywhere_is_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    assert passed(ResponsesStream(), [WHOLE[start:end] for start, end in itertools.pairwise(places)]) == OURS


def test_content_is_not_held_back_and_a_start_is_no_content_yet() -> None:
    stream = ResponsesStream()
    assert stream.feed(START + ADDED) == START + ADDED
    assert not stream.started
    assert stream.feed(CONTENT) == CONTENT
    assert stream.started


@pytest.mark.parametrize(
    ("end", "finish_reason"),
    [
        (
            event(
                6,
                "response.completed",
                '"response": ' + response("completed", WHOLE_ITEM + ', {"type": "function_call"}'),
            ),
            "tool_calls",
        ),
        (
            event(6, "response.incomplete", f'"response": {response("incomplete")}'),
            "length",
        ),
        (
            event(
                6,
                "response.incomplete",
                '"response": ' + response("incomplete", more=', "incomplete_details": {"reason": "content_filter"}'),
            ),
            "content_filter",
        ),
    ],
)
def test_the_end_has_its_hub_word_and_null_usage_stays_null(end: bytes, finish_reason: str) -> None:
    stream = ResponsesStream()
    assert passed(stream, [START + ADDED + CONTENT + end]) == START + ADDED + CONTENT + COMMENT + end
    assert (stream.finish_reason, stream.usage, stream.ended) == (finish_reason, None, True)


def test_the_official_client_takes_the_stream_and_its_comment() -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=OURS, headers={"content-type": "text/event-stream"}))
    with httpx2.Client(transport=transport) as http:
        client = openai.OpenAI(api_key="k", base_url="http://t", http_client=http, max_retries=0)
        with client.responses.stream(model="m", input="Hi") as live:
            final = live.get_final_response()
    assert final.output_text == "Hello\u2028"
    assert final.usage is not None
    assert final.usage.to_dict()["greenlane"] == json.loads(ACCOUNT)


FLAT = event(2, "error", '"code": "rate_limit_exceeded", "message": "Slow down", "param": null')
NESTED = event(2, "error", '"error": {"type": "too_many_requests", "code": "rate_limit_exceeded", "message": "Slow down", "param": null}')
FAILED = event(2, "response.failed", '"response": ' + response("failed", more=', "error": {"code": "server_error", "message": "Sorry"}'))


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (FLAT, Fault(message="Slow down", type="rate_limit_error", code="rate_limit_exceeded", status=429)),
        (NESTED, Fault(message="Slow down", type="too_many_requests", code="rate_limit_exceeded", status=429)),
        (FAILED, Fault(message="Sorry", code="server_error", status=500)),
        (b'data: {"type": "error"}\n\n', Fault(message="The upstream reported an error.", status=500)),
    ],
)
def test_an_error_before_content_can_be_retried_elsewhere(error: bytes, fault: Fault) -> None:
    with pytest.raises(FaultError) as caught:
        ResponsesStream().feed(START + ADDED + error)
    assert caught.value.fault == fault


@pytest.mark.parametrize("error", [FLAT, NESTED, FAILED])
def test_words_and_an_error_in_one_read_go_out_as_in_two(error: bytes) -> None:
    stream = ResponsesStream()
    assert stream.feed(START + ADDED + CONTENT + error) == START + ADDED + CONTENT
    with pytest.raises(FaultError):
        stream.finish()


BARE = b'data: {"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}\n\n'
"""As hosts that imitate the API put it into a stream."""


@pytest.mark.parametrize("error", [FLAT, NESTED, FAILED, BARE], ids=["flat", "nested", "failed", "no type"])
def test_an_error_after_content_ends_the_stream(error: bytes) -> None:
    """It is told anew and not passed on: it may hold our key. What the upstream sends behind it would make it look whole."""
    stream = ResponsesStream()
    assert stream.feed(START + ADDED + CONTENT) == START + ADDED + CONTENT
    with pytest.raises(FaultError) as caught:
        stream.feed(error)
    assert not stream.ended
    assert caught.value.fault.message in ("Slow down", "Sorry")
    assert stream.fail(caught.value.fault).count(b"event: error\n") == 1


def test_a_broken_stream_ends_in_a_failed_response_and_an_error_with_the_next_numbers() -> None:
    stream = ResponsesStream()
    stream.feed(START + ADDED + CONTENT)
    first, second = stream.fail(Fault(message="The upstream broke off.", code="upstream_error")).decode().removesuffix("\n\n").split("\n\n")
    begun = json.loads(START.split(b"data: ")[1].split(b"\n")[0])["response"]
    name, data = first.split("\n")
    assert name == "event: response.failed"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "response.failed",
        "sequence_number": 6,
        "response": {**begun, "status": "failed", "output": [], "error": {"code": "upstream_error", "message": "The upstream broke off."}},
    }
    assert second.startswith('event: error\ndata: {"type":"error","sequence_number":7,"code":"upstream_error","message":"The upstream')


def test_the_account_goes_into_an_event_of_several_data_lines() -> None:
    stream = ResponsesStream()
    out = passed(stream, [WHOLE.replace(b"data: {", b"data: {\ndata: ")])
    (last,) = [block for block in out.decode().split("\n\n") if "event: response.completed\n" in block]
    data = "\n".join(line.removeprefix("data: ") for line in last.split("\n") if line.startswith("data: "))
    assert json.loads(ACCOUNT).items() <= json.loads(data)["response"]["usage"]["greenlane"].items()


@pytest.mark.parametrize("empty", [b"data:\n\n", b"event: ping\ndata\n\n", b"retry: 10\n\n"])
def test_a_block_without_data_is_left_out(empty: bytes) -> None:
    assert passed(ResponsesStream(), [empty + START + empty + ADDED + CONTENT + END]) == passed(ResponsesStream(), [WHOLE])


def test_rubbish_is_the_upstreams_fault() -> None:
    with pytest.raises(GarbledError):
        ResponsesStream().feed(b"data: {oops\n\n")
    with pytest.raises(GarbledError):
        ResponsesStream(event_bytes=100).feed(b"data: " + b"x" * 200)


def test_events_of_unknown_shape_go_through() -> None:
    odd = b'data: {"type": 3}\n\n'
    assert ResponsesStream().feed(odd) == odd


def test_a_whole_answer_gets_the_account_and_keeps_its_bytes() -> None:
    body = response("completed", WHOLE_ITEM, COUNTS % "").encode()
    told, usage, reason, fault = responses_reply(body, ACCOUNT)
    assert told == response("completed", WHOLE_ITEM, TOLD).encode()
    assert (usage, reason, fault) == (USAGE, "stop", None)
    Response.model_validate_json(told)
    assert responses_reply(body, None)[0] is body


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"object": "chat.completion"}', b'{"object": "response", "output": 3}'])
def test_what_is_no_response_is_garbled(body: bytes) -> None:
    with pytest.raises(GarbledError):
        responses_reply(body, ACCOUNT)


def test_an_error_in_a_200_is_an_error() -> None:
    with pytest.raises(FaultError) as caught:
        responses_reply(b'{"error": {"message": "No.", "code": "x"}}', ACCOUNT)
    assert caught.value.fault == Fault(message="No.", code="x")


SORRY = ', "error": {"code": "server_error", "message": "Sorry"}'


def test_a_failed_answer_with_a_part_of_what_was_asked_is_passed_on() -> None:
    body: Any = response("failed", more=SORRY).encode().replace(b'"output": []', b'"output": [{"type": "message"}]')
    assert b'"type": "message"' in body
    assert responses_reply(body, None) == (body, None, None, Fault(message="Sorry", code="server_error", status=500))


@pytest.mark.parametrize(
    ("code", "status"),
    [("invalid_prompt", 400), ("image_too_small", 400), ("insufficient_quota", 429), ("vector_store_timeout", 500), ("x" * 100, 500)],
)
def test_the_code_of_a_failure_tells_whose_fault_it_is(code: str, status: int) -> None:
    body = response("failed", WHOLE_ITEM, more=f', "error": {{"code": "{code}", "message": "Sorry"}}')
    kind = "rate_limit_error" if status == 429 else "upstream_error"
    assert responses_reply(body.encode(), None)[3] == Fault(message="Sorry", type=kind, code=code[:64], status=status)


def test_a_failed_answer_with_nothing_to_show_is_an_error() -> None:
    with pytest.raises(FaultError) as caught:
        responses_reply(response("failed", more=SORRY).encode(), ACCOUNT)
    assert (caught.value.fault.message, caught.value.fault.code, caught.value.fault.status) == ("Sorry", "server_error", 500)


@pytest.mark.parametrize("error", ["null", '"oops"', '{"code": 5}', "{}"])
def test_a_failed_answer_is_told_whatever_its_error_holds(error: str) -> None:
    assert responses_reply(response("failed", WHOLE_ITEM, more=f', "error": {error}').encode(), None)[3].code is None


def test_an_answer_without_usage_gets_what_was_counted() -> None:
    told = json.loads(responses_reply(response("completed", WHOLE_ITEM).encode(), ACCOUNT, USAGE)[0])
    assert told["usage"].pop("greenlane") == json.loads(ACCOUNT)
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (USAGE.input_tokens, USAGE.output_tokens)
    Response.model_validate(told)


def test_what_was_generated_can_be_counted() -> None:
    items = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "content": None},
        {"type": "message", "content": [{"type": "output_text", "text": "Hé"}, {"type": "refusal", "refusal": "No."}, 5]},
        {"type": "function_call", "arguments": "{}"},
        {"type": "custom_tool_call", "input": "1+1"},
        5,
    ]
    assert responses_text(json.dumps({"output": items}).encode()) == "Hm.HéNo.{}1+1".encode()
    assert responses_text(b'{"output": null}') == responses_text(b"[") == b""
