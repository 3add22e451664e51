"""Embeddings: https://ai.google.dev/api/embeddings."""

import base64
import json
import struct

import pytest

from adapters._base import AdapterError, FaultError, GarbledError, Target, Usage
from adapters.gemini import ADAPTER, embeddings_outbound, embeddings_reply

TARGET = Target(upstream_model="gemini-embedding-001")


def asked(text, **more):
    return {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, **more}


def test_one_text_is_embed_content_and_a_list_is_a_batch():
    one = embeddings_outbound({"model": "e", "input": "a", "user": "u", "dimensions": 8}, TARGET)
    assert (one.path, json.loads(one.body), one.ignored) == (
        "/models/gemini-embedding-001:embedContent",
        asked("a", outputDimensionality=8),
        ("user",),
    )
    many = ADAPTER.embeddings_outbound({"model": "e", "input": ["a", "b"], "encoding_format": "base64"}, TARGET)
    assert (many.path, json.loads(many.body), many.ignored) == (
        "/models/gemini-embedding-001:batchEmbedContents",
        {"requests": [asked("a"), asked("b")]},
        (),
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": [1, 2]}, "input[0]"),
        ({"input": [[1, 2]]}, "input[0]"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({}, "input"),
        ({"input": ["a"] * 101}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": "8"}, "dimensions"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "truncate": True}, "truncate"),
    ],
)
def test_what_cannot_be_expressed_is_refused(body, param):
    with pytest.raises(AdapterError) as refused:
        embeddings_outbound({"model": "e", **body}, TARGET)
    assert refused.value.param == param


def test_an_answer_is_openais_list_with_usage_guessed_where_it_is_not_told():
    one = {"embedding": {"values": [0.5, -0.25], "shape": [2]}, "usageMetadata": {"promptTokenCount": 3}}
    assert embeddings_reply(json.dumps(one).encode(), {"model": "e", "input": "a"}) == (
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
            "model": "e",
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        },
        Usage(input_tokens=3, output_tokens=0),
    )
    many = {"embeddings": [{"values": [1]}, {"values": [2]}]}
    answer, usage = ADAPTER.embeddings_reply(json.dumps(many).encode(), {"model": "e", "input": ["a", "eight by"]})
    assert usage is None
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert [(one["index"], one["embedding"]) for one in answer["data"]] == [(0, [1.0]), (1, [2.0])]


def test_base64_is_little_endian_floats_of_32_bits():
    body = json.dumps({"embedding": {"values": [1.5, -2.0, 0.1]}}).encode()
    answer, _ = embeddings_reply(body, {"model": "e", "input": "a", "encoding_format": "base64"})
    assert struct.unpack("<3f", base64.b64decode(answer["data"][0]["embedding"])) == pytest.approx((1.5, -2.0, 0.1))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"embeddings":[{"values":[1]}]}', b'{"embedding":{"values":["a"]}}'])
def test_rubbish_and_a_wrong_number_of_vectors_are_garbled(body):
    with pytest.raises(GarbledError):
        embeddings_reply(body, {"model": "e", "input": ["a", "b"]})


def test_a_number_beyond_32_bits_and_an_error_in_a_200_are_told():
    with pytest.raises(GarbledError):
        embeddings_reply(b'{"embedding":{"values":[1e60]}}', {"model": "e", "input": "a", "encoding_format": "base64"})
    with pytest.raises(FaultError) as told:
        embeddings_reply(b'{"error":{"code":503,"status":"UNAVAILABLE","message":"Busy."}}', {"input": "a"})
    assert told.value.fault.status == 503
