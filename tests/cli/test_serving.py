"""`greenlane serve` hands over what was asked for."""

from __future__ import annotations

import sys
import types

import pytest

from proxy.cli.command import run
from proxy.configuration import ConfigurationError, Problem


@pytest.fixture
def served(monkeypatch):
    """What `serve` was called with, in place of a server."""
    calls = []
    app = types.ModuleType("proxy.app")
    app.serve = lambda **asked: calls.append(asked)
    monkeypatch.setitem(sys.modules, "proxy.app", app)
    monkeypatch.delenv("GREENLANE_CONFIG", raising=False)
    return calls


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"config_path": None, "vendors": False, "host": None, "port": None}),
        (["--config", "g.yaml"], {"config_path": "g.yaml", "vendors": False, "host": None, "port": None}),
        (["--vendors", "--host", "::1", "--port", "0"], {"config_path": None, "vendors": True, "host": "::1", "port": 0}),
    ],
)
def test_the_server_gets_what_was_asked_for(served, arguments, expected):
    assert run(["serve", *arguments]) == 0
    assert served == [expected]


def test_the_configuration_may_come_from_the_environment(served, monkeypatch):
    monkeypatch.setenv("GREENLANE_CONFIG", "e.yaml")
    run(["serve"])
    run(["serve", "--config", "f.yaml"])
    assert [asked["config_path"] for asked in served] == ["e.yaml", "f.yaml"]


def test_a_wrong_configuration_is_told_with_lines(served, monkeypatch, capsys):
    def refuse(**_asked):
        raise ConfigurationError([Problem(path="policy", message="is wrong", line=3)], "g.yaml")

    monkeypatch.setattr(sys.modules["proxy.app"], "serve", refuse)
    assert run(["serve"]) == 1
    assert capsys.readouterr().err == "g.yaml:3: policy: is wrong\n"


def test_an_interrupt_is_no_error_of_ours(served, monkeypatch):
    def interrupted(**_asked):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["proxy.app"], "serve", interrupted)
    assert run(["serve"]) == 130
