"""`greenlane serve` without a file says where it listens, then what it found."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("url", "spool", "told"),
    [
        ("none/g.db", "spool", "ledger.url: {folder}/none/g.db: its directory does not exist"),
        ("g.db", "none/spool", "ledger.spool_file: spool {folder}/none/spool: its directory does not exist"),
        ("spool", "spool", "ledger.url: {folder}/spool: that is the spool; the store needs a file of its own"),
    ],
)
def test_a_ledger_that_can_never_be_is_told_in_one_line(tmp_path, url, spool, told):
    file = tmp_path / "g.yaml"
    file.write_text(f'deployments: {{}}\nledger: {{url: "sqlite:///{tmp_path}/{url}", spool_file: "{tmp_path}/{spool}"}}\n')
    command = [sys.executable, "-c", "from proxy.cli import main; main()", "serve", "--config", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2], check=False)
    assert (ended.returncode, ended.stderr) == (1, f"{file}: {told.format(folder=tmp_path)}\n")


def test_the_address_is_told_before_what_was_found(tmp_path):
    known = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    known.pop("GREENLANE_CONFIG", None)
    command = [sys.executable, "-c", "from proxy.cli import main; main()", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=known, cwd=tmp_path, text=True) as process:
        late = threading.Timer(120, process.kill)
        late.start()
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.lstrip().startswith("simulation-pl"):
                break
        late.cancel()
        process.terminate()
    assert lines[0].startswith("Greenlane ")
    (found,) = [number for number, line in enumerate(lines) if line.endswith("found on this machine.")]
    assert lines[found - 1] == ""
    assert all(line.startswith("  ") for line in lines[found + 1 :])
