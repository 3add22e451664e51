"""Anthropic's bytes go through, with the account put in: https://platform.claude.com/docs/en/build-with-claude/streaming"""

import itertools
import json

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._base import Fault, FaultError, GarbledError, Usage
from adapters.anthropic.identity import MessagesStream, messages_reply, messages_text

ACCOUNT = b'{"id":"gl_1","carbon_g":0.00011}'


def event(kind: str, rest: str = "") -> bytes:
    return f'event: {kind}\ndata: {{"type": "{kind}"{rest} }}\n\n'.encode()


START = event(
    "message_start",
    ', "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude", "stop_reason": null,'
    ' "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3, "output_tokens": 1}}',
)
CONTENT = (
    event("content_block_start", ', "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}')
    + event("ping")
    + event("content_block_delta", ', "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm\u2028"}')
    + event("content_block_delta", ', "index": 0, "delta": {"type": "signature_delta", "signature": "s"}')
    + event("content_block_stop", ', "index": 0')
    + event("content_block_start", ', "index": 1, "content_block": {"type": "text", "text": ""}')
    + event("content_block_delta", ', "index": 1, "delta": {"type": "text_delta", "text": "Hello"}')
    + event("content_block_stop", ', "index": 1')
)
DELTA = b'event: message_delta\ndata: {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, %s}\n\n'
PLAIN_DELTA = DELTA % b'"usage": {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 2}, "new": 1.50 }'
OUR_DELTA = DELTA % (
    b'"usage": {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 2}, "new": 1.50,'
    b'"greenlane":{"id":"gl_1","carbon_g":0.00011}}'
)
STOP = event("message_stop")
COMMENT = b': greenlane {"id":"gl_1","carbon_g":0.00011}\n'
WHOLE = START + CONTENT + PLAIN_DELTA + STOP
OURS = START + CONTENT + OUR_DELTA + COMMENT + STOP
USAGE = Usage(input_tokens=17, cached_tokens=4, cache_write_tokens=3, output_tokens=9, reasoning_tokens=2)


def passed(stream: MessagesStream, pieces: list[bytes], account: bytes | None = ACCOUNT) -> bytes:
    out = b"".join([stream.feed(piece) for piece in pieces]) + stream.finish()
    return out + stream.close(account)


@pytest.mark.parametrize("whole", [WHOLE, WHOLE.removesuffix(b"\n"), WHOLE.removesuffix(b"\n\n")])
def test_only_the_account_is_added_and_everything_is_noted(whole: bytes) -> None:
    stream = MessagesStream(capture=True)
    assert passed(stream, [whole]) == OURS
    assert (stream.usage, stream.finish_reason, stream.started, stream.ended) == (USAGE, "stop", True, True)
    assert stream.text.decode() == "Hm\u2028Hello"


def test_without_an_account_the_bytes_are_the_same() -> None:
    assert passed(MessagesStream(), [WHOLE], None) == WHOLE


def test_byte_by_byte_is_the_same() -> None:
    assert passed(MessagesStream(), [WHOLE[at : at + 1] for at in range(len(WHOLE))]) == OURS


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_cut_anywhere_is_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    assert passed(MessagesStream(), [WHOLE[start:end] for start, end in itertools.pairwise(places)]) == OURS


def test_crlf_and_the_upstreams_comments_are_kept() -> None:
    stream = MessagesStream()
    crlf = (START + CONTENT).replace(b"\n", b"\r\n") + b": energy {}\r\n\r\n" + (PLAIN_DELTA + STOP).replace(b"\n", b"\r\n")
    told = passed(stream, [crlf])
    assert told == (START + CONTENT).replace(b"\n", b"\r\n") + b": energy {}\r\n\r\n" + OUR_DELTA.replace(
        b"\n", b"\r\n"
    ) + COMMENT + STOP.replace(b"\n", b"\r\n")
    assert stream.comments == [b": energy {}"]


def test_only_the_last_message_delta_carries_the_account() -> None:
    assert passed(MessagesStream(), [START + CONTENT + PLAIN_DELTA + PLAIN_DELTA + event("ping") + STOP]) == (
        START + CONTENT + PLAIN_DELTA + OUR_DELTA + event("ping") + COMMENT + STOP
    )


def test_what_follows_the_end_is_ignored() -> None:
    stream = MessagesStream()
    stream.feed(WHOLE)
    assert stream.feed(CONTENT) == b""


def test_content_is_not_held_back() -> None:
    stream = MessagesStream()
    assert stream.feed(START + CONTENT) == START + CONTENT
    assert stream.feed(PLAIN_DELTA) == b""


def test_a_start_is_no_content_yet() -> None:
    stream = MessagesStream()
    stream.feed(START + event("ping") + event("content_block_start", ', "index": 0, "content_block": {"type": "text", "text": ""}'))
    assert not stream.started
    stream.feed(event("content_block_start", ', "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}'))
    assert stream.started


def test_the_official_client_takes_the_stream_and_its_comment() -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=OURS, headers={"content-type": "text/event-stream"}))
    with httpx2.Client(transport=transport) as http:
        client = anthropic.Anthropic(api_key="k", base_url="http://t", http_client=http, max_retries=0)
        with client.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]) as live:
            message = live.get_final_message()
        raw = client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}], stream=True)
        accounts = [one.usage.to_dict().get("greenlane") for one in raw if one.type == "message_delta"]
    assert (message.content[1].text, message.usage.output_tokens) == ("Hello", 9)  # type: ignore[union-attr]
    assert accounts == [json.loads(ACCOUNT)]


ERROR = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'


def test_an_error_before_content_can_be_retried_elsewhere() -> None:
    with pytest.raises(FaultError) as caught:
        MessagesStream().feed(START + ERROR)
    assert caught.value.fault == Fault(message="Overloaded", type="overloaded_error", status=529)


def test_words_and_an_error_in_one_read_go_out_as_in_two() -> None:
    stream = MessagesStream()
    assert stream.feed(START + CONTENT + ERROR) == START + CONTENT
    with pytest.raises(FaultError):
        stream.finish()


def test_the_last_event_is_added_where_the_body_ends_after_the_reason() -> None:
    stream = MessagesStream()
    sent = stream.feed(WHOLE[: WHOLE.index(b"event: message_stop")]) + stream.finish()
    assert stream.ended
    assert (
        sent + stream.close(None)
        == WHOLE[: WHOLE.index(b"event: message_stop")] + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


BARE = b'data: {"error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
"""As gateways put it into a stream of this dialect."""


@pytest.mark.parametrize("error", [ERROR, BARE], ids=["error event", "no type"])
def test_an_error_after_content_ends_the_stream(error: bytes) -> None:
    """It is told anew and not passed on: it may hold our key. What the upstream sends behind it would make it look whole."""
    stream = MessagesStream()
    assert stream.feed(START + CONTENT) == START + CONTENT
    with pytest.raises(FaultError) as caught:
        stream.feed(error + WHOLE[len(START) + len(CONTENT) :])
    assert not stream.ended
    assert caught.value.fault == Fault(message="Overloaded", type="overloaded_error", status=529)
    assert stream.fail(caught.value.fault) == (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":null}\n\n'
    )


def test_a_broken_stream_ends_in_one_error() -> None:
    stream = MessagesStream()
    stream.feed(START + CONTENT + PLAIN_DELTA)
    assert stream.fail(Fault(message="The upstream broke off.", code="upstream_error")) == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"The upstream broke off.",'
        b'"details":{"error_code":"upstream_error"}},"request_id":null}\n\n'
    )


def test_the_account_goes_into_an_event_of_several_data_lines() -> None:
    stream = MessagesStream()
    out = passed(stream, [WHOLE.replace(b"data: {", b"data: {\ndata: ")])
    (last,) = [block for block in out.decode().split("\n\n") if "event: message_delta\n" in block]
    data = "\n".join(line.removeprefix("data: ") for line in last.split("\n") if line.startswith("data: "))
    assert json.loads(ACCOUNT).items() <= json.loads(data)["usage"]["greenlane"].items()


@pytest.mark.parametrize("empty", [b"data:\n\n", b"event: ping\ndata\n\n", b"retry: 10\n\n"])
def test_a_block_without_data_is_left_out(empty: bytes) -> None:
    assert passed(MessagesStream(), [empty + START + empty + CONTENT + PLAIN_DELTA + STOP]) == OURS


def test_rubbish_is_the_upstreams_fault() -> None:
    with pytest.raises(GarbledError):
        MessagesStream().feed(b"data: {oops\n\n")
    with pytest.raises(GarbledError):
        MessagesStream().feed(b"data: [1]\n\n")
    with pytest.raises(GarbledError):
        MessagesStream().feed(b'data: {"x":"\xff"}\n\n')
    with pytest.raises(GarbledError):
        MessagesStream(event_bytes=100).feed(b"data: " + b"x" * 200)


def test_events_of_unknown_shape_go_through() -> None:
    odd = b'event: message_delta\ndata: {"type": "content_block_delta", "delta": 3}\n\n'
    assert MessagesStream().feed(odd) == odd


BODY = (
    b'{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude",\n'
    b' "content": [{"type": "text", "text": "A"}],'
    b' "stop_reason": "max_tokens", "stop_sequence": null,\n'
    b' "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 9 } }'
)


def test_a_whole_answer_gets_the_account_and_keeps_its_bytes() -> None:
    told, usage, reason = messages_reply(BODY, ACCOUNT)
    assert told == BODY.replace(b'"output_tokens": 9 }', b'"output_tokens": 9,"greenlane":' + ACCOUNT + b"}")
    assert (usage, reason) == (Usage(input_tokens=14, cached_tokens=4, output_tokens=9), "length")
    Message.model_validate_json(told, strict=True)
    assert messages_reply(BODY, None)[0] is BODY


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [("tool_use", "tool_calls"), ("refusal", "content_filter"), ("pause_turn", "stop"), ("model_context_window_exceeded", "length")],
)
def test_stop_reasons_have_their_hub_word(stop_reason: str, finish_reason: str) -> None:
    assert messages_reply(BODY.replace(b"max_tokens", stop_reason.encode()), None)[2] == finish_reason


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"type": "message", "usage": 3}', b'{"type": "completion"}'])
def test_what_is_no_message_is_garbled(body: bytes) -> None:
    with pytest.raises(GarbledError):
        messages_reply(body, ACCOUNT)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (b'{"type": "rate_limit_error", "message": "Slow down"}', Fault(message="Slow down", type="rate_limit_error", status=429)),
        (b"null", Fault(message="The upstream reported an error.", type="api_error", status=500)),
    ],
)
def test_an_error_in_a_200_is_an_error(error: bytes, fault: Fault) -> None:
    with pytest.raises(FaultError) as caught:
        messages_reply(b'{"type": "error", "error": ' + error + b"}", ACCOUNT)
    assert caught.value.fault == fault


def test_what_was_generated_can_be_counted() -> None:
    content = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hé"}, {"type": "tool_use", "input": {"a": 1}}, 5]
    assert messages_text(json.dumps({"content": content}).encode()) == 'Hm.Hé{"a":1}'.encode()
    assert messages_text(b'{"content": null}') == messages_text(b"[") == b""
