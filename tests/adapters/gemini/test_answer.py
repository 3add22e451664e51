"""Whole answers: https://ai.google.dev/api/generate-content#generatecontentresponse."""

import json

import pytest

from adapters._base import Completion, Fault, FaultError, GarbledError, Usage
from adapters.gemini.answer import completion

SIGNATURE = "c2lnbmF0dXJl"


def answer(parts=None, reason="STOP", **more):
    candidate = {"index": 0} if parts is None else {"content": {"role": "model", "parts": parts}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    candidate |= more.pop("candidate", {})
    return json.dumps({"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r-1", **more}).encode()


def choice(body):
    return completion(body).body["choices"][0]


def test_an_answer_is_a_chat_completion():
    usage = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 5,
        "toolUsePromptTokenCount": 2,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 24,
    }
    parts = [{"text": "Hm", "thought": True}, {"text": "Hel"}, {"text": "lo", "thoughtSignature": SIGNATURE}]
    assert completion(answer(parts, usageMetadata=usage)) == Completion(
        body={
            "id": "chatcmpl-r-1",
            "object": "chat.completion",
            "created": 0,
            "model": "gemini-2.5-flash",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hello", "refusal": None, "reasoning_content": "Hm"},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 12,
                "completion_tokens": 12,
                "total_tokens": 24,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
        },
        usage=Usage(input_tokens=12, cached_tokens=4, output_tokens=12, reasoning_tokens=7),
        finish_reason="stop",
    )


def test_calls_end_in_tool_calls_though_google_says_stop():
    """https://ai.google.dev/gemini-api/docs/function-calling; the signature: /docs/thought-signatures."""
    parts = [
        {"functionCall": {"id": "ab", "name": "f", "args": {"a": [1, "é"]}}, "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "g"}},
    ]
    told = choice(answer(parts))
    assert told["finish_reason"] == "tool_calls"
    first, second = told["message"].pop("tool_calls")
    assert told["message"] == {"role": "assistant", "content": None, "refusal": None}
    assert first == {
        "id": f"call_ab_ts0{SIGNATURE}",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":[1,"é"]}'},
        "extra_content": {"google": {"thought_signature": SIGNATURE}},
    }
    assert second == {"id": second["id"], "type": "function", "function": {"name": "g", "arguments": "{}"}}
    assert second["id"].startswith("call_")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        *((reason, "content_filter") for reason in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY")),
        *((reason, "content_filter") for reason in ("LANGUAGE", "OTHER", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "A_NEW_ONE")),
    ],
)
def test_each_reason_is_one_of_openais(reason, expected):
    told = choice(answer([{"text": "So far"}], reason))
    assert (told["finish_reason"], told["message"]["content"]) == (expected, "So far")


def test_content_is_empty_where_nothing_was_said_and_null_where_it_was_withheld():
    assert [choice(answer(None, reason))["message"]["content"] for reason in ("STOP", "MAX_TOKENS", "SAFETY")] == ["", "", None]


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "NO_IMAGE"])
def test_a_generation_that_failed_is_an_error_and_not_an_answer(reason):
    with pytest.raises(FaultError) as told:
        completion(answer(None, reason))
    assert told.value.fault == Fault(message=f"Gemini ended the answer with {reason}.", code=reason.lower(), status=502)


def test_a_blocked_prompt_is_an_answer_that_the_filter_ended():
    """https://ai.google.dev/api/generate-content#promptfeedback: no candidates are returned."""
    body = json.dumps({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}})
    told = completion(body.encode())
    assert told.body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "refusal": None},
            "logprobs": None,
            "finish_reason": "content_filter",
        }
    ]
    assert told.usage == Usage(input_tokens=8, output_tokens=0)


def test_candidates_are_choices_and_pictures_are_data_urls():
    candidates = [
        {
            "content": {"parts": [{"text": text}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            "finishReason": reason,
            "index": n,
        }
        for n, (text, reason) in enumerate([("a", "STOP"), ("b", "MAX_TOKENS")])
    ]
    told = completion(json.dumps({"candidates": candidates}).encode()).body
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert [(one["index"], one["finish_reason"], one["message"]) for one in told["choices"]] == [
        (0, "stop", {"role": "assistant", "content": "a", "refusal": None, "images": [picture]}),
        (1, "length", {"role": "assistant", "content": "b", "refusal": None, "images": [picture]}),
    ]
    assert (told["model"], "usage" in told) == ("", False)


def test_logprobs_are_openais():
    """https://ai.google.dev/api/generate-content#LogprobsResult"""
    chosen = [{"token": "é", "tokenId": 1, "logProbability": -0.5}]
    top = [{"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -1.5}]}]
    told = choice(answer([{"text": "é"}], candidate={"logprobsResult": {"chosenCandidates": chosen, "topCandidates": top}}))
    one = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert told["logprobs"] == {
        "content": [{**one, "top_logprobs": [one, {"token": "e", "logprob": -1.5, "bytes": [101]}]}],
        "refusal": None,
    }


@pytest.mark.parametrize(
    ("details", "tokens"),
    [
        ({"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}, {"modality": "AUDIO", "tokenCount": 7}]}, (7, None)),
        ({"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}, {"modality": "IMAGE", "tokenCount": 1}]}, (None, None)),
        ({"promptTokensDetails": [{"modality": "AUDIO"}], "candidatesTokensDetails": []}, (None, None)),
        ({"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 11}]}, (None, None)),
        ({"promptTokensDetails": None, "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}]}, (None, 4)),
        ({"responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}]}, (None, 4)),
        (
            {
                "toolUsePromptTokenCount": 5,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 7}],
                "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}],
            },
            (12, None),
        ),
    ],
)
def test_tokens_of_sound_are_told_where_google_tells_them(details, tokens):
    """https://ai.google.dev/api/generate-content#UsageMetadata"""
    usage = completion(answer([{"text": "a"}], usageMetadata={"promptTokenCount": 10, "candidatesTokenCount": 4, **details})).usage
    assert (usage.input_audio_tokens, usage.output_audio_tokens) == tokens


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"promptTokenCount": 3, "totalTokenCount": 9}, Usage(input_tokens=3, output_tokens=6)),
        ({"promptTokenCount": 3}, Usage(input_tokens=3)),
        ({"promptTokenCount": 3, "thoughtsTokenCount": 4}, Usage(input_tokens=3, output_tokens=4, reasoning_tokens=4)),
        ({"candidatesTokenCount": 2}, Usage(output_tokens=2)),
        ({}, None),
    ],
)
def test_counts_that_google_leaves_out_come_from_the_total_or_stay_unknown(counts, usage):
    told = completion(answer([{"text": "a"}], usageMetadata=counts))
    assert told.usage == usage
    assert ("usage" in told.body) is (usage is not None and None not in (usage.input_tokens, usage.output_tokens))


def test_a_whole_answer_without_a_reason_has_ended():
    assert completion(answer([{"text": "a"}], None)).finish_reason == "stop"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"candidates":[]}',
        b'{"candidates":5}',
        b"\xff",
        answer([], None),
        answer([{"text": 5}]),
    ],
)
def test_rubbish_is_garbled(body):
    with pytest.raises(GarbledError):
        completion(body)


def test_an_error_in_a_200_is_a_fault():
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota."}}
    for body in (error, [error]):
        with pytest.raises(FaultError) as told:
            completion(json.dumps(body).encode())
        assert (told.value.fault.status, told.value.fault.code) == (429, "rate_limit_exceeded")


def test_ids_are_stable_for_the_same_answer_and_differ_between_answers():
    parts = [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}]
    ids = [call["id"] for body in (answer(parts), answer(parts, responseId="r-2")) for call in choice(body)["message"]["tool_calls"]]
    assert len(set(ids)) == 4
    assert ids[:2] == [call["id"] for call in choice(answer(parts))["message"]["tool_calls"]]
