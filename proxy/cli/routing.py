"""`greenlane route`: a decision explained, by the same code that decides (proxy/explain.py)."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import sys
from typing import Any

import msgspec

from proxy.cli.table import table
from proxy.config import Config
from proxy.configuration import ConfigurationError, examine
from proxy.configuration.discovery import discover
from proxy.configuration.embedded import embedded
from proxy.configuration.reading import read

_NAMES = ("policy", "privacy", "regions", "max-g", "max-g-per-kwh", "max-usd", "max-ttft-s", "min-quality", "substitute", "prefer")
CONSTRAINTS = {name: f"x-greenlane-{name}" for name in _NAMES}
"""Option → the request header it stands for."""
_COLUMNS = ("deployment", "model", "zone", "g_per_kwh", "g", "g_high", "usd", "usd_high", "ttft_s", "privacy")


def header(text: str) -> tuple[str, str]:
    """NAME=VALUE; a name of ours may leave out `x-greenlane-`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError("is written NAME=VALUE")
    name = name.strip().lower()
    return CONSTRAINTS.get(name, name), value.strip()


def route(options: argparse.Namespace) -> int:
    """0: it would be served; 1: it would be refused; 2: the question is wrong."""
    given = ((CONSTRAINTS[name], getattr(options, name.replace("-", "_"))) for name in CONSTRAINTS)
    headers = {name: value for name, value in given if value is not None} | dict(options.header)
    config = _config(options)
    if options.key is not None and options.key not in config.keys:
        sys.stderr.write(f"greenlane: no key is called {options.key!r}; there are {', '.join(config.keys) or 'none'}\n")
        return 2
    explain = importlib.import_module("proxy.explain")
    explanation = msgspec.to_builtins(
        explain.route(
            config,
            model=options.model,
            headers=headers,
            input_tokens=options.input_tokens,
            max_tokens=options.max_tokens,
            key=options.key,
        )
    )
    print(json.dumps(explanation, indent=2) if options.json else _shown(explanation), end="\n" if options.json else "")
    return 0 if explanation.get("order") else 1


def _config(options: argparse.Namespace) -> Config:
    path = options.config or os.environ.get("GREENLANE_CONFIG")
    if path:
        return _read(path)
    return embedded(asyncio.run(discover()), vendors=options.vendors, environ=os.environ)


def _read(path: str) -> Config:
    """The configuration in a file, its secrets present or not. Those that are not are told on standard error."""
    text = read(path)
    examination = examine(text)
    if examination.config is None:
        raise ConfigurationError([problem for problem in examination.problems if not problem.warning], path)
    everything = examine(text, os.environ, missing_is_error=False).problems
    absent = [problem for problem in everything if problem not in examination.problems]
    sys.stderr.writelines(f"{problem.told(path)}\n" for problem in absent)
    if absent:
        sys.stderr.write("greenlane: nothing is sent, so the decision is explained without them\n")
    return examination.config


def _shown(explanation: dict[str, Any]) -> str:
    """The decision: what is tried in which order, and what is left out and why."""
    order, rejected = explanation.get("order") or [], explanation.get("rejected") or []
    lines = [f"model {explanation.get('model')}, policy {explanation.get('policy') or 'none'}: {explanation.get('reason')}\n"]
    if order:
        columns = [name for name in _COLUMNS if any(row.get(name) is not None for row in order)]
        lines.append("\n" + table(columns, [[row.get(name) for name in columns] for row in order]))
    if rejected:
        lines.append("\n" + table(("left out", "because of"), [(row.get("deployment"), row.get("constraint")) for row in rejected]))
    if explanation.get("unmet"):
        lines.append(f"\npreferences nobody meets: {', '.join(explanation['unmet'])}\n")
    if explanation.get("message"):
        lines.append(f"\n{explanation['message']}\n")
    return "".join(lines)
