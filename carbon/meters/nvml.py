"""NVIDIA's management library on this machine: the joules each GPU has counted since its driver was loaded, else its power.

nvmlDeviceGetTotalEnergyConsumption (mJ, Volta and later) and nvmlDeviceGetPowerUsage (mW; a mean over a second on Ampere and later, but
for GA100): docs.nvidia.com/deploy/nvml-api, group Device Queries. Neither needs root. To run beside the engine: a container needs the
driver's `utility` capability.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from carbon.meters._base import DeniedError, NotSupportedError, OutOfReachError, Reach, Reading, Timeout
from carbon.windows import Flag

_CALLING = threading.Lock()
"""NVML's state is the process's, and so is the binding's: one reading at a time."""


class Nvml(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """NVIDIA's library on this machine: the energy counter of each GPU, its power where there is none."""

    devices: tuple[int | str, ...] = ()
    """Indices or UUIDs (`GPU-...`, `MIG-...`); none named: all GPUs of the machine."""
    timeout_s: Timeout = 5.0
    """For one reading. NVML answers in milliseconds, and hangs with a GPU that does."""

    async def read(self, reach: Reach) -> tuple[Reading, ...]:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await _in_a_thread(lambda: self._read(reach.clock_s))
        except TimeoutError as error:
            raise OutOfReachError("timeout", f"NVML did not answer within {self.timeout_s:g} s: a GPU hangs, or its driver does") from error

    def _read(self, clock_s: Callable[[], float]) -> tuple[Reading, ...]:
        import pynvml

        if not _CALLING.acquire(timeout=self.timeout_s):
            raise OutOfReachError("timeout", "an earlier call of NVML has not returned yet")
        try:
            return self._once_more(pynvml, clock_s)
        except pynvml.NVMLError as error:
            raise _told(pynvml, error) from error
        finally:
            _CALLING.release()

    def _once_more(self, pynvml: Any, clock_s: Callable[[], float]) -> tuple[Reading, ...]:
        """Neither the library before the first reading nor a driver that was loaded again knows us: begin, once."""
        try:
            return self._readings(pynvml, clock_s)
        except pynvml.NVMLError as error:
            if error.value not in {
                pynvml.NVML_ERROR_UNINITIALIZED,
                pynvml.NVML_ERROR_GPU_IS_LOST,
                pynvml.NVML_ERROR_RESET_REQUIRED,
                pynvml.NVML_ERROR_UNKNOWN,
            }:
                raise
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
        pynvml.nvmlInit()
        return self._readings(pynvml, clock_s)

    def _readings(self, pynvml: Any, clock_s: Callable[[], float]) -> tuple[Reading, ...]:
        """One instant for all, in the middle. A device that cannot be read is left out as long as another can."""
        names: tuple[int | str, ...] = self.devices or tuple(range(pynvml.nvmlDeviceGetCount()))
        if not names:
            raise NotSupportedError("NVML knows no GPU on this machine")
        began_s = clock_s()
        found: dict[str, Reading] = {}
        wrong: Exception | None = None
        for name in names:
            try:
                reading = _reading(pynvml, name)
            except (pynvml.NVMLError, OutOfReachError) as error:
                wrong = error
                if getattr(error, "value", None) == pynvml.NVML_ERROR_UNINITIALIZED:
                    raise
                continue
            found.setdefault(reading.device, reading)
        if wrong is not None and not found:
            raise wrong
        at_s = 0.5 * (began_s + clock_s())
        return tuple(msgspec.structs.replace(reading, at_s=at_s) for reading in found.values())


async def _in_a_thread(work: Callable[[], tuple[Reading, ...]]) -> tuple[Reading, ...]:
    """As `asyncio.to_thread`, but nobody waits for the thread when the process ends: one that hangs in the driver never returns."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[tuple[Reading, ...]] = loop.create_future()

    def settle(readings: tuple[Reading, ...], error: Exception | None) -> None:
        if told.done():
            return
        if error is None:
            told.set_result(readings)
        else:
            told.set_exception(error)

    def run() -> None:
        readings: tuple[Reading, ...] = ()
        failed: Exception | None = None
        try:
            readings = work()
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, readings, failed)

    threading.Thread(target=run, name="nvml", daemon=True).start()
    return await told


def _reading(pynvml: Any, name: int | str) -> Reading:
    flags: tuple[Flag, ...] = ()
    if isinstance(name, int):
        handle = pynvml.nvmlDeviceGetHandleByIndex(name)
    else:
        handle = pynvml.nvmlDeviceGetHandleByUUID(name)
        if name.startswith("MIG-"):
            handle = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    if _optional(pynvml, pynvml.nvmlDeviceGetMigMode, handle) in ([1, 0], [1, 1]):
        flags = ("mig_whole_gpu",)
    energy_mj = power_mw = None
    refused: Exception | None = None
    try:
        energy_mj = _optional(pynvml, pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NO_PERMISSION:
            raise
        refused = error
    try:
        power_mw = _optional(pynvml, pynvml.nvmlDeviceGetPowerUsage, handle)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NO_PERMISSION:
            raise
        refused = error
    if energy_mj is None and power_mw is None:
        if refused is not None:
            raise refused
        raise NotSupportedError(f"GPU {name} tells neither its energy nor its power")
    return Reading(
        device=pynvml.nvmlDeviceGetUUID(handle),
        at_s=0.0,
        energy_j=None if energy_mj is None else energy_mj / 1000,
        power_w=None if power_mw is None else power_mw / 1000,
        flags=flags,
        labels={"model": pynvml.nvmlDeviceGetName(handle)},
    )


def _optional(pynvml: Any, call: Callable[[Any], Any], handle: Any) -> Any:
    """None where this GPU or this driver has no such thing."""
    try:
        return call(handle)
    except pynvml.NVMLError as error:
        if error.value in {pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND}:
            return None
        raise


def _told(pynvml: Any, error: Any) -> OutOfReachError:
    match error.value:
        case pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return NotSupportedError(
                "libnvidia-ml.so.1 is not here: no NVIDIA driver, or a container without NVIDIA_DRIVER_CAPABILITIES=utility"
            )
        case pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
            return OutOfReachError("driver", "the NVIDIA driver is not loaded")
        case pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            return OutOfReachError(
                "driver", "the NVIDIA driver is of another version than its library in this process: start the process again"
            )
        case pynvml.NVML_ERROR_NO_PERMISSION:
            return DeniedError("NVML refuses this user the reading of energy and power")
        case pynvml.NVML_ERROR_GPU_IS_LOST | pynvml.NVML_ERROR_RESET_REQUIRED:
            return OutOfReachError("driver", "the GPU has fallen off the bus or must be reset")
        case pynvml.NVML_ERROR_NOT_FOUND | pynvml.NVML_ERROR_INVALID_ARGUMENT:
            return NotSupportedError("NVML knows no GPU of one of the indices or UUIDs named")
        case _:
            return OutOfReachError("driver", f"NVML: {error}")
