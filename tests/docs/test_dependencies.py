"""docs/dependencies.md has a line for each dependency, and says truly where it is imported."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, quoted, rows, text

PAGE = text("docs/dependencies.md")
RUN = rows(PAGE.split("## To run")[1], "package")
WORK = rows(PAGE.split("## To work on it")[1], "package")
PROJECT = tomllib.loads(text("pyproject.toml"))["project"]
MODULES = {
    "pyyaml": "yaml",
    "prometheus-client": "prometheus_client",
    "rs-bpe": "rs_bpe",
    "opentelemetry-sdk": "opentelemetry",
    "nvidia-ml-py": "pynvml",
}


def name(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement).group().lower()


@cache
def imports() -> dict[str, set[str]]:
    """Module → the files of ours that import it."""
    found: dict[str, set[str]] = {}
    for package in ("adapters", "carbon", "policies", "proxy"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                for module in _modules(node):
                    found.setdefault(module.split(".")[0], set()).add(str(path.relative_to(ROOT)))
    return found


def _modules(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
            return [module]
    return []


def test_every_package_that_is_needed_to_run_has_its_line():
    wanted = {name(each) for each in text("requirements.in").splitlines() if each.strip() and not each.startswith("#")}
    assert {quoted(row[0])[0] for row in RUN} == wanted
    assert {name(each) for each in PROJECT["dependencies"]} | {"setuptools"} == wanted


def test_every_package_that_is_needed_to_work_has_its_line():
    listed = [each for each in text("requirements-dev.in").splitlines() if each.strip() and not each.startswith(("#", "-r"))]
    told = {word.lower() for row in [*RUN, *WORK] for word in quoted(row[0])}
    assert {name(each) for each in listed} <= told


def test_every_extra_has_its_line():
    told = {quoted(row[0])[0]: quoted(row[1]) for row in rows(PAGE, "extra")}
    assert told == {extra: [name(each) for each in wanted] for extra, wanted in PROJECT["optional-dependencies"].items()}


@pytest.mark.parametrize("row", RUN, ids=lambda row: quoted(row[0])[0])
def test_a_package_is_imported_where_its_line_says(row: list[str]):
    package, places = quoted(row[0])[0], row[4]
    importing = imports().get(MODULES.get(package, package), set())
    if places == "everywhere":
        assert len(importing) > 10
    elif places in {"-", "not used yet"}:
        assert importing == set()
    else:
        assert {path for path in importing if not path.startswith(tuple(quoted(places)))} == set()
        assert all(any(path.startswith(place) for path in importing) for place in quoted(places))


def test_h2_is_imported_where_the_page_says():
    assert all(Path(path).as_posix() in PAGE for path in imports()["h2"])
