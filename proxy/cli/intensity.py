"""`greenlane intensity`: the grids of a fleet, or of one zone with its past and its forecast."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from carbon.intensity import Intensity, Table
from carbon.sources._base import instant_s
from carbon.zones import UnknownZoneError, resolve_zone
from proxy.cli.asking import asked
from proxy.cli.plot import fitting, plot
from proxy.cli.table import table
from proxy.configuration import load
from proxy.controlplane.intensity import about, fleet, hours
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
    if options.zone is None and (options.horizon, options.history) != (None, None):
        sys.stderr.write("greenlane: --horizon and --history are of one zone: name it\n")
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
    if options.config is None:
        return asked(options.url, "/v1/greenlane/intensity", {})
    deployments = {name: each.zone for name, each in load(options.config).deployments.items()}
    zones = {resolve_zone(zone).id for zone in deployments.values() if zone is not None}

    async def shown(grids: Grids) -> dict[str, Any]:
        return fleet(grids, deployments, now_s=time.time())

    return _read(options.config, zones, shown)


def _zone(options: argparse.Namespace) -> Any:
    if options.config is None:
        return asked(options.url, "/v1/greenlane/intensity", {"zone": options.zone, "horizon": options.horizon, "history": options.history})
    try:
        zone, ahead_h = resolve_zone(options.zone), hours(options.horizon, "horizon")
    except (UnknownZoneError, Refusal) as error:
        sys.stderr.write(f"greenlane: {error}\n")
        return 1
    return _read(options.config, {zone.id}, lambda grids: about(grids, zone, horizon_h=ahead_h, now_s=time.time()))


def _read(config: str, zones: Iterable[str], then: Callable[[Grids], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Asks the sources of a configuration directly, once; there is no past without a running proxy."""

    async def read() -> dict[str, Any]:
        grids = Grids(_nothing, _keep_nothing, secret_of)
        try:
            grids.configure(load(config).carbon, frozenset(zones))
            await grids.refresh()
            return await then(grids)
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
    return shown + "".join(f"source {each['name']}: {each['state']}, {_times(each['failures'])} in a row\n" for each in failing)


def _times(failures: int) -> str:
    return f"{failures} failure{'' if failures == 1 else 's'}"


def _zone_shown(answer: Any) -> str:
    rows = [["in use", *_cells(answer[signal])] for signal in ("average", "marginal") if answer[signal] is not None]
    rows += [[each["feed"], *_cells(each)] for each in answer["told"]]
    parts = [
        f"{answer['zone']}: {', '.join(answer['names'])}\n",
        table(("told by", *_COLUMNS), rows) if rows else "nothing is known of it\n",
    ]
    points, what = _points(answer)
    if points:
        parts.append(f"\ng/kWh, {what}\n")
        # a terminal of no known size says that it has no columns
        columns = min(72, (os.get_terminal_size().columns or 80) - 8) if sys.stdout.isatty() else 64
        parts.append(plot(points, now_s=time.time(), width=columns, blocks=fitting(sys.stdout.encoding)))
    if answer.get("forecast") == []:
        parts.append("no source foretells this zone now\n")
    return "".join(parts)


def _points(answer: Any) -> tuple[list[tuple[float, float]], str]:
    """One line through time and what it is: a signal, of one source before now and one after, on one basis."""
    ahead = answer.get("forecast") or []
    signal = ahead[0]["signal"] if ahead else "average"
    past = [each for each in answer.get("history") or [] if each["signal"] == signal]
    order = [each["feed"] for each in answer["told"]]
    feeds = sorted({each["feed"] for each in past}, key=lambda feed: order.index(feed) if feed in order else len(order))
    past = [each for each in past if each["feed"] == feeds[0]]
    parts = [f"read from {past[-1]['source']}" if past else "", f"forecast by {ahead[0]['source']}" if ahead else ""]
    basis = (ahead or past or [{"basis": ""}])[0]["basis"]
    points = [(instant_s(each["as_of"]), each["g_per_kwh"]) for each in (*past, *ahead)]
    return points, f"{basis}, {signal}: " + ", ".join(filter(None, parts))


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
