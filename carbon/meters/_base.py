"""What a meter is, and how it fails.

OutOfReachError (an OSError)    no reading came of it: nobody answers, or not in time; the text says what to do
├── DeniedError                 `forbidden`: it is there and may not be read
├── NotSupportedError           `unsupported`: it is there and does not measure energy
└── UnreadableError             `garbled`, `too_large`: it answers, and not in the form that is documented
"""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec

from carbon.reach import OutOfReachError, Reach, UnreadableError
from carbon.windows import Reading

__all__ = ["DeniedError", "Meter", "NotSupportedError", "OutOfReachError", "Reach", "Reading", "Timeout", "UnreadableError", "Url"]


Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#\s]+", description="an http or https URL")]
Timeout = Annotated[float, msgspec.Meta(gt=0, le=60)]


class DeniedError(OutOfReachError):
    def __init__(self, detail: str) -> None:
        super().__init__("forbidden", detail)


class NotSupportedError(OutOfReachError):
    def __init__(self, detail: str) -> None:
        super().__init__("unsupported", detail)


class Meter(Protocol):
    """A Struct whose fields are its settings."""

    async def read(self, reach: Reach) -> tuple[Reading, ...]:
        """Every device's state now, all with one instant of `reach.clock_s`; at least one. Returns within the meter's `timeout_s`.

        Called by a worker, one call at a time, never while a request waits. Raises OutOfReachError.
        """
        ...
