"""`greenlane explain-carbon`: the chain of one figure, so that a person can redo it with a pocket calculator."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from carbon.arithmetic import Number
from proxy.cli.asking import asked
from proxy.cli.intensity import _age
from proxy.cli.table import shown, table

WIDEST = 140
_NAME = 32
"""Columns of a line's name; a longer one takes a line of its own."""


def explain(options: argparse.Namespace) -> int:
    """0: shown; 1: the proxy refused, there is no such entry; 2: it was not reached."""
    kind = "estimates" if options.id.startswith("est-") else "requests"
    body = asked(options.url, f"/v1/greenlane/{kind}/{quote(options.id, safe='')}", {})
    if isinstance(body, int):
        return body
    print(json.dumps(body, indent=2) if options.json else told(body, width()), end="\n" if options.json else "")
    return 0


def width() -> int:
    """Of the terminal ($COLUMNS counts), within bounds."""
    return max(60, min(WIDEST, shutil.get_terminal_size((100, 24)).columns))


def told(body: Any, columns: int) -> str:
    """The answer of the proxy as text."""
    account, chain, tokens = body["account"], body["explanation"], body["tokens"]
    named = [body.get("model"), body.get("deployment") and f"on {body['deployment']}", body.get("at") and f"at {body['at']}"]
    cached = f" ({shown(tokens['cached'])} from the cache)" if tokens.get("cached") else ""
    lines = [
        f"{body['id']}  {' '.join(shown(each) for each in named if each)}",
        f"tokens   {shown(tokens.get('input'))} in{cached}, {shown(tokens.get('output'))} out",
        f"energy   {_figure(account, 'energy', 'j', 1 / 3600, 'Wh')}  {account['method']}, confidence {account['confidence']}",
        f"carbon   {_figure(account, 'carbon', 'g', 1.0, 'g')}",
    ]
    if chain["note"]:
        lines += textwrap.wrap(shown(chain["note"]), columns)
    return "\n".join([*lines, *_chain(chain, columns, body.get("deployment"))]) + "\n"


def _chain(chain: Any, columns: int, deployment: str | None) -> Iterator[str]:
    methods = chain["methods"]
    if methods:
        yield from ("", "Methods that qualify, best first (Wh)")
        rows = [
            [each["method"], *(each[name] / 3600 for name in ("energy_low_j", "energy_j", "energy_high_j")), each["confidence"]]
            for each in methods
        ]
        yield from _indented(table(("method", "low", "value", "high", "confidence"), rows))
        yield from ("", f"Energy by {methods[0]['method']}")
        for part in ("formula", "low_end", "high_end"):
            yield from _lines(methods[0][part], columns)
        yield from ("", "The band comes from")
        for each in methods[0]["band"]:
            yield from _wrapped(f"{_number(each['low'])} to {_number(each['high'])}", each["why"], columns)
        if not methods[0]["band"]:
            yield "  its own limits, worked out above"
    yield from _grid(chain["intensity"], columns)
    yield from _section("Carbon", chain["carbon"], columns)
    yield from _parts(chain["components"])
    for title, name, key in (("Assumed", "assumptions", "why"), ("Warnings", "warnings", "meaning")):
        if chain[name]:
            yield from ("", title)
            for each in chain[name]:
                value = f" = {shown(each['value'])}" if "value" in each else ""
                yield from _wrapped(f"{each.get('name') or each.get('code')}{value}", each[key], columns)
    yield from _compared(chain["counterfactual"], columns, deployment)
    yield from _restated(chain.get("restatements", ()), columns, deployment)


def _grid(grid: Any, columns: int) -> Iterator[str]:
    if grid is None:
        return
    marks = [grid["basis"], grid["signal"], *(name for name in ("assumed", "estimated", "forecast") if grid[name])]
    yield from (
        "",
        f"Grid {grid['zone']}: {shown(grid['g_per_kwh'])} g/kWh [{shown(grid['low'])} to {shown(grid['high'])}], {', '.join(marks)}",
    )
    age = "" if grid["age_s"] is None else f", {_age(grid['age_s'])} old at the time"
    yield from _wrapped("as of", f"{shown(grid['as_of'])}{age}", columns)
    yield from _wrapped("source", f"{shown(grid['source'])} ({shown(grid['licence'])})", columns)


def _parts(parts: Any) -> Iterator[str]:
    if parts is None:
        return
    yield from ("", "Components (J)")
    known = {name.removesuffix("_j"): value for name, value in parts.items() if value is not None or name == "router_j"}
    yield from _indented(table(("part", "J"), [[name, value] for name, value in known.items()]))


def _compared(found: Any, columns: int, deployment: str | None) -> Iterator[str]:
    """Where the default itself served, its formula stands above already."""
    if found is None:
        return
    same = found["deployment"] == deployment
    yield from ("", f"Otherwise: {'the same, ' if same else ''}{shown(found['model'])} on {shown(found['deployment'])}")
    yield from () if same else _lines(found["formula"], columns)
    yield from _lines(found["lines"], columns)
    band = [found["avoided_g"], found["avoided_low_g"], found["avoided_high_g"]]
    yield f"  avoided {shown(band[0])} g [{shown(band[1])} to {shown(band[2])}]"


def _restated(later: Sequence[Any], columns: int, deployment: str | None) -> Iterator[str]:
    if not later:
        return
    yield from ("", "Said since")
    for each in later:
        joules = each["energy_j"]
        wh = "-" if joules is None else shown(joules / 3600)
        counts = ", which counts" if each["counts"] else ""
        yield f"  {each['id']} replaces {each['replaces']}: {wh} Wh, {shown(each['carbon_g'])} g, {each['method']}{counts}"
        found = each.get("explanation")
        if found is not None:
            for part in ("formula", "low_end", "high_end", "carbon"):
                yield from _lines(found[part], columns)
            for factor in found["band"]:
                yield from _wrapped(f"{_number(factor['low'])} to {_number(factor['high'])}", factor["why"], columns)
        parts = each.get("components")
        if parts is not None:
            known = [f"{name.removesuffix('_j')} {shown(joules)} J" for name, joules in parts.items() if joules is not None]
            yield f"    {', '.join(known)}; the host is {each['host']}"
        if each["counts"]:
            yield from _compared(each.get("counterfactual"), columns, deployment)


def _section(title: str, lines: Sequence[Any], columns: int) -> Iterator[str]:
    if lines:
        yield from ("", title)
        yield from _lines(lines, columns)


def _lines(lines: Sequence[Any], columns: int) -> Iterator[str]:
    for each in lines:
        unit = f" {each['unit']}" if each["unit"] else ""
        result = f"= {_number(each['result'])}{unit}"
        same = each["expression"] == _number(each["result"])
        yield from _wrapped(each["name"], result if same else f"{each['expression']} {result}", columns)


def _wrapped(name: str, text: str, columns: int) -> Iterator[str]:
    """A name and what is said of it, beside it and under it."""
    start = f"  {shown(name):{_NAME}}  "
    yield from textwrap.wrap(
        shown(text),
        columns,
        initial_indent=start,
        subsequent_indent=" " * (_NAME + 4),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _indented(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"  {line}"


def _number(value: float) -> str:
    return str(Number(float(f"{value:.6g}") if abs(value) < 1e6 else value))


def _figure(account: Any, name: str, unit: str, factor: float, told_unit: str) -> str:
    value, low, high = (account[f"{name}_{each}{unit}"] for each in ("", "low_", "high_"))
    if value is None:
        return "not known"
    return f"{shown(value * factor)} {told_unit} [{shown(low * factor)} to {shown(high * factor)}]"
