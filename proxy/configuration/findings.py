"""What a check found, before it is known on which line that stands."""

from __future__ import annotations

from typing import NamedTuple

from proxy.configuration.problems import Path


class Finding(NamedTuple):
    """See Problem."""

    path: Path
    message: str
    suggestion: str | None = None
    warning: bool = False
