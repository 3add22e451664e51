"""An error inside OpenAI's stream: what came before it is not lost, wherever the bytes are cut."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._base import FaultError, GarbledError, Usage
from adapters._passthrough import ChatStream, answer_facts


def event(delta: dict[str, object]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n"


FIRST, SECOND = event({"role": "assistant", "content": "Hel"}), event({"content": "lo"})
ERROR = b'data: {"error": {"message": "It broke.", "type": "server_error", "code": "x"}}\n\n'
RUBBISH = b"data: {rubbish\n\n"


def read(stream: ChatStream, pieces: list[bytes]) -> tuple[bytes, Exception | None]:
    """What went to the client, and what was raised in the end."""
    out = b""
    try:
        for piece in pieces:
            out += stream.feed(piece)
        out += stream.finish()
    except (FaultError, GarbledError) as error:
        return out, error
    return out, None


@pytest.mark.parametrize(("trouble", "kind"), [(ERROR, FaultError), (RUBBISH, GarbledError)])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"], ids=["LF", "CRLF"])
def test_words_in_one_piece_with_an_error_are_kept(trouble, kind, end):
    pieces = [piece.replace(b"\n\n", end) for piece in (FIRST, SECOND + trouble)]
    out, error = read(ChatStream(wants_usage=False, capture=False), pieces)
    assert out == b"".join(pieces)[: -len(trouble.replace(b"\n\n", end))]
    assert isinstance(error, kind)


@pytest.mark.parametrize("choices", [[5], [None], [{"delta": 5}], [[]], {}, 7, "x"])
def test_odd_chunks_before_an_error_are_no_words(choices):
    odd = b"data: " + json.dumps({"choices": choices}).encode() + b"\n\n"
    with pytest.raises((FaultError, GarbledError)):
        ChatStream(wants_usage=False, capture=False).feed(odd + ERROR)


@pytest.mark.parametrize("empty", [{"role": "assistant"}, {"role": "assistant", "content": ""}, {"role": "assistant", "content": None}])
def test_the_error_is_raised_at_once_where_no_word_had_come(empty):
    """Nothing has been sent: another deployment may still answer."""
    with pytest.raises(FaultError):
        ChatStream(wants_usage=False, capture=False).feed(event(empty) + ERROR)


@pytest.mark.parametrize("member", [{"content": "a"}, {"reasoning_content": "a"}, {"tool_calls": [{"index": 0}]}, {"refusal": "a"}])
def test_the_first_words_go_out_though_the_error_comes_in_the_same_read(member):
    """They would have gone out had they come alone: what the client sees does not depend on how bytes are cut."""
    first = event({"role": "assistant", **member})
    out, error = read(ChatStream(wants_usage=False, capture=False), [first + ERROR])
    assert out == first
    assert isinstance(error, FaultError)


def test_a_lone_error_is_raised_at_once():
    stream = ChatStream(wants_usage=False, capture=False)
    stream.feed(FIRST)
    with pytest.raises(FaultError):
        stream.feed(ERROR)


@given(st.lists(st.integers(min_value=len(FIRST), max_value=len(FIRST + SECOND + ERROR)), max_size=8))
def test_wherever_it_is_cut_the_same_goes_out(cuts):
    whole = FIRST + SECOND + ERROR
    places = sorted({0, *cuts, len(whole)})
    pieces = [whole[one:other] for one, other in itertools.pairwise(places)]
    out, error = read(ChatStream(wants_usage=False, capture=False), pieces)
    assert out == FIRST + SECOND
    assert isinstance(error, FaultError)


def test_an_upstreams_words_are_in_no_repr():
    """They may quote our key, and a repr goes where nobody looks: into logs and tracebacks."""
    with pytest.raises(FaultError) as caught:
        ChatStream(wants_usage=False, capture=False).feed(b'data: {"error":{"message":"no sk-upstream-1","type":"t","code":"c"}}\n\n')
    assert caught.value.fault.message == "no sk-upstream-1"
    assert "sk-upstream" not in f"{caught.value!r} {caught.value} {caught.value.fault!r}"


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("cut", [1, 1999, -1])
def test_the_limit_of_an_event_that_comes_in_pieces_does_not_depend_on_how_they_fall(more, cut):
    long = event({"content": "x" * (2000 + more - len(event({"content": ""}).rstrip()))})
    out, error = read(ChatStream(wants_usage=False, capture=False, event_bytes=2000), [FIRST, long[:cut], long[cut:] + SECOND])
    assert (long in out, error is None) == (more == 0, more == 0)


FINISH = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'


@pytest.mark.parametrize("end", [b"data:  [DONE] \n\n", b"data: [DONE]\t\n\n", b"data: [DONE] ", b"data:[DONE]\r\n\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_white_space_around_the_end_mark_is_nothing(end, together):
    stream = ChatStream(wants_usage=False, capture=False)
    pieces = [FIRST + FINISH + end] if together else [FIRST, FINISH, end]
    assert read(stream, pieces) == (FIRST + FINISH, None)
    assert stream.ended


@pytest.mark.parametrize("empty", [b"data:\n\n", b"data\n\n", b"event: ping\ndata: \n\n"])
def test_an_event_without_data_is_left_out(empty):
    stream = ChatStream(wants_usage=False, capture=False)
    assert read(stream, [empty, FIRST, empty, FINISH]) == (FIRST + FINISH, None)


@pytest.mark.parametrize("capture", [False, True])
def test_usage_that_is_made_here_has_the_members_of_a_chunk(capture):
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up"}
    chunk = {**head, "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
    stream = ChatStream(wants_usage=True, capture=capture)
    for piece in (b"data: " + json.dumps(chunk).encode() + b"\n\n", b"data: [DONE]\n\n"):
        stream.feed(piece)
    stream.usage = Usage(input_tokens=3, output_tokens=2)
    told = json.loads(stream.close(None).partition(b"\n\n")[0][6:])
    assert told == {**head, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


TEXTS = {
    "an answer": ({"delta": {"content": "Hello"}}, {"message": {"content": "Hello"}}, b"Hello"),
    "thoughts": ({"delta": {"reasoning_content": "Hm"}}, {"message": {"reasoning_content": "Hm"}}, b"Hm"),
    "both": ({"delta": {"content": "b", "reasoning_content": "a"}}, {"message": {"content": "b", "reasoning_content": "a"}}, b"ba"),
    "a text completion": ({"text": "Hello"}, {"text": "Hello"}, b"Hello"),
    "a call alone": ({"delta": {"content": None}}, {"message": {"content": None}}, b""),
}


@pytest.mark.parametrize("case", TEXTS)
def test_where_nobody_counts_all_that_was_generated_is_kept_to_be_counted(case):
    """Of two answers side by side as well; thoughts are generated too."""
    piece, answer, text = TEXTS[case]
    stream = ChatStream(wants_usage=False, capture=True)
    said = b"data: " + json.dumps({"choices": [{"index": 0, **piece}, {"index": 1, **piece}]}).encode() + b"\n\n"
    stream.feed(FIRST)
    before = len(stream.text)
    stream.feed(said)
    assert bytes(stream.text)[before:] == 2 * text
    whole = json.dumps({"choices": [{"index": 0, "finish_reason": "length", **answer}, {"index": 1, **answer}]}).encode()
    assert answer_facts(whole, capture=True) == (None, "length", 2 * text)
    assert answer_facts(whole, capture=False)[2] == b""


def test_of_an_answer_with_odd_members_usage_and_reason_are_read():
    odd = {"choices": [{"index": 0, "message": "odd", "finish_reason": "stop"}, 5], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
    usage, reason, _ = answer_facts(json.dumps(odd).encode(), capture=False)
    assert (usage, reason) == (Usage(input_tokens=9, output_tokens=3), "stop")
    assert answer_facts(json.dumps({**odd, "choices": 5}).encode(), capture=False)[1] is None
