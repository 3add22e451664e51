"""`greenlane config check` and `greenlane config schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.cli.command import run
from proxy.configuration.schema import json_schema

EXAMPLE = Path(__file__).parents[2] / "greenlane.example.yaml"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "f.yaml"


def test_the_example_is_good(capsys, monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "SEARCH_KEY"):
        monkeypatch.setenv(name, f"sk-{name}")
    assert run(["config", "check", str(EXAMPLE)]) == 0
    assert capsys.readouterr().out == f"{EXAMPLE}: good (4 deployments, 3 policies, 1 key)\n"


def test_problems_are_a_table_with_lines(file, capsys):
    file.write_text("deployments:\n  a: {model: m, base_url: 'http://h', zone: aws:eu-nord-1}\npolices: {}\n")
    assert run(["config", "check", str(file)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{'where'.ljust(len(str(file)) + 2)}         setting  problem",
        f"{file}:3  error  polices  is not a setting of the file (did you mean policies?)",
        f"{file}: 1 problem",
    ]


def test_missing_secrets_are_errors_unless_told_otherwise(file, capsys, monkeypatch):
    monkeypatch.delenv("UPSTREAM", raising=False)
    file.write_text("deployments: {a: {model: m, base_url: 'http://h', api_key: env:UPSTREAM}}")
    assert run(["config", "check", str(file)]) == 1
    assert "error  deployments.a.api_key" in capsys.readouterr().out
    assert run(["config", "check", "--no-secrets", str(file)]) == 0
    out = capsys.readouterr().out
    assert "warning  deployments.a.api_key  the environment variable UPSTREAM is not set" in out
    assert "good (1 deployment, 0 policies, 0 keys, 1 warning)" in out


def test_problems_can_be_had_as_json(file, capsys):
    file.write_text("policy: nowhere\ndeployments: {a: {model: m, base_url: 'http://h'}}")
    assert run(["config", "check", "--json", str(file)]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "path": "policy",
            "message": "the policy 'nowhere' is not known; there are none",
            "suggestion": None,
            "line": 1,
            "warning": False,
        }
    ]


def test_a_file_that_is_not_there_ends_with_2(file, capsys):
    assert run(["config", "check", str(file)]) == 2
    assert "No such file" in capsys.readouterr().err


def test_the_schema_is_printed(capsys):
    assert run(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(json_schema()))


def test_an_address_that_may_not_be_listened_on_cannot_be_served(file, capsys):
    file.write_text("server: {host: 0.0.0.0}\ndeployments: {a: {model: m, base_url: 'http://h'}}\n")
    assert run(["config", "check", str(file)]) == 1
    assert "error  server.host  without keys" in capsys.readouterr().out
