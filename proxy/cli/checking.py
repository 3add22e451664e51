"""`greenlane config check` and `greenlane config schema`."""

from __future__ import annotations

import argparse
import json
import os
import sys

import msgspec

from proxy.cli.table import table
from proxy.configuration import ConfigurationError, Examination, Problem, examine
from proxy.configuration.reading import read
from proxy.configuration.schema import json_schema


def check(options: argparse.Namespace) -> int:
    """0: can be served; 1: cannot; 2: cannot be read."""
    try:
        text = read(options.file)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    examination = _as_served(examine(text, os.environ, missing_is_error=not options.no_secrets))
    if options.json:
        print(json.dumps(msgspec.to_builtins(examination.problems), indent=2))
    else:
        _tell(options.file, examination)
    return 0 if examination.config is not None else 1


def _as_served(examination: Examination) -> Examination:
    """An address that may not be listened on is only odd for a `serve` that is told another one; as it stands the file cannot be served."""
    problems = [msgspec.structs.replace(each, warning=False) if each.path == "server.host" else each for each in examination.problems]
    return Examination(examination.config if all(each.warning for each in problems) else None, problems)


def schema(_options: argparse.Namespace) -> int:
    print(json.dumps(json_schema(), indent=2))
    return 0


def _tell(file: str, examination: Examination) -> None:
    problems = examination.problems
    if problems:
        print(table(("where", "", "setting", "problem"), [_row(file, problem) for problem in problems]), end="")
    config = examination.config
    if config is None:
        print(f"{file}: {_counted(sum(not problem.warning for problem in problems), 'problem')}")
        return
    parts = [
        _counted(len(config.deployments), "deployment"),
        _counted(len(config.policies), "policy", "policies"),
        _counted(len(config.keys), "key"),
        *([_counted(len(problems), "warning")] if problems else []),
    ]
    print(f"{file}: good ({', '.join(parts)})")


def _counted(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def _row(file: str, problem: Problem) -> tuple[str, str, str, str]:
    place = f"{file}:{problem.line}" if problem.line is not None else file
    hint = f" (did you mean {problem.suggestion}?)" if problem.suggestion else ""
    return place, "warning" if problem.warning else "error", problem.path, problem.message + hint
