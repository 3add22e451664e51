"""Policies depend on their input alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import policies

SOURCES = sorted(Path(policies.__file__).parent.rglob("*.py"))
OUTSIDE = {"time", "datetime", "random", "secrets", "uuid", "os", "socket", "asyncio", "threading", "httpx"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_policy_file_neither_waits_nor_looks_outside(source: Path) -> None:
    tree = ast.parse(source.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.Global):
            found.add(type(node).__name__)
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names} & OUTSIDE
        if isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0]} & OUTSIDE
            found |= {"adapters", "proxy"} & {(node.module or "").split(".")[0]}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found |= {node.func.id} & {"open", "print", "input", "hash"}
    assert found == set()


def test_the_example_that_the_documentation_points_at_fits_twenty_lines() -> None:
    source = next(path for path in SOURCES if path.name == "lowest_carbon.py")
    assert len(source.read_text().splitlines()) <= 20
