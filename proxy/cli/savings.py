"""`greenlane savings`: what choices avoided by a running proxy's ledger, beside what was emitted, and what a holdout measured."""

from __future__ import annotations

import argparse
import json
from typing import Any

from proxy.cli.asking import asked
from proxy.cli.table import table

_SUMS = ("requests", "compared", "cached", "energy_wh", "carbon_g", "avoided_g", "avoided_low_g", "avoided_high_g", "avoided_marginal_g")
_MEASURED = ("model", "held_out", "held_out_mean_g", "others", "others_mean_g", "avoided_per_request_g", "avoided_low_g", "avoided_high_g")


def savings(options: argparse.Namespace) -> int:
    """0: shown; 1: the proxy refused; 2: it was not reached."""
    body = asked(options.url, "/v1/greenlane/savings", {"from": options.from_, "to": options.to, "group_by": options.group_by})
    if isinstance(body, int):
        return body
    print(json.dumps(body, indent=2) if options.json else _shown(body, options.group_by), end="\n" if options.json else "")
    return 0


def _shown(body: Any, group: str) -> str:
    sums, measured = _rows(body, "data"), _rows(body, "holdout")
    if not sums:
        return "nothing was asked\n"
    text = table((group, *_SUMS, "verdict"), [[row.get(name) for name in (group, *_SUMS)] + [_verdict(row)] for row in sums])
    if measured:
        rows = [[row.get(name) for name in _MEASURED] + [_verdict(row)] for row in measured]
        text += "\nmeasured by a holdout, grams of a request\n" + table((*_MEASURED, "verdict"), rows)
    return text


def _verdict(row: Any) -> str:
    because = row.get("because")
    return f"{row.get('verdict')}: {because}" if because else str(row.get("verdict"))


def _rows(body: Any, name: str) -> list[Any]:
    found = body.get(name) if isinstance(body, dict) else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
