"""Tokens counted by us where an upstream reports none: by a tokenizer, flagged as estimated.

The vocabulary (o200k) is one for all models; against a model's own it is off by some ten per cent, for which the band is widened.
"""

from __future__ import annotations

import importlib
from typing import Any

from adapters._base import Json
from adapters._json import encode
from adapters.anthropic.reading import read
from proxy.dataplane.ask import IMAGE_TOKENS

BYTES_PER_TOKEN = 4
COUNTED_BYTES = 32 * 1024
"""Longer texts are counted by their first part and their length: the loop must not be held for more than a millisecond."""


MESSAGE_TOKENS = 4
"""Of the marks that frame a message in most models' templates (OpenAI's cookbook counts 3 and the role)."""


class Counter:
    """Loads the vocabulary at its first use (some 50 MB); until it is there, four bytes are a token."""

    __slots__ = ("_encoding",)

    def __init__(self) -> None:
        self._encoding: Any = None

    def load(self) -> None:
        """Blocks for a moment: call it in a thread."""
        self._encoding = importlib.import_module("rs_bpe").openai.o200k_base()

    def tokens(self, text: bytes) -> int:
        """Tokens of a UTF-8 text; 0 for none."""
        if not text:
            return 0
        if self._encoding is None:
            return max(1, len(text) // BYTES_PER_TOKEN)
        part = text[:COUNTED_BYTES]
        counted = int(self._encoding.count(part.decode("utf-8", "ignore")))
        return counted if len(part) == len(text) else round(counted * len(text) / len(part))


def estimated(body: Json, counter: Counter) -> bytes:
    """The answer to `/v1/messages/count_tokens`, counted here. Raises AdapterError for a request that is not what the API takes."""
    found = read(body)
    tokens = counter.tokens(found.texts) + IMAGE_TOKENS * found.images + MESSAGE_TOKENS * found.messages
    return encode({"input_tokens": tokens})
