"""The measurements as read from their table, each as the load the product's own form takes."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec

from carbon import models, shipped
from carbon.roofline import Load

INPUT_TOKENS = {"lm-arena-chat": 100.0, "gpqa": 200.0, "sourcegraph-fim": 500.0}
"""Assumed: the table has output lengths only."""
BYTES = {"bfloat16": 2.0, "fp8": 1.0, "mxfp4": 0.53}
"""Per parameter; MXFP4 is four bits and a scale of eight for every 32."""
FAMILIES = ("Qwen3", "Llama-3", "Llama-4", "gpt-oss", "DeepSeek", "gemma", "Nemotron")


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    family: str
    task: str
    gpu: str
    gpu_count: int
    total_b: float
    active_b: float
    precision: str
    batch: float
    output_tokens: float
    joules: float
    """Per output token, all GPUs together; the prompts' share is in it."""

    itl_s: float
    """Median of the gaps between a request's tokens."""
    kv_bytes: float | None = None
    d_model: float | None = None

    @property
    def experts(self) -> bool:
        return self.active_b < self.total_b

    def load(self, batch: float | None = None) -> Load:
        """What a configuration would state; `batch` stands in for the measured one."""
        return Load(
            total_b=self.total_b,
            active_b=self.active_b,
            bytes_per_parameter=BYTES[self.precision],
            batch=self.batch if batch is None else batch,
            gpu_count=self.gpu_count,
            kv_bytes=self.kv_bytes,
            d_model=self.d_model,
        )

    def configured(self) -> Measurement:
        """With the cache and width of its row in carbon/data, as the product takes them for a model it knows."""
        row = models.known(self.model)
        if not isinstance(row, shipped.OpenModel):
            return self
        return msgspec.structs.replace(self, kv_bytes=row.kv_bytes, d_model=row.d_model)


def measurements(path: Path) -> tuple[Measurement, ...]:
    """Raises ValueError for a row that is not one of this table's."""
    with path.open(newline="") as file:
        return tuple(_measurement(row) for row in csv.DictReader(file))


def _measurement(row: dict[str, str]) -> Measurement:
    count, _, gpu = row["hardware"].partition("x")
    task = row["source"].partition("tasks/")[2].partition(".json")[0]
    precision = row["notes"].split(";")[1].strip()
    name = row["model"].rpartition("/")[2]
    family = next((known for known in FAMILIES if known in name), name)
    if task not in INPUT_TOKENS or precision not in BYTES or row["tokens_in"]:
        raise ValueError(f"a row of another shape: {row['model']} {row['hardware']} {task!r} {precision!r}")
    return Measurement(
        model=name,
        family=family,
        task=task,
        gpu=gpu,
        gpu_count=int(count),
        total_b=float(row["params_total_b"]),
        active_b=float(row["params_active_b"]),
        precision=precision,
        batch=float(row["batch_or_concurrency"]),
        output_tokens=float(row["tokens_out"]),
        joules=float(row["j_per_token"]),
        itl_s=float(row["notes"].partition("median ITL ")[2].partition(" ms")[0]) / 1000,
    )
