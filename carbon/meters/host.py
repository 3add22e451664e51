"""The machine around the accelerators: RAPL's counters of processor packages and memory, under /sys/class/powercap.

Zones are folders `intel-rapl:0` (a package, or `psys`, the whole board) and `intel-rapl:0:1` (core, uncore and dram within it), each with
`name`, `energy_uj` and `max_energy_range_uj` (kernel: Documentation/power/powercap/powercap.rst). Core and uncore are in their package, and
packages in psys, and are not read; dram is beside its package. `intel-rapl-mmio` tells the same package another way. AMD's processors are
found under the same names. Since Linux 5.10 only root may read `energy_uj` (CVE-2020-8694).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from carbon.meters._base import DeniedError, NotSupportedError, OutOfReachError, Reach, Reading, Timeout, UnreadableError
from carbon.meters._codecarbon import estimate

ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")
MOST_ZONES = 256


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """RAPL: what this machine's processors count themselves; where they do not, there is no figure unless `otherwise` names an estimate."""

    root: str = "/sys/class/powercap"
    """Where the counters are; another folder in a container that has the host's mounted."""
    domains: tuple[str, ...] = ("package", "dram")
    """Which of them count."""
    otherwise: Literal["codecarbon"] | None = None
    """Where RAPL cannot be read: CodeCarbon's estimate (extra `codecarbon`), never called measured."""
    timeout_s: Timeout = 5.0
    """For one reading."""

    async def read(self, reach: Reach) -> tuple[Reading, ...]:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await asyncio.to_thread(self._read_or_estimate, reach.clock_s)
        except TimeoutError as error:
            raise OutOfReachError("timeout", f"{self.root} did not answer within {self.timeout_s:g} s") from error

    def _read_or_estimate(self, clock_s: Callable[[], float]) -> tuple[Reading, ...]:
        try:
            return self._read(clock_s)
        except (DeniedError, NotSupportedError):
            if self.otherwise is None:
                raise
            return estimate(clock_s)

    def _read(self, clock_s: Callable[[], float]) -> tuple[Reading, ...]:
        try:
            zones = sorted(path for path in Path(self.root).iterdir() if ZONE.fullmatch(path.name))[:MOST_ZONES]
        except FileNotFoundError as error:
            raise NotSupportedError(
                f"{self.root} is not there: no Linux, no powercap driver, or a container that does not see it"
            ) from error
        except PermissionError as error:
            raise DeniedError(f"{self.root} may not be read") from error
        began_s = clock_s()
        found = [reading for zone in zones if (reading := self._zone(zone)) is not None]
        board = [reading for reading in found if reading.labels["domain"] == "psys"]
        found = board or found  # all others are in it
        if not found:
            raise NotSupportedError(f"{self.root} has no zone of {', '.join(self.domains)}: this processor does not count its energy")
        at_s = 0.5 * (began_s + clock_s())
        return tuple(msgspec.structs.replace(reading, at_s=at_s) for reading in found)

    def _zone(self, zone: Path) -> Reading | None:
        """None: of a kind that is not wanted, or contained in another."""
        try:
            name = (zone / "name").read_text().strip()
            kind = name.split("-")[0]
            inside = zone.name.count(":") > 1
            if kind not in self.domains or (inside and kind != "dram"):
                return None
            energy_uj = int((zone / "energy_uj").read_text())
            range_uj = int((zone / "max_energy_range_uj").read_text())
        except PermissionError as error:
            raise DeniedError(f"{zone}/energy_uj is for root alone: run as root, or give the file to a group (chmod g+r, chgrp)") from error
        except ValueError as error:
            raise UnreadableError(f"{zone} holds no counter") from error
        except OSError as error:
            raise OutOfReachError("files", f"{zone} could not be read: {error.strerror}") from error
        package = zone.name.split(":")[1]
        return Reading(
            device=f"{zone.name} {name}",
            at_s=0.0,
            energy_j=energy_uj / 1e6,
            range_j=range_uj / 1e6 if range_uj > 0 else None,
            labels={"domain": kind, "package": package},
        )
