"""Where the harness keeps what it builds and what it finds. All but the report and its charts is ignored by git."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NATIVE = HERE / "native"
BIN = HERE / "bin"
VENVS = HERE / "venvs"
RESULTS = HERE / "results"
LOGS = HERE / "logs"
CHARTS = HERE / "charts"
REPORT = HERE / "report.md"

MOCK = BIN / "mock"
LOAD = BIN / "load"
MOCK_PORT = 9100
