"""Models by name: which row of the profiles a served model's name means, and what a name says by itself (size, precision)."""

from __future__ import annotations

import functools
import re

import msgspec

from carbon import shipped

OWNERS = re.compile(
    r"^(?:(?:us|eu|apac|jp|global)\.)?(?:anthropic|meta|mistral|openai|google|amazon|cohere|qwen|deepseek)\.|^meta-(?=llama)|^models-"
)
"""Prefixes that clouds and hosts put before a model's own name; an organisation before a slash goes first."""

SUFFIX = re.compile(
    r"-(?:\d{4}-\d{2}-\d{2}|\d{2}-\d{2}|\d{4}-\d{2}|\d{8}|\d{3,4}|\d{2}-\d{4}|v\d+(?:-\d+)?|latest|preview|exp|instruct-turbo|instruct|it|chat|base|hf|"
    r"thinking|versatile|instant|bf16|fp16|fp8|fp8-dynamic|fp4|nvfp4|mxfp4|int8|int4|awq|gptq|gguf|mlx|bnb|[348]bit|w8a8|w4a16|"
    r"dynamic|unsloth|ud|i?q\d(?:-[k01])?(?:-[sml])?)$"
)
"""Endings that leave the parameters as they are: dates, releases, tuning, precision, packing."""

SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")
SMALL_SIZE = re.compile(r"(?<![a-z0-9.])(\d{2,3})m(?![a-z0-9])")
ACTIVE = re.compile(r"(?<![a-z0-9])a(\d+(?:\.\d+)?)b(?![a-z0-9])")
EIGHT_BIT = re.compile(r"(?<![a-z0-9])(?:fp8|int8|w8a8|8bit|q8)(?![a-z0-9])")
FOUR_BIT = re.compile(r"(?<![a-z0-9])(?:fp4|nvfp4|mxfp4|int4|w4a16|awq|gptq|4bit|i?q4)(?![a-z0-9])")
SIXTEEN_BIT = re.compile(r"(?<![a-z0-9])(?:bf16|fp16|f16)(?![a-z0-9])")

BYTES_EIGHT_BIT = 1.0
BYTES_FOUR_BIT = 0.56
"""Four bits and the scales of blocks of 32 to 128 weights."""


class Size(msgspec.Struct, frozen=True):
    """What a name states, in 1e9 parameters. `active_b` equals the total unless the name gives it (`30b-a3b`)."""

    total_b: float
    active_b: float


def known(name: str) -> shipped.OpenModel | shipped.ClosedModel | None:
    """The row this name means, if any: the name itself, then without its owner and, one by one, without such endings as dates."""
    table = _table()
    wanted = _bare(name)
    while True:
        found = table.get(wanted.replace("-", ""))
        if found is not None:
            return found
        shorter = SUFFIX.sub("", wanted)
        if shorter == wanted:
            return None
        wanted = shorter


def size_of(name: str) -> Size | None:
    """The size a name states (`-8b`, `8x7b`, `30b-a3b`, `135m`); None if it states none."""
    lower = name.lower().rsplit("/", 1)[-1].replace("_", "-")
    if match := SIZE.search(lower):
        total_b = float(match[2]) * int(match[1] or 1)
    elif match := SMALL_SIZE.search(lower):
        total_b = int(match[1]) / 1000
    else:
        return None
    active = ACTIVE.search(lower)
    active_b = float(active[1]) if active else total_b
    return Size(total_b, active_b) if 0 < active_b <= total_b else None


def bytes_of(name: str) -> float | None:
    """Bytes per parameter where a name states the precision (`-FP8`, `:q4_K_M`, `-AWQ`); None where it does not."""
    lower = name.lower().replace("_", "-")
    if EIGHT_BIT.search(lower):
        return BYTES_EIGHT_BIT
    if FOUR_BIT.search(lower):
        return BYTES_FOUR_BIT
    return 2.0 if SIXTEEN_BIT.search(lower) else None


def _bare(name: str) -> str:
    """Lower case, without organisation and owner, every separator a dash: `claude-sonnet-4.5` and `claude-sonnet-4-5` are one."""
    lower = OWNERS.sub("", name.strip().lower().rsplit("/", 1)[-1])
    return re.sub(r"[^a-z0-9]+", "-", lower).strip("-")


@functools.cache
def _table() -> dict[str, shipped.OpenModel | shipped.ClosedModel]:
    profiles = shipped.profiles()
    rows: list[shipped.OpenModel | shipped.ClosedModel] = [*profiles.open, *profiles.closed]
    return {_bare(name).replace("-", ""): row for row in rows for name in (row.name, *row.aliases)}
