"""Exporters as meters meet them, on real sockets: dcgm-exporter, and TensorRT-LLM's server with its energy monitor.

    async with Exporter({"/metrics": dcgm([Gpu(...)])}) as exporter:
        ...  # ask http://127.0.0.1:{exporter.port}/metrics
        exporter.pages["/metrics"] = Page(...)
        exporter.requests  # method, path and headers of each, in order

Shapes: dcgm-exporter's from a scrape of 4.x in NVIDIA/aicr (docs/conformance/cncf, accelerator metrics), its MIG labels from
NVIDIA/dcgm-exporter#317 and #272, its pod labels from etc/ and #340; TensorRT-LLM's from tensorrt_llm/serve/openai_server.py
`get_energy_metrics` (PR 11855).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import NamedTuple, Self


class Page(NamedTuple):
    body: bytes = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[str, ...] = ()
    wait_s: float = 0.0
    """Before the status line."""
    pause_s: float = 0.0
    """Between the halves of the body."""


class Exporter:
    """Answers GET for the pages it has, 404 for others, 405 for other methods, and closes: one connection, one answer."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages = dict(pages)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str = "/metrics") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        self.requests.append((method, target, fields))
        page = self.pages.get(target.split("?")[0], Page(b"404 page not found\n", 404))
        if method != "GET":
            page = Page(b"Method Not Allowed\n", 405)
        await asyncio.sleep(page.wait_s)
        lines = [f"HTTP/1.1 {page.status} Said", f"content-type: {page.content_type}", f"content-length: {len(page.body)}", *page.headers]
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode())
        half = len(page.body) // 2
        for part in (page.body[:half], page.body[half:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(page.pause_s)


class Gpu(NamedTuple):
    """One GPU as dcgm-exporter tells it. None leaves the line out, as the exporter does for what DCGM does not know."""

    uuid: str
    energy_mj: int | None = None
    power_w: float | None = None
    index: int = 0
    mig: tuple[tuple[str, int], ...] = ()
    """(profile, instance id) of each MIG device; each is told with the whole GPU's figures."""
    pods: tuple[tuple[str, str, str], ...] = ()
    """(pod, namespace, container) of each holder: of the GPU, or of the MIG device of the same place."""
    exported: bool = False
    """Scraped through a Prometheus that put its target's own pod in."""
    old: bool = False
    """`--use-old-namespace`: other names of the labels (pkg/dcgmexporter/const.go, and `uuid` in the page's template)."""


HELP = {
    "DCGM_FI_DEV_SM_CLOCK": ("gauge", "SM clock frequency (in MHz)."),
    "DCGM_FI_DEV_POWER_USAGE": ("gauge", "Power draw (in W)."),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": ("counter", "Total energy consumption since boot (in mJ)."),
}


def dcgm(gpus: list[Gpu]) -> Page:
    lines = []
    for name, (kind, text) in HELP.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for gpu in gpus:
            value = {"DCGM_FI_DEV_SM_CLOCK": 1980, "DCGM_FI_DEV_POWER_USAGE": gpu.power_w}.get(name, gpu.energy_mj)
            if value is not None:
                said = f"{value:.6f}" if isinstance(value, float) else str(value)
                lines += [f"{name}{{{labels}}} {said}" for labels in _labels(gpu)]
    return Page("\n".join([*lines, ""]).encode(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _labels(gpu: Gpu) -> list[str]:
    uuid = f'{"uuid" if gpu.old else "UUID"}="{gpu.uuid}"'
    base = f'gpu="{gpu.index}",{uuid},pci_bus_id="00000000:31:00.0",device="nvidia{gpu.index}",modelName="NVIDIA H100 80GB HBM3"'
    tail = ',Hostname="node-a",DCGM_FI_DRIVER_VERSION="580.105.08"'
    prefix = "exported_" if gpu.exported else ""
    own = ',pod="dcgm-exporter-78z52",namespace="monitoring",container="exporter"' if gpu.exported else ""
    names = ("pod_name", "pod_namespace", "container_name") if gpu.old else (f"{prefix}pod", f"{prefix}namespace", f"{prefix}container")
    pods = ["," + ",".join(f'{name}="{said}"' for name, said in zip(names, holder, strict=True)) for holder in gpu.pods]
    if gpu.mig:
        held = [*pods, *[""] * len(gpu.mig)]
        return [f'{base},GPU_I_PROFILE="{profile}",GPU_I_ID="{number}"{tail}{held[i]}{own}' for i, (profile, number) in enumerate(gpu.mig)]
    return [f"{base}{tail}{pod}{own}" for pod in pods or [""]]


def trtllm(total_energy_j: float | None, query_time: float = 1234.5) -> Page:
    """`enable_energy_metrics: true`; None: the server's NVML did not answer."""
    if total_energy_j is None:
        return json_page({"error": "Failed to read GPU energy"}, 503)
    return json_page({"total_energy_j": round(total_energy_j, 4), "query_time": query_time})


TRTLLM_OFF = {"error": "Energy monitoring is not available"}


def json_page(value: object, status: int = 200) -> Page:
    return Page(json.dumps(value).encode(), status, "application/json")
