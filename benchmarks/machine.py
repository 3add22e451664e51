"""What the figures were taken on, without anything that names the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from benchmarks.places import ROOT


def facts() -> dict[str, str]:
    """Processor, cores, memory, kernel, system."""
    found = {
        "processor": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int((_first('/proc/meminfo', 'MemTotal') or '0 kB').split()[0]) / 1024 / 1024:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
    }
    flags = _first("/proc/cpuinfo", "flags") or ""
    if "hypervisor" in flags.split():
        found["virtual"] = "yes: cores may share a physical core with each other or with other guests"
    return found


def commit() -> str:
    """The revision measured, and whether the tree differs from it."""
    told = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _first(path: str, name: str) -> str | None:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
