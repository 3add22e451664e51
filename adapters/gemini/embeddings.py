"""OpenAI's embeddings over embedContent (one text) and batchEmbedContents (a list).

Vectors are handed on as Google gives them: shortened ones (`dimensions`) are not of unit length.
Reference: https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec

from adapters._base import AdapterError, FaultError, GarbledError, Json, Outbound, Target, Usage
from adapters._json import encode
from adapters.gemini.faults import fault_of
from adapters.gemini.models import bare, path_of

_BATCH = 100
"""Texts in one batch at most; more is answered with 400."""
_BYTES_PER_TOKEN = 4
_KNOWN = frozenset({"model", "input", "encoding_format", "dimensions", "user"})


class _Embedding(msgspec.Struct):
    values: list[float]


class _Counts(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    total_token_count: int | None = None


class _Reply(msgspec.Struct, rename="camel"):
    embedding: _Embedding | None = None
    embeddings: list[_Embedding] | None = None
    usage_metadata: _Counts | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Reply).decode


def embeddings_outbound(body: Json, target: Target) -> Outbound:
    """The upstream request for an OpenAI embeddings request. Raises AdapterError naming the member."""
    for name, value in body.items():
        if name not in _KNOWN and name != "greenlane" and value is not None:
            raise AdapterError(f"`{name}` cannot be passed on to Gemini.", name)
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise AdapterError("The encoding must be float or base64.", "encoding_format")
    given = body.get("input")
    texts = _texts(given)
    dimensions = body.get("dimensions")
    if dimensions is not None and (isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1):
        raise AdapterError("A positive whole number is expected.", "dimensions")
    extra = {} if dimensions is None else {"outputDimensionality": dimensions}
    model = target.upstream_model
    named = model if model.startswith("tunedModels/") else f"models/{bare(model)}"
    requests = [{"model": named, "content": {"parts": [{"text": text}]}, **extra} for text in texts]
    ignored = ("user",) if body.get("user") is not None else ()
    if isinstance(given, str):
        return Outbound(path=path_of(model, "embedContent"), body=encode(requests[0]), ignored=ignored)
    return Outbound(path=path_of(model, "batchEmbedContents"), body=encode({"requests": requests}), ignored=ignored)


def embeddings_reply(body: bytes, request: Json) -> tuple[Json, Usage | None]:
    """OpenAI's list of a whole answer, in the encoding the client asked for; Usage where Google tells it.

    Raises GarbledError for rubbish or a wrong number of vectors, FaultError for an error in a 200.
    """
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise GarbledError("the answer is not one of embedContent") from None
    if found.error:
        raise FaultError(fault_of(200, body))
    vectors = [found.embedding] if found.embedding is not None else found.embeddings or []
    given = request.get("input")
    if len(vectors) != (len(given) if isinstance(given, list) else 1):
        raise GarbledError("the answer has not as many embeddings as were asked for")
    packed = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector.values) if packed else vector.values}
        for index, vector in enumerate(vectors)
    ]
    answer: Json = {"object": "list", "data": data, "model": request.get("model") or ""}
    tokens = found.usage_metadata.prompt_token_count if found.usage_metadata is not None else None
    if tokens is None:
        # older models tell none, and OpenAI's clients read it from every answer: a guess for them, nothing for the account
        texts = [given] if isinstance(given, str) else given or []
        guessed = sum(max(1, len(str(text).encode("utf-8", "replace")) // _BYTES_PER_TOKEN) for text in texts)
        return {**answer, "usage": {"prompt_tokens": guessed, "total_tokens": guessed}}, None
    return {**answer, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}, Usage(input_tokens=tokens, output_tokens=0)


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise AdapterError("A string or a non-empty array of strings is expected.", "input")
    for number, text in enumerate(texts):
        path = f"input[{number}]" if isinstance(given, list) else "input"
        if not isinstance(text, str):
            raise AdapterError("Gemini embeds texts; arrays of tokens cannot be passed on.", path)
        if not text:
            raise AdapterError("An empty text cannot be embedded.", path)
    if len(texts) > _BATCH:
        raise AdapterError(f"Gemini embeds at most {_BATCH} texts at once.", "input")
    return texts


def _base64(values: list[float]) -> str:
    """Little-endian 32-bit floats, as OpenAI packs them."""
    try:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except (struct.error, OverflowError):
        raise GarbledError("an embedding holds a number beyond 32 bits") from None
