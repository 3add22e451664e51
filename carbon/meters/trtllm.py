"""TensorRT-LLM's own energy monitor, `enable_energy_metrics: true`: the joules of all GPUs of an engine since it began, from NVML.

GET /energy_metrics answers {"total_energy_j", "query_time"}, or 503 {"error"} where it is off or NVML does not answer
(tensorrt_llm/serve/openai_server.py `get_energy_metrics`, NVIDIA/TensorRT-LLM pull 11855). `query_time` is the server's own clock.
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any

import msgspec

from carbon.meters._base import NotSupportedError, Reach, Reading, Timeout, UnreadableError, Url
from carbon.meters._http import page


class Trtllm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TensorRT-LLM's own energy monitor. One engine is one device, whatever number of GPUs it has: it tells their sum."""

    url: Url
    """With its path, http://HOST:8000/energy_metrics as a rule."""
    gpus: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Of the engine: more energy than so many can draw is not believed."""
    timeout_s: Timeout = 5.0
    """For one reading."""

    async def read(self, reach: Reach) -> tuple[Reading, ...]:
        began_s = reach.clock_s()
        body = await page(reach, self.url, self.timeout_s)
        at_s = 0.5 * (began_s + reach.clock_s())
        energy_j = _energy(body)
        return (Reading(device="trtllm", at_s=at_s, energy_j=energy_j, gpus=self.gpus),)


def _energy(body: bytes) -> float:
    try:
        told: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError("TensorRT-LLM's energy metrics are no JSON") from error
    energy_j = told.get("total_energy_j") if isinstance(told, dict) else None
    if energy_j is None:
        raise NotSupportedError("the page has no `total_energy_j`: it is not TensorRT-LLM's /energy_metrics")
    if isinstance(energy_j, bool) or not isinstance(energy_j, int | float) or not (isfinite(energy_j) and energy_j >= 0):
        raise UnreadableError("`total_energy_j` is no number of joules")
    return float(energy_j)
