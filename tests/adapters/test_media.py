"""Streams of images, transcripts and sound go through, with the account put in.

https://platform.openai.com/docs/api-reference/images-streaming, .../audio/transcript-text-done-event
"""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._base import FaultError, GarbledError, Usage
from adapters._media import MediaStream

ACCOUNT = b'{"id":"gl_1"}'
COMMENT = b": greenlane " + ACCOUNT + b"\n"
PARTIAL = b'event: image_generation.partial_image\ndata: {"type": "image_generation.partial_image", "b64_json": "aGk=", "new": 1.50}\n\n'
LAST = (
    b'event: image_generation.completed\ndata: {"type": "image_generation.completed", "b64_json": "aGk="'
    b', "usage": {"total_tokens": 30, "input_tokens": 10, "output_tokens": 20, "input_tokens_details": {"text_tokens": 10}%s} }\n\n'
)
WHOLE = PARTIAL + b": still here\n\n" + LAST % b""
OURS = PARTIAL + b": still here\n\n" + COMMENT + LAST % (b',"greenlane":' + ACCOUNT)
DONE = b"data: [DONE]\n\n"


def made(event_bytes: int = 8 * 1024 * 1024) -> MediaStream:
    return MediaStream(event_bytes=event_bytes)


def through(stream: MediaStream, pieces: list[bytes], account: bytes | None = ACCOUNT) -> bytes:
    out = b"".join([stream.feed(piece) for piece in pieces]) + stream.finish()
    return out + stream.close(account)


@pytest.mark.parametrize("whole", [WHOLE, WHOLE.removesuffix(b"\n"), WHOLE.removesuffix(b"\n\n")])
def test_only_the_account_is_added_and_usage_is_read(whole: bytes) -> None:
    stream = made()
    assert through(stream, [whole]) == OURS
    assert (stream.usage, stream.started, stream.ended) == (Usage(input_tokens=10, output_tokens=20), True, True)


def test_without_an_account_the_bytes_are_the_same() -> None:
    assert through(made(), [WHOLE], None) == WHOLE


def test_byte_by_byte_is_the_same() -> None:
    assert through(made(), [WHOLE[at : at + 1] for at in range(len(WHOLE))]) == OURS


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_cut_anywhere_is_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    assert through(made(), [WHOLE[start:end] for start, end in itertools.pairwise(places)]) == OURS


def test_a_partial_image_is_passed_on_at_once() -> None:
    assert made().feed(PARTIAL) == PARTIAL


def test_the_end_marker_stays_last() -> None:
    stream = made()
    assert stream.feed(WHOLE + DONE + PARTIAL) == PARTIAL + b": still here\n\n"
    assert stream.ended
    assert stream.close(ACCOUNT) == COMMENT + LAST % (b',"greenlane":' + ACCOUNT) + DONE


def test_an_engines_transcript_is_read_in_its_own_words() -> None:
    """vLLM's `TranscriptionStreamResponse`: chunks with choices, chat's usage, `[DONE]`."""
    said = b'data: {"object":"transcription.chunk","choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    last = b'data: {"object":"transcription.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11%s}}\n\n'
    stream = made()
    assert through(stream, [said + last % b"" + DONE]) == said + COMMENT + last % (b',"greenlane":' + ACCOUNT) + DONE
    assert stream.usage == Usage(input_tokens=9, output_tokens=2)


def test_an_end_without_usage_carries_the_comment_alone() -> None:
    whole = b'data: {"type":"transcript.text.delta","delta":"H"}\n\ndata: {"type":"transcript.text.done","text":"H"}\n\n'
    stream = made()
    assert through(stream, [whole]).replace(COMMENT, b"") == whole
    assert (stream.usage, stream.ended) == (None, True)


@pytest.mark.parametrize("usage", [b'{"type":"duration","seconds":3}', b'{"input_tokens":-1}', b"null", b"5"])
def test_what_is_no_count_of_tokens_is_unknown(usage: bytes) -> None:
    stream = made()
    through(stream, [b'data: {"type":"transcript.text.done","text":"H","usage":' + usage + b"}\n\n"])
    assert (stream.usage, stream.ended) == (None, True)


def test_events_of_another_hosts_making_pass() -> None:
    whole = b'data: {"image":"aGk="}\n\n'
    stream = made()
    assert through(stream, [whole]) == whole
    assert (stream.started, stream.ended) == (True, True)


def test_a_stream_without_its_last_event_is_cut_short() -> None:
    stream = made()
    assert stream.feed(PARTIAL) + stream.finish() == PARTIAL
    assert not stream.ended


ERRORS = {
    "named": b'event: error\ndata: {"type":"error","error":{"message":"No.","code":"moderation_blocked"}}\n\n',
    "plain": b'data: {"error":{"message":"No.","code":"moderation_blocked"}}\n\n',
    "flat": b'data: {"type":"error","message":"No.","code":"moderation_blocked"}\n\n',
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_told_after_what_came_before_it(case: str) -> None:
    with pytest.raises(FaultError) as caught:
        made().feed(ERRORS[case])
    assert (caught.value.fault.message, caught.value.fault.code) == ("No.", "moderation_blocked")
    stream = made()
    assert stream.feed(PARTIAL + ERRORS[case]) == PARTIAL
    with pytest.raises(FaultError):
        stream.feed(b"")


def test_one_image_of_several_that_failed_is_no_end() -> None:
    failed = b'data: {"type":"image_generation.partial_failed","image_index":0,"error":{"code":"x","message":"No."}}\n\n'
    assert through(made(), [failed + WHOLE]) == failed + OURS


@pytest.mark.parametrize("garbage", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"type":"x","a":"\xff"}\n\n'])
def test_garbage_is_garbled(garbage: bytes) -> None:
    with pytest.raises(GarbledError):
        made().feed(garbage)


def test_an_event_has_a_bound() -> None:
    with pytest.raises(GarbledError):
        made(event_bytes=100).feed(b"data: " + b"x" * 200)
