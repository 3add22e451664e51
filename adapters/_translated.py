"""A stream between two dialects: an upstream's Reader and a client's Writer joined over hub chunks."""

from __future__ import annotations

from adapters._base import Fault, Json, Reader, Usage, Writer
from adapters._passthrough import CAPTURE_BYTES


class TranslatedStream:
    """A `Stream` made of a Reader and a Writer."""

    __slots__ = ("_created_s", "_reader", "_writer", "capture", "started", "text", "usage")

    def __init__(self, reader: Reader, writer: Writer, *, capture: bool, created_s: int) -> None:
        self._reader = reader
        self._writer = writer
        self._created_s = created_s
        """Unix time for dialects whose answers have none."""
        self.capture = capture
        self.started = False
        self.text = bytearray()
        self.usage: Usage | None = None

    @property
    def finish_reason(self) -> str | None:
        return self._reader.finish_reason

    @property
    def finished(self) -> bool:
        return self._reader.finished

    @property
    def ended(self) -> bool:
        return self._reader.ended

    @property
    def comments(self) -> list[bytes]:
        return self._reader.comments

    def feed(self, data: bytes) -> bytes:
        return self._write(self._reader.feed(data))

    def alike(self, data: bytes, start: int, end: int, /) -> bool:  # noqa: ARG002  # each event is read
        return False

    def finish(self) -> bytes:
        return self._write(self._reader.finish())

    def close(self, account: bytes | None) -> bytes:
        return self._writer.close(self.usage or self._reader.usage, account)

    def fail(self, fault: Fault) -> bytes:
        return self._writer.fail(fault)

    def _write(self, chunks: list[Json]) -> bytes:
        out = []
        for chunk in chunks:
            self.started = True
            if self.capture and len(self.text) < CAPTURE_BYTES:
                self._keep(chunk)
            if not chunk.get("created"):
                chunk["created"] = self._created_s
            out.append(self._writer.write(chunk))
        self.usage = self._reader.usage or self.usage
        return b"".join(out)

    def _keep(self, chunk: Json) -> None:
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            for name in ("content", "reasoning_content"):
                if isinstance(delta.get(name), str):
                    self.text += delta[name].encode("utf-8", "replace")
            for call in delta.get("tool_calls") or ():
                self.text += str((call.get("function") or {}).get("arguments") or "").encode("utf-8", "replace")
