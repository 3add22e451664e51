"""The command line from outside: arguments in; output and exit code out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proxy import __version__
from proxy.cli import main
from proxy.cli.command import run


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"greenlane {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["serve", "--help"], ["config", "--help"], ["config", "check", "--help"], ["route", "--help"], ["usage", "-h"]],
)
def test_every_command_explains_itself(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(arguments)
    assert caught.value.code == 0
    assert "usage: greenlane" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["config"],
        ["serve", "--port", "70000"],
        ["serve", "--port", "x"],
        ["route"],
        ["route", "--model", "m", "--max-tokens", "0"],
        ["route", "--model", "m", "--input-tokens", "-1"],
        ["route", "--model", "m", "--header", "no-value"],
        ["usage", "--group-by", "colour"],
        ["import", "other", "f"],
    ],
)
def test_wrong_arguments_end_with_2_and_a_word(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(arguments)
    assert caught.value.code == 2
    assert "usage: greenlane" in capsys.readouterr().err


def test_a_reader_that_leaves_early_causes_no_noise():
    command = [sys.executable, "-c", "from proxy.cli import main; main()", "config", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_what_a_terminal_cannot_write_is_escaped():
    arguments = ["estimate", "--model", "gr\u00fcn-8b", "--tokens-in", "1", "--tokens-out", "1"]
    told = subprocess.run(
        [sys.executable, "-m", "proxy.cli", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, b"")
    assert rb"gr\xfcn-8b" in told.stdout
