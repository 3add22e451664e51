"""A `Reader` whose chunks are changed before a writer gets them."""

from __future__ import annotations

from collections.abc import Callable

from adapters._base import Json, Reader, Usage


class ChangedReader:
    """What `change` makes of each batch of chunks; everything else is the reader's own."""

    def __init__(self, reader: Reader, change: Callable[[list[Json]], list[Json]]) -> None:
        self._reader = reader
        self._change = change

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

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

    def feed(self, data: bytes) -> list[Json]:
        return self._change(self._reader.feed(data))

    def finish(self) -> list[Json]:
        return self._change(self._reader.finish())
