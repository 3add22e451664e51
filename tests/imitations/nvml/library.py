"""The stand-in for NVIDIA's management library, built from nvml.c once a process. It is no evidence about real hardware."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

SUCCESS, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, DRIVER_NOT_LOADED = 0, 3, 4, 6, 9
GPU_IS_LOST, VERSION_MISMATCH, UNKNOWN = 15, 18, 999
OLD = 2
"""MIG mode of a GPU that knows none."""


def build(folder: Path, *options: str) -> Path:
    """libnvidia-ml.so.1 in `folder`."""
    made = folder / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml.c")
    command = ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([*command, *options, "-o", made, source], check=True)
    return made


@functools.cache
def load() -> None:
    """From here on `CDLL("libnvidia-ml.so.1")`, which is all the binding does, finds the stand-in: it goes by the name inside."""
    with tempfile.TemporaryDirectory() as folder:
        ctypes.CDLL(str(build(Path(folder))))


def gpu(uuid: str, energy_mj: int = 0, power_mw: int = 0, **more: int) -> str:
    """A line of its state."""
    results = [more.get(name, 0) for name in ("energy_result", "power_result", "mig", "handle_result")]
    return f"gpu {uuid} {energy_mj} {results[0]} {power_mw} {results[1]} {results[2]} {results[3]}"
