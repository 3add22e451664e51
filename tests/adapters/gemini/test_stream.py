"""Streams of streamGenerateContent?alt=sse: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._base import FaultError, GarbledError, Target, Usage
from adapters.gemini.stream import GeminiReader

TARGET = Target(upstream_model="models/gemini-2.5-flash")
SIGNATURE = "c2ln"
STARTED = {"role": "assistant", "content": None}


def event(*parts, reason=None, index=0, **more):
    candidate = {"content": {"parts": list(parts), "role": "model"}} if parts else {}
    if reason is not None:
        candidate["finishReason"] = reason
    candidate |= {"index": index, **more.pop("candidate", {})}
    return {"candidates": [candidate], "modelVersion": "gemini-2.5-flash-001", "responseId": "r1", **more}


def sse(*events, end="\r\n\r\n"):
    return "".join(f"data: {json.dumps(one, ensure_ascii=False)}{end}" for one in events).encode()


def usage(prompt, said=None, **more):
    return {"promptTokenCount": prompt, **({} if said is None else {"candidatesTokenCount": said}), **more}


def read(*pieces, target=TARGET):
    """Chunks, the error that ended them, and the reader."""
    reader, chunks = GeminiReader(target), []
    try:
        for piece in pieces:
            chunks += reader.feed(piece)
        chunks += reader.finish()
    except (FaultError, GarbledError) as error:
        return chunks, error, reader
    return chunks, None, reader


def deltas(chunks):
    return [(chunk["choices"][0]["index"], chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in chunks]


TEXT = sse(
    event({"text": "Let me see.", "thought": True}, usageMetadata=usage(5)),
    event({"text": "Hel\u2028"}, usageMetadata=usage(5, 1)),
    event({"text": "lo"}, reason="STOP", usageMetadata=usage(5, 2, thoughtsTokenCount=3, cachedContentTokenCount=4)),
)


def test_a_text_comes_with_its_role_once_and_its_reason_last():
    chunks, error, reader = read(TEXT)
    assert deltas(chunks) == [
        (0, {"role": "assistant", "content": None, "reasoning_content": "Let me see."}, None),
        (0, {"content": "Hel\u2028"}, None),
        (0, {"content": "lo"}, None),
        (0, {}, "stop"),
    ]
    assert chunks[0] == {
        "id": "chatcmpl-r1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "gemini-2.5-flash-001",
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": None, "reasoning_content": "Let me see."},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
    }
    assert (error, reader.ended, reader.finish_reason) == (None, True, "stop")
    assert reader.usage == Usage(input_tokens=5, cached_tokens=4, output_tokens=5, reasoning_tokens=3)


CALLS = sse(
    event({"text": "Well."}),
    event(
        {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": SIGNATURE},
        {"functionCall": {"id": "b", "name": "g"}},
    ),
    event({"text": ""}, reason="STOP", usageMetadata=usage(5, 2)),
)


def test_counts_that_came_once_are_kept_and_later_ones_take_their_place():
    _, error, reader = read(sse(event({"text": "a"}, usageMetadata=usage(5, 2)), event({"text": "b"}, reason="STOP")))
    assert (error, reader.usage) == (None, Usage(input_tokens=5, output_tokens=2))
    _, _, reader = read(
        sse(event({"text": "a"}, usageMetadata=usage(5, 2)), event({"text": "b"}, reason="STOP", usageMetadata=usage(5, 7)))
    )
    assert reader.usage == Usage(input_tokens=5, output_tokens=7)


def test_nothing_is_read_after_the_end():
    end = sse(event({"text": "a"}, reason="STOP")) + b"data: [DONE]\r\n\r\n"
    before, _, _ = read(end)
    after, error, _ = read(end + sse(event({"text": "b"}, reason="STOP")))
    assert (after, error) == (before, None)


def test_parallel_calls_are_whole_numbered_and_make_a_later_stop_tool_calls():
    chunks, _, _ = read(CALLS)
    assert deltas(chunks) == [
        (0, {"role": "assistant", "content": "Well."}, None),
        (
            0,
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": f"call_a_ts0{SIGNATURE}",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"x":1}'},
                        "extra_content": {"google": {"thought_signature": SIGNATURE}},
                    }
                ]
            },
            None,
        ),
        (0, {"tool_calls": [{"index": 1, "id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}, None),
        (0, {}, "tool_calls"),
    ]


def test_a_call_that_comes_first_carries_the_role():
    chunks, _, _ = read(sse(event({"functionCall": {"id": "a", "name": "f"}}, reason="STOP")))
    [(_, delta, _), (_, _, reason)] = deltas(chunks)
    assert (delta["role"], delta["content"], reason) == ("assistant", None, "tool_calls")


def test_calls_of_several_events_without_ids_get_different_ids():
    part = {"functionCall": {"name": "f", "args": {}}}
    chunks, _, _ = read(sse(event(part), event(part), event(reason="STOP")))
    calls = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[:2]]
    assert [call["index"] for call in calls] == [0, 1]
    assert calls[0]["id"] != calls[1]["id"]


EVERYWHERE = sse(event({"text": "a"}, reason="STOP"), event({"text": "b"}, reason="STOP"), event({"text": "c"}, reason="MAX_TOKENS"))


def test_a_reason_in_every_event_is_told_once():
    chunks, _, _ = read(EVERYWHERE)
    assert deltas(chunks)[1:] == [(0, {"content": "b"}, None), (0, {"content": "c"}, None), (0, {}, "length")]


CANDIDATES = sse(
    event({"text": "a"}, index=0),
    event({"text": "b"}, index=1),
    event(reason="SAFETY", index=1),
    event({"text": "c"}, reason="STOP", index=0),
)


def test_candidates_are_choices_of_their_own():
    chunks, _, _ = read(CANDIDATES)
    assert deltas(chunks) == [
        (0, {"role": "assistant", "content": "a"}, None),
        (1, {"role": "assistant", "content": "b"}, None),
        (0, {"content": "c"}, None),
        (0, {}, "stop"),
        (1, {}, "content_filter"),
    ]


def test_a_filter_in_mid_stream_ends_the_choice():
    chunks, _, reader = read(sse(event({"text": "So"}), event(reason="PROHIBITED_CONTENT")))
    assert deltas(chunks) == [(0, {"role": "assistant", "content": "So"}, None), (0, {}, "content_filter")]
    assert reader.ended


def test_a_blocked_prompt_is_a_choice_that_the_filter_ended():
    chunks, _, reader = read(sse({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage(7, totalTokenCount=7)}))
    assert deltas(chunks) == [(0, STARTED, None), (0, {}, "content_filter")]
    assert (reader.finish_reason, reader.usage) == ("content_filter", Usage(input_tokens=7, output_tokens=0))


def test_an_answer_without_words_has_role_and_reason():
    assert deltas(read(sse(event(reason="STOP")))[0]) == [(0, STARTED, None), (0, {}, "stop")]


CUT = sse(event({"text": "So"}), event({"text": " far"}))


@pytest.mark.parametrize("body", [CUT, sse(event({"text": "So"})), b"", sse(event({"text": "x"}, reason="FINISH_REASON_UNSPECIFIED"))])
def test_a_stream_without_a_reason_was_cut(body):
    _, error, reader = read(body)
    assert (error, reader.ended, reader.finish_reason) == (None, False, None)


def test_pictures_and_logprobs_ride_on_the_deltas():
    chosen = {"chosenCandidates": [{"token": "a", "logProbability": -1}]}
    blob = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    late = event(reason="STOP", candidate={"logprobsResult": chosen})
    chunks, _, _ = read(
        sse(event({"text": "a"}, blob, candidate={"logprobsResult": chosen}), late), target=Target(upstream_model="x-image")
    )
    logprobs = {"content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}], "refusal": None}
    assert deltas(chunks)[1][1] == {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
    assert [chunk["choices"][0]["logprobs"] for chunk in chunks] == [logprobs, None, logprobs]


BUSY = {"error": {"code": 503, "message": "Busy.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize("tail", [sse(BUSY), json.dumps(BUSY).encode(), json.dumps([BUSY], indent=1).encode() + b"\n\n"])
def test_an_error_in_the_stream_is_raised_after_what_came_before_it(tail):
    chunks, error, reader = read(sse(event({"text": "So"})), tail)
    assert deltas(chunks) == [(0, {"role": "assistant", "content": "So"}, None)]
    assert isinstance(error, FaultError)
    assert (error.fault.message, error.fault.status, reader.ended) == ("Busy.", 503, False)


@pytest.mark.parametrize("tail", [sse(BUSY), sse(event(reason="MALFORMED_FUNCTION_CALL")), b"data: {\n\n"])
def test_words_and_an_error_in_one_read_go_out_as_in_two(tail):
    chunks, error, reader = read(sse(event({"text": "So"})) + tail)
    assert (deltas(chunks), reader.ended) == ([(0, {"role": "assistant", "content": "So"}, None)], False)
    assert isinstance(error, FaultError | GarbledError)


def test_a_failed_generation_is_an_error_and_no_finish():
    chunks, error, reader = read(sse(event({"text": "So"})), sse(event(reason="MALFORMED_FUNCTION_CALL")))
    assert deltas(chunks)[0] == (0, {"role": "assistant", "content": "So"}, None)
    assert isinstance(error, FaultError)
    assert (error.fault.code, reader.ended) == ("malformed_function_call", False)


@pytest.mark.parametrize("body", [b"data: {\r\n\r\n", b"data: 5\n\n", b"data: []\n\n", b'data: {"candidates":[5]}\n\n', b"data: \xff\n\n"])
def test_rubbish_is_garbled(body):
    assert isinstance(read(body)[1], GarbledError)


def test_comments_are_kept_and_an_end_marker_that_a_gateway_adds_is_taken():
    chunks, _, reader = read(b": hello\n\n" + sse(event({"text": "a"}, reason="STOP"), end="\n\n") + b"data: [DONE]\n\n", b"data: {\n\n")
    assert (deltas(chunks)[-1], reader.ended, reader.comments) == ((0, {}, "stop"), True, [b": hello"])


STREAMS = [
    TEXT,
    CALLS,
    EVERYWHERE,
    CANDIDATES,
    CUT,
    sse(event({"text": "So"}), BUSY),
    sse(event({"text": "So"})) + json.dumps(BUSY).encode(),
    sse(event({"text": "So"}, reason="UNEXPECTED_TOOL_CALL")),
    sse(event({"text": "a"}), end="\n\n") + b"data: {",
    sse({"promptFeedback": {"blockReason": "OTHER"}}),
]


def told(outcome, begin=None):
    """`begin`: the chunks of an error's stream where it is not all of it in the first read."""
    chunks, error, reader = outcome
    said = begin if error is not None and not chunks and begin is not None else chunks
    return said, type(error), str(error), reader.ended, reader.finish_reason, reader.usage


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_says_the_same_byte_by_byte_and_at_every_cut(stream):
    expected = told(read(*(stream[at : at + 1] for at in range(len(stream)))))
    for at in range(len(stream)):
        assert told(read(stream[:at], stream[at:]), expected[0]) == expected


@given(st.sampled_from(STREAMS), st.data())
def test_a_stream_says_the_same_at_any_cuts(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = told(read(*(stream[at : at + 1] for at in range(len(stream)))))
    assert told(read(*pieces), expected[0]) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_chunks_or_one_of_the_two_errors(data):
    read(data)
    read(b"data: " + data + b"\n\n")


def test_of_several_candidates_one_that_is_cut_off_leaves_the_stream_unended():
    several = (event({"text": "a"}), event({"text": "b"}, index=1), event({"text": "c"}, reason="STOP"))
    chunks, error, reader = read(sse(*several))
    assert (error, reader.ended) == (None, False)
    assert [delta for delta in deltas(chunks) if delta[2]] == [(0, {}, "stop")]
    _, _, whole = read(sse(*several, event(reason="MAX_TOKENS", index=1)))
    assert (whole.ended, whole.finish_reason) == (True, "length")
