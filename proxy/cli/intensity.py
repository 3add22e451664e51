"""`greenlane intensity`: the grids of a fleet, or of one zone with its past and its forecast."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Any

from carbon.intensity import Intensity, Table
from carbon.sources._base import instant_s
from carbon.zones import UnknownZoneError, resolve_zone
from proxy.cli.asking import asked
from proxy.cli.plot import plot
from proxy.cli.table import table
from proxy.configuration import load
from proxy.controlplane.intensity import about, hours
from proxy.errors import Refusal
from proxy.runtime import secret_of
from proxy.workers.intensity import Grids

SOURCE_WIDTH = 60
_COLUMNS = ("g/kWh", "low", "high", "basis", "signal", "as of", "age", "source")


def intensity(options: argparse.Namespace) -> int:
    """0: shown; 1: refused, or a zone is not known; 2: the proxy was not reached."""
    if options.history is not None and options.config is not None:
        sys.stderr.write("greenlane: --history needs a running proxy, which keeps what it reads; --config asks the sources\n")
        return 1
    answer = _fleet(options) if options.zone is None else _zone(options)
    if isinstance(answer, int):
        return answer
    if options.json:
        print(json.dumps(answer, indent=2))
    elif options.zone is None:
        sys.stdout.write(_fleet_shown(answer))
    else:
        sys.stdout.write(_zone_shown(answer))
    return 0


def _fleet(options: argparse.Namespace) -> Any:
    if options.config is not None:
        zones = {each.zone for each in load(options.config).deployments.values() if each.zone is not None}
        return {"data": [_read(options.config, resolve_zone(zone).id, None) for zone in sorted(zones)]}
    return asked(options.url, "/v1/greenlane/intensity", {})


def _zone(options: argparse.Namespace) -> Any:
    if options.config is None:
        return asked(options.url, "/v1/greenlane/intensity", {"zone": options.zone, "horizon": options.horizon, "history": options.history})
    try:
        return _read(options.config, resolve_zone(options.zone).id, options.horizon)
    except (UnknownZoneError, Refusal) as error:
        sys.stderr.write(f"greenlane: {error}\n")
        return 1


def _read(config: str, zone: str, horizon: str | None) -> dict[str, Any]:
    """Asks the sources of a configuration directly; there is no past without a running proxy."""

    async def read() -> dict[str, Any]:
        grids = Grids(_nothing, _keep_nothing, secret_of)
        try:
            grids.configure(load(config).carbon, frozenset())
            return await about(grids, resolve_zone(zone), horizon_h=hours(horizon, "horizon"), now_s=time.time())
        finally:
            await grids.close()

    return asyncio.run(read())


def _nothing(_: Table) -> None:
    pass


async def _keep_nothing(_feed: str, _samples: Sequence[Intensity]) -> None:
    pass


def _fleet_shown(answer: Any) -> str:
    rows = []
    for each in answer["data"]:
        samples = [sample for sample in (each["average"], each["marginal"]) if sample is not None]
        rows += [[each["zone"] + (" (assumed)" if sample["assumed"] else ""), *_cells(sample)] for sample in samples]
        if each["average"] is None:
            rows.append([each["zone"], *[None] * len(_COLUMNS)])
    shown = table(("zone", *_COLUMNS), rows) if rows else "no deployment has a zone\n"
    failing = [each for each in answer.get("sources", ()) if each["state"] not in {"fresh", "waiting"}]
    return shown + "".join(f"source {each['name']}: {each['state']}, {each['failures']} failures in a row\n" for each in failing)


def _zone_shown(answer: Any) -> str:
    rows = [["in use", *_cells(answer[signal])] for signal in ("average", "marginal") if answer[signal] is not None]
    rows += [[each["feed"], *_cells(each)] for each in answer["told"]]
    parts = [
        f"{answer['zone']}: {', '.join(answer['names'])}\n",
        table(("told by", *_COLUMNS), rows) if rows else "nothing is known of it\n",
    ]
    points = [(instant_s(each["as_of"]), each["g_per_kwh"]) for each in (*answer.get("history", ()), *answer.get("forecast", ()))]
    if points:
        parts.append(f"\ng/kWh{' (forecast: ' + answer['forecast'][0]['source'] + ')' if answer.get('forecast') else ''}\n")
        parts.append(plot(points, now_s=time.time(), width=min(72, os.get_terminal_size().columns - 8) if sys.stdout.isatty() else 64))
    elif "forecast" in answer:
        parts.append("no source of this chain foretells this zone\n")
    return "".join(parts)


def _cells(sample: Any) -> list[Any]:
    marks = "".join(f", {name}" for name in ("estimated", "forecast") if sample[name])
    return [
        sample["g_per_kwh"],
        sample["low"],
        sample["high"],
        sample["basis"],
        sample["signal"],
        sample["as_of"],
        _age(sample["age_s"]),
        textwrap.shorten(sample["source"], SOURCE_WIDTH, placeholder=" ...") + marks,
    ]


def _age(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
