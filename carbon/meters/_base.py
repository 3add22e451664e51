"""What a meter is, what it may use of the world, and how it fails.

MeterError (an OSError)         no reading came of it; the message says what to do
├── OutOfReachError             nobody answers, or not in time: try again
├── DeniedError                 it is there and may not be read
├── NotSupportedError           it is there and does not measure energy
└── UnreadableError             it answers, and not in the form that is documented
"""

from __future__ import annotations

from typing import Protocol

from carbon.reach import Reach
from carbon.windows import Reading

__all__ = ["DeniedError", "Meter", "MeterError", "NotSupportedError", "OutOfReachError", "Reach", "Reading", "UnreadableError"]


class MeterError(OSError):
    pass


class OutOfReachError(MeterError):
    pass


class DeniedError(MeterError):
    pass


class NotSupportedError(MeterError):
    pass


class UnreadableError(MeterError):
    pass


class Meter(Protocol):
    """A Struct whose fields are its settings."""

    async def read(self, reach: Reach) -> tuple[Reading, ...]:
        """Every device's state now, all with one instant; at least one. Returns within the meter's `timeout_s`.

        Called by a worker, one call at a time, never while a request waits. Raises MeterError.
        """
        ...
