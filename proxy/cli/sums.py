"""What `greenlane usage` and `greenlane savings` share: sums of a running proxy's ledger, as a table or as they came."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from proxy.cli.asking import asked


def sums(options: argparse.Namespace, name: str, shown: Callable[[Any, str], str]) -> int:
    """0: shown; 1: the proxy refused; 2: it was not reached."""
    body = asked(options.url, f"/v1/greenlane/{name}", {"from": options.from_, "to": options.to, "group_by": options.group_by})
    if isinstance(body, int):
        return body
    print(json.dumps(body, indent=2) if options.json else shown(body, options.group_by), end="\n" if options.json else "")
    return 0


def rows(body: Any, name: str) -> list[Any]:
    """The lines of one of the answer's lists."""
    found = body.get(name) if isinstance(body, dict) else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
