"""What of a request falls into a window, from the times its stream was seen: prompt tokens until the first token, answer tokens after it.

Pure. Windows hold their start and not their end, so that an instant is in one of them only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from carbon.attribution import Work


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One request at a replica, when it is over. Instants are on the clock of the windows."""

    id: str
    arrived_s: float
    last_s: float
    """The end of its answer, or of its failure: what was run for it until then counts."""
    first_s: float | None = None
    """The first token. None: the answer came whole; prompt and answer are then spread over all of its time."""
    input_tokens: float
    cached_tokens: float | None = None
    """Of the input, out of the prefix cache. None: nobody said."""
    output_tokens: float
    started_s: float | None = None
    """When it left the queue. None: it did not wait, or nobody knows."""

    @property
    def begin_s(self) -> float:
        """Of its work, queueing excluded; never after its first token."""
        end_s = self.last_s if self.first_s is None else self.first_s
        began_s = self.arrived_s if self.started_s is None else max(self.arrived_s, self.started_s)
        return min(began_s, max(end_s, self.arrived_s))


def work_in(life: Life, start_s: float, end_s: float) -> Work | None:
    """None: nothing of it falls into the window."""
    begin_s = life.begin_s
    last_s = max(life.last_s, begin_s)
    read_s, written_s = last_s, begin_s
    if life.first_s is not None:
        read_s = written_s = min(max(life.first_s, begin_s), last_s)
    read = _share(begin_s, read_s, start_s, end_s)
    written = _share(written_s, last_s, start_s, end_s)
    running_s = max(0.0, min(last_s, end_s) - max(begin_s, start_s))
    if not (read or written or running_s):
        return None
    tokens = life.output_tokens * written
    # the context grows evenly from the whole input: its mean over the part is its value in the middle
    middle_s = 0.5 * (max(written_s, start_s) + min(last_s, end_s))
    grown = (middle_s - written_s) / (last_s - written_s) if last_s > written_s else 0.5
    return Work(
        id=life.id,
        prefill_tokens=max(0.0, life.input_tokens - (life.cached_tokens or 0.0)) * read,
        decode_tokens=tokens,
        decode_context=tokens * (life.input_tokens + life.output_tokens * min(1.0, max(0.0, grown))),
        decode_s=max(0.0, min(last_s, end_s) - max(written_s, start_s)),
        running_s=running_s,
    )


def queued_until(lives: Iterable[Life], waiting: Sequence[tuple[float, float]]) -> dict[str, float]:
    """When each request was last seen in the queue: `waiting` are (instant, requests waiting) of the engine's own metrics.

    Engines take requests in the order they came: of those that have no token yet, the last to come are those that wait.
    """
    seen: dict[str, float] = {}
    known = sorted(lives, key=lambda life: (life.arrived_s, life.id))
    for at_s, count in waiting:
        if count < 1:
            continue
        pending = [life for life in known if life.arrived_s <= at_s < (life.last_s if life.first_s is None else life.first_s)]
        for life in pending[-int(count) :]:
            seen[life.id] = max(at_s, seen.get(life.id, at_s))
    return seen


def _share(from_s: float, to_s: float, start_s: float, end_s: float) -> float:
    """Of what is spread evenly over `from_s` to `to_s`; an instant is in the window or it is not."""
    if to_s <= from_s:
        return 1.0 if start_s <= from_s < end_s else 0.0
    return max(0.0, min(to_s, end_s) - max(from_s, start_s)) / (to_s - from_s)
