"""docs/errors.md has every status with every code that the proxy itself gives."""

from __future__ import annotations

import ast

from tests.docs.pages import ROOT, quoted, rows, text

PAGE = text("docs/errors.md")


def refusals() -> set[tuple[int, str | None]]:
    """(status, code) of every refusal written out in the sources."""
    found = set()
    for path in (ROOT / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal" and len(node.args) > 1:
                status, code = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                    found.add((status.value, code.value))
    return found


def codes() -> set[str]:
    """Every other code that the sources write: `code="…"`."""
    found = set()
    for package in ("proxy", "adapters"):
        for path in (ROOT / package).rglob("*.py"):
            if "simulation" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                    found.add(node.value.value)
    return found - {None}


TOLD = {(int(row[0]), None if code == "null" else code) for row in rows(PAGE, "status") for code in quoted(row[1])}


def test_every_refusal_is_told():
    assert refusals() - TOLD == set()


def test_every_code_is_told():
    assert codes() - {code for _, code in TOLD} == set()
