"""Which process has which spool file: `path` for the first, `path.1`, `path.2`, ... for the others; and the files of the dead."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from proxy.store.spool import Spool
from proxy.store.spool_file import SpoolForeignError, SpoolLockedError, SpoolUnusableError

_log = logging.getLogger("greenlane.store")

MOST_PROCESSES = 256
"""Files looked at before giving up: well beyond the workers one machine runs."""


def claim(path: str | Path, capacity_bytes: int) -> Spool:
    """The first spool of this family that no live process has, with what a dead one left in it. Made if need be.

    Raises SpoolUnusableError where the file cannot be made, or when `MOST_PROCESSES` are taken.
    """
    for number in range(MOST_PROCESSES):
        try:
            return Spool.open(_member(path, number), capacity_bytes)
        except SpoolLockedError:
            continue
        except SpoolForeignError as error:
            # the first name is the one that was configured: perhaps somebody else's file; the numbered ones are ours
            if number == 0:
                raise
            _log.warning("%s", error)
    raise SpoolUnusableError(f"spool {path}: all {MOST_PROCESSES} files are in use by live processes")


def adopt(path: str | Path) -> Iterator[Spool]:
    """The spools of this family that lie abandoned, each locked for the caller, who drains and then removes it.

    A file of such a name that is not a spool is left alone, with a warning.
    """
    base = Path(path)
    pattern = re.compile(re.escape(base.name) + r"(\.[0-9]+)?")
    for member in sorted(base.parent.glob(base.name + "*")):
        if not pattern.fullmatch(member.name):
            continue
        try:
            yield Spool.open_existing(member)
        except (SpoolLockedError, FileNotFoundError):
            continue
        except SpoolUnusableError as error:
            _log.warning("%s", error)


def _member(path: str | Path, number: int) -> Path:
    return Path(path) if number == 0 else Path(f"{path}.{number}")
