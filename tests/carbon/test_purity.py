"""carbon computes; only its sources and meters, and what they reach out with, may wait, look at a clock, or reach out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "carbon"
PURE = sorted(path for path in ROOT.rglob("*.py") if path.parent.name not in {"sources", "meters"} and path.name != "reach.py")
FORBIDDEN = {"time", "random", "os", "httpx", "asyncio", "socket", "datetime", "secrets", "subprocess"}
OURS = {"proxy", "policies", "adapters"}


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}}


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.name)
def test_no_clock_no_chance_no_network_no_waiting(path):
    assert not imports(path) & FORBIDDEN
    assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Await | ast.AsyncWith | ast.AsyncFor)]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.name)
def test_carbon_imports_nothing_of_ours(path):
    assert not imports(path) & OURS


def test_grams_per_kilowatt_hour_are_divided_in_one_file_only():
    """A figure in grams has one maker: nobody else may even know how many joules a kilowatt-hour has, but the reader of reports."""
    assert [path.name for path in PURE if "3.6e6" in path.read_text() or "3600000" in path.read_text()] == ["footprint.py"]
