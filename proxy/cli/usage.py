"""`greenlane usage`: the sums of a running proxy's ledger."""

from __future__ import annotations

import argparse
import json
from typing import Any

from proxy.cli.asking import asked
from proxy.cli.table import table

GROUPS = ("model", "deployment", "policy", "team", "key", "task", "day")
_COLUMNS = ("requests", "errors", "input_tokens", "output_tokens", "energy_wh", "carbon_g", "cost_usd")


def usage(options: argparse.Namespace) -> int:
    """0: shown; 1: the proxy refused; 2: it was not reached."""
    body = asked(options.url, "/v1/greenlane/usage", {"from": options.from_, "to": options.to, "group_by": options.group_by})
    if isinstance(body, int):
        return body
    print(json.dumps(body, indent=2) if options.json else _shown(body, options.group_by), end="\n" if options.json else "")
    return 0


def _shown(body: Any, group: str) -> str:
    rows = body.get("data") if isinstance(body, dict) else body
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not rows:
        return "nothing was used\n"
    shown = table((group, *_COLUMNS), [[row.get(name) for name in (group, *_COLUMNS)] for row in rows])
    unknown = {name: sum(_whole(row.get(f"{name}_unknown")) for row in rows) for name in _COLUMNS}
    missing = [f"{name} of {number:,}" for name, number in unknown.items() if number]
    return shown + (f"\nunknown, so not in the sums: {', '.join(missing)} requests\n" if missing else "")


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
