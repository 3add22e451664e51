"""`greenlane usage`: the sums of a running proxy's ledger."""

from __future__ import annotations

import argparse
from typing import Any

from proxy.cli.sums import rows, sums
from proxy.cli.table import table

GROUPS = ("model", "deployment", "policy", "team", "key", "task", "day")
_COLUMNS = ("requests", "errors", "input_tokens", "output_tokens", "energy_wh", "carbon_g", "cost_usd")


def usage(options: argparse.Namespace) -> int:
    """0: shown; 1: the proxy refused; 2: it was not reached."""
    return sums(options, "usage", _shown)


def _shown(body: Any, group: str) -> str:
    summed = rows(body, "data")
    if not summed:
        return "nothing was used\n"
    shown = table((group, *_COLUMNS), [[row.get(name) for name in (group, *_COLUMNS)] for row in summed])
    unknown = {name: sum(_whole(row.get(f"{name}_unknown")) for row in summed) for name in _COLUMNS}
    missing = [f"{name} of {number:,}" for name, number in unknown.items() if number]
    return shown + (f"\nunknown, so not in the sums: {', '.join(missing)} requests\n" if missing else "")


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
