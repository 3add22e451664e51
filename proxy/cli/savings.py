"""`greenlane savings`: what choices avoided by a running proxy's ledger, beside what was emitted, and what a holdout measured."""

from __future__ import annotations

import argparse
from typing import Any

from proxy.cli.sums import rows, sums
from proxy.cli.table import table

_SUMS = ("requests", "compared", "cached", "energy_wh", "carbon_g", "avoided_g", "avoided_low_g", "avoided_high_g", "avoided_marginal_g")
_MEASURED = ("model", "held_out", "held_out_mean_g", "others", "others_mean_g", "avoided_per_request_g", "avoided_low_g", "avoided_high_g")


def savings(options: argparse.Namespace) -> int:
    """0: shown; 1: the proxy refused; 2: it was not reached."""
    return sums(options, "savings", _shown)


def _shown(body: Any, group: str) -> str:
    summed, measured = rows(body, "data"), rows(body, "holdout")
    if not summed:
        return "nothing was asked\n"
    text = table((group, *_SUMS, "verdict"), [[row.get(name) for name in (group, *_SUMS)] + [_verdict(row)] for row in summed])
    if measured:
        text += "\nmeasured by a holdout, grams of a request\n"
        text += table((*_MEASURED, "verdict"), [[row.get(name) for name in _MEASURED] + [_verdict(row)] for row in measured])
    return text


def _verdict(row: Any) -> str:
    because = row.get("because")
    return f"{row.get('verdict')}: {because}" if because else str(row.get("verdict"))
