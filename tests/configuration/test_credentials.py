"""The secrets of a whole configuration."""

from __future__ import annotations

import hashlib

import pytest

from proxy.configuration import Secret, SecretError, examine, loads
from proxy.configuration.credentials import resolve_all

DIGEST = hashlib.sha256(b"one").hexdigest()
PLACE = "deployments: {d: {model: m, base_url: 'https://h', api_key: env:UP}}\nteams: {t: {}}\n"


def found(keys: str, environ: dict[str, str] | None = None) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in examine(PLACE + f"keys: {{{keys}}}", environ).problems]


def test_two_clients_with_one_key_are_refused_however_it_is_written():
    same = f"a: {{team: t, key: 'sha256:{DIGEST}'}}, b: {{team: t, key: 'sha256:{DIGEST}'}}"
    assert found(same) == [("keys.b.key", "is the same key as keys.a.key")]
    assert found("a: {team: t, key: env:A}, b: {team: t, key: env:A}") == [("keys.b.key", "is the same key as keys.a.key")]
    mixed = f"a: {{team: t, key: 'sha256:{DIGEST}'}}, b: {{team: t, key: env:B}}"
    assert found(mixed, {"B": "one", "UP": "x"}) == [("keys.b.key", "is the same key as keys.a.key")]
    assert found(mixed, {"B": "two", "UP": "x"}) == []


@pytest.mark.parametrize(
    ("key", "word"), [("env:MY KEY", "name of an environment variable"), ("env:9A", "variable"), ("sha256:abc", "64 digits")]
)
def test_a_reference_that_cannot_be_right_is_told(key, word):
    problems = found(f"a: {{team: t, key: '{key}'}}")
    assert [path for path, _ in problems] == ["keys.a.key"]
    assert word in problems[0][1]


def test_every_missing_secret_is_told():
    assert found("a: {team: t, key: env:A}", {}) == [
        ("deployments.d.api_key", "the environment variable UP is not set"),
        ("keys.a.key", "the environment variable A is not set"),
    ]


def test_secrets_are_resolved_for_the_snapshot():
    config = loads(PLACE + f"keys: {{a: {{team: t, key: env:A}}, b: {{team: t, key: 'sha256:{DIGEST}'}}}}")
    ours, clients = resolve_all(config, {"UP": "sk-up", "A": "two"})
    assert ours == {"d": Secret("sk-up")}
    assert clients == {hashlib.sha256(b"two").hexdigest(): "a", DIGEST: "b"}
    with pytest.raises(SecretError):
        resolve_all(config, {})


@pytest.mark.parametrize(
    ("environ", "dialect", "told"),
    [
        ({}, "openai", "the environment variable SALT is not set"),
        ({"SALT": "short"}, "openai", "must have 16 characters or more: what is made from less can be guessed"),
        ({"SALT": "x" * 16}, "anthropic", "is vLLM's, which speaks openai"),
    ],
)
def test_a_salt_that_would_protect_nobody_is_refused(environ, dialect, told):
    text = f"deployments: {{d: {{model: m, base_url: 'https://h', dialect: {dialect}, cache_salt: env:SALT}}}}"
    assert [(each.path, each.message) for each in examine(text, environ).problems] == [("deployments.d.cache_salt", told)]
