"""Named tasks that run beside the requests: begun in order, begun again when they fail, ended in the opposite order."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable

import msgspec

_log = logging.getLogger("greenlane.workers")


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """The pause before the n-th try in a row: doubling from `first_s` to `most_s`."""

    first_s: float = 0.5
    most_s: float = 30.0

    def pause_s(self, failures: int) -> float:
        return float(min(self.most_s, self.first_s * 2.0 ** min(max(failures - 1, 0), 32)))


DEFAULT_BACKOFF = Backoff()


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: running, waiting (it failed and begins again after a pause), ended (it returned), stopped."""

    name: str
    state: str
    failures: int
    """In all."""
    last_error_kind: str | None


class _Worker:
    def __init__(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self.name, self.run = name, run
        self.state = "running"
        self.failures = 0
        self.last_error_kind: str | None = None
        self.task: asyncio.Task[None] | None = None


class Supervisor:
    """Owns its workers' tasks. Used from one event loop; `stop` ends all that was begun."""

    def __init__(
        self, backoff: Backoff = DEFAULT_BACKOFF, *, steady_s: float = 60.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._backoff = backoff
        self._steady_s = steady_s
        self._sleep = sleep
        self._workers: dict[str, _Worker] = {}
        self._stopped = False

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Begins `run()` as a task. When it raises, it is called again after a pause; when it returns, it is done.

        A run of `steady_s` seconds makes the pauses short again. Raises ValueError for a name in use, RuntimeError after `stop`.
        """
        if self._stopped:
            raise RuntimeError(f"worker {name}: the supervisor has stopped")
        if name in self._workers:
            raise ValueError(f"worker {name} exists")
        worker = _Worker(name, run)
        worker.task = asyncio.get_running_loop().create_task(self._keep(worker), name=f"worker-{name}")
        self._workers[name] = worker

    async def stop(self, grace_s: float = 10.0) -> None:
        """Cancels the workers one after another, the last begun first, waiting for each up to `grace_s` before going on."""
        self._stopped = True
        for worker in reversed(self._workers.values()):
            task = worker.task
            if task is None or task.done():
                continue
            task.cancel()
            _, late = await asyncio.wait([task], timeout=grace_s)
            if late:
                _log.error("worker %s did not stop within %g s", worker.name, grace_s)
            worker.state = "stopped"

    def status(self) -> tuple[WorkerStatus, ...]:
        """In the order they were begun."""
        return tuple(
            WorkerStatus(name=w.name, state=w.state, failures=w.failures, last_error_kind=w.last_error_kind) for w in self._workers.values()
        )

    async def _keep(self, worker: _Worker) -> None:
        clock = asyncio.get_running_loop().time
        in_a_row = 0
        while True:
            begun_s = clock()
            worker.state = "running"
            try:
                await worker.run()
            except Exception as error:  # noqa: BLE001 - whatever a worker raises, it is logged and begun again
                in_a_row = 1 if clock() - begun_s >= self._steady_s else in_a_row + 1
                worker.failures += 1
                worker.last_error_kind = type(error).__name__
                worker.state = "waiting"
                pause_s = self._backoff.pause_s(in_a_row)
                # Kind and place, not the text: it may hold a URL with a secret, or a prompt.
                _log.error("worker %s failed: %s at %s; again in %g s", worker.name, worker.last_error_kind, place_of(error), pause_s)
                await self._sleep(pause_s)
            else:
                worker.state = "ended"
                return


def place_of(error: Exception) -> str:
    """Where it was raised: all that may be told of it beside its kind, as its text may hold a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
