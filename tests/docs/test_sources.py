"""What ARCHITECTURE.md promises of the sources, read from their syntax trees."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, text

LINES_A_FILE = 500
LINES_A_FUNCTION = 60
PURE = [
    *sorted((ROOT / "adapters").rglob("*.py")),
    *sorted((ROOT / "policies").rglob("*.py")),
    *sorted(path for path in (ROOT / "carbon").rglob("*.py") if path.parent.name not in {"sources", "meters"} and path.name != "reach.py"),
]
OUTSIDE = {"time", "datetime", "random", "secrets", "uuid", "os", "socket", "asyncio", "threading", "subprocess", "httpx", "requests"}


def sources() -> list[Path]:
    """Every Python file that is the repository's own."""
    places = ("adapters", "carbon", "policies", "proxy", "tests", "benchmarks", "docs")
    return [
        path
        for place in places
        for path in sorted((ROOT / place).rglob("*.py"))
        if not {"node_modules", "venvs", "stacks"} & set(path.parts)
    ]


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_file_is_longer_than_500_lines():
    assert {str(path.relative_to(ROOT)) for path in sources() if len(path.read_text().splitlines()) > LINES_A_FILE} == set()


def test_every_file_says_what_lives_in_it():
    silent = [path for path in sources() if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def test_no_function_is_longer_than_60_lines():
    long = {
        f"{path.relative_to(ROOT)}: {name} ({lines})"
        for path in sources()
        for name, lines in functions(ast.parse(path.read_text()))
        if lines > LINES_A_FUNCTION
    }
    assert long == set()


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_file_neither_waits_nor_looks_outside(path: Path):
    tree = ast.parse(path.read_text())
    waits = [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncWith | ast.AsyncFor)]
    imported = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not waits
    assert not imported & OUTSIDE


def test_the_floors_drawn_are_those_that_are_checked():
    """Each line of the picture names the modules of one layer, in the contract's order, less those that have no code yet."""
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (inside,) = [contract["layers"] for contract in contracts if contract.get("containers") == ["proxy"]]
    exists = {path.stem for path in (ROOT / "proxy").glob("*.py")} | {path.name for path in (ROOT / "proxy").iterdir() if path.is_dir()}
    checked = [{name.strip(" ()") for name in layer.split("|")} & exists for layer in inside]
    checked = [layer - {"__main__"} for layer in checked]
    picture = text("ARCHITECTURE.md").split("do not import each other:")[1].split("```")[1].strip().splitlines()
    words = [line.split("  ")[0].replace(",", " ").replace("|", " ").split() for line in picture]
    drawn = [{word for word in line if word in exists} for line in words]
    assert drawn == checked


def test_no_unfinished_words_are_in_the_sources():
    unfinished = re.compile("|".join(rf"\b{word}\b" for word in ("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error")))
    assert [str(path.relative_to(ROOT)) for path in sources() if unfinished.search(path.read_text())] == []
