"""What is asked of a proxy: requests of 0.7 to 3.7 KB, whole or streamed, at several concurrencies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

CHUNKS = 64
"""Of a stream; its events are these and `[DONE]`. The usage chunk was not asked for and must not come."""
OPEN_CHUNKS = 20
OPEN_PACE_MS = 200

PAD = "@PAD@"
"""Where the load generator puts text, of another length in each request: what is remembered by a length is not met again at once."""

END_OF_ANSWER = '"system_fingerprint":"fp_mock"}'
END_OF_STREAM = "data: [DONE]\n\n"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One window of load."""

    name: str
    title: str
    concurrency: int
    seconds_s: float
    """New requests are begun for so long."""
    most: int = 400_000
    """Requests."""
    chunks: int = 0
    """Content chunks of a stream; 0: the answer is whole."""
    pace_ms: int = 0
    """Between two chunks."""
    span_bytes: int = 3000
    """How much the lengths of the bodies differ."""

    @property
    def events(self) -> int:
        return self.chunks + 1 if self.chunks else 0

    @property
    def end(self) -> str:
        return END_OF_STREAM if self.chunks else END_OF_ANSWER

    def body(self) -> bytes:
        """About 2.2 KB when padded; the mock upstream reads the number of chunks from `max_tokens` and the pace from `seed`."""
        asked: dict[str, Any] = {
            "model": "mock",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant. " * 12},
                {"role": "user", "content": f"Write a haiku about proxies. {PAD}"},
            ],
            "temperature": 0.7,
            "max_tokens": self.chunks or CHUNKS,
        }
        if self.chunks:
            asked["stream"] = True
        if self.pace_ms:
            asked["seed"] = self.pace_ms
        return json.dumps(asked).encode()

    def write_body(self, folder: Path) -> Path:
        path = folder / f"{self.name}.json"
        path.write_bytes(self.body())
        return path


WINDOWS = (
    Scenario(name="ns1", title="whole answers, one at a time", concurrency=1, seconds_s=0.8),
    Scenario(name="ns32", title="whole answers, 32 at a time", concurrency=32, seconds_s=1.0),
    Scenario(name="ns256", title="whole answers, 256 at a time", concurrency=256, seconds_s=1.0),
    Scenario(name="wide32", title="prompts of up to 40 KB, 32 at a time", concurrency=32, seconds_s=1.0, span_bytes=40_000),
    Scenario(name="st32", title="streams without a pace, 32 at a time", concurrency=32, seconds_s=0.8, chunks=CHUNKS),
    Scenario(
        name="sd100", title="streams of a chunk every 10 ms, 100 at a time", concurrency=100, seconds_s=1.2, chunks=CHUNKS, pace_ms=10
    ),
)
OPEN = Scenario(
    name="open1000",
    title="streams of a chunk every 200 ms, 1,000 at a time",
    concurrency=1000,
    seconds_s=30.0,
    most=1000,
    chunks=OPEN_CHUNKS,
    pace_ms=OPEN_PACE_MS,
)
WARM = (
    Scenario(name="warm-whole", title="warm-up", concurrency=32, seconds_s=0.4, most=4000),
    Scenario(name="warm-stream", title="warm-up", concurrency=32, seconds_s=0.4, most=400, chunks=CHUNKS),
)
BY_NAME = {each.name: each for each in (*WINDOWS, OPEN)}
