"""CodeCarbon's figure for a machine whose processors do not count: a share of a nominal power, and a constant for memory.

It is an estimate and is never called measured. On a machine without RAPL nine tenths of it were the constant. Extra: `codecarbon`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from carbon.footprint import J_PER_KWH
from carbon.meters._base import NotSupportedError, OutOfReachError, Reading


class _Estimate:
    """The process's only one: what it has added up since it began."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: Any = None
        self.energy_j = 0.0


_ESTIMATE = _Estimate()


def estimate(clock_s: Callable[[], float]) -> tuple[Reading, ...]:
    """Processor and memory since the first call. Blocks for some milliseconds, a second the first time."""
    try:
        from codecarbon import OfflineEmissionsTracker
    except ImportError as error:
        raise NotSupportedError("CodeCarbon is not installed: install the extra `codecarbon`") from error
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    with _ESTIMATE.lock:
        try:
            if _ESTIMATE.running is not None:
                told = _ESTIMATE.running.stop_task("reading")
                _ESTIMATE.energy_j += (told.cpu_energy + told.ram_energy) * J_PER_KWH
            # a tracker keeps every task it ever had: each has one
            _ESTIMATE.running = OfflineEmissionsTracker(
                country_iso_code="DEU",  # of no account: only its energy is read
                save_to_file=False,
                log_level="critical",
                allow_multiple_runs=True,
            )
            _ESTIMATE.running.start_task("reading")  # without a name it cannot be stopped (3.3.2)
        except Exception as error:  # it reads processor tables, other programs and files, and fails as any of them does
            _ESTIMATE.running = None
            raise OutOfReachError("estimate", f"CodeCarbon failed: {type(error).__name__}") from error
        return (Reading(device="codecarbon", at_s=clock_s(), energy_j=_ESTIMATE.energy_j, measured=False, labels={"domain": "estimate"}),)
