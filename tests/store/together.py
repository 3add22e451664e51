"""Something done by several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable


def raised_by_many(act: Callable[[], object], times: int) -> list[Exception]:
    """What was raised by as many threads as `times` that all do `act`."""
    failures: list[Exception] = []

    def start() -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test sees it
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures
